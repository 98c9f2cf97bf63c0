// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The 16-bit attention kernels, forward and backward, against the 32-bit ones on the same rounded inputs; the 32-bit
// ones are tested by the list of operations. Sizes: those that fit into shared memory, and those in tiles.

#include "device_parity.hpp"

#include "core/random.hpp"
#include "ops/cuda/kernels.hpp"

#include <boost/test/unit_test.hpp>

#include <cuda_runtime.h>

using namespace cv::ltrp;
using ops::cuda::DataType;
using parity::Floats;

namespace
{

/// Memory of the device; all work is on its default stream.
class Memory
{
public:
    explicit Memory(size_t bytes) { BOOST_REQUIRE_EQUAL(cudaMalloc(&data_, bytes), cudaSuccess); }
    ~Memory() { cudaFree(data_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    template <class T>
    T* as() const
    {
        return static_cast<T*>(data_);
    }

private:
    void* data_ = nullptr;
};

struct Case
{
    int batch, tokens, width, heads;
    size_t values() const
    {
        return static_cast<size_t>(batch) * static_cast<size_t>(tokens) * static_cast<size_t>(width * heads);
    }
    size_t rows() const { return static_cast<size_t>(batch) * static_cast<size_t>(tokens) * static_cast<size_t>(heads); }
};

/// out, then dQkv; `seen` receives the inputs rounded to the element type.
Floats run(const Case& c, DataType element, const Floats& qkv, const Floats& dOut, Floats* seen)
{
    const size_t width = element == DataType::Float32 ? 4 : 2, n = c.values();
    const Memory floats(4 * n * 4), in(3 * n * width), out(n * width), gradient(n * width), result(3 * n * width);
    const Memory sums(c.rows() * 4);
    const Memory scratch(ops::cuda::attentionBackwardScratch(c.batch, c.tokens, c.width * c.heads, c.heads));
    const auto put = [&](const Floats& values, const Memory& to) {
        cudaMemcpy(floats.as<void>(), values.data(), values.size() * 4, cudaMemcpyHostToDevice);
        ops::cuda::cast(nullptr, floats.as<float>(), {to.as<void>(), element}, values.size());
    };
    const auto get = [&](const Memory& from, size_t count) {
        Floats values(count);
        ops::cuda::cast(nullptr, {from.as<void>(), element}, floats.as<float>(), count);
        BOOST_REQUIRE_EQUAL(cudaMemcpy(values.data(), floats.as<void>(), count * 4, cudaMemcpyDeviceToHost), cudaSuccess);
        return values;
    };
    put(qkv, in);
    put(dOut, gradient);
    if (seen)
    {
        *seen = get(in, 3 * n);
        const Floats d = get(gradient, n);
        seen->insert(seen->end(), d.begin(), d.end());
    }
    const ops::cuda::Input qkvIn(in.as<void>(), element), dIn(gradient.as<void>(), element), outIn(out.as<void>(), element);
    ops::cuda::attention(nullptr, {qkvIn, {out.as<void>(), element}, nullptr, sums.as<float>(), c.batch, c.tokens, c.tokens,
                                   c.width * c.heads, c.heads, 1});
    ops::cuda::attentionBackward(nullptr, {qkvIn, outIn, dIn, sums.as<float>(), {result.as<void>(), element}, c.batch, c.tokens,
                                           c.width * c.heads, c.heads}, scratch.as<void>());
    BOOST_REQUIRE_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
    Floats all = get(out, n);
    const Floats back = get(result, 3 * n);
    all.insert(all.end(), back.begin(), back.end());
    return all;
}

Floats noise(size_t count, uint32_t stream)
{
    RandomStream random(9, RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal());
    return values;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gpu_attention)

BOOST_AUTO_TEST_CASE(sixteen_bits_equal_the_plain_kernels)
{
    for (const Case& c : {Case{3, 197, 32, 2}, Case{2, 257, 64, 3}, Case{1, 1, 32, 1}, Case{2, 353, 64, 2}, Case{1, 700, 32, 3},
                          Case{2, 1025, 64, 2}})
        for (const DataType element : {DataType::BFloat16, DataType::Float16})
        {
            Floats seen;
            const size_t n = c.values(), split = 3 * n;
            const Floats got = run(c, element, noise(3 * n, 1), noise(n, 2), &seen);
            const Floats qkv(seen.begin(), seen.begin() + static_cast<ptrdiff_t>(split));
            const Floats want = run(c, DataType::Float32, qkv, Floats(seen.begin() + static_cast<ptrdiff_t>(split), seen.end()),
                                    nullptr);
            for (const bool backward : {false, true})
            {
                const auto part = [&](const Floats& all) {
                    const auto middle = all.begin() + static_cast<ptrdiff_t>(n);
                    return backward ? Floats(middle, all.end()) : Floats(all.begin(), middle);
                };
                const double off = parity::distance(part(got), part(want)), bound = element == DataType::BFloat16 ? 0.01 : 0.002;
                BOOST_CHECK_MESSAGE(off <= bound, c.tokens << " tokens of " << c.width << (backward ? ", backward" : "")
                                    << (element == DataType::BFloat16 ? ", bf16" : ", fp16") << ": off by " << off);
            }
        }
}

BOOST_AUTO_TEST_SUITE_END()
