// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention on tensor cores, for heads 32 or 64 wide in 16-bit numbers whose keys and values fit into shared memory.
//
// Reasons for this design (calculated, not measured): at 197 tokens and head width 32, an image's twenty decoder passes
// of ViT-B read and write 130 MB of queries, keys, values and results (40 us at 3.35 TB/s), multiply 13 GFLOP (32 us at
// 400 TFLOP/s) and compute 100 million exponentials (28 us at an H100's 16 per clock and multiprocessor). None of them
// dominates, so each is done once: a block holds all keys and values of a head, a warp processes tiles of 16 queries
// whose scores stay in registers, and variants that share queries, keys and values share the scores of all keys before
// the first dropped one.
#ifndef OPENCV_LTRP_OPS_CUDA_ATTENTION_TENSOR_CUH
#define OPENCV_LTRP_OPS_CUDA_ATTENTION_TENSOR_CUH

#include "mma.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int keyChunk = 64;   ///< keys between two corrections of the running maximum

/// 2^x; -infinity gives 0.
__device__ __forceinline__ float exp2Fast(float x)
{
#ifdef LTRP_SIMT
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

inline __device__ __host__ int paddedTokens(int tokens) { return (tokens + 15) / 16 * 16; }

struct TensorAttention
{
    const void* qkv;
    void* out;
    const int* droppedToken;
    float* logSumExp;
    int tokens, queries, dim, heads, sharedBy;
    float scale;   ///< of logits, times log2(e)
};

/// Rows [tokens, WIDTH] with a stride -> shared memory [paddedTokens, WIDTH + 8], zero padded.
template <class T, int WIDTH>
__device__ __forceinline__ void loadRows(const T* from, size_t stride, int tokens, T* to)
{
    const int perRow = WIDTH / 8, padded = paddedTokens(tokens);
    for (int i = static_cast<int>(threadIdx.x); i < padded * perRow; i += static_cast<int>(blockDim.x))
    {
        const int row = i / perRow, column = i % perRow * 8;
        uint4 values = {0, 0, 0, 0};
        if (row < tokens)
            values = loadAs<uint4>(from + static_cast<size_t>(row) * stride + column);
        storeAs(to + row * (WIDTH + 8) + column, values);
    }
}

/// The tile of rows first .. first + 15 as left factors, from global memory; rows from `last` on are zero.
template <class T, int WIDTH>
__device__ __forceinline__ void loadTile(FragmentA a[WIDTH / 16], const T* from, size_t stride, int first, int last,
                                         unsigned lane)
{
    const int row = first + static_cast<int>(lane / 4), column = static_cast<int>(lane % 4) * 2;
#pragma unroll
    for (int i = 0; i < WIDTH / 16; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r)
        {
            const int y = row + r % 2 * 8;
            a[i].r[r] = y < last
                ? loadAs<uint32_t>(from + static_cast<size_t>(y) * stride + (16 * i + r / 2 * 8 + column)) : 0u;
        }
    __syncwarp();   // tensor-core instructions need all lanes to be converged
}

/// Running softmax of a tile of 16 queries; each lane holds two rows.
template <int WIDTH>
struct RunningSoftmax
{
    FragmentC sums[WIDTH / 8];
    float top[2], total[2];   ///< total: this lane's share

    __device__ __forceinline__ void clear()
    {
        for (FragmentC& c : sums)
            for (float& v : c.v)
                v = 0;
        top[0] = top[1] = -INFINITY;
        total[0] = total[1] = 0;
    }
};

/// Keys from .. to - 1 (from a multiple of 16) without `droppedToken`.
template <class T, int WIDTH>
__device__ __forceinline__ void attend(RunningSoftmax<WIDTH>& s, const FragmentA q[WIDTH / 16], const T* keys,
                                       const T* values, int from, int to, int droppedToken, float scale, unsigned lane)
{
    const int stride = WIDTH + 8, tiles = keyChunk / 16;
    for (int begin = from; begin < to; begin += keyChunk)
    {
        FragmentC p[2 * tiles];
#pragma unroll
        for (int t = 0; t < tiles; ++t)
        {
            const int key = begin + 16 * t;
            for (int i = 0; i < 4; ++i)
                p[2 * t].v[i] = p[2 * t + 1].v[i] = key < to ? 0.f : -INFINITY;
            if (key < to)
#pragma unroll
                for (int k = 0; k < WIDTH / 16; ++k)
                {
                    FragmentB low, high;
                    loadB(low, high, keys + key * stride + 16 * k, stride, lane);
                    multiplyAdd<T>(p[2 * t], q[k], low);
                    multiplyAdd<T>(p[2 * t + 1], q[k], high);
                }
        }
        if (begin + keyChunk > to || (droppedToken >= begin && droppedToken < begin + keyChunk))
        {
#pragma unroll
            for (int t = 0; t < 2 * tiles; ++t)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                {
                    const int key = begin + 8 * t + columnOfC(lane, i);
                    if (key >= to || key == droppedToken)
                        p[t].v[i] = -INFINITY;
                }
        }
#pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            float top = s.top[half];
#pragma unroll
            for (int t = 0; t < 2 * tiles; ++t)
                top = fmaxf(top, fmaxf(p[t].v[2 * half], p[t].v[2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(allLanes, top, 1));
            top = fmaxf(top, __shfl_xor_sync(allLanes, top, 2));
            const float shift = top == -INFINITY ? 0.f : top * scale;   // no key yet: all exponentials are 0
            const float correction = exp2Fast(s.top[half] * scale - shift);
            s.top[half] = top;
            s.total[half] *= correction;
#pragma unroll
            for (int n = 0; n < WIDTH / 8; ++n)
            {
                s.sums[n].v[2 * half] *= correction;
                s.sums[n].v[2 * half + 1] *= correction;
            }
#pragma unroll
            for (int t = 0; t < 2 * tiles; ++t)
                if (begin + 16 * (t / 2) < to)   // exponentials are the bottleneck: none for tiles that do not exist
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i)
                    {
                        p[t].v[i] = exp2Fast(p[t].v[i] * scale - shift);
                        s.total[half] += p[t].v[i];
                    }
        }
#pragma unroll
        for (int t = 0; t < tiles; ++t)
            if (begin + 16 * t < to)
            {
                FragmentA weights;
                sumsToA<T>(weights, p[2 * t], p[2 * t + 1]);
#pragma unroll
                for (int n = 0; n < WIDTH / 16; ++n)
                {
                    FragmentB low, high;
                    loadBTransposed(low, high, values + (begin + 16 * t) * stride + 16 * n, stride, lane);
                    multiplyAdd<T>(s.sums[2 * n], weights, low);
                    multiplyAdd<T>(s.sums[2 * n + 1], weights, high);
                }
            }
    }
}

/// Stores the results of item b; zero for a droppedToken query.
template <class T, int WIDTH>
__device__ __forceinline__ void storeAttended(const TensorAttention& a, const RunningSoftmax<WIDTH>& s, size_t b,
                                              int head, int first, int droppedToken, unsigned lane)
{
#pragma unroll
    for (int half = 0; half < 2; ++half)
    {
        float total = s.total[half] + __shfl_xor_sync(allLanes, s.total[half], 1);
        total += __shfl_xor_sync(allLanes, total, 2);
        const int row = first + static_cast<int>(lane / 4) + 8 * half;
        if (row >= a.queries)
            continue;
        const float inverse = row == droppedToken ? 0.f : 1.f / total;
        T* to = static_cast<T*>(a.out) +
                (b * static_cast<size_t>(a.queries) + static_cast<size_t>(row)) * static_cast<size_t>(a.dim) +
                head * WIDTH + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < WIDTH / 8; ++n)
            storeAs(to + 8 * n, packPair<T>(row == droppedToken ? 0.f : s.sums[n].v[2 * half] * inverse,
                                            row == droppedToken ? 0.f : s.sums[n].v[2 * half + 1] * inverse));
        if (a.logSumExp && lane % 4 == 0)
            a.logSumExp[(b * static_cast<size_t>(a.heads) + static_cast<size_t>(head)) * static_cast<size_t>(a.queries)
                        + static_cast<size_t>(row)] = s.top[half] * a.scale * 0.69314718f + logf(total);
    }
    __syncwarp();
}

/// A block (or the blocks of a grid column) per head of one item, or of all items that share their queries, keys and
/// values.
template <class T, int WIDTH, bool SHARED>
__global__ void __launch_bounds__(256, WIDTH == 32 ? 2 : 1) tensorAttentionKernel(TensorAttention a)
{
    LTRP_DYNAMIC_SHARED(T, keys);
    const unsigned lane = threadIdx.x % 32, heads = static_cast<unsigned>(a.heads);
    const size_t group = blockIdx.x / heads, stride = 3 * static_cast<size_t>(a.dim);
    const int head = static_cast<int>(blockIdx.x % heads), warps = static_cast<int>(blockDim.x / 32);
    const T* q = static_cast<const T*>(a.qkv) + group * static_cast<size_t>(a.tokens) * stride + head * WIDTH;
    T* const values = keys + paddedTokens(a.tokens) * (WIDTH + 8);
    loadRows<T, WIDTH>(q + a.dim, stride, a.tokens, keys);
    loadRows<T, WIDTH>(q + 2 * a.dim, stride, a.tokens, values);
    __syncthreads();
    const size_t item = group * static_cast<size_t>(SHARED ? a.sharedBy : 1);
    int common = 0;   // keys before this one are the same for all variants
    if (SHARED)
    {
        common = a.tokens;
        for (int v = 0; v < a.sharedBy; ++v)
        {
            const int droppedToken = a.droppedToken ? a.droppedToken[item + static_cast<size_t>(v)] : -1;
            if (droppedToken >= 0 && droppedToken < common)
                common = droppedToken;
        }
        common = common / 16 * 16;
    }
    const int warp = static_cast<int>(blockIdx.y) * warps + static_cast<int>(threadIdx.x / 32);
    for (int first = warp * 16; first < a.queries; first += static_cast<int>(gridDim.y) * warps * 16)
    {
        FragmentA tile[WIDTH / 16];
        loadTile<T, WIDTH>(tile, q, stride, first, a.queries, lane);
        RunningSoftmax<WIDTH> state;
        state.clear();
        if (!SHARED)
        {
            const int droppedToken = a.droppedToken ? a.droppedToken[item] : -1;
            attend<T, WIDTH>(state, tile, keys, values, 0, a.tokens, droppedToken, a.scale, lane);
            storeAttended<T, WIDTH>(a, state, item, head, first, droppedToken, lane);
            continue;
        }
        attend<T, WIDTH>(state, tile, keys, values, 0, common, -1, a.scale, lane);
        for (int v = 0; v < a.sharedBy; ++v)
        {
            const size_t b = item + static_cast<size_t>(v);
            const int droppedToken = a.droppedToken ? a.droppedToken[b] : -1;
            RunningSoftmax<WIDTH> own = state;
            attend<T, WIDTH>(own, tile, keys, values, common, a.tokens, droppedToken, a.scale, lane);
            storeAttended<T, WIDTH>(a, own, b, head, first, droppedToken, lane);
        }
    }
}

inline size_t tensorAttentionShared(int tokens, int width)
{
    return 2 * static_cast<size_t>(paddedTokens(tokens)) * static_cast<size_t>(width + 8) * sizeof(uint16_t);
}

/// Chooses the number of warps that leaves the fewest idle in the last round of tiles: 7 for the 13 tiles of 197
/// queries. With few queries, as for a class token only, up to four warps still load keys and values.
inline unsigned warpsFor(int queries, int tokens)
{
    const int tiles = (queries + 15) / 16, most = (tokens + 15) / 16;
    int best = 4;
    for (int warps = 4; warps <= 8; ++warps)
        if ((tiles + warps - 1) / warps * warps < (tiles + best - 1) / best * best)
            best = warps;
    return static_cast<unsigned>(most < best ? most : best);
}

const unsigned fewBlocks = 132;   ///< number of multiprocessors of the largest devices

template <class T, int WIDTH>
inline void launchTensorAttention(Stream stream, const TensorAttention& a, int batch)
{
    const unsigned blocks = static_cast<unsigned>(batch / a.sharedBy) * static_cast<unsigned>(a.heads);
    const unsigned warps = warpsFor(a.queries, a.tokens);
    const unsigned rounds = blocksFor(static_cast<size_t>(a.queries), 16 * warps);
    // With few images most of the device is idle, so the rounds of tiles of a head run in parallel.
    launch(stream, "attention",
           a.sharedBy > 1 ? tensorAttentionKernel<T, WIDTH, true> : tensorAttentionKernel<T, WIDTH, false>,
           dim3(blocks, blocks * rounds <= fewBlocks ? rounds : 1), 32 * warps,
           tensorAttentionShared(a.tokens, WIDTH), a);
}

}  // namespace

}}}}  // namespace

#endif
