// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A transformer block in training, in fp32, or with bfloat16 values between two products. Values that are faster to
// recompute than to load from memory (attention weights, GELU) are not stored, and operations on a row are done while
// it is in the cache.
#include "backend.hpp"
#include "matmul.hpp"
#include "../../core/parallel.hpp"
#include "../bump_allocator.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// Rows processed together between the products: their data stay in the L2 cache.
const size_t rowsAtATime = 16;

struct Sizes
{
    Sizes(const BlockWeights& block, int batchSize, int tokensEach, int headCount)
        : batch(batchSize), tokens(tokensEach), heads(headCount), dim(block.qkv.in), hidden(block.fc1.out),
          rows(batchSize * tokensEach), r(static_cast<size_t>(rows)), d(static_cast<size_t>(dim)),
          h(static_cast<size_t>(hidden))
    {
    }
    int batch, tokens, heads, dim, hidden, rows;
    size_t r, d, h;
};

/// Row stride of the values between the two layers of the MLP. Rows that begin a multiple of 1 KiB apart map to few
/// cache sets, which slows fp32 products by up to a sixth if these rows are summed along or written. The bfloat16
/// products copy more and are not affected.
template <class Value>
size_t hiddenStep(const Sizes& n)
{
    return sizeof(Value) == sizeof(float) && n.h % 256 == 0 ? n.h + 16 : n.h;
}

template <class Value>
struct BlockTape
{
    BlockTape(const Sizes& n, float* base)
    {
        BumpAllocator cut(base);
        x = cut.take(n.r * n.d);
        mean1 = cut.take(n.r);
        rstd1 = cut.take(n.r);
        norm1 = cut.take<Value>(n.r * n.d);
        qkv = cut.take<Value>(n.r * 3 * n.d);
        attended = cut.take<Value>(n.r * n.d);
        middle = cut.take(n.r * n.d);
        mean2 = cut.take(n.r);
        rstd2 = cut.take(n.r);
        norm2 = cut.take<Value>(n.r * n.d);
        before = cut.take<Value>(n.r * hiddenStep<Value>(n));
        total = cut.used();
    }
    float *x, *mean1, *rstd1, *middle, *mean2, *rstd2;
    Value *norm1, *qkv, *attended, *norm2, *before;
    size_t total;
};

template <class Value>
struct BlockScratch
{
    BlockScratch(const Sizes& n, float* base)
    {
        BumpAllocator cut(base);
        narrow = cut.take<Value>(n.r * n.d);
        branch = cut.take(n.r * n.d);
        after = cut.take<Value>(n.r * hiddenStep<Value>(n));
        hidden = cut.take<Value>(n.r * hiddenStep<Value>(n));
        qkv = cut.take<Value>(n.r * 3 * n.d);
        total = cut.used();
    }
    float* branch;
    Value *narrow, *after, *hidden, *qkv;
    size_t total;
};

// Differences between the two value types.

void narrowed(const Kernels&, const float* x, float* y, size_t count) { std::memcpy(y, x, count * sizeof(float)); }
void narrowed(const Kernels& k, const float* x, uint16_t* y, size_t count) { k.toBf16(x, y, count); }

void geluOf(const Kernels& k, const float* x, float* y, size_t count) { k.gelu(x, y, count); }
void geluOf(const Kernels& k, const uint16_t* x, uint16_t* y, size_t count) { k.gelu16(x, y, count); }

void geluGradient(const Kernels& k, const float* x, float* d, float* y, size_t count) { k.geluBackward(x, d, d, y, count); }
void geluGradient(const Kernels& k, const uint16_t* x, uint16_t* d, uint16_t* y, size_t count)
{
    k.geluBackward16(x, d, d, y, count);
}

void addColumns(const Kernels& k, const float* x, float* sums, size_t rows, size_t n) { k.columnSums(x, sums, rows, n); }
void addColumns(const Kernels& k, const uint16_t* x, float* sums, size_t rows, size_t n) { k.columnSums16(x, sums, rows, n); }

void attend(const Kernels& k, const HeadArgs& args) { k.attention(args); }
void attendBackward(const Kernels& k, const HeadArgs& args) { k.attentionBackward(args); }

/// One head in 16 bits using the fp32 kernels, for kernel sets without 16-bit products.
class WidenedHead
{
public:
    WidenedHead(const Kernels& k, const HeadArgs16& from) : k_(k), from_(from), tokens_(static_cast<size_t>(from.tokens)),
        width_(static_cast<size_t>(from.width)), values_(8 * tokens_ * width_)
    {
        args.tokens = args.lastQuery = from.tokens;
        args.width = from.width;
        args.scale = from.scale;
        args.stride = args.outStride = width_;
        args.scratch = from.scratch;
        args.q = widen(0, from.q, from.stride);
        args.k = widen(1, from.k, from.stride);
        args.v = widen(2, from.v, from.stride);
    }

    void forward()
    {
        args.out = place(3);
        k_.attention(args);
        narrow(3, from_.out, from_.outStride);
    }

    void backward()
    {
        args.dOut = widen(4, from_.dOut, from_.outStride);
        args.dq = place(5);
        args.dk = place(6);
        args.dv = place(7);
        k_.attentionBackward(args);
        narrow(5, from_.dq, from_.stride);
        narrow(6, from_.dk, from_.stride);
        narrow(7, from_.dv, from_.stride);
    }

private:
    float* place(size_t slot) { return values_.data() + slot * tokens_ * width_; }
    const float* widen(size_t slot, const uint16_t* x, size_t stride)
    {
        for (size_t t = 0; t < tokens_; ++t)
            k_.fromBf16(x + t * stride, place(slot) + t * width_, width_);
        return place(slot);
    }
    void narrow(size_t slot, uint16_t* y, size_t stride)
    {
        for (size_t t = 0; t < tokens_; ++t)
            k_.toBf16(place(slot) + t * width_, y + t * stride, width_);
    }

    const Kernels& k_;
    const HeadArgs16& from_;
    size_t tokens_, width_;
    std::vector<float> values_;
    HeadArgs args;
};

bool pairsServe(const Kernels& k, int width) { return k.attention16 && width <= 512; }

void attend(const Kernels& k, const HeadArgs16& args)
{
    if (pairsServe(k, args.width))
        k.attention16(args);
    else
        WidenedHead(k, args).forward();
}

void attendBackward(const Kernels& k, const HeadArgs16& args)
{
    if (pairsServe(k, args.width))
        k.attentionBackward16(args);
    else
        WidenedHead(k, args).backward();
}

/// The weights of the block's products, in the type of the products.
template <class Value>
struct BlockMatrices
{
    const Value *qkv, *proj, *fc1, *fc2;
};

template <class Body>
void forRows(const Sizes& n, const Body& body)
{
    parallelRanges(n.r, 2 * rowsAtATime, [&](size_t begin, size_t end) {
        for (size_t first = begin; first < end; first += rowsAtATime)
            body(first, std::min(rowsAtATime, end - first));
    });
}

/// Calls body for all heads of all items, with the head's sizes and its offsets in a [3 * dim] and a [dim] row.
template <class Value, class Body>
void forHeads(const Sizes& n, const Body& body)
{
    const size_t heads = static_cast<size_t>(n.heads), tokens = static_cast<size_t>(n.tokens);
    parallelRanges(static_cast<size_t>(n.batch) * heads, 1, [&](size_t begin, size_t end) {
        HeadArgsOf<Value> args = headArgs<Value>(n.tokens, n.dim, n.heads);
        args.scratch = threadScratch(backwardScratch(n.tokens, args.width));
        for (size_t item = begin; item < end; ++item)
        {
            const size_t within = item % heads * static_cast<size_t>(args.width), first = item / heads * tokens;
            body(args, first * 3 * n.d + within, first * n.d + within);
        }
    });
}

template <class Value>
void setInputs(HeadArgsOf<Value>& args, const Value* qkv, size_t d)
{
    args.q = qkv;
    args.k = qkv + d;
    args.v = qkv + 2 * d;
}

/// Keeps x in `kept`, and its norm as input of a product.
template <class Value>
void keepNorm(const Sizes& n, const NormWeights& norm, const float* x, float* kept, Value* normed, float* mean, float* rstd)
{
    const Kernels& k = kernels();
    forRows(n, [&](size_t first, size_t count) {
        float* const own = kept + first * n.d;
        std::memcpy(own, x + first * n.d, count * n.d * sizeof(float));
        float* const y = threadScratch(rowsAtATime * n.d);
        k.layerNorm(own, norm.weight, norm.bias, norm.eps, y, count, n.d, mean + first, rstd + first);
        narrowed(k, y, normed + first * n.d, count * n.d);
    });
}

void addTo(float* to, const float* what, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        to[i] += what[i];
}

template <class Value>
void forwardOf(const Sizes& n, const BlockWeights& block, const BlockMatrices<Value>& w, float* x, float* tape, float* scratch)
{
    const Kernels& k = kernels();
    const BlockTape<Value> t(n, tape);
    const BlockScratch<Value> s(n, scratch);
    const size_t hs = hiddenStep<Value>(n);
    const int step = static_cast<int>(hs);
    keepNorm(n, block.norm1, x, t.x, t.norm1, t.mean1, t.rstd1);
    matmul(t.norm1, false, w.qkv, true, block.qkv.bias, t.qkv, n.rows, 3 * n.dim, n.dim, false);
    forHeads<Value>(n, [&](HeadArgsOf<Value>& args, size_t at, size_t outAt) {
        setInputs(args, t.qkv + at, n.d);
        args.out = t.attended + outAt;
        attend(k, args);
    });
    matmul(t.attended, false, w.proj, true, block.proj.bias, x, n.rows, n.dim, n.dim, true);
    keepNorm(n, block.norm2, x, t.middle, t.norm2, t.mean2, t.rstd2);
    matmul(t.norm2, false, w.fc1, true, block.fc1.bias, t.before, n.rows, n.hidden, n.dim, false, {0, 0, step});
    forRows(n, [&](size_t first, size_t count) {
        for (size_t row = first; row < first + count; ++row)   // dense from here on, which makes this product faster
            geluOf(k, t.before + row * hs, s.after + row * n.h, n.h);
    });
    matmul(s.after, false, w.fc2, true, block.fc2.bias, x, n.rows, n.dim, n.hidden, true);
}

/// The gradient at a product's output in the product's type: rounded into `space`, or unchanged.
const float* asFactor(const float* d, float*, std::vector<float>& sums, size_t rows, size_t columns)
{
    const Kernels& k = kernels();
    sums = sumInParts(rows, columns, [&](size_t begin, size_t end, float* part) {
        k.columnSums(d + begin * columns, part, end - begin, columns);
    });
    return d;
}

const uint16_t* asFactor(const float* d, uint16_t* space, std::vector<float>& sums, size_t rows, size_t columns)
{
    const Kernels& k = kernels();
    sums = sumInParts(rows, columns, [&](size_t begin, size_t end, float* part) {
        k.columnSums(d + begin * columns, part, end - begin, columns);
        k.toBf16(d + begin * columns, space + begin * columns, (end - begin) * columns);
    });
    return space;
}

/// d += the gradient through the norm; adds to the gradients of its weights.
void normBackward(const Sizes& n, const NormWeights& norm, const float* branch, const float* x, const float* mean,
                  const float* rstd, float* d, const ParamGrads& grads)
{
    const Kernels& k = kernels();
    const std::vector<float> sums = sumInParts(n.r, 2 * n.d, [&](size_t begin, size_t end, float* part) {
        k.layerNormBackward(branch + begin * n.d, x + begin * n.d, norm.weight, mean + begin, rstd + begin, d + begin * n.d,
                            part, part + n.d, end - begin, n.d);
    });
    addTo(grads.weight, sums.data(), n.d);
    addTo(grads.bias, sums.data() + n.d, n.d);
}

template <class Value>
void backwardOf(const Sizes& n, const BlockWeights& block, const BlockMatrices<Value>& w, const BlockGrads& g, float* tape,
                float* d, float* scratch)
{
    const Kernels& k = kernels();
    const BlockTape<Value> t(n, tape);
    const BlockScratch<Value> s(n, scratch);
    const size_t hs = hiddenStep<Value>(n);
    const int step = static_cast<int>(hs);
    std::vector<float> sums;
    const Value* factor = asFactor(d, s.narrow, sums, n.r, n.d);
    addTo(g.fc2.bias, sums.data(), n.d);
    matmul(factor, false, w.fc2, false, nullptr, s.hidden, n.rows, n.hidden, n.dim, false, {0, 0, step});
    sums = sumInParts(n.r, n.h, [&](size_t begin, size_t end, float* part) {
        for (size_t row = begin; row < end; ++row)
        {
            geluGradient(k, t.before + row * hs, s.hidden + row * hs, s.after + row * hs, n.h);
            addColumns(k, s.hidden + row * hs, part, 1, n.h);
        }
    });
    addTo(g.fc1.bias, sums.data(), n.h);
    matmul(factor, true, s.after, false, nullptr, g.fc2.weight, n.dim, n.hidden, n.rows, true, {0, step, 0});
    matmul(s.hidden, true, t.norm2, false, nullptr, g.fc1.weight, n.hidden, n.dim, n.rows, true, {step, 0, 0});
    matmul(s.hidden, false, w.fc1, false, nullptr, s.branch, n.rows, n.dim, n.hidden, false, {step, 0, 0});
    normBackward(n, block.norm2, s.branch, t.middle, t.mean2, t.rstd2, d, g.norm2);

    factor = asFactor(d, s.narrow, sums, n.r, n.d);
    addTo(g.proj.bias, sums.data(), n.d);
    matmul(factor, true, t.attended, false, nullptr, g.proj.weight, n.dim, n.dim, n.rows, true);
    Value* const dAttended = s.after;
    matmul(factor, false, w.proj, false, nullptr, dAttended, n.rows, n.dim, n.dim, false);
    forHeads<Value>(n, [&](HeadArgsOf<Value>& args, size_t at, size_t outAt) {
        setInputs(args, t.qkv + at, n.d);
        args.dOut = dAttended + outAt;
        args.dq = s.qkv + at;
        args.dk = args.dq + n.d;
        args.dv = args.dk + n.d;
        attendBackward(k, args);
    });
    sums = sumInParts(n.r, 3 * n.d, [&](size_t begin, size_t end, float* part) {
        addColumns(k, s.qkv + begin * 3 * n.d, part, end - begin, 3 * n.d);
    });
    addTo(g.qkv.bias, sums.data(), 3 * n.d);
    matmul(s.qkv, true, t.norm1, false, nullptr, g.qkv.weight, 3 * n.dim, n.dim, n.rows, true);
    matmul(s.qkv, false, w.qkv, false, nullptr, s.branch, n.rows, n.dim, 3 * n.dim, false);
    normBackward(n, block.norm1, s.branch, t.x, t.mean1, t.rstd1, d, g.norm1);
}

BlockMatrices<float> asTheyAre(const BlockWeights& b)
{
    return {b.qkv.weight, b.proj.weight, b.fc1.weight, b.fc2.weight};
}

/// Keeps a rounded copy of every weight matrix that it uses.
class Bf16TrainingBackend CV_FINAL : public CpuBackend
{
public:
    void trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                    float* scratch) const CV_OVERRIDE
    {
        forwardOf(Sizes(block, batch, tokens, heads), block, toProductType(block), x, tape, scratch);
    }

    void backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch, int tokens,
                       int heads, float* scratch) const CV_OVERRIDE
    {
        backwardOf(Sizes(block, batch, tokens, heads), block, toProductType(block), grads, const_cast<float*>(tape), d, scratch);
    }

    size_t tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE
    {
        return BlockTape<uint16_t>(Sizes(block, batch, tokens, heads), nullptr).total;
    }

    size_t blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE
    {
        return BlockScratch<uint16_t>(Sizes(block, batch, tokens, heads), nullptr).total;
    }

    void weightsChanged() const CV_OVERRIDE
    {
        std::lock_guard<std::mutex> lock(mutex_);
        for (auto& copy : copies_)
            copy.second.stale = true;
    }

private:
    struct Copy
    {
        std::vector<uint16_t> values;
        bool stale = true;
    };

    const uint16_t* roundedMatrix(const LinearWeights& from) const
    {
        std::lock_guard<std::mutex> lock(mutex_);
        Copy& copy = copies_[from.weight];
        const size_t count = static_cast<size_t>(from.in) * static_cast<size_t>(from.out);
        if (copy.stale || copy.values.size() != count)
        {
            copy.values.resize(count);
            const Kernels& k = kernels();
            parallelRanges(count, 1 << 14, [&](size_t begin, size_t end) {
                k.toBf16(from.weight + begin, copy.values.data() + begin, end - begin);
            });
            copy.stale = false;
        }
        return copy.values.data();
    }

    BlockMatrices<uint16_t> toProductType(const BlockWeights& b) const
    {
        return {roundedMatrix(b.qkv), roundedMatrix(b.proj), roundedMatrix(b.fc1), roundedMatrix(b.fc2)};
    }

    mutable std::mutex mutex_;
    mutable std::unordered_map<const float*, Copy> copies_;
};

}  // namespace

void CpuBackend::trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                            float* scratch) const
{
    forwardOf(Sizes(block, batch, tokens, heads), block, asTheyAre(block), x, tape, scratch);
}

void CpuBackend::backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch,
                               int tokens, int heads, float* scratch) const
{
    backwardOf(Sizes(block, batch, tokens, heads), block, asTheyAre(block), grads, const_cast<float*>(tape), d, scratch);
}

size_t CpuBackend::tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const
{
    return BlockTape<float>(Sizes(block, batch, tokens, heads), nullptr).total;
}

size_t CpuBackend::blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const
{
    return BlockScratch<float>(Sizes(block, batch, tokens, heads), nullptr).total;
}

std::shared_ptr<const Backend> trainingCpu(Precision precision)
{
    LTRP_REQUIRE(precision != Precision::INT8, Error::StsNotImplemented,
                 "INT8 is no precision to train in; expected FP32 or BF16");
    if (precision == Precision::FP32)
        return std::make_shared<CpuBackend>();
    const std::string lacks = cpuLacks(precision);
    LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, precisionName(precision) << " on the CPU: " << lacks);
    return std::make_shared<Bf16TrainingBackend>();
}

}}}  // namespace
