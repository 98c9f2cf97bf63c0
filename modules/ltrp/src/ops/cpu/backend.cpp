// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../ops.hpp"
#include "kernels.hpp"
#include "matmul.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace cv { namespace ltrp { namespace ops {

namespace {

bool processorHas(const std::string& name)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (name == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
    if (name == "avx2")
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return name == "baseline";
}

const Kernels* tableNamed(const std::string& name)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (name == "avx512")
        return &kernelsAvx512();
    if (name == "avx2")
        return &kernelsAvx2();
#endif
    return name == "baseline" ? &kernelsBaseline() : nullptr;
}

const Kernels* widest()
{
    for (const char* name : {"avx512", "avx2", "baseline"})
        if (processorHas(name))
            return tableNamed(name);
    return &kernelsBaseline();
}

std::atomic<const Kernels*>& current()
{
    static std::atomic<const Kernels*> table(widest());
    return table;
}

/// Scratch floats of the calling thread, 64-byte aligned, kept between calls.
float* threadScratch(size_t count)
{
    thread_local std::vector<float> buffer;
    if (buffer.size() < count + 16)
        buffer.resize(count + 16);
    return alignPtr(buffer.data(), 64);
}

/// Rows are summed in a fixed number of parts that does not depend on the threads, so that sums do not either.
template <typename Body>
void sumInParts(size_t rows, size_t width, int sums, const Body& body)
{
    const size_t parts = std::min<size_t>(16, std::max<size_t>(1, rows / 64));
    const size_t each = width * static_cast<size_t>(sums);
    std::vector<float> partial(parts * each, 0.f);
    parallelRanges(parts, 1, [&](size_t begin, size_t end) {
        for (size_t part = begin; part < end; ++part)
            body(rows * part / parts, rows * (part + 1) / parts, partial.data() + part * each);
    });
    for (size_t part = 1; part < parts; ++part)
        for (size_t i = 0; i < each; ++i)
            partial[i] += partial[part * each + i];
    body(0, 0, partial.data());   // hands over the total
}

class CpuBackend CV_FINAL : public Backend
{
public:
    void linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                Epilogue epilogue) const CV_OVERRIDE
    {
        matmul(x, false, w, true, b, y, rows, out, in, epilogue == Epilogue::Add);
    }

    void linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const CV_OVERRIDE
    {
        matmul(dy, false, w, false, nullptr, dx, rows, in, out, false);
    }

    void linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                              int out) const CV_OVERRIDE
    {
        matmul(dy, true, x, false, nullptr, dw, out, in, rows, true);
        if (!db)
            return;
        const Kernels& k = kernels();
        const size_t columns = static_cast<size_t>(out);
        sumInParts(static_cast<size_t>(rows), columns, 1, [&](size_t begin, size_t end, float* sums) {
            if (begin == end)
                for (size_t i = 0; i < columns; ++i)
                    db[i] += sums[i];
            else
                k.columnSums(dy + begin * columns, sums, end - begin, columns);
        });
    }

    void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim, float* mean,
                   float* rstd) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        const size_t width = static_cast<size_t>(dim);
        parallelRanges(static_cast<size_t>(rows), 1 + 16384 / width, [&](size_t begin, size_t end) {
            k.layerNorm(x + begin * width, w, b, eps, y + begin * width, end - begin, width,
                        mean ? mean + begin : nullptr, rstd ? rstd + begin : nullptr);
        });
    }

    void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd, float* dx,
                           float* dw, float* db, int rows, int dim) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        const size_t width = static_cast<size_t>(dim);
        sumInParts(static_cast<size_t>(rows), width, 2, [&](size_t begin, size_t end, float* sums) {
            if (begin == end)
            {
                for (size_t i = 0; i < width; ++i)
                {
                    dw[i] += sums[i];
                    db[i] += sums[width + i];
                }
                return;
            }
            k.layerNormBackward(dy + begin * width, x + begin * width, w, mean + begin, rstd + begin, dx + begin * width,
                                sums, sums + width, end - begin, width);
        });
    }

    void gelu(const float* x, float* y, size_t count) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        parallelRanges((count + 15) / 16, 512, [&](size_t begin, size_t end) {
            k.gelu(x + begin * 16, y + begin * 16, std::min(count, end * 16) - begin * 16);
        });
    }

    void geluBackward(const float* x, const float* dy, float* dx, size_t count) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        parallelRanges((count + 15) / 16, 512, [&](size_t begin, size_t end) {
            k.geluBackward(x + begin * 16, dy + begin * 16, dx + begin * 16, std::min(count, end * 16) - begin * 16);
        });
    }

    int probabilityStride(int tokens) const CV_OVERRIDE { return paddedTokens(tokens); }

    void attention(const float* qkv, const int* flagged, float* out, float* probabilities, int batch, int tokens, int dim,
                   int heads, int sharedBy) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        const size_t t = static_cast<size_t>(tokens), d = static_cast<size_t>(dim);
        const int width = dim / heads;
        parallelRanges(static_cast<size_t>(batch) * static_cast<size_t>(heads), 1, [&](size_t begin, size_t end) {
            HeadArgs args = headArgs(tokens, dim, heads);
            args.scratch = threadScratch(headScratch(tokens, width));
            for (size_t item = begin; item < end; ++item)
            {
                const size_t b = item / static_cast<size_t>(heads), head = item % static_cast<size_t>(heads);
                args.q = qkv + b / static_cast<size_t>(sharedBy) * t * 3 * d + head * static_cast<size_t>(width);
                args.k = args.q + d;
                args.v = args.k + d;
                args.flagged = flagged ? flagged[b] : -1;
                args.probabilities = probabilities
                    ? probabilities + item * t * static_cast<size_t>(paddedTokens(tokens)) : nullptr;
                args.out = out + b * t * d + head * static_cast<size_t>(width);
                k.attention(args);
            }
        });
    }

    void attentionBackward(const float* qkv, const float* probabilities, const float* dOut, float* dQkv, int batch,
                           int tokens, int dim, int heads) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        const size_t t = static_cast<size_t>(tokens), d = static_cast<size_t>(dim);
        const int width = dim / heads;
        parallelRanges(static_cast<size_t>(batch) * static_cast<size_t>(heads), 1, [&](size_t begin, size_t end) {
            HeadArgs args = headArgs(tokens, dim, heads);
            args.scratch = threadScratch(headScratch(tokens, width));
            for (size_t item = begin; item < end; ++item)
            {
                const size_t b = item / static_cast<size_t>(heads), head = item % static_cast<size_t>(heads);
                const size_t offset = b * t * 3 * d + head * static_cast<size_t>(width);
                args.q = qkv + offset;
                args.k = args.q + d;
                args.v = args.k + d;
                args.probabilities = const_cast<float*>(probabilities)
                    + item * t * static_cast<size_t>(paddedTokens(tokens));
                args.dOut = dOut + b * t * d + head * static_cast<size_t>(width);
                args.dq = dQkv + offset;
                args.dk = args.dq + d;
                args.dv = args.dk + d;
                k.attentionBackward(args);
            }
        });
    }

    double meanDifference(const float* a, const float* b, size_t count, const float* scale, size_t perScale,
                          bool squared) const CV_OVERRIDE
    {
        const Kernels& k = kernels();
        double total = 0;
        if (!scale)
            perScale = count;
        for (size_t i = 0; i * perScale < count; ++i)
            total += k.sumDifference(a + i * perScale, b + i * perScale, perScale, scale ? scale[i] : 1.f, squared);
        return total / static_cast<double>(count);
    }

private:
    static HeadArgs headArgs(int tokens, int dim, int heads)
    {
        HeadArgs args;
        args.stride = 3 * static_cast<size_t>(dim);
        args.outStride = static_cast<size_t>(dim);
        args.tokens = tokens;
        args.width = dim / heads;
        args.scale = 1.f / std::sqrt(static_cast<float>(dim / heads));
        return args;
    }
};

}  // namespace

const Kernels& kernels()
{
    return *current().load(std::memory_order_relaxed);
}

const Backend& cpu()
{
    static const CpuBackend backend;
    return backend;
}

std::string kernelsInUse()
{
    return kernels().name;
}

void useKernels(const std::string& name)
{
    const Kernels* table = name == "auto" ? widest() : processorHas(name) ? tableNamed(name) : nullptr;
    LTRP_REQUIRE(table, Error::StsBadArg, "no kernels '" << name << "' for this processor; known: auto, avx512, avx2, baseline");
    current() = table;
}

std::string cpuLibrary()
{
    return matmulLibrary() + ", " + kernelsInUse() + " kernels";
}

}}}  // namespace
