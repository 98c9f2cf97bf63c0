// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Conversion between pixels and patch vectors; bound by memory as long as there is no 64-bit division per value.
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int perBlock = 256;

struct Extent
{
    int width, height;   ///< of an image, in pixels
};

__device__ __forceinline__ float pixelAt(const float* pixels, size_t image, int c, int y, int x, Extent extent)
{
    const size_t w = static_cast<size_t>(extent.width), plane = w * static_cast<size_t>(extent.height);
    return pixels[(image * 3 + static_cast<size_t>(c)) * plane + static_cast<size_t>(y) * w + static_cast<size_t>(x)];
}

/// Value i of the vector of a patch.
__device__ __forceinline__ float patchValue(const float* pixels, size_t image, int place, int i, bool channelLast,
                                            Extent extent, int patch)
{
    const int grid = extent.width / patch;
    const int c = channelLast ? i % 3 : i / (patch * patch), within = channelLast ? i / 3 : i % (patch * patch);
    return pixelAt(pixels, image, c, place / grid * patch + within / patch, place % grid * patch + within % patch,
                   extent);
}

/// One block per patch.
__global__ void patchifyKernel(const float* pixels, const int* ids, bool channelLast, AnyOutput out, int n, Extent extent,
                               int patch)
{
    const unsigned image = blockIdx.x / static_cast<unsigned>(n);
    const int values = 3 * patch * patch;
    const int place = ids ? ids[blockIdx.x] : static_cast<int>(blockIdx.x % static_cast<unsigned>(n));
    for (int i = static_cast<int>(threadIdx.x); i < values; i += static_cast<int>(blockDim.x))
        out.set(static_cast<size_t>(blockIdx.x) * static_cast<size_t>(values) + static_cast<size_t>(i),
                patchValue(pixels, image, place, i, channelLast, extent, patch));
}

/// One warp per patch; its values are read up to three times, all but once from the L1 cache.
__global__ void targetsKernel(const float* pixels, const int* ids, bool normalised, float* out, float* deviation,
                              size_t rows, int n, Extent extent, int patch)
{
    const size_t row = static_cast<size_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows)
        return;
    const int lane = static_cast<int>(threadIdx.x % 32), values = 3 * patch * patch;
    const size_t image = row / static_cast<size_t>(n);
    const int place = ids ? ids[row] : static_cast<int>(row % static_cast<size_t>(n));
    double total = 0, squares = 0;
    for (int i = lane; i < values; i += 32)
        total += static_cast<double>(patchValue(pixels, image, place, i, true, extent, patch));
    const double m = warpSum(total) / values;
    for (int i = lane; i < values; i += 32)
    {
        const double d = static_cast<double>(patchValue(pixels, image, place, i, true, extent, patch)) - m;
        squares += d * d;
    }
    const float centre = static_cast<float>(m),
                spread = static_cast<float>(sqrt(warpSum(squares) / (values - 1) + 1e-6));
    if (lane == 0 && deviation)
        deviation[row] = spread;
    if (!out)
        return;
    for (int i = lane; i < values; i += 32)
    {
        const float v = patchValue(pixels, image, place, i, true, extent, patch);
        out[row * static_cast<size_t>(values) + static_cast<size_t>(i)] = normalised ? (v - centre) / spread : v;
    }
}

}  // namespace

void patchify(Stream stream, const float* pixels, const int* ids, bool channelLast, Output out, int batch, int n,
              int width, int height, int patch)
{
    launch(stream, "patchify", patchifyKernel, static_cast<unsigned>(batch) * static_cast<unsigned>(n), perBlock, 0,
           pixels, ids, channelLast, any(out), n, Extent{width, height}, patch);
}

void patchTargets(Stream stream, const float* pixels, const int* ids, bool normalised, float* out, float* deviation,
                  int batch, int n, int width, int height, int patch)
{
    const size_t rows = static_cast<size_t>(batch) * static_cast<size_t>(n);
    launch(stream, "patchTargets", targetsKernel, blocksFor(rows, 4), 128, 0, pixels, ids, normalised, out, deviation,
           rows, n, Extent{width, height}, patch);
}

}}}}  // namespace
