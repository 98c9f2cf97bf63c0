// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Totals of a training step: the norm of its gradients, its loss, and whether all of them are finite.
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const size_t perPart = 1 << 14;

unsigned partsOf(size_t count) { return blocksFor(count, perPart); }

__device__ __forceinline__ bool isFinite(double x) { return fabs(x) <= DBL_MAX; }   // false for NaN

__global__ void squaresKernel(const float* x, double* partial, size_t count, bool aligned)
{
    LTRP_SHARED(double, parts, 32);
    const size_t begin = static_cast<size_t>(blockIdx.x) * perPart,
                 end = begin + perPart < count ? begin + perPart : count;
    double total = 0;
    for (size_t i = begin + threadIdx.x * 4; i < end; i += blockDim.x * 4)
    {
        const int n = end - i < 4 ? static_cast<int>(end - i) : 4;
        float v[4];
        load4(AnyInput{x, DataType::Float32}, i, aligned && n == 4, n, v);
        for (int k = 0; k < n; ++k)
            total += static_cast<double>(v[k]) * static_cast<double>(v[k]);
    }
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = total;
}

__global__ void addPartsKernel(const double* partial, unsigned count, double* sum)
{
    LTRP_SHARED(double, parts, 32);
    double total = 0;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x)
        total += partial[i];
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        *sum = total;
}

__global__ void addLossKernel(const double* loss, double share, StepState* state)
{
    const double value = *loss;
    if (!isFinite(value) && state->failed < 0)
        state->failed = state->batches;
    state->loss += value * share;
    state->batches += 1;
}

__global__ void closeStepKernel(StepState* state, StepState* report, int* skip)
{
    const StepState found = *state;
    *report = found;
    *skip = found.failed >= 0 || !isFinite(found.loss) || !isFinite(found.squares) ? 1 : 0;
    *state = StepState{0, 0, 0, -1};
}

}  // namespace

size_t sumOfSquaresScratch(size_t count) { return partsOf(count) * sizeof(double); }

void sumOfSquares(Stream stream, const float* x, double* sum, size_t count, void* scratch)
{
    double* const partial = static_cast<double*>(scratch);
    launch(stream, "sumOfSquares", squaresKernel, partsOf(count), 256, 0, x, partial, count,
           aligned4(x, DataType::Float32));
    launch(stream, "sumOfSquares", addPartsKernel, 1, 256, 0, partial, partsOf(count), sum);
}

void addLoss(Stream stream, const double* loss, double share, StepState* state)
{
    launch(stream, "addLoss", addLossKernel, 1, 1, 0, loss, share, state);
}

void closeStep(Stream stream, StepState* state, StepState* report, int* skip)
{
    launch(stream, "closeStep", closeStepKernel, 1, 1, 0, state, report, skip);
}

}}}}  // namespace
