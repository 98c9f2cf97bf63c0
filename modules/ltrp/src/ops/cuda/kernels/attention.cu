// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention for any width, number of tokens and element type, in fp32 arithmetic: for small models and precisions
// without 16-bit products. A block processes 16 queries of a head, a warp four of them (wide heads: half as many); keys
// and values are loaded in tiles of 32.
#include "attention_long.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int warpsPerBlock = 4, perTile = 32;

struct PlainAttention
{
    AnyInput qkv;
    AnyOutput out;
    const int* droppedToken;
    float* logSumExp;
    int tokens, queries, dim, heads, sharedBy, width;
    float scale;
};

inline __host__ __device__ int tileStride() { return perTile + 1; }   // so that columns are in different banks

/// COLUMNS: columns of the width, 32 apart, that a lane sums for perWarp queries.
template <int COLUMNS, int perWarp>
__global__ void __launch_bounds__(warpsPerBlock * 32) plainAttentionKernel(PlainAttention a, int blocksPerHead)
{
    const int ownRows = warpsPerBlock * perWarp;
    LTRP_DYNAMIC_SHARED(float, keys);   // [width][33], turned
    LTRP_SHARED(float, weights, ownRows * perTile);
    float* const values = keys + a.width * tileStride();    // [32][width]
    float* const queries = values + a.width * perTile;      // [ownRows][width]
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const size_t part = blockIdx.x % static_cast<unsigned>(blocksPerHead),
                 head = blockIdx.x / static_cast<unsigned>(blocksPerHead);
    const size_t b = head / static_cast<size_t>(a.heads), h = head % static_cast<size_t>(a.heads);
    const size_t dim = static_cast<size_t>(a.dim), stride = 3 * dim;
    const size_t q = b / static_cast<size_t>(a.sharedBy) * static_cast<size_t>(a.tokens) * stride +
                     h * static_cast<size_t>(a.width);
    const int first = static_cast<int>(part) * ownRows, droppedToken = a.droppedToken ? a.droppedToken[b] : -1;
    for (int i = static_cast<int>(threadIdx.x); i < ownRows * a.width; i += static_cast<int>(blockDim.x))
    {
        const int row = first + i / a.width;
        queries[i] = row < a.queries ? a.qkv[q + static_cast<size_t>(row) * stride + static_cast<size_t>(i % a.width)]
                                     : 0.f;
    }
    float top[perWarp], total[perWarp], sums[perWarp][COLUMNS];
#pragma unroll
    for (int r = 0; r < perWarp; ++r)
    {
        top[r] = -INFINITY;
        total[r] = 0;
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c)
            sums[r][c] = 0;
    }
    for (int begin = 0; begin < a.tokens; begin += perTile)
    {
        __syncthreads();   // all threads are done with the last tile
        for (int i = static_cast<int>(threadIdx.x); i < perTile * a.width; i += static_cast<int>(blockDim.x))
        {
            const int row = i / a.width, column = i % a.width;
            const size_t at = q + static_cast<size_t>(begin + row) * stride + static_cast<size_t>(column);
            const bool there = begin + row < a.tokens;
            keys[column * tileStride() + row] = there ? a.qkv[at + dim] : 0.f;
            values[i] = there ? a.qkv[at + 2 * dim] : 0.f;
        }
        __syncthreads();
        float s[perWarp] = {};
        for (int c = 0; c < a.width; ++c)
        {
            const float k = keys[c * tileStride() + lane];
#pragma unroll
            for (int r = 0; r < perWarp; ++r)
                s[r] += queries[(warp * perWarp + r) * a.width + c] * k;
        }
        const bool masked = begin + lane >= a.tokens || begin + lane == droppedToken;
#pragma unroll
        for (int r = 0; r < perWarp; ++r)
        {
            s[r] = masked ? -INFINITY : s[r] * a.scale;
            const float highest = fmaxf(top[r], warpMaximum(s[r]));
            const float shift = highest == -INFINITY ? 0.f : highest, correction = expf(top[r] - shift);
            top[r] = highest;
            const float p = expf(s[r] - shift);
            total[r] = total[r] * correction + p;   // this lane's share: all lanes have the same correction
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
                sums[r][c] *= correction;
            weights[(warp * perWarp + r) * perTile + lane] = p;
        }
        __syncwarp();
        for (int j = 0; j < perTile; ++j)
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c)
            {
                const int column = lane + 32 * c;
                const float v = column < a.width ? values[j * a.width + column] : 0.f;
#pragma unroll
                for (int r = 0; r < perWarp; ++r)
                    sums[r][c] += weights[(warp * perWarp + r) * perTile + j] * v;
            }
        __syncwarp();
    }
#pragma unroll
    for (int r = 0; r < perWarp; ++r)
    {
        const float sum = warpSum(total[r]), inverse = 1.f / sum;
        const int row = first + warp * perWarp + r;
        if (row >= a.queries)
            continue;
#pragma unroll
        for (int c = 0; c < COLUMNS; ++c)
        {
            const int column = lane + 32 * c;
            if (column < a.width)
                a.out.set((b * static_cast<size_t>(a.queries) + static_cast<size_t>(row)) * dim +
                              h * static_cast<size_t>(a.width) + static_cast<size_t>(column),
                          row == droppedToken ? 0.f : sums[r][c] * inverse);
        }
        if (a.logSumExp && lane == 0)
            a.logSumExp[head * static_cast<size_t>(a.queries) + static_cast<size_t>(row)] = top[r] + logf(sum);
    }
}

template <class T, int WIDTH>
void tensorAttention(Stream stream, const TensorAttention& a, int batch)
{
    if (tensorAttentionShared(a.tokens, WIDTH) <= mostShared)
        launchTensorAttention<T, WIDTH>(stream, a, batch);
    else
        launchLongAttention<T, WIDTH>(stream, a, batch);
}

}  // namespace

void attention(Stream stream, const AttentionArgs& args)
{
    const int width = args.dim / args.heads;
    const float scale = 1.f / sqrtf(static_cast<float>(width));
    const bool halves = args.qkv.element != DataType::Float32, brain = args.qkv.element == DataType::BFloat16;
    if (halves && (width == 32 || width == 64) && reinterpret_cast<uintptr_t>(args.qkv.data) % 16 == 0 &&
        reinterpret_cast<uintptr_t>(args.out.data) % 16 == 0)
    {
        const TensorAttention a{args.qkv.data, args.out.data, args.droppedToken, args.logSumExp, args.tokens,
                                args.queries,  args.dim,      args.heads,   args.sharedBy,  scale * 1.44269504f};
        if (width == 32)
            brain ? tensorAttention<bf16, 32>(stream, a, args.batch)
                  : tensorAttention<half16, 32>(stream, a, args.batch);
        else
            brain ? tensorAttention<bf16, 64>(stream, a, args.batch)
                  : tensorAttention<half16, 64>(stream, a, args.batch);
        return;
    }
    const PlainAttention a{any(args.qkv), any(args.out), args.droppedToken,  args.logSumExp, args.tokens, args.queries,
                           args.dim,      args.heads,    args.sharedBy, width,          scale};
    const int ownRows = warpsPerBlock * (width <= 128 ? 4 : 2), blocksPerHead = (args.queries + ownRows - 1) / ownRows;
    const size_t shared = static_cast<size_t>(width) * static_cast<size_t>(tileStride() + perTile + ownRows) *
                          sizeof(float);
    launch(stream, "attention", width <= 32 ? plainAttentionKernel<1, 4> : width <= 64 ? plainAttentionKernel<2, 4>
                                : width <= 128 ? plainAttentionKernel<4, 4> : plainAttentionKernel<8, 2>,
           static_cast<unsigned>(args.batch) * static_cast<unsigned>(args.heads) * static_cast<unsigned>(blocksPerHead),
           warpsPerBlock * 32, shared, a, blocksPerHead);
}

}}}}  // namespace
