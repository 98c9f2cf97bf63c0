// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention's backward pass: cases not covered by the tensor-core kernels, and the choice between both.
#include "attention_long.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int warpsPerBlock = 4, perTile = 32, tileStride = perTile + 1;   // so that columns are in different banks

/// delta[b, head, token] = the sum over the head of dOut * out: one block per token, each warp every fourth head.
__global__ void deltaKernel(AnyInput out, AnyInput dOut, float* delta, int tokens, int heads, int width)
{
    const unsigned b = blockIdx.x / static_cast<unsigned>(tokens), token = blockIdx.x % static_cast<unsigned>(tokens);
    for (int head = static_cast<int>(threadIdx.x / 32); head < heads; head += warpsPerBlock)
    {
        const size_t row = static_cast<size_t>(b) * static_cast<size_t>(heads) + static_cast<size_t>(head);
        const size_t at = (static_cast<size_t>(blockIdx.x) * static_cast<size_t>(heads) + static_cast<size_t>(head)) *
                          static_cast<size_t>(width);
        float sum = 0;
        for (int c = static_cast<int>(threadIdx.x % 32); c < width; c += 32)
            sum += out[at + static_cast<size_t>(c)] * dOut[at + static_cast<size_t>(c)];
        sum = warpSum(sum);
        if (threadIdx.x % 32 == 0)
            delta[row * static_cast<size_t>(tokens) + token] = sum;
    }
}

struct PlainBackward
{
    AnyInput qkv, dOut;
    const float *logSumExp, *delta;
    AnyOutput dQkv;
    int tokens, dim, heads, width;
    float scale;
};

/// Gradients of the queries, or of the keys and values: for a head's own rows (queries and dOut; keys and values) they
/// are sums over the other rows, which are loaded in tiles of 32. Both use weight = e^(query . key - logSumExp), d =
/// weight (dOut . value - delta) scale,
/// dQuery = sum of d key; dKey = sum of d query, dValue = sum of weight dOut.
template <int COLUMNS, int perWarp, bool KEYS>
__global__ void __launch_bounds__(warpsPerBlock * 32) plainBackwardKernel(PlainBackward a, int blocksPerHead)
{
    const int ownRows = warpsPerBlock * perWarp;
    LTRP_DYNAMIC_SHARED(float, other1);   // [width][33], turned: keys or queries
    LTRP_SHARED(float, weights, 2 * ownRows * perTile);
    float* const other2 = other1 + a.width * tileStride;   // values or dOut
    float* const own1 = other2 + a.width * tileStride;     // [ownRows][width]: queries or keys
    float* const own2 = own1 + ownRows * a.width;          // dOut or values
    const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
    const size_t part = blockIdx.x % static_cast<unsigned>(blocksPerHead),
                 head = blockIdx.x / static_cast<unsigned>(blocksPerHead);
    const size_t b = head / static_cast<size_t>(a.heads), h = head % static_cast<size_t>(a.heads),
                 dim = static_cast<size_t>(a.dim);
    const size_t tokens = static_cast<size_t>(a.tokens), column0 = h * static_cast<size_t>(a.width);
    const int first = static_cast<int>(part) * ownRows;
    const auto load = [&](int token, int c, bool secondOfThem, bool ofKeys) {
        if (token >= a.tokens)
            return 0.f;
        const size_t row = b * tokens + static_cast<size_t>(token), column = column0 + static_cast<size_t>(c);
        if (!ofKeys && secondOfThem)
            return a.dOut[row * dim + column];
        return a.qkv[row * 3 * dim + (ofKeys ? secondOfThem ? 2 * dim : dim : 0) + column];
    };
    for (int i = static_cast<int>(threadIdx.x); i < ownRows * a.width; i += static_cast<int>(blockDim.x))
    {
        own1[i] = load(first + i / a.width, i % a.width, false, KEYS);
        own2[i] = load(first + i / a.width, i % a.width, true, KEYS);
    }
    float sums1[perWarp][COLUMNS] = {}, sums2[perWarp][COLUMNS] = {};
    float* const ownWeights = weights + warp * perWarp * perTile;
    float* const ownSlopes = ownWeights + ownRows * perTile;
    for (int begin = 0; begin < a.tokens; begin += perTile)
    {
        __syncthreads();   // all threads are done with the last tile
        for (int i = static_cast<int>(threadIdx.x); i < perTile * a.width; i += static_cast<int>(blockDim.x))
        {
            const int row = i / a.width, c = i % a.width;
            other1[c * tileStride + row] = load(begin + row, c, false, !KEYS);
            other2[c * tileStride + row] = load(begin + row, c, true, !KEYS);
        }
        __syncthreads();
        float s[perWarp] = {}, d[perWarp] = {};
        for (int c = 0; c < a.width; ++c)
        {
            const float x1 = other1[c * tileStride + lane], x2 = other2[c * tileStride + lane];
#pragma unroll
            for (int r = 0; r < perWarp; ++r)
            {
                s[r] += own1[(warp * perWarp + r) * a.width + c] * x1;
                d[r] += own2[(warp * perWarp + r) * a.width + c] * x2;
            }
        }
#pragma unroll
        for (int r = 0; r < perWarp; ++r)
        {
            const int ownToken = first + warp * perWarp + r, otherToken = begin + lane;
            const bool there = ownToken < a.tokens && otherToken < a.tokens;
            const size_t query = head * tokens + static_cast<size_t>(there ? KEYS ? otherToken : ownToken : 0);
            const float p = there ? expf(s[r] * a.scale - a.logSumExp[query]) : 0.f;
            ownWeights[r * perTile + lane] = p;
            ownSlopes[r * perTile + lane] = there ? p * (d[r] - a.delta[query]) * a.scale : 0.f;
        }
        __syncwarp();
        for (int j = 0; j < perTile; ++j)
#pragma unroll
            for (int i = 0; i < COLUMNS; ++i)
            {
                const int c = lane + 32 * i;
                const float x1 = c < a.width ? other1[c * tileStride + j] : 0.f;
                const float x2 = KEYS && c < a.width ? other2[c * tileStride + j] : 0.f;
#pragma unroll
                for (int r = 0; r < perWarp; ++r)
                {
                    sums1[r][i] += ownSlopes[r * perTile + j] * x1;
                    if (KEYS)
                        sums2[r][i] += ownWeights[r * perTile + j] * x2;
                }
            }
        __syncwarp();
    }
#pragma unroll
    for (int r = 0; r < perWarp; ++r)
#pragma unroll
        for (int i = 0; i < COLUMNS; ++i)
        {
            const int token = first + warp * perWarp + r, c = lane + 32 * i;
            if (token >= a.tokens || c >= a.width)
                continue;
            const size_t at = (b * tokens + static_cast<size_t>(token)) * 3 * dim + column0 + static_cast<size_t>(c);
            a.dQkv.set(at + (KEYS ? dim : 0), sums1[r][i]);
            if (KEYS)
                a.dQkv.set(at + 2 * dim, sums2[r][i]);
        }
}

template <int COLUMNS, int perWarp>
void launchPlainBackward(Stream stream, const PlainBackward& a, int batch)
{
    const int ownRows = warpsPerBlock * perWarp, blocksPerHead = (a.tokens + ownRows - 1) / ownRows;
    const size_t shared = 2 * static_cast<size_t>(a.width) * static_cast<size_t>(tileStride + ownRows) * sizeof(float);
    const unsigned blocks = static_cast<unsigned>(batch) * static_cast<unsigned>(a.heads) *
                            static_cast<unsigned>(blocksPerHead);
    launch(stream, "attentionBackward", plainBackwardKernel<COLUMNS, perWarp, false>, blocks, warpsPerBlock * 32,
           shared, a, blocksPerHead);
    launch(stream, "attentionBackward", plainBackwardKernel<COLUMNS, perWarp, true>, blocks, warpsPerBlock * 32, shared,
           a, blocksPerHead);
}

template <class T, int WIDTH>
void tensorBackward(Stream stream, const TensorBackward& a, int batch)
{
    if (tensorBackwardShared(a.tokens, WIDTH) <= mostShared)
        launchTensorBackward<T, WIDTH>(stream, a, batch);
    else
        launchLongBackward<T, WIDTH>(stream, a, batch);
}

}  // namespace

size_t attentionBackwardScratch(int batch, int tokens, int dim, int heads)
{
    (void)dim;
    return static_cast<size_t>(batch) * static_cast<size_t>(tokens) * static_cast<size_t>(heads) * sizeof(float);
}

void attentionBackward(Stream stream, const AttentionBackwardArgs& args, void* scratch)
{
    const int width = args.dim / args.heads;
    const float scale = 1.f / sqrtf(static_cast<float>(width));
    const unsigned rows = static_cast<unsigned>(args.batch) * static_cast<unsigned>(args.tokens);
    float* const delta = static_cast<float*>(scratch);
    launch(stream, "attentionBackward", deltaKernel, rows, warpsPerBlock * 32, 0, any(args.out), any(args.dOut),
           delta, args.tokens, args.heads, width);
    const DataType element = args.qkv.element;
    const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
    if (element != DataType::Float32 && (width == 32 || width == 64) && args.dOut.element == element &&
        aligned(args.qkv.data) && aligned(args.dOut.data) && aligned(args.dQkv.data))
    {
        const TensorBackward a{args.qkv.data, args.dOut.data, args.logSumExp, delta, args.dQkv.data,
                               args.tokens,   args.dim,       args.heads,     scale};
        const bool brain = element == DataType::BFloat16;
        if (width == 32)
            brain ? tensorBackward<bf16, 32>(stream, a, args.batch) : tensorBackward<half16, 32>(stream, a, args.batch);
        else
            brain ? tensorBackward<bf16, 64>(stream, a, args.batch) : tensorBackward<half16, 64>(stream, a, args.batch);
        return;
    }
    const PlainBackward a{any(args.qkv), any(args.dOut), args.logSumExp, delta, any(args.dQkv),
                          args.tokens,   args.dim,       args.heads,     width, scale};
    if (width <= 32)
        launchPlainBackward<1, 4>(stream, a, args.batch);
    else if (width <= 64)
        launchPlainBackward<2, 4>(stream, a, args.batch);
    else if (width <= 128)
        launchPlainBackward<4, 4>(stream, a, args.batch);
    else
        launchPlainBackward<8, 2>(stream, a, args.batch);
}

}}}}  // namespace
