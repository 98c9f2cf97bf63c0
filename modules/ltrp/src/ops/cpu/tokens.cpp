// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Memory of the CPU backend, and operations that move patches and tokens.
#include "backend.hpp"
#include "../../core/parallel.hpp"

#include <cmath>
#include <cstring>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// Mean and sqrt(var + 1e-6) of a patch vector.
void statistics(const float* patch, size_t values, float& mean, float& deviation)
{
    double total = 0;
    for (size_t i = 0; i < values; ++i)
        total += patch[i];
    const double m = total / static_cast<double>(values);
    double squares = 0;
    for (size_t i = 0; i < values; ++i)
        squares += (patch[i] - m) * (patch[i] - m);
    mean = static_cast<float>(m);
    deviation = static_cast<float>(std::sqrt(squares / static_cast<double>(values - 1) + 1e-6));
}

/// sum = a + b.
void add(const float* a, const float* b, float* sum, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        sum[i] = a[i] + b[i];
}

}  // namespace

void* CpuBackend::allocate(size_t bytes) const { return fastMalloc(bytes); }
void CpuBackend::release(void* memory) const { fastFree(memory); }
// memcpy() must not be called with a null pointer, for example for an empty list.
void CpuBackend::copy(const void* from, void* to, size_t bytes) const
{
    if (bytes)
        std::memcpy(to, from, bytes);
}
void CpuBackend::zero(void* to, size_t bytes) const
{
    if (bytes)
        std::memset(to, 0, bytes);
}
void CpuBackend::upload(const void* host, void* to, size_t bytes) const { copy(host, to, bytes); }
void CpuBackend::download(const void* from, void* host, size_t bytes) const { copy(from, host, bytes); }

/// Enough rows for the full rate of the matrix products, few enough to stay in the cache.
int CpuBackend::rowsAtOnce() const { return 4096; }

void CpuBackend::patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, PatchOrder order,
                          float* out) const
{
    const size_t width = z(grid.width), patch = z(grid.patch), columns = z(grid.columns()), plane = width * z(grid.height);
    const size_t values = z(grid.values());
    parallelRanges(z(batch) * z(n), 64, [&](size_t begin, size_t end) {
        for (size_t item = begin; item < end; ++item)
        {
            const size_t image = item / z(n), patchIndex = ids ? z(ids[item]) : item % z(n);
            const float* from = pixels + image * 3 * plane + patchIndex / columns * patch * width + patchIndex % columns * patch;
            float* to = out + item * values;
            for (size_t c = 0; c < 3; ++c)
                for (size_t y = 0; y < patch; ++y)
                {
                    const float* row = from + c * plane + y * width;
                    if (order == PatchOrder::ChannelFirst)
                        std::memcpy(to + (c * patch + y) * patch, row, patch * sizeof(float));
                    else
                        for (size_t x = 0; x < patch; ++x)
                            to[(y * patch + x) * 3 + c] = row[x];
                }
        }
    });
}

void CpuBackend::patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, bool normalised,
                              float* out, float* deviation) const
{
    const size_t rows = z(batch) * z(n), values = z(grid.values());
    std::vector<float> own(out ? 0 : rows * values);
    float* const patches = out ? out : own.data();
    patchify(grid, pixels, batch, ids, n, PatchOrder::ChannelLast, patches);
    if (!normalised && !deviation)
        return;
    parallelRanges(rows, 64, [&](size_t begin, size_t end) {
        for (size_t r = begin; r < end; ++r)
        {
            float mean, spread;
            float* p = patches + r * values;
            statistics(p, values, mean, spread);
            if (deviation)
                deviation[r] = spread;
            for (size_t i = 0; normalised && i < values; ++i)
                p[i] = (p[i] - mean) / spread;
        }
    });
}

void CpuBackend::embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids, float* x,
                             int batch, int n, int dim) const
{
    const size_t d = z(dim);
    for (size_t b = 0; b < z(batch); ++b)
    {
        float* to = x + b * z(n + 1) * d;
        add(classToken, positions, to, d);
        for (size_t t = 0; t < z(n); ++t)
        {
            const size_t item = b * z(n) + t;
            add(tokens + item * d, positions + (1 + (ids ? z(ids[item]) : t)) * d, to + (1 + t) * d, d);
        }
    }
}

void CpuBackend::embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n, int dim) const
{
    const size_t d = z(dim), count = z(n);
    for (size_t b = 0; b < z(batch); ++b)
    {
        const float* from = dx + b * (count + 1) * d;
        add(dClass, from, dClass, d);
        std::memcpy(dTokens + b * count * d, from + d, count * d * sizeof(float));
    }
}

void CpuBackend::complement(const int* keep, int* masked, int batch, int visible, int patches) const
{
    for (int b = 0; b < batch; ++b, keep += visible)
    {
        int next = 0;
        for (int i = 0; i < patches; ++i)
            if (next < visible && keep[next] == i)
                ++next;
            else
                *masked++ = i;
    }
}

void CpuBackend::decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                              const int* masked, TokenOrder order, float* x, int batch, int visible, int patches,
                              int dim) const
{
    const size_t d = z(dim), v = z(visible), h = z(patches - visible);
    const bool first = order == TokenOrder::MaskedFirst;
    for (size_t b = 0; b < z(batch); ++b)
    {
        const float* from = embedded + b * (v + 1) * d;
        float* to = x + b * z(patches + 1) * d;
        add(from, positions, to + (first ? h : 0) * d, d);
        for (size_t i = 0; i < v; ++i)
        {
            const size_t token = 1 + z(keep[b * v + i]);
            add(from + (1 + i) * d, positions + token * d, to + (first ? h + 1 + i : token) * d, d);
        }
        for (size_t i = 0; i < h; ++i)
        {
            const size_t token = 1 + z(masked[b * h + i]);
            add(maskToken, positions + token * d, to + (first ? i : token) * d, d);
        }
    }
}

void CpuBackend::decoderInputBackward(const float* dx, const int* keep, const int* masked, float* dEmbedded, float* dMask,
                                      int batch, int visible, int patches, int dim) const
{
    const size_t d = z(dim), v = z(visible), h = z(patches - visible);
    for (size_t b = 0; b < z(batch); ++b)
    {
        const float* from = dx + b * z(patches + 1) * d;
        float* to = dEmbedded + b * (v + 1) * d;
        std::memcpy(to, from, d * sizeof(float));
        for (size_t i = 0; i < v; ++i)
            std::memcpy(to + (1 + i) * d, from + (1 + z(keep[b * v + i])) * d, d * sizeof(float));
        for (size_t i = 0; i < h; ++i)
            add(dMask, from + (1 + z(masked[b * h + i])) * d, dMask, d);
    }
}

void CpuBackend::gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                            int dim) const
{
    const size_t d = z(dim);
    for (size_t i = 0; i < z(items); ++i)
        for (int j = 0; j < n; ++j, y += d)
        {
            const int row = base + (ids ? ids[i * z(n) + z(j)] : j);
            if (row < 0)
                std::memset(y, 0, d * sizeof(float));
            else
                std::memcpy(y, x + i * itemStride + z(row) * d, d * sizeof(float));
        }
}

void CpuBackend::scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                             int dim) const
{
    const size_t d = z(dim);
    for (size_t i = 0; i < z(items); ++i)
        for (int j = 0; j < n; ++j, x += d)
            std::memcpy(y + i * itemStride + z(base + (ids ? ids[i * z(n) + z(j)] : j)) * d, x, d * sizeof(float));
}

void CpuBackend::repeatItems(const void* x, void* y, size_t items, size_t times, size_t bytes) const
{
    const uchar* from = static_cast<const uchar*>(x);
    uchar* to = static_cast<uchar*>(y);
    for (size_t i = 0; i < items; ++i, from += bytes)
        for (size_t t = 0; t < times; ++t, to += bytes)
            std::memcpy(to, from, bytes);
}

void CpuBackend::squaredLoss(const float* prediction, const float* target, size_t count, float* gradient, double* loss,
                             float gradientScale) const
{
    *loss = kernels().sumDifference(prediction, target, count, 1.f, true) / static_cast<double>(count);
    const float factor = static_cast<float>(2.0 / static_cast<double>(count)) * gradientScale;
    for (size_t i = 0; i < count; ++i)
        gradient[i] = (prediction[i] - target[i]) * factor;
}

}}}  // namespace
