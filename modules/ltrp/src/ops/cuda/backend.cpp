// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#if defined(HAVE_LTRP_CUDA) || defined(LTRP_SIMT)   // file globs ignore which parts a build has

#include "backend.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

DataType elementOf(Precision precision)
{
    switch (precision)
    {
    case Precision::FP32:
    case Precision::TF32: return DataType::Float32;
    case Precision::BF16: return DataType::BFloat16;
    case Precision::FP16: return DataType::Float16;
    default: LTRP_ERROR(Error::StsNotImplemented, precisionName(precision) << " on CUDA: there are no such products");
    }
}

}  // namespace

std::shared_ptr<const Backend> makeBackend(std::unique_ptr<Device> device, Precision precision, bool frozen)
{
    const std::shared_ptr<const Device> shared(std::move(device));
    return std::make_shared<DeviceBackend>(shared, std::make_shared<ScratchMemory>(shared), precision, frozen);
}

void* ScratchMemory::take(size_t bytes)
{
    // More than ever before, for example in a second training's first step: allocated outside the block.
    const size_t used = used_ + whole(bytes);
    void* const memory =
        piece_ && used <= size_ ? static_cast<char*>(piece_) + used_ : device_->allocate(bytes);
    if (measured_)   // not counted if the allocation failed: giveBack() would not be called
        most_ = std::max(most_, used_ = used);
    return memory;
}

void ScratchMemory::giveBack(void* memory, size_t bytes)
{
    if (measured_)
        used_ -= whole(bytes);
    if (!piece_ || memory != static_cast<char*>(piece_) + used_)
        device_->release(memory);
}

void ScratchMemory::settle()
{
    CV_Assert(measured_ && used_ == 0);
    if (piece_ && size_ >= most_)
        return;
    device_->release(piece_);
    piece_ = nullptr;
    size_ = 0;
    piece_ = device_->allocate(most_);
    size_ = most_;
}

DeviceBackend::DeviceBackend(std::shared_ptr<const Device> device, std::shared_ptr<ScratchMemory> scratch,
                             Precision precision, bool frozen)
    : device_(std::move(device)), scratch_(std::move(scratch)), precision_(precision), element_(elementOf(precision)),
      frozen_(frozen)
{
}

std::shared_ptr<const Backend> DeviceBackend::companion(Precision precision, bool frozen) const
{
    return std::make_shared<DeviceBackend>(device_, scratch_, precision, frozen);
}

DeviceBackend::~DeviceBackend()
{
    for (const auto& entry : mirrors_)
    {
        device_->release(entry.second.values);
        device_->release(entry.second.half);
    }
}

void DeviceBackend::upload(Mirror& mirror) const
{
    device_->upload(mirror.host, mirror.values, mirror.count * sizeof(float));
    if (mirror.half)
        cast(device_->stream(), mirror.values, Output(mirror.half, element_), mirror.count);
    device_->check("parameters");
    mirror.stale = false;
}

const float* DeviceBackend::parameters(const float* host, size_t count) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = mirrors_.find(host);
    if (found != mirrors_.end())
    {
        CV_Assert(found->second.count == count);
        if (found->second.stale)
            upload(found->second);
        return found->second.values;
    }
    Mirror mirror{static_cast<float*>(device_->allocate(count * sizeof(float))), nullptr, count, host, true};
    try
    {
        if (element_ != DataType::Float32)
            mirror.half = device_->allocate(count * 2);
        upload(mirror);
        mirrors_[host] = mirror;
    }
    catch (...)
    {
        device_->release(mirror.values);
        device_->release(mirror.half);
        throw;
    }
    return mirror.values;
}

void DeviceBackend::weightsChanged() const
{
    CV_Assert(!frozen_);
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& entry : mirrors_)
        entry.second.stale = true;
}

Input DeviceBackend::toProductType(const float* x, size_t count, const Scratch& to) const
{
    if (element_ == DataType::Float32)
        return x;
    cast(device_->stream(), x, Output(to.get(), element_), count);
    return Input(to.get(), element_);
}

Input DeviceBackend::weights(const float* w, size_t count, std::unique_ptr<Scratch>& own) const
{
    if (element_ == DataType::Float32)
        return w;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        for (const auto& entry : mirrors_)
        {
            const Mirror& mirror = entry.second;
            if (!std::less<const float*>()(w, mirror.values) &&
                std::less<const float*>()(w, mirror.values + mirror.count))
                return Input(static_cast<const uint16_t*>(mirror.half) + (w - mirror.values), element_);
        }
    }
    own.reset(new Scratch(*scratch_, count * 2));
    return toProductType(w, count, *own);
}

Output DeviceBackend::copyOf(const float* parameters) const
{
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& entry : mirrors_)
        if (entry.second.values == parameters)
            return Output(entry.second.half, element_);
    LTRP_ERROR(Error::StsInternal, "there are no such parameters on the device");
}

void DeviceBackend::multiply(Product product) const
{
    product.tensorFloat = precision_ == Precision::TF32;
    device_->multiply(product);
}

void DeviceBackend::norm(const NormWeights& norm, const float* x, size_t itemStride, size_t items, size_t rows, int dim,
                         Output y) const
{
    const LayerNormArgs args{x, itemStride, norm.weight, norm.bias, norm.eps, y, nullptr, nullptr, items, rows, dim};
    ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE::layerNorm(device_->stream(), args);
    device_->check("layerNorm");
}

void DeviceBackend::multiply(Input x, const LinearWeights& linear, Output y, int rows, bool add, bool gelu,
                             Output before) const
{
    std::unique_ptr<Scratch> ownWeight, ownBias;
    const Input w = weights(linear.weight, z(linear.out) * z(linear.in), ownWeight);
    Input bias(linear.bias);
    if (linear.bias && y.element != DataType::Float32)
        bias = weights(linear.bias, z(linear.out), ownBias);
    // The library's GELU is the tanh approximation: its error is 0.02 % (root mean square), an eighth of the rounding
    // error of bfloat16 and equal to that of half precision. fp32 uses the exact one. The library's kernels need rows
    // of a multiple of 16 bytes.
    const bool fused = gelu && y.element != DataType::Float32 && linear.out % 8 == 0;
    Product product{x, false, w,          true,     gelu && !fused ? Input(nullptr, y.element) : bias, fused, add,
                    y, rows,  linear.out, linear.in};
    if (fused)
        product.before = before;
    multiply(product);
    if (gelu && !fused)
        ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE::gelu(device_->stream(), Input(y.data, y.element), linear.bias,
                                                      before, y, z(rows), linear.out);
    device_->check("linear");
}

void DeviceBackend::linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                           Epilogue epilogue) const
{
    const Scratch half(*scratch_, roundedBytes(z(rows) * z(in)));
    multiply(toProductType(x, z(rows) * z(in), half), {w, b, in, out}, y, rows, epilogue == Epilogue::Add, false);
}

void DeviceBackend::linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const
{
    const Scratch half(*scratch_, roundedBytes(z(rows) * z(out)));
    std::unique_ptr<Scratch> own;
    const Input weight = weights(w, z(out) * z(in), own);
    multiply(Product{toProductType(dy, z(rows) * z(out), half), false, weight, false, Input(nullptr), false, false, dx, rows,
                     in, out});
    device_->check("linearBackwardInput");
}

void DeviceBackend::linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                                         int out) const
{
    const Scratch halfDy(*scratch_, roundedBytes(z(rows) * z(out))), halfX(*scratch_, roundedBytes(z(rows) * z(in)));
    multiply(Product{toProductType(dy, z(rows) * z(out), halfDy), true, toProductType(x, z(rows) * z(in), halfX), false,
                     Input(nullptr), false, true, dw, out, in, rows});
    if (db)
    {
        const Scratch sums(*scratch_, columnSumsScratch(z(rows), out));
        columnSums(device_->stream(), dy, db, z(rows), out, sums.get());
    }
    device_->check("linearBackwardWeight");
}

void DeviceBackend::normLinear(const NormWeights& weights, const LinearWeights& linear, const float* x, float* y,
                               int rows) const
{
    const Scratch normed(*scratch_, z(rows) * z(linear.in) * width());
    norm(weights, x, z(rows) * z(linear.in), 1, z(rows), linear.in, activation(normed.get()));
    multiply(Input(normed.get(), element_), linear, y, rows, false, false);
}

void DeviceBackend::afterAttention(const BlockWeights& block, Input attended, float* x, int rows) const
{
    const int dim = block.proj.out, hidden = block.fc1.out;
    const Scratch normed(*scratch_, z(rows) * z(dim) * width()), middle(*scratch_, z(rows) * z(hidden) * width());
    multiply(attended, block.proj, x, rows, true, false);
    norm(block.norm2, x, z(rows) * z(dim), 1, z(rows), dim, activation(normed.get()));
    multiply(Input(normed.get(), element_), block.fc1, activation(middle.get()), rows, false, true);
    multiply(Input(middle.get(), element_), block.fc2, x, rows, true, false);
}

void DeviceBackend::finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const
{
    const size_t count = z(rows) * z(block.proj.in);
    const Scratch half(*scratch_, roundedBytes(count));
    afterAttention(block, toProductType(attended, count, half), x, rows);
}

void DeviceBackend::attend(Input qkv, const int* droppedToken, Output out, int batch, int tokens, int queries, int dim,
                           int heads, int sharedBy) const
{
    const AttentionArgs args{qkv, out, droppedToken, nullptr, batch, tokens, queries, dim, heads, sharedBy};
    ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE::attention(device_->stream(), args);
    device_->check("attention");
}

void DeviceBackend::runBlocks(const BlockWeights* blocks, int count, float* x, const int* droppedToken, int batch,
                              int tokens, int heads, int queries, float* qkv, float* attended) const
{
    if (count == 0)
        return;
    // Values between the products have the width of the products' type; the caller's scratch is sized for floats, so it
    // suffices.
    const int dim = blocks[0].qkv.in;
    const size_t rows = z(batch) * z(tokens), item = z(tokens) * z(dim);
    const Scratch normed(*scratch_, rows * z(dim) * width());
    for (int i = 0; i < count; ++i)
    {
        const BlockWeights& block = blocks[i];
        const int wanted = i + 1 < count ? tokens : queries;
        norm(block.norm1, x, rows * z(dim), 1, rows, dim, activation(normed.get()));
        multiply(Input(normed.get(), element_), block.qkv, activation(qkv), static_cast<int>(rows), false, false);
        attend(Input(qkv, element_), droppedToken, activation(attended), batch, tokens, wanted, dim, heads, 1);
        if (wanted == tokens)
        {
            afterAttention(block, Input(attended, element_), x, static_cast<int>(rows));
            continue;
        }
        const Scratch some(*scratch_, z(batch) * z(wanted) * z(dim) * sizeof(float));
        float* const own = static_cast<float*>(some.get());
        gatherRows(x, item, nullptr, 0, own, batch, wanted, dim);
        afterAttention(block, Input(attended, element_), own, batch * wanted);
        scatterRows(own, nullptr, 0, x, item, batch, wanted, dim);
    }
}

void DeviceBackend::runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants,
                                const int* droppedToken, float* x, int tokens, int heads, int queries, float* qkv,
                                float* attended) const
{
    const BlockWeights& first = blocks[0];
    const int dim = first.qkv.in, rows = inputs * tokens;
    {
        const Scratch normed(*scratch_, z(rows) * z(dim) * width());
        norm(first.norm1, x0, z(rows) * z(dim), 1, z(rows), dim, activation(normed.get()));
        multiply(Input(normed.get(), element_), first.qkv, activation(qkv), rows, false, false);
    }
    attend(Input(qkv, element_), droppedToken, activation(attended), inputs * variants, tokens, tokens, dim, heads,
           variants);
    repeatItems(x0, x, z(inputs), z(variants), z(tokens) * z(dim) * sizeof(float));
    afterAttention(first, Input(attended, element_), x, rows * variants);
    runBlocks(blocks + 1, count - 1, x, droppedToken, inputs * variants, tokens, heads, queries, qkv, attended);
}

void DeviceBackend::attention(const float* qkv, const int* droppedToken, float* out, float* probabilities, int batch,
                              int tokens, int dim, int heads, int sharedBy) const
{
    const AttentionArgs args{qkv, out, droppedToken, probabilities, batch, tokens, tokens, dim, heads, sharedBy};
    ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE::attention(device_->stream(), args);
    device_->check("attention");
}

void DeviceBackend::attentionBackward(const float* qkv, const float* out, const float* probabilities, const float* dOut,
                                      float* dQkv, int batch, int tokens, int dim, int heads) const
{
    const Scratch scratch(*scratch_, attentionBackwardScratch(batch, tokens, dim, heads));
    const AttentionBackwardArgs args{qkv, out, dOut, probabilities, dQkv, batch, tokens, dim, heads};
    ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE::attentionBackward(device_->stream(), args, scratch.get());
    device_->check("attentionBackward");
}

void DeviceBackend::storeAnchor(const NormWeights& weights, const LinearWeights& linear, const float* x,
                                  size_t itemStride, int items, int rows, float* reference) const
{
    // The head is linear: the difference of predictions is the head's product with the difference of the normalised
    // tokens.
    norm(weights, x, itemStride, z(items), z(rows), linear.in, reference);
}

void DeviceBackend::differencesFromReference(const NormWeights& norms, const LinearWeights& linear, const float* x,
                                             size_t itemStride, int items, int perReference, int rows,
                                             const float* reference, const float* scale, bool squared, double count,
                                             float* means) const
{
    const Scratch difference(*scratch_, z(items) * z(rows) * z(linear.in) * width());
    const Scratch scratch(*scratch_, productSumScratch(z(items), z(rows), linear.in, linear.out));
    std::unique_ptr<Scratch> own;
    const Input w = weights(linear.weight, z(linear.out) * z(linear.in), own);
    const NormDifferenceArgs normed{x, itemStride, reference, norms.weight, norms.bias, norms.eps,
                                    activation(difference.get()), z(items), z(perReference), z(rows), linear.in};
    normDifference(device_->stream(), normed);
    const ProductSumArgs sums{Input(difference.get(), element_), w, scale, squared, count, means, z(items),
                              z(perReference), z(rows), linear.in, linear.out};
    productSum(device_->stream(), sums, scratch.get());
    device_->check("differencesFromReference");
}

}}}}  // namespace

#endif
