// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "transformer.hpp"

#include <algorithm>
#include <cstring>

namespace cv { namespace ltrp { namespace vit {

float* Workspace::get(const std::string& name, size_t count)
{
    Mat& buffer = buffers_[name];
    if (buffer.total() < count)
    {
        LTRP_REQUIRE(count <= static_cast<size_t>(INT_MAX), Error::StsNoMem,
                     "a batch this large needs a buffer '" << name << "' of " << count << " values; use a smaller batch");
        buffer.release();
        buffer.create(1, static_cast<int>(count), CV_32F);
    }
    return buffer.ptr<float>();
}

size_t Workspace::bytes() const
{
    size_t total = 0;
    for (const auto& buffer : buffers_)
        total += buffer.second.total() * sizeof(float);
    return total;
}

Transformer::Transformer(const StackConfig& config, float layerNormEps, const ParamArena& params, const std::string& blocks,
                         const std::string& norm)
    : config_(config), eps_(layerNormEps), params_(params)
{
    const auto offset = [&params](const std::string& name) { return params.layout.at(name).offset; };
    for (int i = 0; i < config.depth; ++i)
    {
        const std::string b = blocks + std::to_string(i) + ".";
        Block block;
        block.norm1w = offset(b + "norm1.weight");
        block.norm1b = offset(b + "norm1.bias");
        block.qkvw = offset(b + "attn.qkv.weight");
        block.qkvb = offset(b + "attn.qkv.bias");
        block.projw = offset(b + "attn.proj.weight");
        block.projb = offset(b + "attn.proj.bias");
        block.norm2w = offset(b + "norm2.weight");
        block.norm2b = offset(b + "norm2.bias");
        block.fc1w = offset(b + "mlp.fc1.weight");
        block.fc1b = offset(b + "mlp.fc1.bias");
        block.fc2w = offset(b + "mlp.fc2.weight");
        block.fc2b = offset(b + "mlp.fc2.bias");
        blocks_.push_back(block);
    }
    normw_ = offset(norm + "weight");
    normb_ = offset(norm + "bias");
}

float* Transformer::queriesKeysValues(const Block& block, const float* x, int rows, Workspace& ws) const
{
    const size_t count = static_cast<size_t>(rows) * static_cast<size_t>(config_.dim);
    float* normed = ws.get("normed", count);
    float* qkv = ws.get("qkv", 3 * count);
    ws.ops().layerNorm(x, p(block.norm1w), p(block.norm1b), eps_, normed, rows, config_.dim);
    ws.ops().linear(normed, p(block.qkvw), p(block.qkvb), qkv, rows, config_.dim, 3 * config_.dim);
    return qkv;
}

void Transformer::finishBlock(const Block& block, const float* attended, float* x, int rows, Workspace& ws) const
{
    const size_t r = static_cast<size_t>(rows), hidden = r * static_cast<size_t>(config_.hidden);
    float* normed = ws.get("normed", r * static_cast<size_t>(config_.dim));
    float* h = ws.get("hidden", hidden);
    ws.ops().linear(attended, p(block.projw), p(block.projb), x, rows, config_.dim, config_.dim, ops::Epilogue::Add);
    ws.ops().layerNorm(x, p(block.norm2w), p(block.norm2b), eps_, normed, rows, config_.dim);
    ws.ops().linear(normed, p(block.fc1w), p(block.fc1b), h, rows, config_.dim, config_.hidden);
    ws.ops().gelu(h, h, hidden);
    ws.ops().linear(h, p(block.fc2w), p(block.fc2b), x, rows, config_.hidden, config_.dim, ops::Epilogue::Add);
}

void Transformer::forwardBlocks(float* x, int batch, int tokens, const int* flagged, int first, int last, Workspace& ws) const
{
    const int rows = batch * tokens;
    for (int i = first; i < last; ++i)
    {
        const Block& block = blocks_[static_cast<size_t>(i)];
        const float* qkv = queriesKeysValues(block, x, rows, ws);
        float* attended = ws.get("attended", static_cast<size_t>(rows) * static_cast<size_t>(config_.dim));
        ws.ops().attention(qkv, flagged, attended, nullptr, batch, tokens, config_.dim, config_.heads);
        finishBlock(block, attended, x, rows, ws);
    }
}

void Transformer::finalNorm(const float* x, size_t rows, float* out, Workspace& ws) const
{
    ws.ops().layerNorm(x, p(normw_), p(normb_), eps_, out, static_cast<int>(rows), config_.dim);
}

void Transformer::forward(float* x, int batch, int tokens, const int* flagged, float* out, Workspace& ws) const
{
    forwardBlocks(x, batch, tokens, flagged, 0, config_.depth, ws);
    finalNorm(x, static_cast<size_t>(batch) * static_cast<size_t>(tokens), out, ws);
}

void Transformer::forwardFlagged(const float* x0, int tokens, int variants, const int* flagged, float* x, Workspace& ws) const
{
    const size_t each = static_cast<size_t>(tokens) * static_cast<size_t>(config_.dim);
    float* attended = ws.get("attended", each * static_cast<size_t>(variants));
    const float* qkv = queriesKeysValues(blocks_[0], x0, tokens, ws);
    ws.ops().attention(qkv, flagged, attended, nullptr, variants, tokens, config_.dim, config_.heads, variants);
    for (int v = 0; v < variants; ++v)
        std::memcpy(x + static_cast<size_t>(v) * each, x0, each * sizeof(float));
    finishBlock(blocks_[0], attended, x, variants * tokens, ws);
    forwardBlocks(x, variants, tokens, flagged, 1, config_.depth, ws);
}

void Transformer::forwardDropped(const float* x0, int tokens, int variants, const int* dropped, float* x, Workspace& ws) const
{
    const size_t dim = static_cast<size_t>(config_.dim), left = static_cast<size_t>(tokens - 1);
    const float* qkv = queriesKeysValues(blocks_[0], x0, tokens, ws);
    float* gathered = ws.get("qkv.dropped", left * 3 * dim * static_cast<size_t>(variants));
    const auto without = [tokens, left](const float* from, size_t width, int token, float* to) {
        const size_t before = static_cast<size_t>(token);
        std::memcpy(to, from, before * width * sizeof(float));
        std::memcpy(to + before * width, from + (before + 1) * width,
                    (static_cast<size_t>(tokens) - before - 1) * width * sizeof(float));
        (void)left;
    };
    for (int v = 0; v < variants; ++v)
    {
        without(qkv, 3 * dim, dropped[v], gathered + static_cast<size_t>(v) * left * 3 * dim);
        without(x0, dim, dropped[v], x + static_cast<size_t>(v) * left * dim);
    }
    float* attended = ws.get("attended", left * dim * static_cast<size_t>(variants));
    ws.ops().attention(gathered, nullptr, attended, nullptr, variants, tokens - 1, config_.dim, config_.heads);
    finishBlock(blocks_[0], attended, x, variants * (tokens - 1), ws);
    forwardBlocks(x, variants, tokens - 1, nullptr, 1, config_.depth, ws);
}

namespace {

/// Activations of one block that its backward pass reads.
struct Tape
{
    float *x, *mean1, *rstd1, *norm1, *qkv, *probabilities, *attended, *middle, *mean2, *rstd2, *norm2, *before, *after;
};

Tape tapeOf(const StackConfig& config, int block, int batch, int tokens, Workspace& ws, const std::string& tag)
{
    const std::string t = tag + "." + std::to_string(block) + ".";
    const size_t rows = static_cast<size_t>(batch) * static_cast<size_t>(tokens), n = rows * static_cast<size_t>(config.dim);
    const size_t hidden = rows * static_cast<size_t>(config.hidden);
    const size_t weights = rows * static_cast<size_t>(config.heads) * static_cast<size_t>(ws.ops().probabilityStride(tokens));
    Tape tape;
    tape.x = ws.get(t + "x", n);
    tape.mean1 = ws.get(t + "mean1", rows);
    tape.rstd1 = ws.get(t + "rstd1", rows);
    tape.norm1 = ws.get(t + "norm1", n);
    tape.qkv = ws.get(t + "qkv", 3 * n);
    tape.probabilities = ws.get(t + "probabilities", weights);
    tape.attended = ws.get(t + "attended", n);
    tape.middle = ws.get(t + "middle", n);
    tape.mean2 = ws.get(t + "mean2", rows);
    tape.rstd2 = ws.get(t + "rstd2", rows);
    tape.norm2 = ws.get(t + "norm2", n);
    tape.before = ws.get(t + "before", hidden);
    tape.after = ws.get(t + "after", hidden);
    return tape;
}

}  // namespace

void Transformer::forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim;
    const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(dim) * sizeof(float);
    const ops::Backend& ops = ws.ops();
    for (int i = 0; i < config_.depth; ++i)
    {
        const Block& b = blocks_[static_cast<size_t>(i)];
        const Tape t = tapeOf(config_, i, batch, tokens, ws, tag);
        std::memcpy(t.x, x, bytes);
        ops.layerNorm(x, p(b.norm1w), p(b.norm1b), eps_, t.norm1, rows, dim, t.mean1, t.rstd1);
        ops.linear(t.norm1, p(b.qkvw), p(b.qkvb), t.qkv, rows, dim, 3 * dim);
        ops.attention(t.qkv, nullptr, t.attended, t.probabilities, batch, tokens, dim, config_.heads);
        ops.linear(t.attended, p(b.projw), p(b.projb), x, rows, dim, dim, ops::Epilogue::Add);
        std::memcpy(t.middle, x, bytes);
        ops.layerNorm(x, p(b.norm2w), p(b.norm2b), eps_, t.norm2, rows, dim, t.mean2, t.rstd2);
        ops.linear(t.norm2, p(b.fc1w), p(b.fc1b), t.before, rows, dim, config_.hidden);
        ops.gelu(t.before, t.after, static_cast<size_t>(rows) * static_cast<size_t>(config_.hidden));
        ops.linear(t.after, p(b.fc2w), p(b.fc2b), x, rows, config_.hidden, dim, ops::Epilogue::Add);
    }
    float* last = ws.get(tag + ".last", static_cast<size_t>(rows) * static_cast<size_t>(dim));
    std::memcpy(last, x, bytes);
    ops.layerNorm(x, p(normw_), p(normb_), eps_, out, rows, dim, ws.get(tag + ".mean", static_cast<size_t>(rows)),
                  ws.get(tag + ".rstd", static_cast<size_t>(rows)));
}

void Transformer::backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws,
                           const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim, hidden = config_.hidden;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    float* d = ws.get("backward.x", n);
    std::memset(d, 0, n * sizeof(float));
    ops.layerNormBackward(dOut, ws.get(tag + ".last", n), p(normw_), ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r), d,
                          grads + normw_, grads + normb_, rows, dim);
    float* dHidden = ws.get("backward.hidden", r * static_cast<size_t>(hidden));
    float* dQkv = ws.get("backward.qkv", 3 * n);
    float* dBranch = ws.get("backward.branch", n);
    for (int i = config_.depth - 1; i >= 0; --i)
    {
        const Block& b = blocks_[static_cast<size_t>(i)];
        const Tape t = tapeOf(config_, i, batch, tokens, ws, tag);
        ops.linearBackwardWeight(d, t.after, grads + b.fc2w, grads + b.fc2b, rows, hidden, dim);
        ops.linearBackwardInput(d, p(b.fc2w), dHidden, rows, hidden, dim);
        ops.geluBackward(t.before, dHidden, dHidden, r * static_cast<size_t>(hidden));
        ops.linearBackwardWeight(dHidden, t.norm2, grads + b.fc1w, grads + b.fc1b, rows, dim, hidden);
        ops.linearBackwardInput(dHidden, p(b.fc1w), dBranch, rows, dim, hidden);
        ops.layerNormBackward(dBranch, t.middle, p(b.norm2w), t.mean2, t.rstd2, d, grads + b.norm2w, grads + b.norm2b, rows, dim);

        ops.linearBackwardWeight(d, t.attended, grads + b.projw, grads + b.projb, rows, dim, dim);
        ops.linearBackwardInput(d, p(b.projw), dBranch, rows, dim, dim);
        ops.attentionBackward(t.qkv, t.probabilities, dBranch, dQkv, batch, tokens, dim, config_.heads);
        ops.linearBackwardWeight(dQkv, t.norm1, grads + b.qkvw, grads + b.qkvb, rows, dim, 3 * dim);
        ops.linearBackwardInput(dQkv, p(b.qkvw), dBranch, rows, dim, 3 * dim);
        ops.layerNormBackward(dBranch, t.x, p(b.norm1w), t.mean1, t.rstd1, d, grads + b.norm1w, grads + b.norm1b, rows, dim);
    }
    std::memcpy(dx, d, n * sizeof(float));
}

}}}  // namespace
