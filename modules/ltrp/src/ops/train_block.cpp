// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A transformer block in training, composed of single operations: for devices without a faster implementation, and as
// the reference in tests.
#include "ops.hpp"
#include "bump_allocator.hpp"

namespace cv { namespace ltrp { namespace ops {

namespace {

struct Sizes
{
    Sizes(const BlockWeights& block, int batch, int tokens)
        : rows(static_cast<size_t>(batch) * static_cast<size_t>(tokens)), dim(static_cast<size_t>(block.qkv.in)),
          hidden(static_cast<size_t>(block.fc1.out))
    {
    }
    size_t rows, dim, hidden;
};

struct Tape
{
    Tape(const Backend& ops, const BlockWeights& block, int batch, int tokens, int heads, float* base)
    {
        const Sizes n(block, batch, tokens);
        BumpAllocator cut(base);
        x = cut.take(n.rows * n.dim);
        mean1 = cut.take(n.rows);
        rstd1 = cut.take(n.rows);
        norm1 = cut.take(n.rows * n.dim);
        qkv = cut.take(n.rows * 3 * n.dim);
        probabilities = cut.take(n.rows * static_cast<size_t>(heads) * static_cast<size_t>(ops.probabilityStride(tokens)));
        attended = cut.take(n.rows * n.dim);
        middle = cut.take(n.rows * n.dim);
        mean2 = cut.take(n.rows);
        rstd2 = cut.take(n.rows);
        norm2 = cut.take(n.rows * n.dim);
        before = cut.take(n.rows * n.hidden);
        after = cut.take(n.rows * n.hidden);
        total = cut.used();
    }
    float *x, *mean1, *rstd1, *norm1, *qkv, *probabilities, *attended, *middle, *mean2, *rstd2, *norm2, *before, *after;
    size_t total;
};

struct Scratch
{
    Scratch(const BlockWeights& block, int batch, int tokens, float* base)
    {
        const Sizes n(block, batch, tokens);
        BumpAllocator cut(base);
        hidden = cut.take(n.rows * n.hidden);
        qkv = cut.take(n.rows * 3 * n.dim);
        branch = cut.take(n.rows * n.dim);
        total = cut.used();
    }
    float *hidden, *qkv, *branch;
    size_t total;
};

}  // namespace

size_t Backend::tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const
{
    return Tape(*this, block, batch, tokens, heads, nullptr).total;
}

size_t Backend::blockScratchFloats(const BlockWeights& block, int batch, int tokens, int) const
{
    return Scratch(block, batch, tokens, nullptr).total;
}

void Backend::trainBlock(const BlockWeights& b, float* x, int batch, int tokens, int heads, float* tape, float*) const
{
    const int rows = batch * tokens, dim = b.qkv.in, hidden = b.fc1.out;
    const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(dim) * sizeof(float);
    const Tape t(*this, b, batch, tokens, heads, tape);
    copy(x, t.x, bytes);
    layerNorm(x, b.norm1.weight, b.norm1.bias, b.norm1.eps, t.norm1, rows, dim, t.mean1, t.rstd1);
    linear(t.norm1, b.qkv.weight, b.qkv.bias, t.qkv, rows, dim, 3 * dim);
    attention(t.qkv, nullptr, t.attended, t.probabilities, batch, tokens, dim, heads);
    linear(t.attended, b.proj.weight, b.proj.bias, x, rows, dim, dim, Epilogue::Add);
    copy(x, t.middle, bytes);
    layerNorm(x, b.norm2.weight, b.norm2.bias, b.norm2.eps, t.norm2, rows, dim, t.mean2, t.rstd2);
    linear(t.norm2, b.fc1.weight, b.fc1.bias, t.before, rows, dim, hidden);
    gelu(t.before, t.after, static_cast<size_t>(rows) * static_cast<size_t>(hidden));
    linear(t.after, b.fc2.weight, b.fc2.bias, x, rows, hidden, dim, Epilogue::Add);
}

void Backend::backwardBlock(const BlockWeights& b, const BlockGrads& g, const float* tape, float* d, int batch, int tokens,
                            int heads, float* scratch) const
{
    const int rows = batch * tokens, dim = b.qkv.in, hidden = b.fc1.out;
    const Tape t(*this, b, batch, tokens, heads, const_cast<float*>(tape));
    const Scratch s(b, batch, tokens, scratch);
    linearBackwardWeight(d, t.after, g.fc2.weight, g.fc2.bias, rows, hidden, dim);
    linearBackwardInput(d, b.fc2.weight, s.hidden, rows, hidden, dim);
    geluBackward(t.before, s.hidden, s.hidden, static_cast<size_t>(rows) * static_cast<size_t>(hidden));
    linearBackwardWeight(s.hidden, t.norm2, g.fc1.weight, g.fc1.bias, rows, dim, hidden);
    linearBackwardInput(s.hidden, b.fc1.weight, s.branch, rows, dim, hidden);
    layerNormBackward(s.branch, t.middle, b.norm2.weight, t.mean2, t.rstd2, d, g.norm2.weight, g.norm2.bias, rows, dim);

    linearBackwardWeight(d, t.attended, g.proj.weight, g.proj.bias, rows, dim, dim);
    linearBackwardInput(d, b.proj.weight, s.branch, rows, dim, dim);
    attentionBackward(t.qkv, t.attended, t.probabilities, s.branch, s.qkv, batch, tokens, dim, heads);
    linearBackwardWeight(s.qkv, t.norm1, g.qkv.weight, g.qkv.bias, rows, dim, 3 * dim);
    linearBackwardInput(s.qkv, b.qkv.weight, s.branch, rows, dim, 3 * dim);
    layerNormBackward(s.branch, t.x, b.norm1.weight, t.mean1, t.rstd1, d, g.norm1.weight, g.norm1.bias, rows, dim);
}

}}}  // namespace
