// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Element-wise operations: casts, activation, biases, copies. All are bound by memory.
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int perBlock = 256;

/// This thread's run of four values: its begin, its length, and whether it can be loaded as one vector.
struct Run
{
    size_t begin;
    int n;
    bool whole;
};

__device__ __forceinline__ Run ownRun(size_t count, bool aligned)
{
    Run run;
    run.begin = (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
    run.n = run.begin >= count ? 0 : count - run.begin < 4 ? static_cast<int>(count - run.begin) : 4;
    run.whole = aligned && run.n == 4;
    return run;
}

__global__ void castKernel(AnyInput x, AnyOutput y, size_t count, bool aligned)
{
    const Run run = ownRun(count, aligned);
    float v[4];
    load4(x, run.begin, run.whole, run.n, v);
    store4(y, run.begin, run.whole, run.n, v);
}

/// Adds the bias to n values, the first of which is in column `column`; the columns wrap around.
__device__ __forceinline__ void addBias4(float v[4], const float* bias, int columns, int column, int n)
{
    for (int k = 0; k < 4; ++k)
    {
        v[k] += k < n ? bias[column] : 0.f;
        column = column + 1 == columns ? 0 : column + 1;
    }
}

__global__ void geluKernel(AnyInput x, const float* bias, AnyOutput before, AnyOutput y, size_t count, int columns,
                           bool aligned)
{
    const Run run = ownRun(count, aligned);
    if (run.n == 0)
        return;
    float v[4];
    load4(x, run.begin, run.whole, run.n, v);
    if (bias)
        addBias4(v, bias, columns, static_cast<int>(run.begin % static_cast<size_t>(columns)), run.n);
    if (before.data)
        store4(before, run.begin, run.whole, run.n, v);
    if (y.element == DataType::Float32)
        for (int k = 0; k < 4; ++k)
            v[k] *= normalCdf(v[k]);
    else
        for (int k = 0; k < 4; ++k)
            v[k] = roundedGelu(v[k]);
    store4(y, run.begin, run.whole, run.n, v);
}

__global__ void geluBackwardKernel(AnyInput before, AnyInput dy, AnyOutput dx, size_t count, bool aligned)
{
    const Run run = ownRun(count, aligned);
    float x[4], d[4];
    load4(before, run.begin, run.whole, run.n, x);
    load4(dy, run.begin, run.whole, run.n, d);
    for (int k = 0; k < 4; ++k)
        d[k] *= normalCdf(x[k]) + x[k] * expf(x[k] * x[k] * -0.5f) * 0.39894228f;   // 1 / sqrt(2 pi)
    store4(dx, run.begin, run.whole, run.n, d);
}

/// One block column per item's run of values; each value is read once and written `times` times.
__global__ void repeatKernel(const float* x, float* y, size_t times, size_t count, size_t blocksPerItem, bool aligned)
{
    const size_t item = blockIdx.x / blocksPerItem, i = (blockIdx.x % blocksPerItem * blockDim.x + threadIdx.x) * 4;
    if (i >= count)
        return;
    const int n = count - i < 4 ? static_cast<int>(count - i) : 4;
    const bool whole = aligned && n == 4;
    float v[4];
    load4(AnyInput{x + item * count, DataType::Float32}, i, whole, n, v);
    for (size_t k = 0; k < times; ++k)
        store4(AnyOutput{y + (item * times + k) * count, DataType::Float32}, i, whole, n, v);
}

unsigned blocksOf(size_t count) { return blocksFor(count, 4 * perBlock); }

}  // namespace

void cast(Stream stream, Input x, Output y, size_t count)
{
    if (count)
        launch(stream, "cast", castKernel, blocksOf(count), perBlock, 0, any(x), any(y), count,
               aligned4(x.data, x.element) && aligned4(y.data, y.element));
}

void gelu(Stream stream, Input x, const float* bias, Output before, Output y, size_t rows, int columns)
{
    const size_t count = rows * static_cast<size_t>(columns);
    launch(stream, "gelu", geluKernel, blocksOf(count), perBlock, 0, any(x), bias, any(before), any(y), count, columns,
           aligned4(x.data, x.element) && aligned4(y.data, y.element) && aligned4(before.data, before.element));
}

void geluBackward(Stream stream, Input before, Input dy, Output dx, size_t count)
{
    launch(stream, "geluBackward", geluBackwardKernel, blocksOf(count), perBlock, 0, any(before), any(dy), any(dx),
           count,
           aligned4(before.data, before.element) && aligned4(dy.data, dy.element) && aligned4(dx.data, dx.element));
}

void repeatItems(Stream stream, const float* x, float* y, size_t items, size_t times, size_t count)
{
    const size_t each = blocksFor(count, 4 * perBlock);
    launch(stream, "repeatItems", repeatKernel, static_cast<unsigned>(items * each), perBlock, 0, x, y, times, count,
           each, aligned4(x, DataType::Float32) && aligned4(y, DataType::Float32) && count % 4 == 0);
}

}}}}  // namespace
