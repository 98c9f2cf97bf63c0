// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_EMULATED_DEVICE_HPP
#define LTRP_SIMT_EMULATED_DEVICE_HPP

#include "halves.hpp"
#include "memory.hpp"
#include "simt.hpp"
#include "ops/cuda/device.hpp"

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace simttest
{

/// A device for the CUDA backend in the emulation's memory: host accesses and uninitialised reads by kernels are
/// detected. Matrix products are plain loops with double sums. Asynchronous copies are done as late as possible:
/// uploads when they are waited for, downloads when their event is reached. A recording keeps each launch's arguments,
/// and operations that a CUDA graph cannot record fail.
class EmulatedDevice : public cv::ltrp::ops::simt::Device
{
public:
    /// granule: bytes of the smallest values that kernels write.
    explicit EmulatedDevice(unsigned granule = 2) : granule_(granule) {}

    cv::ltrp::ops::simt::Stream stream() const override { return nullptr; }
    std::shared_ptr<void> deviceGuard() const override
    {
        ++visitors;
        return std::shared_ptr<void>(nullptr, [this](void*) { --visitors; });
    }
    std::string name() const override { return "emulation"; }
    void* allocate(size_t bytes) const override
    {
        notRecorded("an allocation");
        if (wantsVisitors && visitors == 0)
            throw simt::Failure("a call from outside does not keep its thread's device");
        if (++allocations == refuses)
            LTRP_ERROR(cv::Error::StsNoMem, "allocation " << allocations << " of " << bytes << " bytes: refused");
        return simt::allocate(std::max<size_t>(bytes, 4), "memory", granule_);
    }
    void release(void* memory) const override
    {
        if (!memory)
            return;
        notRecorded("a release");
        simt::release(memory);
    }
    void copy(const void* from, void* to, size_t bytes) const override
    {
        if (launches_)
        {
            launches_->push_back([=] { copy(from, to, bytes); });
            return;
        }
        std::vector<char> values(bytes);
        simt::download(values.data(), from, bytes);
        simt::upload(to, values.data(), bytes);
    }
    void zero(void* to, size_t bytes) const override
    {
        if (launches_)
            launches_->push_back([=] { zero(to, bytes); });
        else
            simt::fill(to, 0, bytes);
    }
    void upload(const void* host, void* to, size_t bytes) const override
    {
        notRecorded("an upload");
        ++waits;
        simt::upload(to, host, bytes);
    }
    void download(const void* from, void* host, size_t bytes) const override
    {
        notRecorded("a download");
        ++waits;
        simt::download(host, from, bytes);
    }
    void* allocateHost(size_t bytes) const override
    {
        notRecorded("an allocation");
        void* const memory = std::malloc(std::max<size_t>(bytes, 1));
        std::memset(memory, 0xff, bytes);
        return memory;
    }
    void releaseHost(void* memory) const override { std::free(memory); }
    void uploadAsync(const void* host, void* to, size_t bytes) const override
    {
        notRecorded("an upload");
        uploads_.push_back([=] { simt::upload(to, host, bytes); });
    }
    void waitForUploads() const override { runAll(uploads_); }
    void downloadLater(const void* from, void* host, size_t bytes) const override
    {
        notRecorded("a download");
        std::vector<char> values(bytes);
        simt::download(values.data(), from, bytes);
        downloads_.push_back([=] { std::memcpy(host, values.data(), bytes); });
    }
    void recordEvent(int number) const override
    {
        for (auto& download : downloads_)
            recorded_[number].push_back(std::move(download));
        downloads_.clear();
    }
    void waitEvent(int number) const override
    {
        notRecorded("waiting");
        runAll(recorded_[number]);
    }
    void synchronize() const override
    {
        notRecorded("waiting");
        for (auto* some : {&uploads_, &recorded_[0], &recorded_[1], &downloads_})
            runAll(*some);
    }
    std::unique_ptr<cv::ltrp::ops::simt::Recording> record(const std::function<void()>& calls) const override
    {
        struct Recorded : cv::ltrp::ops::simt::Recording
        {
            void launch() const override
            {
                for (const auto& one : launches)
                    one();
            }
            simt::Launches launches;
        };
        ++recordings;
        std::unique_ptr<Recorded> recorded(new Recorded);
        struct Recorder
        {
            Recorder(simt::Launches*& own, simt::Launches& to) : own_(own)
            {
                own_ = &to;
                simt::setRecorder(&to);
            }
            ~Recorder()
            {
                own_ = nullptr;
                simt::setRecorder(nullptr);
            }
            simt::Launches*& own_;
        };
        const Recorder recorder(launches_, recorded->launches);
        calls();
        if (refusesToRecord)
            LTRP_ERROR(cv::Error::GpuApiCallError, "recording: refused");
        return recorded;
    }
    void check(const char*) const override {}
    void waitForStream(void*) const override {}   // all work is done when a call returns
    void makeStreamWait(void*) const override {}
    void requireHere(const void*, const std::string&) const override {}   // the emulation rejects other memory itself

    void multiply(const cv::ltrp::ops::simt::Product& p) const override
    {
        if (launches_)
        {
            launches_->push_back([this, p] { multiply(p); });
            return;
        }
        const size_t m = size(p.m), n = size(p.n), k = size(p.k);
        if (p.before.data && (n % 8 != 0 || p.d.element == DataType::Float32 || p.before.element != p.d.element || p.gelu == p.geluBackward))
            throw simt::Failure("a product that cuBLASLt does not have");
        const std::vector<float> a = factors(p.a, m * k, p.tensorFloat), b = factors(p.b, k * n, p.tensorFloat);
        const std::vector<float> bias = p.bias.data ? read(p.bias, n) : std::vector<float>(n);
        std::vector<float> d = p.add ? read({p.d.data, p.d.element}, m * n) : std::vector<float>(m * n);
        std::vector<float> before = p.geluBackward ? read({p.before.data, p.before.element}, m * n) : std::vector<float>(m * n);
        for (size_t i = 0; i < m; ++i)
            for (size_t j = 0; j < n; ++j)
            {
                double sum = bias[j] + static_cast<double>(d[i * n + j]);
                for (size_t l = 0; l < k; ++l)
                    sum += static_cast<double>(a[p.transposeA ? l * m + i : i * k + l]) * b[p.transposeB ? j * k + l : l * n + j];
                float& at = before[i * n + j];
                const double x = static_cast<double>(at), share = 0.5 * std::erfc((p.gelu ? -sum : -x) / std::sqrt(2.0));
                if (p.geluBackward)
                    sum *= share + x * std::exp(-0.5 * x * x) * 0.3989422804014327;   // 1 / sqrt(2 pi)
                else
                    at = static_cast<float>(sum);
                d[i * n + j] = static_cast<float>(p.gelu ? sum * share : sum);
            }
        if (p.before.data && !p.geluBackward)
            write(p.before, before);
        write(p.d, d);
    }

    mutable int allocations = 0, waits = 0, recordings = 0;   ///< counts so far; waits: synchronous copies
    mutable int visitors = 0;   ///< current number of device guards
    int refuses = 0;   ///< number of the allocation that fails
    bool refusesToRecord = false, wantsVisitors = false;

private:
    typedef cv::ltrp::ops::simt::DataType DataType;

    /// tensorFloat: rounds to the 10 bits of mantissa that tensor cores use of a float, ties away from zero.
    static std::vector<float> factors(const cv::ltrp::ops::simt::Input& from, size_t count, bool tensorFloat)
    {
        std::vector<float> values = read(from, count);
        for (float& value : values)
            if (tensorFloat && from.element == DataType::Float32)
            {
                uint32_t bits;
                std::memcpy(&bits, &value, sizeof(bits));
                bits = (bits + 0x1000) & ~uint32_t(0x1fff);
                std::memcpy(&value, &bits, sizeof(bits));
            }
        return values;
    }

    void notRecorded(const char* what) const
    {
        if (launches_)
            throw simt::Failure(std::string(what) + " in what is being recorded");
    }
    static void runAll(simt::Launches& some)
    {
        for (const auto& one : some)
            one();
        some.clear();
    }

    const unsigned granule_;
    mutable simt::Launches* launches_ = nullptr;   ///< while recording
    mutable simt::Launches uploads_, downloads_, recorded_[2];

    static size_t size(int n) { return static_cast<size_t>(n); }

    static std::vector<float> read(const cv::ltrp::ops::simt::Input& from, size_t count)
    {
        std::vector<float> values(count);
        if (from.element == DataType::Float32)
        {
            simt::download(values.data(), from.data, count * sizeof(float));
            return values;
        }
        std::vector<uint16_t> bits(count);
        simt::download(bits.data(), from.data, count * sizeof(uint16_t));
        for (size_t i = 0; i < count; ++i)
            values[i] = from.element == DataType::BFloat16 ? simt::bf16ToFloat(bits[i]) : simt::halfToFloat(bits[i]);
        return values;
    }

    static void write(const cv::ltrp::ops::simt::Output& to, const std::vector<float>& values)
    {
        if (to.element == DataType::Float32)
        {
            simt::upload(to.data, values.data(), values.size() * sizeof(float));
            return;
        }
        std::vector<uint16_t> bits(values.size());
        for (size_t i = 0; i < values.size(); ++i)
            bits[i] = to.element == DataType::BFloat16 ? simt::floatToBf16(values[i]) : simt::floatToHalf(values[i]);
        simt::upload(to.data, bits.data(), bits.size() * sizeof(uint16_t));
    }
};

}  // namespace simttest

#endif
