// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// image::resizeAntialiasedCubic(), mirroring and normalisation, bit-identical to the CPU. Weights are computed in
// double precision without fused operations, which round differently.
#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int weightBits = 22;

/// Largest number of source samples per output sample for images of at most that size.
inline int mostTaps(int output, int largest)
{
    const double scale = largest > output ? static_cast<double>(largest) / output : 1.0;
    return static_cast<int>(4 * scale) + 3;
}

inline int larger(int a, int b)
{
    return a > b ? a : b;
}

/// Layout of the scratch memory: taps of [batch, 2 directions, longer side] outputs, then the rows between the two
/// passes.
struct Layout
{
    int width, height, maxTaps, maxHeight;
    int* taps;         ///< each: first sample, count, weights
    uint8_t* middle;   ///< [batch, maxHeight, width, 3]

    __device__ __forceinline__ int* tapsOf(size_t item, int direction, int output) const
    {
        const size_t outputs = static_cast<size_t>(width > height ? width : height);
        return taps + ((item * 2 + static_cast<size_t>(direction)) * outputs + static_cast<size_t>(output)) *
                          static_cast<size_t>(maxTaps + 2);
    }
    __device__ __forceinline__ uint8_t* middleOf(size_t item) const
    {
        return middle + item * static_cast<size_t>(maxHeight) * static_cast<size_t>(width) * 3;
    }
};

__device__ double cubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return __dadd_rn(__dmul_rn(__dmul_rn(__dadd_rn(__dmul_rn(1.5, x), -2.5), x), x), 1.0);
    if (x < 2)
        return __dmul_rn(__dadd_rn(__dmul_rn(__dadd_rn(__dmul_rn(__dadd_rn(x, -5.0), x), 8.0), x), -4.0), -0.5);
    return 0;
}

/// One thread per output sample of one direction.
__global__ void tapsKernel(const AugmentItem* items, Layout layout)
{
    const int o = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), direction = static_cast<int>(blockIdx.y);
    const int outputs = direction == 0 ? layout.width : layout.height;
    if (o >= outputs)
        return;
    const AugmentItem item = items[blockIdx.z];
    const int source = direction == 0 ? item.width : item.height;
    int* const taps = layout.tapsOf(blockIdx.z, direction, o);
    if (source == outputs)
    {
        taps[0] = o;
        taps[1] = 1;
        taps[2] = 1 << weightBits;
        return;
    }
    const double scale = static_cast<double>(source) / static_cast<double>(outputs);
    const double widened = scale > 1 ? scale : 1.0, support = 2 * widened, step = 1 / widened;
    const double centre = __dmul_rn(static_cast<double>(o) + 0.5, scale);
    const int low = static_cast<int>(__dadd_rn(__dadd_rn(centre, -support), 0.5));
    const int high = static_cast<int>(__dadd_rn(__dadd_rn(centre, support), 0.5));
    const int first = low > 0 ? low : 0, last = high < source ? high : source;
    double sum = 0;
    for (int i = first; i < last; ++i)
        sum = __dadd_rn(sum, cubic(__dmul_rn(__dadd_rn(__dadd_rn(static_cast<double>(i), -centre), 0.5), step)));
    taps[0] = first;
    taps[1] = last - first;
    for (int i = first; i < last; ++i)
    {
        double w = cubic(__dmul_rn(__dadd_rn(__dadd_rn(static_cast<double>(i), -centre), 0.5), step));
        w = __dmul_rn(sum != 0 ? w / sum : w, static_cast<double>(1 << weightBits));
        taps[2 + i - first] = static_cast<int>(w < 0 ? __dadd_rn(w, -0.5) : __dadd_rn(w, 0.5));
    }
}

__device__ __forceinline__ int toByte(int sum)
{
    const int value = sum >> weightBits;
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/// Horizontal pass: the block's rows of the image, 64 outputs of each at a time.
__global__ void acrossKernel(const AugmentItem* items, Layout layout)
{
    const AugmentItem item = items[blockIdx.y];
    const int y = static_cast<int>(blockIdx.x) * 4 + static_cast<int>(threadIdx.x / 64);
    if (y >= item.height)
        return;
    const uint8_t* row = item.data + static_cast<size_t>(y) * item.step;
    uint8_t* to = layout.middleOf(blockIdx.y) + static_cast<size_t>(y) * static_cast<size_t>(layout.width) * 3;
    for (int o = static_cast<int>(threadIdx.x % 64); o < layout.width; o += 64)
    {
        const int* taps = layout.tapsOf(blockIdx.y, 0, o);
        const uint8_t* from = row + static_cast<size_t>(taps[0]) * 3;
        const int count = taps[1];
        int sums[3] = {1 << (weightBits - 1), 1 << (weightBits - 1), 1 << (weightBits - 1)};
        for (int i = 0; i < count; ++i)
        {
            const int w = taps[2 + i];
            for (int c = 0; c < 3; ++c)
                sums[c] += from[3 * i + c] * w;
        }
        for (int c = 0; c < 3; ++c)
            to[3 * o + c] = static_cast<uint8_t>(toByte(sums[c]));
    }
}

struct Normalisation
{
    float mean[3], deviation[3];
};

/// Vertical pass, then mirrored and normalised.
__global__ void downKernel(const AugmentItem* items, Layout layout, Normalisation normal, float* out)
{
    const size_t width = static_cast<size_t>(layout.width), plane = width * static_cast<size_t>(layout.height);
    const size_t at = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= plane)
        return;
    const size_t y = at / width, x = at % width;
    const int* taps = layout.tapsOf(blockIdx.y, 1, static_cast<int>(y));
    const uint8_t* from = layout.middleOf(blockIdx.y)
                        + (static_cast<size_t>(taps[0]) * width + (items[blockIdx.y].mirrored ? width - 1 - x : x)) * 3;
    const int count = taps[1];
    int sums[3] = {1 << (weightBits - 1), 1 << (weightBits - 1), 1 << (weightBits - 1)};
    for (int i = 0; i < count; ++i)
    {
        const int w = taps[2 + i];
        for (int c = 0; c < 3; ++c)
            sums[c] += from[static_cast<size_t>(i) * width * 3 + static_cast<size_t>(c)] * w;
    }
    for (int c = 0; c < 3; ++c)
    {
        const float unit = __fdiv_rn(static_cast<float>(toByte(sums[c])), 255.f);
        out[(blockIdx.y * 3 + static_cast<size_t>(c)) * plane + at] = __fdiv_rn(__fsub_rn(unit, normal.mean[c]),
                                                                                normal.deviation[c]);
    }
}

int mostTaps(int width, int height, int maxWidth, int maxHeight)
{
    return larger(mostTaps(width, maxWidth), mostTaps(height, maxHeight));
}

size_t tapsBytes(int batch, int width, int height, int maxWidth, int maxHeight)
{
    const int taps = mostTaps(width, height, maxWidth, maxHeight);
    return static_cast<size_t>(batch) * 2 * static_cast<size_t>(larger(width, height)) * static_cast<size_t>(taps + 2)
         * sizeof(int);
}

}  // namespace

size_t augmentScratch(int batch, int width, int height, int maxWidth, int maxHeight)
{
    return tapsBytes(batch, width, height, maxWidth, maxHeight)
         + static_cast<size_t>(batch) * static_cast<size_t>(maxHeight) * static_cast<size_t>(width) * 3;
}

void augment(Stream stream, const AugmentItem* items, float* out, int batch, int width, int height, int maxWidth,
             int maxHeight, const float mean[3], const float deviation[3], void* scratch)
{
    const Layout layout{width, height, mostTaps(width, height, maxWidth, maxHeight), maxHeight,
                        static_cast<int*>(scratch),
                        static_cast<uint8_t*>(scratch) + tapsBytes(batch, width, height, maxWidth, maxHeight)};
    const Normalisation normal{{mean[0], mean[1], mean[2]}, {deviation[0], deviation[1], deviation[2]}};
    const unsigned images = static_cast<unsigned>(batch);
    launch(stream, "augment", tapsKernel, dim3(blocksFor(static_cast<size_t>(larger(width, height)), 64), 2, images), 64, 0, items,
           layout);
    launch(stream, "augment", acrossKernel, dim3(blocksFor(static_cast<size_t>(maxHeight), 4), images), 256, 0, items,
           layout);
    launch(stream, "augment", downKernel,
           dim3(blocksFor(static_cast<size_t>(width) * static_cast<size_t>(height), 256), images), 256, 0, items, layout,
           normal, out);
}

}}}}  // namespace
