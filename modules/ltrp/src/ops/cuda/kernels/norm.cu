// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Layer norm and differences of norms. A warp keeps a row in registers, so that it is read once; rows of more than 1024
// values use a block and are read again.
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int warpsPerBlock = 4;

/// layerNorm() and normDifference() in one; only the latter has a reference.
struct NormArgs
{
    const float* x;
    size_t itemStride;
    const float *weight, *bias;
    float eps;
    AnyOutput y;
    float *mean, *rstd;
    const float* reference;
    size_t perReference, items, rows;
    int dim;
    bool aligned;
};

/// Offsets of one row in all arrays.
struct Place
{
    const float* x;
    size_t dense, reference;

    __device__ __forceinline__ Place(const NormArgs& a, size_t row)
    {
        const size_t item = row / a.rows, r = row % a.rows, dim = static_cast<size_t>(a.dim);
        x = a.x + item * a.itemStride + r * dim;
        dense = row * dim;
        reference = (item / a.perReference * a.rows + r) * dim;
    }
};

/// Four values of a row.
__device__ __forceinline__ void loadRow(const NormArgs& a, const Place& place, int column, int n, float v[4])
{
    load4(AnyInput{place.x, DataType::Float32}, static_cast<size_t>(column), a.aligned && n == 4, n, v);
}

__device__ __forceinline__ void storeNormed(const NormArgs& a, const Place& place, int column, int n, float mean,
                                            float rstd, float v[4])
{
    if (n == 0)
        return;
    const bool whole = a.aligned && n == 4;
    const size_t c = static_cast<size_t>(column);
    float w[4], b[4];
    load4(AnyInput{a.weight, DataType::Float32}, c, whole, n, w);
    load4(AnyInput{a.bias, DataType::Float32}, c, whole, n, b);
    for (int k = 0; k < 4; ++k)
        v[k] = (v[k] - mean) * rstd * w[k] + b[k];
    if (a.reference)
    {
        float r[4];
        load4(AnyInput{a.reference, DataType::Float32}, place.reference + c, whole, n, r);
        for (int k = 0; k < 4; ++k)
            v[k] -= r[k];
    }
    store4(a.y, place.dense + c, whole, n, v);
}

/// V runs of four values per lane: rows of up to 128 V values.
template <int V>
__global__ void __launch_bounds__(warpsPerBlock * 32) normKernel(NormArgs a)
{
    const size_t row = static_cast<size_t>(blockIdx.x) * warpsPerBlock + threadIdx.x / 32;
    if (row >= a.items * a.rows)
        return;   // the whole warp
    const int lane = static_cast<int>(threadIdx.x % 32);
    const Place place(a, row);
    float v[V][4], sum = 0;
#pragma unroll
    for (int i = 0; i < V; ++i)
    {
        const int column = (i * 32 + lane) * 4;
        loadRow(a, place, column, valuesHere(a.dim, column), v[i]);
    }
    // A separate loop: all loads are issued before the first is waited for.
#pragma unroll
    for (int i = 0; i < V; ++i)
        for (int k = 0; k < 4; ++k)
            sum += (i * 32 + lane) * 4 + k < a.dim ? v[i][k] : 0.f;
    const float mean = warpSum(sum) / static_cast<float>(a.dim);
    float squares = 0;
#pragma unroll
    for (int i = 0; i < V; ++i)
        for (int k = 0; k < 4; ++k)
        {
            const float d = (i * 32 + lane) * 4 + k < a.dim ? v[i][k] - mean : 0.f;
            squares += d * d;
        }
    const float rstd = 1.f / sqrtf(warpSum(squares) / static_cast<float>(a.dim) + a.eps);
#pragma unroll
    for (int i = 0; i < V; ++i)
    {
        const int column = (i * 32 + lane) * 4;
        storeNormed(a, place, column, valuesHere(a.dim, column), mean, rstd, v[i]);
    }
    if (lane == 0 && a.mean)
        a.mean[row] = mean;
    if (lane == 0 && a.rstd)
        a.rstd[row] = rstd;
}

/// Rows of any length, one per block.
__global__ void longNormKernel(NormArgs a)
{
    LTRP_SHARED(float, parts, 32);
    const size_t row = blockIdx.x;
    const Place place(a, row);
    const int step = static_cast<int>(blockDim.x) * 4, first = static_cast<int>(threadIdx.x) * 4;
    float sum = 0, squares = 0;
    for (int column = first; column < a.dim; column += step)
    {
        float v[4];
        const int n = valuesHere(a.dim, column);
        loadRow(a, place, column, n, v);
        for (int k = 0; k < n; ++k)
            sum += v[k];
    }
    const float mean = blockSum(sum, parts) / static_cast<float>(a.dim);
    for (int column = first; column < a.dim; column += step)
    {
        float v[4];
        const int n = valuesHere(a.dim, column);
        loadRow(a, place, column, n, v);
        for (int k = 0; k < n; ++k)
            squares += (v[k] - mean) * (v[k] - mean);
    }
    const float rstd = 1.f / sqrtf(blockSum(squares, parts) / static_cast<float>(a.dim) + a.eps);
    for (int column = first; column < a.dim; column += step)
    {
        float v[4];
        const int n = valuesHere(a.dim, column);
        loadRow(a, place, column, n, v);
        storeNormed(a, place, column, n, mean, rstd, v);
    }
    if (threadIdx.x == 0 && a.mean)
        a.mean[row] = mean;
    if (threadIdx.x == 0 && a.rstd)
        a.rstd[row] = rstd;
}

void launchNorm(Stream stream, const char* name, NormArgs a)
{
    const DataType f32 = DataType::Float32;
    a.aligned = a.dim % 4 == 0 && a.itemStride % 4 == 0 && aligned4(a.x, f32) &&
                aligned4(a.weight, f32) && aligned4(a.bias, f32) &&
                aligned4(a.y.data, a.y.element) && aligned4(a.reference, f32);
    const size_t rows = a.items * a.rows;
    const unsigned blocks = blocksFor(rows, warpsPerBlock);
    if (a.dim <= 128)
        launch(stream, name, normKernel<1>, blocks, warpsPerBlock * 32, 0, a);
    else if (a.dim <= 256)
        launch(stream, name, normKernel<2>, blocks, warpsPerBlock * 32, 0, a);
    else if (a.dim <= 384)
        launch(stream, name, normKernel<3>, blocks, warpsPerBlock * 32, 0, a);
    else if (a.dim <= 512)
        launch(stream, name, normKernel<4>, blocks, warpsPerBlock * 32, 0, a);
    else if (a.dim <= 768)
        launch(stream, name, normKernel<6>, blocks, warpsPerBlock * 32, 0, a);
    else if (a.dim <= 1024)
        launch(stream, name, normKernel<8>, blocks, warpsPerBlock * 32, 0, a);
    else
        launch(stream, name, longNormKernel, static_cast<unsigned>(rows), 256, 0, a);
}

}  // namespace

void layerNorm(Stream stream, const LayerNormArgs& args)
{
    launchNorm(stream, "layerNorm",
               NormArgs{args.x, args.itemStride, args.weight, args.bias, args.eps, any(args.y), args.mean,
                        args.rstd, nullptr, 1, args.items, args.rows, args.dim, false});
}

void normDifference(Stream stream, const NormDifferenceArgs& args)
{
    launchNorm(stream, "normDifference",
               NormArgs{args.x, args.itemStride, args.weight, args.bias, args.eps, any(args.y), nullptr, nullptr,
                        args.reference, args.perReference, args.items, args.rows, args.dim, false});
}

}}}}  // namespace
