// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention on tensor cores for any number of tokens, forward and backward: if a head does not fit into shared memory,
// its rows are loaded in tiles. A warp owns 16 rows (queries; in one half of the backward pass keys) and keeps their
// sums in registers. Work shared by variants of one input is not reused here.
#ifndef OPENCV_LTRP_OPS_CUDA_ATTENTION_LONG_CUH
#define OPENCV_LTRP_OPS_CUDA_ATTENTION_LONG_CUH

#include "attention_backward_tensor.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int longTile = 128;       ///< rows in shared memory, a multiple of keyChunk
const unsigned longWarps = 8;   ///< per block: each tile is read from memory for 128 queries

/// Which rows of which head a warp owns, with blocksPerHead blocks per head.
struct OwnRows
{
    unsigned part, head;   ///< head: of all heads of all items
    int first;

    __device__ __forceinline__ explicit OwnRows(unsigned blocksPerHead)
        : part(blockIdx.x % blocksPerHead), head(blockIdx.x / blocksPerHead),
          first(static_cast<int>((part * (blockDim.x / 32) + threadIdx.x / 32) * 16))
    {
    }
};

template <class T, int WIDTH>
__global__ void __launch_bounds__(longWarps * 32, WIDTH == 32 ? 2 : 1)
longAttentionKernel(TensorAttention a, unsigned blocksPerHead)
{
    LTRP_DYNAMIC_SHARED(T, keys);
    T* const values = keys + longTile * (WIDTH + 8);
    const unsigned lane = threadIdx.x % 32, heads = static_cast<unsigned>(a.heads);
    const OwnRows own(blocksPerHead);
    const int head = static_cast<int>(own.head % heads);
    const size_t b = own.head / heads, stride = 3 * static_cast<size_t>(a.dim);
    const T* q = static_cast<const T*>(a.qkv) +
                 b / static_cast<size_t>(a.sharedBy) * static_cast<size_t>(a.tokens) * stride + head * WIDTH;
    const int droppedToken = a.droppedToken ? a.droppedToken[b] : -1;
    const bool any = own.first < a.queries;   // otherwise this warp only helps to load
    FragmentA tile[WIDTH / 16];
    loadTile<T, WIDTH>(tile, q, stride, own.first, a.queries, lane);
    RunningSoftmax<WIDTH> state;
    state.clear();
    for (int begin = 0; begin < a.tokens; begin += longTile)
    {
        const int count = a.tokens - begin < longTile ? a.tokens - begin : longTile;
        const T* rows = q + static_cast<size_t>(begin) * stride;
        __syncthreads();   // all threads are done with the last tile
        loadRows<T, WIDTH>(rows + a.dim, stride, count, keys);
        loadRows<T, WIDTH>(rows + 2 * a.dim, stride, count, values);
        __syncthreads();
        if (any)
            attend<T, WIDTH>(state, tile, keys, values, 0, count, droppedToken - begin, a.scale, lane);
    }
    if (any)
        storeAttended<T, WIDTH>(a, state, b, head, own.first, droppedToken, lane);
}

/// Gradients of 16 keys and their values per warp (KEYS), or of 16 queries.
template <class T, int WIDTH, bool KEYS>
__global__ void __launch_bounds__(longWarps * 32, WIDTH == 32 ? 2 : 1)
longBackwardKernel(TensorBackward a, unsigned blocksPerHead)
{
    LTRP_DYNAMIC_SHARED(T, first);   // queries or keys
    T* const second = first + longTile * (WIDTH + 8);   // dOut or values
    float* const logSums = reinterpret_cast<float*>(second + longTile * (WIDTH + 8));
    float* const deltas = logSums + longTile;
    const unsigned lane = threadIdx.x % 32, heads = static_cast<unsigned>(a.heads);
    const OwnRows own(blocksPerHead);
    const int head = static_cast<int>(own.head % heads);
    const size_t dim = static_cast<size_t>(a.dim), stride = 3 * dim, tokens = static_cast<size_t>(a.tokens);
    const HeadRows<T> in(a, own.head / heads, head * WIDTH);
    const float *sumsOfHead = a.logSumExp + own.head * tokens, *deltasOfHead = a.delta + own.head * tokens;
    const bool any = own.first < a.tokens;
    KeyGradients<WIDTH> key;
    QueryGradients<WIDTH> query;
    if (KEYS)
        key.template begin<T>(in, stride, own.first, a.tokens, lane);
    else
        query.template begin<T>(in, stride, dim, own.first, a.tokens, sumsOfHead, deltasOfHead, lane);
    for (int begin = 0; begin < a.tokens; begin += longTile)
    {
        const int count = a.tokens - begin < longTile ? a.tokens - begin : longTile;
        const size_t at = static_cast<size_t>(begin);
        __syncthreads();   // all threads are done with the last tile
        loadRows<T, WIDTH>((KEYS ? in.q : in.k) + at * stride, stride, count, first);
        loadRows<T, WIDTH>(KEYS ? in.d + at * dim : in.v + at * stride, KEYS ? dim : stride, count, second);
        if (KEYS)
            loadSums(sumsOfHead + at, deltasOfHead + at, count, logSums, deltas);
        __syncthreads();
        if (any && KEYS)
            key.template add<T>(first, second, logSums, deltas, count, a.scale, lane);
        if (any && !KEYS)
            query.template add<T>(first, second, count, a.scale, lane);
    }
    T* const to = static_cast<T*>(a.dQkv) + own.head / heads * tokens * stride + head * WIDTH;
    if (any && KEYS)
    {
        storeTile<T, WIDTH>(key.dk, to + a.dim, stride, own.first, a.tokens, lane);
        storeTile<T, WIDTH>(key.dv, to + 2 * a.dim, stride, own.first, a.tokens, lane);
    }
    if (any && !KEYS)
        storeTile<T, WIDTH>(query.sums, to, stride, own.first, a.tokens, lane);
}

inline unsigned longBlocksPerHead(int rows) { return blocksFor(static_cast<size_t>(rows), longWarps * 16); }

template <class T, int WIDTH>
inline void launchLongAttention(Stream stream, const TensorAttention& a, int batch)
{
    const unsigned perHead = longBlocksPerHead(a.queries);
    launch(stream, "attention", longAttentionKernel<T, WIDTH>,
           static_cast<unsigned>(batch) * static_cast<unsigned>(a.heads) * perHead, longWarps * 32,
           tensorAttentionShared(longTile, WIDTH), a, perHead);
}

template <class T, int WIDTH>
inline void launchLongBackward(Stream stream, const TensorBackward& a, int batch)
{
    const unsigned perHead = longBlocksPerHead(a.tokens);
    const unsigned blocks = static_cast<unsigned>(batch) * static_cast<unsigned>(a.heads) * perHead;
    const size_t shared = tensorBackwardShared(longTile, WIDTH);
    const char* name = "attentionBackward";
    launch(stream, name, longBackwardKernel<T, WIDTH, true>, blocks, longWarps * 32, shared, a, perHead);
    launch(stream, name, longBackwardKernel<T, WIDTH, false>, blocks, longWarps * 32, shared, a, perHead);
}

}  // namespace

}}}}  // namespace

#endif
