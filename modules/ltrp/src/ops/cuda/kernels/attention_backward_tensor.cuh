// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention's backward pass on tensor cores. A block processes one head in two passes: for the keys, with all queries
// and output gradients in shared memory, and for the queries, with all keys and values there. The scores are recomputed
// in each pass (seven products instead of five), so that every sum has one owner and needs no atomics.
#ifndef OPENCV_LTRP_OPS_CUDA_ATTENTION_BACKWARD_TENSOR_CUH
#define OPENCV_LTRP_OPS_CUDA_ATTENTION_BACKWARD_TENSOR_CUH

#include "attention_tensor.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

struct TensorBackward
{
    const void *qkv, *dOut;
    const float *logSumExp, *delta;   ///< [batch, heads, tokens]
    void* dQkv;
    int tokens, dim, heads;
    float scale;
};

/// Stores a tile of 16 rows of sums.
template <class T, int WIDTH>
__device__ __forceinline__ void storeTile(const FragmentC sums[WIDTH / 8], T* to, size_t stride, int first, int last,
                                          unsigned lane)
{
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        const int row = first + static_cast<int>(lane / 4) + 8 * half;
        if (row < last)
#pragma unroll
            for (int n = 0; n < WIDTH / 8; ++n)
                storeAs(to + static_cast<size_t>(row) * stride + (8 * n + static_cast<int>(lane % 4) * 2),
                        packPair<T>(sums[n].v[2 * half], sums[n].v[2 * half + 1]));
    }
    __syncwarp();
}

/// c [16, 16] = a [16, WIDTH] times the transpose of 16 rows of `tile` [16, WIDTH] in shared memory.
template <class T, int WIDTH>
__device__ __forceinline__ void scores(FragmentC c[2], const FragmentA a[WIDTH / 16], const T* tile, unsigned lane)
{
    for (int i = 0; i < 4; ++i)
        c[0].v[i] = c[1].v[i] = 0;
#pragma unroll
    for (int k = 0; k < WIDTH / 16; ++k)
    {
        FragmentB low, high;
        loadB(low, high, tile + 16 * k, WIDTH + 8, lane);
        multiplyAdd<T>(c[0], a[k], low);
        multiplyAdd<T>(c[1], a[k], high);
    }
}

/// sums [16, WIDTH] += c [16, 16] times `tile` [16, WIDTH].
template <class T, int WIDTH>
__device__ __forceinline__ void accumulate(FragmentC sums[WIDTH / 8], const FragmentC c[2], const T* tile,
                                           unsigned lane)
{
    FragmentA a;
    sumsToA<T>(a, c[0], c[1]);
#pragma unroll
    for (int n = 0; n < WIDTH / 16; ++n)
    {
        FragmentB low, high;
        loadBTransposed(low, high, tile + 16 * n, WIDTH + 8, lane);
        multiplyAdd<T>(sums[2 * n], a, low);
        multiplyAdd<T>(sums[2 * n + 1], a, high);
    }
}

template <int WIDTH>
__device__ __forceinline__ void clear(FragmentC sums[WIDTH / 8])
{
#pragma unroll
    for (int n = 0; n < WIDTH / 8; ++n)
        for (int i = 0; i < 4; ++i)
            sums[n].v[i] = 0;
}

/// Offsets of the rows of one head of one item.
template <class T>
struct HeadRows
{
    const T *q, *k, *v, *d;   ///< d: dOut, row stride dim; the others have 3 * dim

    __device__ __forceinline__ HeadRows(const TensorBackward& a, size_t item, int column)
    {
        const size_t dim = static_cast<size_t>(a.dim), at = item * static_cast<size_t>(a.tokens) * dim;
        q = static_cast<const T*>(a.qkv) + 3 * at + column;
        k = q + dim;
        v = k + dim;
        d = static_cast<const T*>(a.dOut) + at + column;
    }
};

/// Loads `count` logarithms of sums, times log2(e), and deltas; pads them to a multiple of 16 with values that give no
/// weight.
__device__ __forceinline__ void loadSums(const float* fromSums, const float* fromDeltas, int count, float* logSums,
                                         float* deltas)
{
    for (int i = static_cast<int>(threadIdx.x); i < paddedTokens(count); i += static_cast<int>(blockDim.x))
    {
        logSums[i] = i < count ? fromSums[i] * 1.44269504f : INFINITY;
        deltas[i] = i < count ? fromDeltas[i] : 0.f;
    }
}

/// 16 keys of a warp with their values, and their gradients.
template <int WIDTH>
struct KeyGradients
{
    FragmentA keys[WIDTH / 16], values[WIDTH / 16];
    FragmentC dk[WIDTH / 8], dv[WIDTH / 8];

    template <class T>
    __device__ __forceinline__ void begin(const HeadRows<T>& from, size_t stride, int first, int last, unsigned lane)
    {
        loadTile<T, WIDTH>(keys, from.k, stride, first, last, lane);
        loadTile<T, WIDTH>(values, from.v, stride, first, last, lane);
        clear<WIDTH>(dk);
        clear<WIDTH>(dv);
    }

    /// Adds the contribution of `count` queries and their dOut in shared memory.
    template <class T>
    __device__ __forceinline__ void add(const T* queries, const T* dOut, const float* logSums, const float* deltas,
                                        int count, float scale, unsigned lane)
    {
        for (int query = 0; query < count; query += 16)
        {
            FragmentC p[2], ds[2];
            scores<T, WIDTH>(p, keys, queries + query * (WIDTH + 8), lane);
            scores<T, WIDTH>(ds, values, dOut + query * (WIDTH + 8), lane);
#pragma unroll
            for (int t = 0; t < 2; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    const int column = query + 8 * t + columnOfC(lane, i);
                    p[t].v[i] = exp2Fast(p[t].v[i] * (scale * 1.44269504f) - logSums[column]);
                    ds[t].v[i] = p[t].v[i] * (ds[t].v[i] - deltas[column]) * scale;
                }
            accumulate<T, WIDTH>(dv, p, dOut + query * (WIDTH + 8), lane);
            accumulate<T, WIDTH>(dk, ds, queries + query * (WIDTH + 8), lane);
        }
    }
};

/// 16 queries of a warp with their dOut, and their gradients.
template <int WIDTH>
struct QueryGradients
{
    FragmentA queries[WIDTH / 16], gradients[WIDTH / 16];
    FragmentC sums[WIDTH / 8];
    float logSums[2], deltas[2];   ///< of this lane's two rows; logSums times log2(e)

    template <class T>
    __device__ __forceinline__ void begin(const HeadRows<T>& from, size_t stride, size_t dOutStride, int first,
                                          int last, const float* fromSums, const float* fromDeltas, unsigned lane)
    {
        loadTile<T, WIDTH>(queries, from.q, stride, first, last, lane);
        loadTile<T, WIDTH>(gradients, from.d, dOutStride, first, last, lane);
        clear<WIDTH>(sums);
#pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const int row = first + rowOfC(lane, 2 * half);
            logSums[half] = row < last ? fromSums[row] * 1.44269504f : INFINITY;
            deltas[half] = row < last ? fromDeltas[row] : 0.f;
        }
    }

    /// Adds the contribution of `count` keys and their values in shared memory.
    template <class T>
    __device__ __forceinline__ void add(const T* keys, const T* values, int count, float scale, unsigned lane)
    {
        for (int key = 0; key < count; key += 16)
        {
            FragmentC s[2], ds[2];
            scores<T, WIDTH>(s, queries, keys + key * (WIDTH + 8), lane);
            scores<T, WIDTH>(ds, gradients, values + key * (WIDTH + 8), lane);
#pragma unroll
            for (int t = 0; t < 2; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    const bool there = key + 8 * t + columnOfC(lane, i) < count;
                    const float p = there ? exp2Fast(s[t].v[i] * (scale * 1.44269504f) - logSums[i / 2]) : 0.f;
                    ds[t].v[i] = p * (ds[t].v[i] - deltas[i / 2]) * scale;
                }
            accumulate<T, WIDTH>(sums, ds, keys + key * (WIDTH + 8), lane);
        }
    }
};

template <class T, int WIDTH>
__global__ void __launch_bounds__(256, WIDTH == 32 ? 2 : 1) tensorBackwardKernel(TensorBackward a)
{
    LTRP_DYNAMIC_SHARED(T, first);
    const unsigned lane = threadIdx.x % 32;
    const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32);
    const int padded = paddedTokens(a.tokens), head = static_cast<int>(blockIdx.x % static_cast<unsigned>(a.heads));
    const size_t b = blockIdx.x / static_cast<unsigned>(a.heads), dim = static_cast<size_t>(a.dim), stride = 3 * dim;
    const size_t tokens = static_cast<size_t>(a.tokens);
    const HeadRows<T> in(a, b, head * WIDTH);
    T* const to = static_cast<T*>(a.dQkv) + b * tokens * stride + head * WIDTH;
    T* const second = first + padded * (WIDTH + 8);
    float* const logSums = reinterpret_cast<float*>(second + padded * (WIDTH + 8));
    float* const deltas = logSums + padded;
    const float* sumsOfHead = a.logSumExp + static_cast<size_t>(blockIdx.x) * tokens;
    const float* deltasOfHead = a.delta + static_cast<size_t>(blockIdx.x) * tokens;

    loadSums(sumsOfHead, deltasOfHead, a.tokens, logSums, deltas);
    loadRows<T, WIDTH>(in.q, stride, a.tokens, first);
    loadRows<T, WIDTH>(in.d, dim, a.tokens, second);
    __syncthreads();
    for (int begin = warp * 16; begin < a.tokens; begin += warps * 16)
    {
        KeyGradients<WIDTH> own;
        own.template begin<T>(in, stride, begin, a.tokens, lane);
        own.template add<T>(first, second, logSums, deltas, a.tokens, a.scale, lane);
        storeTile<T, WIDTH>(own.dk, to + a.dim, stride, begin, a.tokens, lane);
        storeTile<T, WIDTH>(own.dv, to + 2 * a.dim, stride, begin, a.tokens, lane);
    }
    __syncthreads();
    loadRows<T, WIDTH>(in.k, stride, a.tokens, first);
    loadRows<T, WIDTH>(in.v, stride, a.tokens, second);
    __syncthreads();
    for (int begin = warp * 16; begin < a.tokens; begin += warps * 16)
    {
        QueryGradients<WIDTH> own;
        own.template begin<T>(in, stride, dim, begin, a.tokens, sumsOfHead, deltasOfHead, lane);
        own.template add<T>(first, second, a.tokens, a.scale, lane);
        storeTile<T, WIDTH>(own.sums, to, stride, begin, a.tokens, lane);
    }
}

inline size_t tensorBackwardShared(int tokens, int width)
{
    return tensorAttentionShared(tokens, width) + 2 * static_cast<size_t>(paddedTokens(tokens)) * sizeof(float);
}

template <class T, int WIDTH>
inline void launchTensorBackward(Stream stream, const TensorBackward& a, int batch)
{
    launch(stream, "attentionBackward", tensorBackwardKernel<T, WIDTH>,
           static_cast<unsigned>(batch) * static_cast<unsigned>(a.heads), 32 * warpsFor(a.tokens, a.tokens),
           tensorBackwardShared(a.tokens, WIDTH), a);
}

}  // namespace

}}}}  // namespace

#endif
