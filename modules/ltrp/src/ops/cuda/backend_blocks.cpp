// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A transformer block in training with 16-bit products: values between them are also stored in 16 bits. With 32-bit
// products ops/train_block.cpp is used.
#if defined(HAVE_LTRP_CUDA) || defined(LTRP_SIMT)   // file globs ignore which parts a build has

#include "backend.hpp"
#include "../bump_allocator.hpp"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

namespace kernels = ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE;

/// In 32 bits: the residual stream before both branches and the statistics of its norms; all else in 16 bits.
struct Tape
{
    Tape(const BlockWeights& block, int batch, int tokens, int heads, float* base)
    {
        const size_t rows = z(batch) * z(tokens), dim = z(block.qkv.in), wide = z(block.fc1.out);
        BumpAllocator cut(base);
        x = cut.take(rows * dim);
        middle = cut.take(rows * dim);
        mean1 = cut.take(rows);
        rstd1 = cut.take(rows);
        mean2 = cut.take(rows);
        rstd2 = cut.take(rows);
        logSumExp = cut.take(rows * z(heads));
        norm1 = cut.take<uint16_t>(rows * dim);
        qkv = cut.take<uint16_t>(rows * 3 * dim);
        attended = cut.take<uint16_t>(rows * dim);
        norm2 = cut.take<uint16_t>(rows * dim);
        before = cut.take<uint16_t>(rows * wide);
        after = cut.take<uint16_t>(rows * wide);
        total = cut.used();
    }
    float *x, *middle, *mean1, *rstd1, *mean2, *rstd2, *logSumExp;
    uint16_t *norm1, *qkv, *attended, *norm2, *before, *after;
    size_t total;
};

/// Gradients in the backward pass.
struct Gradients
{
    Gradients(const BlockWeights& block, int batch, int tokens, float* base)
    {
        const size_t rows = z(batch) * z(tokens), dim = z(block.qkv.in);
        BumpAllocator cut(base);
        stream = cut.take<uint16_t>(rows * dim);
        branch = cut.take<uint16_t>(rows * dim);
        qkv = cut.take<uint16_t>(rows * 3 * dim);
        hidden = cut.take<uint16_t>(rows * z(block.fc1.out));
        total = cut.used();
    }
    uint16_t *stream, *branch, *qkv, *hidden;
    size_t total;
};

}  // namespace

size_t DeviceBackend::tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const
{
    return element_ == DataType::Float32 ? Backend::tapeFloats(block, batch, tokens, heads)
                                        : Tape(block, batch, tokens, heads, nullptr).total;
}

size_t DeviceBackend::blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const
{
    return element_ == DataType::Float32 ? Backend::blockScratchFloats(block, batch, tokens, heads)
                                        : Gradients(block, batch, tokens, nullptr).total;
}

void DeviceBackend::normKept(const NormWeights& norm, const float* x, Output y, float* mean, float* rstd, int rows,
                             int dim) const
{
    const LayerNormArgs args{x, z(rows) * z(dim), norm.weight, norm.bias, norm.eps, y, mean, rstd, 1, z(rows), dim};
    kernels::layerNorm(device_->stream(), args);
    device_->check("layerNorm");
}

void DeviceBackend::trainBlock(const BlockWeights& b, float* x, int batch, int tokens, int heads, float* tape,
                               float* scratch) const
{
    if (element_ == DataType::Float32)
    {
        Backend::trainBlock(b, x, batch, tokens, heads, tape, scratch);
        return;
    }
    const int rows = batch * tokens, dim = b.qkv.in;
    const size_t bytes = z(rows) * z(dim) * sizeof(float);
    const Tape t(b, batch, tokens, heads, tape);
    copy(x, t.x, bytes);
    normKept(b.norm1, x, activation(t.norm1), t.mean1, t.rstd1, rows, dim);
    multiply(Input(t.norm1, element_), b.qkv, activation(t.qkv), rows, false, false);
    const AttentionArgs args{
        Input(t.qkv, element_), activation(t.attended), nullptr, t.logSumExp, batch, tokens, tokens, dim, heads, 1};
    kernels::attention(device_->stream(), args);
    device_->check("attention");
    multiply(Input(t.attended, element_), b.proj, x, rows, true, false);
    copy(x, t.middle, bytes);
    normKept(b.norm2, x, activation(t.norm2), t.mean2, t.rstd2, rows, dim);
    multiply(Input(t.norm2, element_), b.fc1, activation(t.after), rows, false, true, activation(t.before));
    multiply(Input(t.after, element_), b.fc2, x, rows, true, false);
}

void DeviceBackend::weightGradient(Input dy, Input x, const ParamGrads& grads, Input biasFrom, int rows, int in,
                                   int out) const
{
    multiply(Product{dy, true, x, false, Input(nullptr), false, true, grads.weight, out, in, rows});
    // Own kernel, because the library's sum would overwrite instead of adding.
    const Scratch sums(*scratch_, columnSumsScratch(z(rows), out));
    columnSums(device_->stream(), biasFrom, grads.bias, z(rows), out, sums.get());
    device_->check("gradients of weights");
}

void DeviceBackend::inputGradient(Input dy, const LinearWeights& linear, Output dx, int rows, Input before) const
{
    std::unique_ptr<Scratch> own;
    const Input w = weights(linear.weight, z(linear.out) * z(linear.in), own);
    Product product{dy, false, w, false, Input(nullptr), false, false, dx, rows, linear.in, linear.out};
    const bool fused = before.data && linear.in % 8 == 0;
    if (fused)
    {
        product.before = Output(const_cast<void*>(before.data), before.element);
        product.geluBackward = true;
    }
    multiply(product);
    if (before.data && !fused)
        kernels::geluBackward(device_->stream(), before, Input(dx.data, dx.element), dx, z(rows) * z(linear.in));
    device_->check("gradients of activations");
}

void DeviceBackend::backwardBlock(const BlockWeights& b, const BlockGrads& g, const float* tape, float* d, int batch,
                                  int tokens, int heads, float* scratch) const
{
    if (element_ == DataType::Float32)
    {
        Backend::backwardBlock(b, g, tape, d, batch, tokens, heads, scratch);
        return;
    }
    const int rows = batch * tokens, dim = b.qkv.in, hidden = b.fc1.out;
    const size_t count = z(rows) * z(dim);
    const Stream stream = device_->stream();
    const Tape t(b, batch, tokens, heads, const_cast<float*>(tape));
    const Gradients s(b, batch, tokens, scratch);
    const auto half = [this](const void* values) { return Input(values, element_); };

    cast(stream, d, activation(s.stream), count);
    weightGradient(half(s.stream), half(t.after), g.fc2, d, rows, hidden, dim);
    inputGradient(half(s.stream), b.fc2, activation(s.hidden), rows, half(t.before));
    weightGradient(half(s.hidden), half(t.norm2), g.fc1, half(s.hidden), rows, dim, hidden);
    inputGradient(half(s.hidden), b.fc1, activation(s.branch), rows, half(nullptr));
    normGradient(half(s.branch), t.middle, b.norm2, t.mean2, t.rstd2, d, g.norm2, rows, dim);

    cast(stream, d, activation(s.stream), count);
    weightGradient(half(s.stream), half(t.attended), g.proj, d, rows, dim, dim);
    inputGradient(half(s.stream), b.proj, activation(s.branch), rows, half(nullptr));
    {
        const Scratch own(*scratch_, attentionBackwardScratch(batch, tokens, dim, heads));
        const AttentionBackwardArgs args{
            half(t.qkv), half(t.attended), half(s.branch), t.logSumExp, activation(s.qkv), batch, tokens, dim, heads};
        kernels::attentionBackward(stream, args, own.get());
        device_->check("attentionBackward");
    }
    weightGradient(half(s.qkv), half(t.norm1), g.qkv, half(s.qkv), rows, dim, 3 * dim);
    inputGradient(half(s.qkv), b.qkv, activation(s.branch), rows, half(nullptr));
    normGradient(half(s.branch), t.x, b.norm1, t.mean1, t.rstd1, d, g.norm1, rows, dim);
}

void DeviceBackend::normGradient(Input dy, const float* x, const NormWeights& norm, const float* mean,
                                 const float* rstd, float* dx, const ParamGrads& grads, int rows, int dim) const
{
    const Scratch scratch(*scratch_, layerNormBackwardScratch(z(rows), dim));
    kernels::layerNormBackward(device_->stream(), dy, x, norm.weight, mean, rstd, dx, grads.weight, grads.bias, z(rows),
                               dim, scratch.get());
    device_->check("layerNormBackward");
}

}}}}  // namespace

#endif
