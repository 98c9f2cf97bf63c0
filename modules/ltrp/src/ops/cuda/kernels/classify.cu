// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Head of a classifier: mean of tokens and its gradient, cross entropy. Sums are in a fixed order.
#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int perBlock = 128;

/// One thread per column of an item.
__global__ void meanRowsKernel(const float* x, size_t itemStride, float* mean, int n, int dim, size_t count)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x, d = static_cast<size_t>(dim);
    if (i >= count)
        return;
    const float* row = x + i / d * itemStride + i % d;
    float sum = 0;
    for (int j = 0; j < n; ++j)
        sum += row[static_cast<size_t>(j) * d];
    mean[i] = sum / static_cast<float>(n);
}

__global__ void meanRowsBackwardKernel(const float* dMean, float* dx, size_t itemStride, int n, int dim, size_t count)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x, d = static_cast<size_t>(dim);
    if (i >= count)
        return;
    const size_t item = i / (static_cast<size_t>(n) * d), rest = i % (static_cast<size_t>(n) * d);
    dx[item * itemStride + rest] = dMean[item * d + rest % d] / static_cast<float>(n);
}

/// One block per image.
__global__ void crossEntropyKernel(CrossEntropy a, double* losses)
{
    LTRP_SHARED(double, parts, 32);
    LTRP_SHARED(float, maxima, 32);
    const size_t classes = static_cast<size_t>(a.classes), first = blockIdx.x * classes;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float largest = -INFINITY;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
        largest = fmaxf(largest, a.logits[first + c]);
    largest = warpMaximum(largest);
    if (lane == 0)
        maxima[warp] = largest;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; ++w)
        largest = fmaxf(largest, maxima[w]);
    double exponentials = 0, sum = 0;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
    {
        const float less = a.logits[first + c] - largest;
        exponentials += static_cast<double>(expf(less));
        sum += static_cast<double>(less);
    }
    exponentials = blockSum(exponentials, parts);
    sum = blockSum(sum, parts);
    const double logSum = log(exponentials), share = static_cast<double>(a.smoothing) / a.classes;
    const size_t label = static_cast<size_t>(a.labels[blockIdx.x]);
    if (threadIdx.x == 0)
        losses[blockIdx.x] = (1 - static_cast<double>(a.smoothing)) * (logSum - static_cast<double>(a.logits[first + label] - largest)) +
                             share * (a.classes * logSum - sum);
    __syncthreads();   // the gradient may overwrite the logits
    const float factor = a.gradientScale / static_cast<float>(a.batch);
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
    {
        const float target = static_cast<float>(share) + (c == label ? 1 - a.smoothing : 0.f);
        a.dLogits[first + c] = factor * (expf(a.logits[first + c] - largest - static_cast<float>(logSum)) - target);
    }
}

__global__ void meanLossKernel(const double* losses, int batch, double* loss)
{
    LTRP_SHARED(double, parts, 32);
    double total = 0;
    for (int i = static_cast<int>(threadIdx.x); i < batch; i += static_cast<int>(blockDim.x))
        total += losses[i];
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        *loss = total / batch;
}

}  // namespace

void meanRows(Stream stream, const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim)
{
    const size_t count = size_t(items) * size_t(dim);
    if (count)
        launch(stream, "meanRows", meanRowsKernel, blocksFor(count, perBlock), perBlock, 0, x + size_t(base) * size_t(dim), itemStride,
               mean, n, dim, count);
}

void meanRowsBackward(Stream stream, const float* dMean, float* dx, size_t itemStride, int base, int items, int n, int dim)
{
    const size_t count = size_t(items) * size_t(n) * size_t(dim);
    if (count)
        launch(stream, "meanRowsBackward", meanRowsBackwardKernel, blocksFor(count, perBlock), perBlock, 0, dMean,
               dx + size_t(base) * size_t(dim), itemStride, n, dim, count);
}

size_t crossEntropyScratch(int batch) { return static_cast<size_t>(batch) * sizeof(double); }

void crossEntropy(Stream stream, const CrossEntropy& args, void* scratch)
{
    double* const losses = static_cast<double*>(scratch);
    launch(stream, "crossEntropy", crossEntropyKernel, static_cast<unsigned>(args.batch), perBlock, 0, args, losses);
    launch(stream, "crossEntropy", meanLossKernel, 1, perBlock, 0, static_cast<const double*>(losses), args.batch, args.loss);
}

}}}}  // namespace
