// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_EMULATED_DEVICE_HPP
#define LTRP_SIMT_EMULATED_DEVICE_HPP

#include "halves.hpp"
#include "memory.hpp"
#include "ops/cuda/device.hpp"

#include <cmath>

namespace simttest
{

/// What the CUDA backend asks of a device, over the emulation's memory: a host that touches it, or a kernel that reads what
/// nobody wrote, is found out. Matrix products are plain loops with double sums.
class EmulatedDevice : public cv::ltrp::ops::simt::Device
{
public:
    cv::ltrp::ops::simt::Stream stream() const override { return nullptr; }
    std::string name() const override { return "emulation"; }
    void* allocate(size_t bytes) const override { return simt::allocate(std::max<size_t>(bytes, 4), "memory", 2); }
    void release(void* memory) const override
    {
        if (memory)
            simt::release(memory);
    }
    void copy(const void* from, void* to, size_t bytes) const override
    {
        std::vector<char> values(bytes);
        simt::download(values.data(), from, bytes);
        simt::upload(to, values.data(), bytes);
    }
    void zero(void* to, size_t bytes) const override { simt::fill(to, 0, bytes); }
    void upload(const void* host, void* to, size_t bytes) const override { simt::upload(to, host, bytes); }
    void download(const void* from, void* host, size_t bytes) const override { simt::download(host, from, bytes); }
    void check(const char*) const override {}

    void multiply(const cv::ltrp::ops::simt::Product& p) const override
    {
        const size_t m = size(p.m), n = size(p.n), k = size(p.k);
        const std::vector<float> a = read(p.a, m * k), b = read(p.b, k * n);
        const std::vector<float> bias = p.bias.data ? read(p.bias, n) : std::vector<float>(n);
        std::vector<float> d = p.add ? read({p.d.data, p.d.element}, m * n) : std::vector<float>(m * n);
        for (size_t i = 0; i < m; ++i)
            for (size_t j = 0; j < n; ++j)
            {
                double sum = bias[j] + static_cast<double>(d[i * n + j]);
                for (size_t l = 0; l < k; ++l)
                    sum += static_cast<double>(a[p.transposeA ? l * m + i : i * k + l]) * b[p.transposeB ? j * k + l : l * n + j];
                d[i * n + j] = static_cast<float>(p.gelu ? sum * 0.5 * std::erfc(-sum / std::sqrt(2.0)) : sum);
            }
        write(p.d, d);
    }

private:
    typedef cv::ltrp::ops::simt::Element Element;
    static size_t size(int n) { return static_cast<size_t>(n); }

    static std::vector<float> read(const cv::ltrp::ops::simt::Input& from, size_t count)
    {
        std::vector<float> values(count);
        if (from.element == Element::Float32)
        {
            simt::download(values.data(), from.data, count * sizeof(float));
            return values;
        }
        std::vector<uint16_t> bits(count);
        simt::download(bits.data(), from.data, count * sizeof(uint16_t));
        for (size_t i = 0; i < count; ++i)
            values[i] = from.element == Element::BFloat16 ? simt::bf16ToFloat(bits[i]) : simt::halfToFloat(bits[i]);
        return values;
    }

    static void write(const cv::ltrp::ops::simt::Output& to, const std::vector<float>& values)
    {
        if (to.element == Element::Float32)
        {
            simt::upload(to.data, values.data(), values.size() * sizeof(float));
            return;
        }
        std::vector<uint16_t> bits(values.size());
        for (size_t i = 0; i < values.size(); ++i)
            bits[i] = to.element == Element::BFloat16 ? simt::floatToBf16(values[i]) : simt::floatToHalf(values[i]);
        simt::upload(to.data, bits.data(), bits.size() * sizeof(uint16_t));
    }
};

}  // namespace simttest

#endif
