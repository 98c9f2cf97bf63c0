// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention's backward pass on tensor cores. A block has a head and goes through it twice: for the keys, with all
// queries and output gradients in shared memory, and for the queries, with all keys and values there. The scores are
// computed again each time (seven products instead of five), so that every sum has one owner and needs no atomics.
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
}

/// c [16, 16] = a [16, WIDTH] times 16 rows of `tile` [16, WIDTH] in shared memory, turned.
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

template <class T, int WIDTH>
__global__ void __launch_bounds__(256, WIDTH == 32 ? 2 : 1) tensorBackwardKernel(TensorBackward a)
{
    LTRP_DYNAMIC_SHARED(T, first);
    const unsigned lane = threadIdx.x % 32;
    const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32);
    const int padded = paddedTokens(a.tokens), head = static_cast<int>(blockIdx.x % static_cast<unsigned>(a.heads));
    const size_t b = blockIdx.x / static_cast<unsigned>(a.heads), dim = static_cast<size_t>(a.dim), stride = 3 * dim;
    const size_t tokens = static_cast<size_t>(a.tokens);
    const T* q = static_cast<const T*>(a.qkv) + b * tokens * stride + head * WIDTH;
    const T *k = q + a.dim, *v = k + a.dim, *d = static_cast<const T*>(a.dOut) + b * tokens * dim + head * WIDTH;
    T* const dq = static_cast<T*>(a.dQkv) + b * tokens * stride + head * WIDTH;
    T* const second = first + padded * (WIDTH + 8);
    float* const logSums = reinterpret_cast<float*>(second + padded * (WIDTH + 8));   // times log2(e)
    float* const deltas = logSums + padded;
    const float scale2 = a.scale * 1.44269504f;

    for (int i = static_cast<int>(threadIdx.x); i < padded; i += static_cast<int>(blockDim.x))
    {
        const size_t at = static_cast<size_t>(blockIdx.x) * tokens + static_cast<size_t>(i);
        logSums[i] = i < a.tokens ? a.logSumExp[at] * 1.44269504f
                                  : INFINITY;   // no weight for queries that do not exist
        deltas[i] = i < a.tokens ? a.delta[at] : 0.f;
    }
    loadRows<T, WIDTH>(q, stride, a.tokens, first);
    loadRows<T, WIDTH>(d, dim, a.tokens, second);
    __syncthreads();
    for (int begin = warp * 16; begin < a.tokens; begin += warps * 16)   // 16 keys
    {
        FragmentA keys[WIDTH / 16], values[WIDTH / 16];
        loadTile<T, WIDTH>(keys, k, stride, begin, a.tokens, lane);
        loadTile<T, WIDTH>(values, v, stride, begin, a.tokens, lane);
        FragmentC dk[WIDTH / 8], dv[WIDTH / 8];
        clear<WIDTH>(dk);
        clear<WIDTH>(dv);
        for (int query = 0; query < a.tokens; query += 16)
        {
            FragmentC p[2], ds[2];
            scores<T, WIDTH>(p, keys, first + query * (WIDTH + 8), lane);
            scores<T, WIDTH>(ds, values, second + query * (WIDTH + 8), lane);
#pragma unroll
            for (int t = 0; t < 2; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    const int column = query + 8 * t + columnOfC(lane, i);
                    p[t].v[i] = exp2Fast(p[t].v[i] * scale2 - logSums[column]);
                    ds[t].v[i] = p[t].v[i] * (ds[t].v[i] - deltas[column]) * a.scale;
                }
            accumulate<T, WIDTH>(dv, p, second + query * (WIDTH + 8), lane);
            accumulate<T, WIDTH>(dk, ds, first + query * (WIDTH + 8), lane);
        }
        storeTile<T, WIDTH>(dk, dq + a.dim, stride, begin, a.tokens, lane);
        storeTile<T, WIDTH>(dv, dq + 2 * a.dim, stride, begin, a.tokens, lane);
    }
    __syncthreads();
    loadRows<T, WIDTH>(k, stride, a.tokens, first);
    loadRows<T, WIDTH>(v, stride, a.tokens, second);
    __syncthreads();
    for (int begin = warp * 16; begin < a.tokens; begin += warps * 16)   // 16 queries
    {
        FragmentA queries[WIDTH / 16], gradients[WIDTH / 16];
        loadTile<T, WIDTH>(queries, q, stride, begin, a.tokens, lane);
        loadTile<T, WIDTH>(gradients, d, dim, begin, a.tokens, lane);
        FragmentC sums[WIDTH / 8];
        clear<WIDTH>(sums);
        for (int key = 0; key < a.tokens; key += 16)
        {
            FragmentC s[2], ds[2];
            scores<T, WIDTH>(s, queries, first + key * (WIDTH + 8), lane);
            scores<T, WIDTH>(ds, gradients, second + key * (WIDTH + 8), lane);
#pragma unroll
            for (int t = 0; t < 2; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    const int row = begin + rowOfC(lane, i), column = key + 8 * t + columnOfC(lane, i);
                    const float p = column < a.tokens ? exp2Fast(s[t].v[i] * scale2 - logSums[row]) : 0.f;
                    ds[t].v[i] = p * (ds[t].v[i] - deltas[row]) * a.scale;
                }
            accumulate<T, WIDTH>(sums, ds, first + key * (WIDTH + 8), lane);
        }
        storeTile<T, WIDTH>(sums, dq, stride, begin, a.tokens, lane);
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
           static_cast<unsigned>(batch) * static_cast<unsigned>(a.heads), 32 * warpsFor(a.tokens),
           tensorBackwardShared(a.tokens, WIDTH), a);
}

}  // namespace

}}}}  // namespace

#endif
