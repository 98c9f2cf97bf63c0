// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Row-wise parts of a transformer block: norms, linear layers, GELU. Each thread takes a block of rows that fits into
// its cache through all of them, with its own products: threads do not wait for each other, and intermediate values are
// not written to memory.
#include "backend.hpp"
#include "kernels.hpp"
#include "matmul.hpp"
#include "../../core/parallel.hpp"

#include <algorithm>
#include <cstring>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// Least rows per thread: with fewer, waking a thread costs more than it saves.
const size_t leastRows = 24;

/// Most rows per product: enough for the matrix library's full rate, few enough that `widest` floats of each fit into
/// the L2 cache.
size_t rowsPerBlock(int widest)
{
    return std::min<size_t>(128, std::max<size_t>(48, 262144 / static_cast<size_t>(widest)));
}

/// Scratch memory of the calling thread, kept between calls; the slots are independent.
void* scratch(int slot, size_t bytes)
{
    thread_local std::vector<unsigned char> buffers[8];
    std::vector<unsigned char>& buffer = buffers[slot];
    if (buffer.size() < bytes + 64)
        buffer.resize(bytes + 64);
    return alignPtr(buffer.data(), 64);
}

/// Multiplies blocks of rows by weights in one precision; converts activations from floats.
class RowProduct
{
public:
    RowProduct(Precision precision, const LinearWeights& weights, const PackedMatrix* packed)
        : precision_(precision), weights_(weights), packed_(packed), kernels_(kernels()),
          in_(static_cast<size_t>(weights.in)), out_(static_cast<size_t>(weights.out))
    {
    }

    /// y = x w^T + b, or += when add.
    void run(const float* x, size_t rows, float* y, bool add) const
    {
        if (precision_ == Precision::FP32)
            multiply(x, rows, y, add);
        else if (precision_ == Precision::BF16)
            multiply(half(x, rows, kernels_.toBf16), rows, y, add);
        else
            dequantise(sums(quantised(x, rows), rows), rows, y, add);
    }

    /// y = norm(x) w^T + b.
    void runNormed(const NormWeights& norm, const float* x, size_t rows, float* y) const
    {
        if (precision_ == Precision::INT8)
            dequantise(sums(quantised(norm, x, rows), rows), rows, y, false);
        else
            run(normed(norm, x, rows), rows, y, false);
    }

    /// y += gelu(first(norm(x))) w^T + b: both layers of an MLP.
    void runMlp(const NormWeights& norm, const RowProduct& first, const float* x, size_t rows, float* y) const
    {
        if (precision_ == Precision::INT8)
        {
            const Quantised from = first.quantised(norm, x, rows);
            const int32_t* hidden = first.sums(from, rows);
            const Quantised to(rows, in_, 5);
            kernels_.geluQuantise(hidden, from.scale, from.low, first.packed_->scales(), first.packed_->sums(),
                                  first.weights_.bias, to.values, to.scale, to.low,
                                  static_cast<float*>(scratch(4, in_ * sizeof(float))), rows, in_);
            dequantise(sums(to, rows), rows, y, true, 5);
            return;
        }
        float* hidden = static_cast<float*>(scratch(4, rows * in_ * sizeof(float)));
        first.run(first.normed(norm, x, rows), rows, hidden, false);
        if (precision_ == Precision::BF16)
        {
            multiply(half(hidden, rows, kernels_.geluBf16), rows, y, true);
            return;
        }
        kernels_.gelu(hidden, hidden, rows * in_);
        multiply(hidden, rows, y, true);
    }

private:
    struct Quantised
    {
        Quantised(size_t rows, size_t columns, int slot)
            : values(static_cast<uint8_t*>(scratch(0, rows * columns))),
              scale(static_cast<float*>(scratch(slot, 2 * rows * sizeof(float)))), low(scale + rows)
        {
        }
        uint8_t* values;
        float *scale, *low;
    };

    const uint16_t* half(const float* x, size_t rows, void (*convert)(const float*, uint16_t*, size_t)) const
    {
        uint16_t* values = static_cast<uint16_t*>(scratch(0, rows * in_ * sizeof(uint16_t)));
        convert(x, values, rows * in_);
        return values;
    }

    Quantised quantised(const float* x, size_t rows) const
    {
        const Quantised q(rows, in_, 1);
        kernels_.quantise(x, q.values, q.scale, q.low, rows, in_);
        return q;
    }

    Quantised quantised(const NormWeights& norm, const float* x, size_t rows) const
    {
        const Quantised q(rows, in_, 1);
        kernels_.normQuantise(x, norm.weight, norm.bias, norm.eps, q.values, q.scale, q.low,
                              static_cast<float*>(scratch(3, in_ * sizeof(float))), rows, in_);
        return q;
    }

    const float* normed(const NormWeights& norm, const float* x, size_t rows) const
    {
        float* values = static_cast<float*>(scratch(3, rows * in_ * sizeof(float)));
        kernels_.layerNorm(x, norm.weight, norm.bias, norm.eps, values, rows, in_, nullptr, nullptr);
        return values;
    }

    const int32_t* sums(const Quantised& q, size_t rows) const
    {
        int32_t* result = static_cast<int32_t*>(scratch(2, rows * out_ * sizeof(int32_t)));
        packed_->multiply(q.values, static_cast<int>(rows), result, nullptr, false);
        return result;
    }

    /// slot: scratch slot with the scales of the activations.
    void dequantise(const int32_t* from, size_t rows, float* y, bool add, int slot = 1) const
    {
        const float* scale = static_cast<const float*>(scratch(slot, 2 * rows * sizeof(float)));
        kernels_.dequantise(from, scale, scale + rows, packed_->scales(), packed_->sums(), weights_.bias, y, rows, out_, add);
    }

    void multiply(const void* x, size_t rows, float* y, bool add) const
    {
        if (packed_)
            packed_->multiply(x, static_cast<int>(rows), y, weights_.bias, add);
        else
            matmul(static_cast<const float*>(x), false, weights_.weight, true, weights_.bias, y, static_cast<int>(rows),
                   weights_.out, weights_.in, add);
    }

    Precision precision_;
    const LinearWeights& weights_;
    const PackedMatrix* packed_;
    const Kernels& kernels_;
    size_t in_, out_;
};

/// Rows [begin, end) in blocks of nearly equal size, at most `most` rows each.
template <class Body>
void inBlocks(size_t begin, size_t end, size_t most, const Body& body)
{
    const size_t blocks = (end - begin + most - 1) / most;
    for (size_t i = 0; i < blocks; ++i)
    {
        const size_t first = begin + (end - begin) * i / blocks, last = begin + (end - begin) * (i + 1) / blocks;
        body(first, last - first);
    }
}

/// Calls body(first, rows) for blocks that cover all rows. With too few rows for most threads: one block on the calling
/// thread, whose products then use all threads.
template <class Body>
void forRowBlocks(int rows, int widest, const Body& body)
{
    const size_t total = static_cast<size_t>(rows);
    if (total / leastRows * 2 < static_cast<size_t>(computeThreads()))
    {
        body(0, total);
        return;
    }
    parallelRanges(total, leastRows, [&](size_t begin, size_t end) { inBlocks(begin, end, rowsPerBlock(widest), body); });
}

/// The two halves of a transformer block around its attention, for blocks of rows.
struct BlockProducts
{
    BlockProducts(const BlockWeights& weights, Precision precision, const PackedMatrix* qkvPacked,
                  const PackedMatrix* projPacked, const PackedMatrix* fc1Packed, const PackedMatrix* fc2Packed)
        : block(weights), qkv(precision, block.qkv, qkvPacked), proj(precision, block.proj, projPacked),
          fc1(precision, block.fc1, fc1Packed), fc2(precision, block.fc2, fc2Packed)
    {
    }
    BlockProducts(const BlockProducts&) = delete;   // the products refer to `block`
    BlockProducts& operator=(const BlockProducts&) = delete;

    void before(const float* x, float* out, size_t n) const { qkv.runNormed(block.norm1, x, n, out); }

    void after(const float* attended, float* x, size_t n) const
    {
        proj.run(attended, n, x, true);
        fc2.runMlp(block.norm2, fc1, x, n, x);
    }

    const BlockWeights block;
    const RowProduct qkv, proj, fc1, fc2;
};

}  // namespace

void CpuBackend::normLinear(const NormWeights& norm, const LinearWeights& linear, const float* x, float* y, int rows) const
{
    const size_t in = static_cast<size_t>(linear.in), out = static_cast<size_t>(linear.out);
    const RowProduct product(precision(), linear, packed(linear));
    forRowBlocks(rows, std::max(linear.in, linear.out), [&](size_t first, size_t n) {
        product.runNormed(norm, x + first * in, n, y + first * out);
    });
}

void CpuBackend::finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const
{
    const size_t dim = static_cast<size_t>(block.proj.out);
    const BlockProducts products(block, precision(), nullptr, packed(block.proj), packed(block.fc1), packed(block.fc2));
    forRowBlocks(rows, block.fc1.out, [&](size_t first, size_t n) {
        products.after(attended + first * dim, x + first * dim, n);
    });
}

void CpuBackend::runBlocks(const BlockWeights* blocks, int count, float* x, const int* droppedToken, int batch, int tokens,
                           int heads, int queries, float* qkv, float* attended) const
{
    if (count == 0)
        return;
    const int dimension = blocks[0].qkv.in;
    const size_t dim = static_cast<size_t>(dimension), t = static_cast<size_t>(tokens);
    const size_t rows = static_cast<size_t>(batch) * t, wanted = static_cast<size_t>(queries);
    const size_t most = rowsPerBlock(blocks[0].fc1.out);
    std::vector<std::unique_ptr<BlockProducts>> products;
    for (int i = 0; i < count; ++i)
        products.emplace_back(new BlockProducts(blocks[i], precision(), packed(blocks[i].qkv), packed(blocks[i].proj),
                                                packed(blocks[i].fc1), packed(blocks[i].fc2)));

    const auto before = [&](const BlockProducts& block, size_t begin, size_t end) {
        inBlocks(begin, end, most, [&](size_t first, size_t n) { block.before(x + first * dim, qkv + first * 3 * dim, n); });
    };
    const auto after = [&](const BlockProducts& block, size_t begin, size_t end) {
        inBlocks(begin, end, most, [&](size_t first, size_t n) { block.after(attended + first * dim, x + first * dim, n); });
    };
    /// The end of the last block for wanted rows begin .. end - 1, which are gathered because they are not adjacent.
    const auto afterWanted = [&](const BlockProducts& block, size_t begin, size_t end) {
        inBlocks(begin, end, most, [&](size_t first, size_t n) {
            float* a = static_cast<float*>(scratch(6, n * dim * sizeof(float)));
            float* y = static_cast<float*>(scratch(7, n * dim * sizeof(float)));
            const auto rowOffset = [&](size_t i) { return ((first + i) / wanted * t + (first + i) % wanted) * dim; };
            for (size_t i = 0; i < n; ++i)
            {
                std::memcpy(a + i * dim, attended + rowOffset(i), dim * sizeof(float));
                std::memcpy(y + i * dim, x + rowOffset(i), dim * sizeof(float));
            }
            block.after(a, y, n);
            for (size_t i = 0; i < n; ++i)
                std::memcpy(x + rowOffset(i), y + i * dim, dim * sizeof(float));
        });
    };
    const int items = batch * heads;
    const auto attend = [&](int part, int parts, int last) {
        // If the heads do not divide evenly among the threads, each is cut into ranges of queries.
        int cuts = 1;
        while (cuts < 4 && items * cuts % parts != 0 && items * cuts < 8 * parts)
            ++cuts;
        const int64_t pieces = static_cast<int64_t>(items) * cuts;
        for (int64_t piece = pieces * part / parts; piece < pieces * (part + 1) / parts; ++piece)
        {
            const int item = static_cast<int>(piece / cuts), cut = static_cast<int>(piece % cuts);
            attendHead(qkv, droppedToken, attended, nullptr, item, tokens, dimension, heads, 1, last * cut / cuts,
                       last * (cut + 1) / cuts);
        }
    };

    const int workers = computeThreads();
    if (batch >= 2 * workers || (batch > 1 && batch % workers == 0))
    {
        // Whole items per thread: an item's queries, keys and values stay in its cache, and threads do not wait for
        // each other.
        parallelRanges(static_cast<size_t>(batch), 1, [&](size_t begin, size_t end) {
            float* const own = qkv + begin * t * 3 * dim;
            for (int i = 0; i < count; ++i)
            {
                const BlockProducts& block = *products[static_cast<size_t>(i)];
                const int last = i + 1 < count ? tokens : queries;
                for (size_t item = begin; item < end; ++item)
                {
                    float* const rowsOf = x + item * t * dim;
                    inBlocks(0, t, most, [&](size_t first, size_t n) {
                        block.before(rowsOf + first * dim, own + first * 3 * dim, n);
                    });
                    for (int head = 0; head < heads; ++head)
                        attendHead(own, droppedToken ? droppedToken + item : nullptr, attended + item * t * dim, nullptr, head, tokens,
                                   dimension, heads, 1, 0, last);
                    if (last == tokens)
                        after(block, item * t, (item + 1) * t);
                }
                if (last < tokens)
                    afterWanted(block, begin * wanted, end * wanted);
            }
        });
        return;
    }
    if (rows / leastRows * 2 < static_cast<size_t>(computeThreads()))
    {
        for (int i = 0; i < count; ++i)   // the products use the threads themselves
        {
            const int last = i + 1 < count ? tokens : queries;
            before(*products[static_cast<size_t>(i)], 0, rows);
            parallelPhases(1, items, [&](int, int part, int parts) { attend(part, parts, last); });
            if (last == tokens)
                after(*products[static_cast<size_t>(i)], 0, rows);
            else
                afterWanted(*products[static_cast<size_t>(i)], 0, static_cast<size_t>(batch) * wanted);
        }
        return;
    }
    // Even phases process rows: the end of one block and the beginning of the next; odd phases compute attention.
    parallelPhases(2 * count + 1, static_cast<int>(rows / leastRows), [&](int phase, int part, int parts) {
        const size_t p = static_cast<size_t>(part), all = static_cast<size_t>(parts);
        const size_t next = static_cast<size_t>(phase / 2), size = static_cast<size_t>(count);
        if (phase % 2 == 1)
        {
            attend(part, parts, next + 1 < size ? tokens : queries);
            return;
        }
        const size_t begin = rows * p / all, end = rows * (p + 1) / all;
        if (next == size && queries < tokens)
        {
            const size_t some = static_cast<size_t>(batch) * wanted;
            afterWanted(*products[next - 1], some * p / all, some * (p + 1) / all);
            return;
        }
        inBlocks(begin, end, most, [&](size_t first, size_t n) {
            if (next > 0)
                after(*products[next - 1], first, first + n);
            if (next < size)
                before(*products[next], first, first + n);
        });
    });
}

void CpuBackend::runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants,
                             const int* droppedToken, float* x, int tokens, int heads, int queries, float* qkv,
                             float* attended) const
{
    const BlockWeights& first = blocks[0];
    const int dim = first.qkv.in;
    normLinear(first.norm1, first.qkv, x0, qkv, inputs * tokens);
    attendVariants(qkv, droppedToken, attended, inputs, variants, tokens, dim, heads);
    repeatItems(x0, x, static_cast<size_t>(inputs), static_cast<size_t>(variants),
                static_cast<size_t>(tokens) * static_cast<size_t>(dim) * sizeof(float));
    finishBlock(first, attended, x, inputs * variants * tokens);
    runBlocks(blocks + 1, count - 1, x, droppedToken, inputs * variants, tokens, heads, queries, qkv, attended);
}

void CpuBackend::storeAnchor(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                               int items, int rows, float* reference) const
{
    for (int i = 0; i < items; ++i)
        normLinear(norm, linear, x + static_cast<size_t>(i) * itemStride,
                   reference + static_cast<size_t>(i) * static_cast<size_t>(rows) * static_cast<size_t>(linear.out), rows);
}

void CpuBackend::differencesFromReference(const NormWeights& norm, const LinearWeights& linear, const float* x,
                                          size_t itemStride, int items, int perReference, int rows, const float* reference,
                                          const float* scale, bool squared, double count, float* means) const
{
    const Kernels& k = kernels();
    const size_t in = static_cast<size_t>(linear.in), out = static_cast<size_t>(linear.out), all = static_cast<size_t>(rows);
    const RowProduct product(precision(), linear, packed(linear));
    // The blocks do not depend on the threads and their sums are added in order, so neither do the results.
    const size_t most = rowsPerBlock(linear.out), blocks = (all + most - 1) / most;
    std::vector<double> partial(static_cast<size_t>(items) * blocks);
    parallelRanges(partial.size(), 1, [&](size_t begin, size_t end) {
        for (size_t task = begin; task < end; ++task)
        {
            const size_t first = all * (task % blocks) / blocks, n = all * (task % blocks + 1) / blocks - first;
            const size_t item = task / blocks, anchor = item / static_cast<size_t>(perReference);
            const float* wanted = reference + (anchor * all + first) * out;
            float* y = static_cast<float*>(scratch(4, n * out * sizeof(float)));
            product.runNormed(norm, x + item * itemStride + first * in, n, y);
            if (!scale)
            {
                partial[task] = k.sumDifference(y, wanted, n * out, 1.f, squared);
                continue;
            }
            for (size_t r = 0; r < n; ++r)
                partial[task] += k.sumDifference(y + r * out, wanted + r * out, out, scale[anchor * all + first + r], squared);
        }
    });
    for (int i = 0; i < items; ++i)
    {
        double sum = 0;
        for (size_t b = 0; b < blocks; ++b)
            sum += partial[static_cast<size_t>(i) * blocks + b];
        means[i] = static_cast<float>(sum / count);
    }
}

}}}  // namespace
