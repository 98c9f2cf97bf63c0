// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Metric of leave-one-out: a matrix product of which only the sums of |y| or y^2 are kept. A tile of the product is
// summed along its rows in registers; then the rows of an item are added in fp64, in order.
#include "mma.cuh"
#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

struct ProductArgs
{
    AnyInput x, weight;
    const float* scale;
    bool squared;
    float* partial;   ///< [items * rows, tiles of outputs]
    size_t total, perScale, rows;   ///< total: items * rows
    int in, out;
    unsigned tiles;   ///< of outputs; they are the fastest block index, so that rows are read from memory once
};

__device__ __forceinline__ float scaleOf(const ProductArgs& a, size_t row)
{
    return a.scale ? a.scale[row / a.rows / a.perScale * a.rows + row % a.rows] : 1.f;
}

__device__ __forceinline__ float measure(float y, float scale, bool squared)
{
    y *= scale;
    return squared ? y * y : fabsf(y);
}

const int side = 128, depth = 32, tileStride = depth + 8;   // of a block's tile; row stride in shared memory

/// One thread's share of a [128, 32] tile of factors: two runs of eight values, advanced along k.
template <class T>
struct Share
{
    const T* from[2];   ///< null for rows that do not exist
    uint4 values[2];

    __device__ __forceinline__ Share(const T* factors, size_t first, size_t rows, int in)
    {
#pragma unroll
        for (int i = 0; i < 2; ++i)
        {
            const size_t row = first + threadIdx.x / 4 + static_cast<size_t>(64 * i);
            from[i] = row < rows ? factors + row * static_cast<size_t>(in) + threadIdx.x % 4 * 8 : nullptr;
        }
    }
    /// Columns k .. k + 31; zeros beyond the row.
    __device__ __forceinline__ void fetch(int k, int in)
    {
#pragma unroll
        for (int i = 0; i < 2; ++i)
        {
            values[i] = uint4{0, 0, 0, 0};
            if (from[i] && k + static_cast<int>(threadIdx.x % 4) * 8 < in)
                values[i] = loadAs<uint4>(from[i] + k);
        }
    }
    __device__ __forceinline__ void put(T* tile) const
    {
#pragma unroll
        for (int i = 0; i < 2; ++i)
            storeAs(tile + (static_cast<int>(threadIdx.x / 4) + 64 * i) * tileStride +
                        static_cast<int>(threadIdx.x % 4) * 8,
                    values[i]);
    }
};

/// Tiles of 128 rows and 128 outputs; 8 warps, each 32 x 64 of it. The next tile of factors is loaded meanwhile.
template <class T>
__global__ void __launch_bounds__(256, 2) tensorProductKernel(ProductArgs a)
{
    LTRP_SHARED(T, tiles, 4 * side * tileStride);
    LTRP_SHARED(float, rowSums, 2 * side);
    const unsigned lane = threadIdx.x % 32;
    const int warp = static_cast<int>(threadIdx.x / 32), warpRow = warp / 2 * 32, warpColumn = warp % 2 * 64;
    const T *x = static_cast<const T*>(a.x.data), *w = static_cast<const T*>(a.weight.data);
    const size_t firstRow = static_cast<size_t>(blockIdx.x / a.tiles) * side,
                 firstOut = static_cast<size_t>(blockIdx.x % a.tiles) * side;
    FragmentC c[2][8];
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j)
            for (int v = 0; v < 4; ++v)
                c[i][j].v[v] = 0;
    Share<T> nextX(x, firstRow, a.total, a.in), nextW(w, firstOut, static_cast<size_t>(a.out), a.in);
    nextX.fetch(0, a.in);
    nextW.fetch(0, a.in);
    for (int k = 0, stage = 0; k < a.in; k += depth, stage = 1 - stage)
    {
        T* const tileX = tiles + stage * 2 * side * tileStride;
        T* const tileW = tileX + side * tileStride;
        nextX.put(tileX);
        nextW.put(tileW);
        __syncthreads();   // and the readers of this stage two steps ago have passed the previous barrier
        if (k + depth < a.in)
        {
            nextX.fetch(k + depth, a.in);
            nextW.fetch(k + depth, a.in);
        }
#pragma unroll
        for (int step = 0; step < depth; step += 16)
        {
            FragmentA left[2];
            for (int i = 0; i < 2; ++i)
                loadA(left[i], tileX + (warpRow + 16 * i) * tileStride + step, tileStride, lane);
#pragma unroll
            for (int j = 0; j < 4; ++j)
            {
                FragmentB low, high;
                loadB(low, high, tileW + (warpColumn + 16 * j) * tileStride + step, tileStride, lane);
#pragma unroll
                for (int i = 0; i < 2; ++i)
                {
                    multiplyAdd<T>(c[i][2 * j], left[i], low);
                    multiplyAdd<T>(c[i][2 * j + 1], left[i], high);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const int row = warpRow + 16 * i + static_cast<int>(lane / 4) + 8 * half;
            const size_t global = firstRow + static_cast<size_t>(row);
            const float scale = global < a.total ? scaleOf(a, global) : 0.f;
            float sum = 0;
#pragma unroll
            for (int j = 0; j < 8; ++j)
                sum += measure(c[i][j].v[2 * half], scale, a.squared) +
                       measure(c[i][j].v[2 * half + 1], scale, a.squared);
            sum += __shfl_xor_sync(allLanes, sum, 1);
            sum += __shfl_xor_sync(allLanes, sum, 2);
            if (lane % 4 == 0)
                rowSums[warp % 2 * side + row] = sum;
        }
    __syncthreads();
    const size_t own = firstRow + threadIdx.x;
    if (threadIdx.x < side && own < a.total)
        a.partial[own * a.tiles + blockIdx.x % a.tiles] = rowSums[threadIdx.x] + rowSums[side + threadIdx.x];
}

const int plainSide = 64, plainDepth = 16, plainStride = plainSide + 4;

/// The same in fp32: tiles of 64 x 64, each thread 4 x 4 of it.
__global__ void __launch_bounds__(256) plainProductKernel(ProductArgs a)
{
    LTRP_SHARED(float, tileX, plainDepth * plainStride);   // turned
    LTRP_SHARED(float, tileW, plainDepth * plainStride);
    const int column = static_cast<int>(threadIdx.x % 16) * 4, row = static_cast<int>(threadIdx.x / 16) * 4;
    const size_t firstRow = static_cast<size_t>(blockIdx.x / a.tiles) * plainSide,
                 firstOut = static_cast<size_t>(blockIdx.x % a.tiles) * plainSide;
    const size_t in = static_cast<size_t>(a.in);
    float c[4][4] = {};
    for (int k = 0; k < a.in; k += plainDepth)
    {
        __syncthreads();
        for (int i = static_cast<int>(threadIdx.x); i < plainSide * plainDepth; i += 256)
        {
            const int depthAt = i % plainDepth, at = i / plainDepth;
            const size_t r = firstRow + static_cast<size_t>(at), o = firstOut + static_cast<size_t>(at);
            const size_t d = static_cast<size_t>(k + depthAt);
            tileX[depthAt * plainStride + at] = r < a.total && d < in ? a.x[r * in + d] : 0.f;
            tileW[depthAt * plainStride + at] = o < static_cast<size_t>(a.out) && d < in ? a.weight[o * in + d] : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < plainDepth; ++d)
        {
            float x[4], w[4];
            for (int i = 0; i < 4; ++i)
            {
                x[i] = tileX[d * plainStride + row + i];
                w[i] = tileW[d * plainStride + column + i];
            }
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    c[i][j] += x[i] * w[j];
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
    {
        const size_t own = firstRow + static_cast<size_t>(row + i);
        const float scale = own < a.total ? scaleOf(a, own) : 0.f;
        float sum = 0;
        for (int j = 0; j < 4; ++j)
            sum += measure(c[i][j], scale, a.squared);
        for (int bits = 8; bits > 0; bits /= 2)   // the 16 threads of these rows
            sum += __shfl_xor_sync(allLanes, sum, bits);
        if (threadIdx.x % 16 == 0 && own < a.total)
            a.partial[own * a.tiles + blockIdx.x % a.tiles] = sum;
    }
}

/// One block per item.
__global__ void meanOfRowsKernel(const float* partial, size_t each, double count, float* means)
{
    LTRP_SHARED(double, parts, 32);
    double total = 0;
    for (size_t i = threadIdx.x; i < each; i += blockDim.x)
        total += static_cast<double>(partial[blockIdx.x * each + i]);
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        means[blockIdx.x] = static_cast<float>(total / count);
}

const size_t perPart = 8192;   ///< values summed by one block
size_t lossParts(size_t count)
{
    const size_t parts = (count + perPart - 1) / perPart;
    return parts < 1024 ? parts : 1024;
}

struct SquaresArgs
{
    AnyInput prediction;
    const float* target;
    AnyOutput gradient;
    float factor;
    size_t count;
    double* partial;
    bool aligned;
};

/// One part's sum of squared differences, and their gradient if requested: factor * (prediction - target).
__global__ void squaresKernel(SquaresArgs a)
{
    LTRP_SHARED(double, parts, 32);
    // Parts begin at multiples of four, so that vectors stay aligned.
    const size_t runs = (a.count + 3) / 4, first = runs * blockIdx.x / gridDim.x,
                 last = runs * (blockIdx.x + 1) / gridDim.x;
    double total = 0;
    for (size_t run = first + threadIdx.x; run < last; run += blockDim.x)
    {
        const size_t i = run * 4;
        const int n = a.count - i < 4 ? static_cast<int>(a.count - i) : 4;
        const bool whole = a.aligned && n == 4;
        float x[4], y[4];
        load4(a.prediction, i, whole, n, x);
        load4(AnyInput{a.target, DataType::Float32}, i, whole, n, y);
        float sum = 0;
        for (int k = 0; k < 4; ++k)
        {
            const float d = x[k] - y[k];
            sum += d * d;
            x[k] = d * a.factor;
        }
        total += static_cast<double>(sum);
        if (a.gradient.data)
            store4(a.gradient, i, whole, n, x);
    }
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        a.partial[blockIdx.x] = total;
}

__global__ void meanOfPartsKernel(const double* partial, int parts, double count, double* mean)
{
    LTRP_SHARED(double, shared, 32);
    double total = 0;
    for (int i = static_cast<int>(threadIdx.x); i < parts; i += static_cast<int>(blockDim.x))
        total += partial[i];
    total = blockSum(total, shared);
    if (threadIdx.x == 0)
        *mean = total / count;
}

}  // namespace

size_t productSumScratch(size_t items, size_t rows, int in, int out)
{
    (void)in;
    return items * rows * static_cast<size_t>((out + plainSide - 1) / plainSide) * sizeof(float);
}

void productSum(Stream stream, const ProductSumArgs& args, void* scratch)
{
    ProductArgs a{any(args.x), any(args.weight), args.scale, args.squared, static_cast<float*>(scratch),
                  args.items * args.rows, args.perScale, args.rows, args.in, args.out, 0};
    const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
    const DataType element = args.x.element;
    const bool tensor = element != DataType::Float32 && element == args.weight.element && args.in % 8 == 0 &&
                        aligned(args.x.data) && aligned(args.weight.data);
    const int tile = tensor ? side : plainSide;
    a.tiles = static_cast<unsigned>((args.out + tile - 1) / tile);
    const unsigned blocks = blocksFor(a.total, static_cast<size_t>(tile)) * a.tiles;
    launch(stream, "productSum", !tensor ? plainProductKernel : element == DataType::BFloat16 ? tensorProductKernel<bf16>
                                 : tensorProductKernel<half16>, blocks, 256, 0, a);
    launch(stream, "productSum", meanOfRowsKernel, static_cast<unsigned>(args.items), 256, 0, a.partial,
           args.rows * a.tiles, args.count, args.means);
}

size_t squaredLossScratch(size_t count) { return lossParts(count) * sizeof(double); }

void squaredLoss(Stream stream, Input prediction, const float* target, Output gradient, double* loss, size_t count,
                 void* scratch, float gradientScale)
{
    const bool aligned = aligned4(prediction.data, prediction.element) && aligned4(target, DataType::Float32) &&
                         aligned4(gradient.data, gradient.element);
    const SquaresArgs args{any(prediction), target, any(gradient),
                           static_cast<float>(2.0 / static_cast<double>(count)) * gradientScale, count,
                           static_cast<double*>(scratch), aligned};
    const unsigned parts = static_cast<unsigned>(lossParts(count));
    launch(stream, "squaredLoss", squaresKernel, parts, 256, 0, args);
    launch(stream, "squaredLoss", meanOfPartsKernel, 1, 256, 0, args.partial, static_cast<int>(parts),
           static_cast<double>(count), loss);
}

}}}}  // namespace
