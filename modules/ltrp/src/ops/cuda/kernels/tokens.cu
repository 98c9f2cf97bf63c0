// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Rearranging tokens. One block per row, four values per thread; bound by memory.
#include "sums.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int rowThreads = 128;

/// Calls body(column, number of values, whole) for this thread's runs of a row.
template <class Body>
__device__ __forceinline__ void forRuns(int dim, bool aligned, const Body& body)
{
    for (int column = static_cast<int>(threadIdx.x) * 4; column < dim; column += static_cast<int>(blockDim.x) * 4)
    {
        const int n = valuesHere(dim, column);
        body(static_cast<size_t>(column), n, aligned && n == 4);
    }
}

/// Number of ascending places below this one.
__device__ __forceinline__ int rankOf(const int* places, int count, int place)
{
    int low = 0, high = count;
    while (low < high)
    {
        const int middle = (low + high) / 2;
        if (places[middle] < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

__device__ __forceinline__ AnyInput floats(const float* data) { return AnyInput{data, DataType::Float32}; }
__device__ __forceinline__ AnyOutput floats(float* data) { return AnyOutput{data, DataType::Float32}; }

__global__ void embedKernel(AnyInput tokens, const float* classToken, const float* positions, const int* ids, float* x,
                            int n, int dim, bool aligned)
{
    const size_t item = blockIdx.x / static_cast<unsigned>(n + 1), d = static_cast<size_t>(dim);
    const int t = static_cast<int>(blockIdx.x % static_cast<unsigned>(n + 1)) - 1;   // -1: the class token
    const size_t token = item * static_cast<size_t>(n) + static_cast<size_t>(t < 0 ? 0 : t);
    const size_t place = t < 0 ? 0 : 1 + static_cast<size_t>(ids ? ids[token] : t);
    forRuns(dim, aligned, [&](size_t c, int count, bool whole) {
        float v[4], p[4];
        if (t < 0)
            load4(floats(classToken), c, whole, count, v);
        else
            load4(tokens, token * d + c, whole, count, v);
        load4(floats(positions), place * d + c, whole, count, p);
        for (int k = 0; k < 4; ++k)
            v[k] += p[k];
        store4(floats(x), static_cast<size_t>(blockIdx.x) * d + c, whole, count, v);
    });
}

__global__ void embedBackwardKernel(const float* dx, AnyOutput dTokens, int n, int dim, bool aligned)
{
    const size_t row = blockIdx.x, d = static_cast<size_t>(dim);
    const size_t from = row + row / static_cast<size_t>(n) + 1;   // each group of n is preceded by a class token
    forRuns(dim, aligned, [&](size_t c, int count, bool whole) {
        float v[4];
        load4(floats(dx), from * d + c, whole, count, v);
        store4(dTokens, row * d + c, whole, count, v);
    });
}

/// sums[c] += the sum of `count` rows that are `stride` apart.
__global__ void addRowsKernel(const float* x, size_t stride, int count, float* sums, int dim)
{
    const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= dim)
        return;
    float total = 0;
    for (int i = 0; i < count; ++i)
        total += x[static_cast<size_t>(i) * stride + static_cast<size_t>(c)];
    sums[c] += total;
}

__global__ void complementKernel(const int* keep, int* masked, int visible, int numPatches)
{
    const int* own = keep + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(visible);
    int* to = masked + static_cast<size_t>(blockIdx.x) * static_cast<size_t>(numPatches - visible);
    for (int place = static_cast<int>(threadIdx.x); place < numPatches; place += static_cast<int>(blockDim.x))
    {
        const int rank = rankOf(own, visible, place);
        if (rank == visible || own[rank] != place)
            to[place - rank] = place;
    }
}

struct DecoderArgs
{
    AnyInput embedded;
    const float *maskToken, *positions;
    const int *keep, *masked;
    bool maskedFirst;
    float* x;
    int visible, numPatches, dim;
    bool aligned;
};

__global__ void decoderInputKernel(DecoderArgs a)
{
    const int tokens = a.numPatches + 1, maskedCount = a.numPatches - a.visible;
    const size_t item = blockIdx.x / static_cast<unsigned>(tokens), d = static_cast<size_t>(a.dim);
    const int row = static_cast<int>(blockIdx.x % static_cast<unsigned>(tokens));
    const int* keep = a.keep + item * static_cast<size_t>(a.visible);
    int position = row, from = 0;   // from: number of the embedded row, -1: the mask token
    if (a.maskedFirst && row < maskedCount)
    {
        position = 1 + a.masked[item * static_cast<size_t>(maskedCount) + static_cast<size_t>(row)];
        from = -1;
    }
    else if (a.maskedFirst)
    {
        from = row - maskedCount;
        position = from == 0 ? 0 : 1 + keep[from - 1];
    }
    else if (row > 0)
    {
        const int rank = rankOf(keep, a.visible, row - 1);
        from = rank < a.visible && keep[rank] == row - 1 ? 1 + rank : -1;
    }
    const size_t embedded = (item * static_cast<size_t>(a.visible + 1) + static_cast<size_t>(from < 0 ? 0 : from)) * d;
    forRuns(a.dim, a.aligned, [&](size_t c, int count, bool whole) {
        float v[4], p[4];
        if (from < 0)
            load4(floats(a.maskToken), c, whole, count, v);
        else
            load4(a.embedded, embedded + c, whole, count, v);
        load4(floats(a.positions), static_cast<size_t>(position) * d + c, whole, count, p);
        for (int k = 0; k < 4; ++k)
            v[k] += p[k];
        store4(floats(a.x), static_cast<size_t>(blockIdx.x) * d + c, whole, count, v);
    });
}

__global__ void decoderEmbeddedKernel(const float* dx, const int* keep, AnyOutput dEmbedded, int visible,
                                      int numPatches, int dim, bool aligned)
{
    const size_t item = blockIdx.x / static_cast<unsigned>(visible + 1), d = static_cast<size_t>(dim);
    const int row = static_cast<int>(blockIdx.x % static_cast<unsigned>(visible + 1));
    const int place = row == 0 ? 0 : 1 + keep[item * static_cast<size_t>(visible) + static_cast<size_t>(row - 1)];
    const size_t from = item * static_cast<size_t>(numPatches + 1) + static_cast<size_t>(place);
    forRuns(dim, aligned, [&](size_t c, int count, bool whole) {
        float v[4];
        load4(floats(dx), from * d + c, whole, count, v);
        store4(dEmbedded, static_cast<size_t>(blockIdx.x) * d + c, whole, count, v);
    });
}

/// Sum of the masked rows, one part per block row: partial [parts, dim].
__global__ void maskTokenKernel(const float* dx, const int* masked, float* partial, size_t rows, int maskedCount,
                                int numPatches, int dim)
{
    const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= dim)
        return;
    const size_t first = rows * blockIdx.y / gridDim.y, last = rows * (blockIdx.y + 1) / gridDim.y,
                 d = static_cast<size_t>(dim);
    float total = 0;
    for (size_t r = first; r < last; ++r)
    {
        const size_t item = r / static_cast<size_t>(maskedCount);
        total += dx[(item * static_cast<size_t>(numPatches + 1) + 1 + static_cast<size_t>(masked[r])) * d +
                    static_cast<size_t>(c)];
    }
    partial[static_cast<size_t>(blockIdx.y) * d + static_cast<size_t>(c)] = total;
}

struct MoveArgs
{
    AnyInput x;
    const int* ids;
    int base;
    AnyOutput y;
    size_t itemStride;
    int n, dim;
    bool aligned;
};

__global__ void gatherKernel(MoveArgs a)
{
    const size_t row = blockIdx.x, item = row / static_cast<size_t>(a.n), d = static_cast<size_t>(a.dim);
    const int from = a.base + (a.ids ? a.ids[row] : static_cast<int>(row % static_cast<size_t>(a.n)));
    forRuns(a.dim, a.aligned, [&](size_t c, int count, bool whole) {
        float v[4] = {};
        if (from >= 0)
            load4(a.x, item * a.itemStride + static_cast<size_t>(from) * d + c, whole, count, v);
        store4(a.y, row * d + c, whole, count, v);
    });
}

__global__ void scatterKernel(MoveArgs a)
{
    const size_t row = blockIdx.x, item = row / static_cast<size_t>(a.n), d = static_cast<size_t>(a.dim);
    const size_t to = static_cast<size_t>(a.base +
                                          (a.ids ? a.ids[row] : static_cast<int>(row % static_cast<size_t>(a.n))));
    forRuns(a.dim, a.aligned, [&](size_t c, int count, bool whole) {
        float v[4];
        load4(a.x, row * d + c, whole, count, v);
        store4(a.y, item * a.itemStride + to * d + c, whole, count, v);
    });
}

bool alignedRows(int dim, std::initializer_list<const void*> fp32, const void* other = nullptr,
                 DataType element = DataType::Float32)
{
    bool all = dim % 4 == 0 && aligned4(other, element);
    for (const void* pointer : fp32)
        all = all && aligned4(pointer, DataType::Float32);
    return all;
}

unsigned rowsOf(int items, int each)
{
    return static_cast<unsigned>(static_cast<size_t>(items) * static_cast<size_t>(each));
}

}  // namespace

void embedTokens(Stream stream, Input tokens, const float* classToken, const float* positions, const int* ids, float* x,
                 int batch, int n, int dim)
{
    launch(stream, "embedTokens", embedKernel, rowsOf(batch, n + 1), rowThreads, 0, any(tokens), classToken, positions,
           ids, x, n, dim, alignedRows(dim, {classToken, positions, x}, tokens.data, tokens.element));
}

void embedTokensBackward(Stream stream, const float* dx, Output dTokens, float* dClass, int batch, int n, int dim)
{
    launch(stream, "embedTokensBackward", embedBackwardKernel, rowsOf(batch, n), rowThreads, 0, dx, any(dTokens), n,
           dim, alignedRows(dim, {dx}, dTokens.data, dTokens.element));
    launch(stream, "embedTokensBackward", addRowsKernel, blocksFor(static_cast<size_t>(dim), 64), 64, 0, dx,
           static_cast<size_t>(n + 1) * static_cast<size_t>(dim), batch, dClass, dim);
}

void complementPatches(Stream stream, const int* keep, int* masked, int batch, int visible, int numPatches)
{
    launch(stream, "complementPatches", complementKernel, static_cast<unsigned>(batch), 256, 0, keep, masked, visible,
           numPatches);
}

void decoderInput(Stream stream, const DecoderInputArgs& args)
{
    const DecoderArgs a{
        any(args.embedded),
        args.maskToken,
        args.positions,
        args.keep,
        args.masked,
        args.maskedFirst,
        args.x,
        args.visible,
        args.numPatches,
        args.dim,
        alignedRows(args.dim, {args.maskToken, args.positions, args.x}, args.embedded.data, args.embedded.element)};
    launch(stream, "decoderInput", decoderInputKernel, rowsOf(args.batch, args.numPatches + 1), rowThreads, 0, a);
}

size_t decoderInputBackwardScratch(int batch, int visible, int numPatches, int dim)
{
    const size_t rows = rowsOf(batch, numPatches - visible);
    return (rows ? partsOf(rows, 64, 256) : 1) * static_cast<size_t>(dim) * sizeof(float);
}

void decoderInputBackward(Stream stream, const float* dx, const int* keep, const int* masked, Output dEmbedded,
                          float* dMask, int batch, int visible, int numPatches, int dim, void* scratch)
{
    launch(stream, "decoderInputBackward", decoderEmbeddedKernel, rowsOf(batch, visible + 1), rowThreads, 0, dx, keep,
           any(dEmbedded), visible, numPatches, dim, alignedRows(dim, {dx}, dEmbedded.data, dEmbedded.element));
    const size_t rows = rowsOf(batch, numPatches - visible), width = static_cast<size_t>(dim);
    if (rows == 0)
        return;
    float* const partial = static_cast<float*>(scratch);
    const size_t parts = partsOf(rows, 64, 256);
    launch(stream, "decoderInputBackward", maskTokenKernel, dim3(blocksFor(width, 128), static_cast<unsigned>(parts)),
           128, 0, dx, masked, partial, rows, numPatches - visible, numPatches, dim);
    addParts<float>(stream, partial, parts, width, dMask, nullptr, width);
}

void gatherRows(Stream stream, Input x, size_t itemStride, const int* ids, int base, Output y, int items, int n,
                int dim)
{
    launch(stream, "gatherRows", gatherKernel, rowsOf(items, n), rowThreads, 0,
           MoveArgs{any(x), ids, base, any(y), itemStride, n, dim, dim % 4 == 0 && itemStride % 4 == 0 &&
                    aligned4(x.data, x.element) && aligned4(y.data, y.element)});
}

void scatterRows(Stream stream, Input x, const int* ids, int base, Output y, size_t itemStride, int items, int n,
                 int dim)
{
    launch(stream, "scatterRows", scatterKernel, rowsOf(items, n), rowThreads, 0,
           MoveArgs{any(x), ids, base, any(y), itemStride, n, dim, dim % 4 == 0 && itemStride % 4 == 0 &&
                    aligned4(x.data, x.element) && aligned4(y.data, y.element)});
}

}}}}  // namespace
