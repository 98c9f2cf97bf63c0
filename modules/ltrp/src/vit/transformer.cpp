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
    const auto normAt = [&](const std::string& name) { return Norm{offset(name + ".weight"), offset(name + ".bias")}; };
    const auto linearAt = [&](const std::string& name, int in, int out) {
        return Linear{offset(name + ".weight"), offset(name + ".bias"), in, out};
    };
    for (int i = 0; i < config.depth; ++i)
    {
        const std::string b = blocks + std::to_string(i) + ".";
        blocks_.push_back({normAt(b + "norm1"), linearAt(b + "attn.qkv", config.dim, 3 * config.dim),
                           linearAt(b + "attn.proj", config.dim, config.dim), normAt(b + "norm2"),
                           linearAt(b + "mlp.fc1", config.dim, config.hidden),
                           linearAt(b + "mlp.fc2", config.hidden, config.dim)});
    }
    norm_ = normAt(norm.substr(0, norm.size() - 1));
}

void Transformer::forwardBlocks(float* x, int batch, int tokens, const int* flagged, int first, int last, Workspace& ws,
                                int queries) const
{
    const size_t count = static_cast<size_t>(batch) * static_cast<size_t>(tokens) * static_cast<size_t>(config_.dim);
    std::vector<ops::BlockWeights> blocks;
    for (int i = first; i < last; ++i)
        blocks.push_back(block(i));
    ws.ops().runBlocks(blocks.data(), last - first, x, flagged, batch, tokens, config_.heads, queries > 0 ? queries : tokens,
                       ws.get("qkv", 3 * count), ws.get("attended", count));
}

void Transformer::finalNorm(const float* x, size_t rows, float* out, Workspace& ws) const
{
    const ops::NormWeights norm = at(norm_);
    ws.ops().layerNorm(x, norm.weight, norm.bias, norm.eps, out, static_cast<int>(rows), config_.dim);
}

void Transformer::forward(float* x, int batch, int tokens, const int* flagged, float* out, Workspace& ws) const
{
    forwardBlocks(x, batch, tokens, flagged, 0, config_.depth, ws);
    finalNorm(x, static_cast<size_t>(batch) * static_cast<size_t>(tokens), out, ws);
}

void Transformer::forwardFlagged(const float* x0, int tokens, int variants, const int* flagged, float* x, Workspace& ws,
                                 int queries) const
{
    const size_t each = static_cast<size_t>(tokens) * static_cast<size_t>(config_.dim);
    float* attended = ws.get("attended", each * static_cast<size_t>(variants));
    const ops::BlockWeights first = block(0);
    float* qkv = ws.get("qkv", 3 * each);
    ws.ops().normLinear(first.norm1, first.qkv, x0, qkv, tokens);
    ws.ops().attention(qkv, flagged, attended, nullptr, variants, tokens, config_.dim, config_.heads, variants);
    for (int v = 0; v < variants; ++v)
        std::memcpy(x + static_cast<size_t>(v) * each, x0, each * sizeof(float));
    ws.ops().finishBlock(first, attended, x, variants * tokens);
    forwardBlocks(x, variants, tokens, flagged, 1, config_.depth, ws, queries);
}

void Transformer::forwardDropped(const float* x0, int tokens, int variants, const int* dropped, float* x, Workspace& ws) const
{
    const size_t dim = static_cast<size_t>(config_.dim), left = static_cast<size_t>(tokens - 1);
    const ops::BlockWeights first = block(0);
    float* qkv = ws.get("qkv", static_cast<size_t>(tokens) * 3 * dim);
    ws.ops().normLinear(first.norm1, first.qkv, x0, qkv, tokens);
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
    ws.ops().finishBlock(first, attended, x, variants * (tokens - 1));
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
        const ops::BlockWeights b = block(i);
        const Tape t = tapeOf(config_, i, batch, tokens, ws, tag);
        std::memcpy(t.x, x, bytes);
        ops.layerNorm(x, b.norm1.weight, b.norm1.bias, b.norm1.eps, t.norm1, rows, dim, t.mean1, t.rstd1);
        ops.linear(t.norm1, b.qkv.weight, b.qkv.bias, t.qkv, rows, dim, 3 * dim);
        ops.attention(t.qkv, nullptr, t.attended, t.probabilities, batch, tokens, dim, config_.heads);
        ops.linear(t.attended, b.proj.weight, b.proj.bias, x, rows, dim, dim, ops::Epilogue::Add);
        std::memcpy(t.middle, x, bytes);
        ops.layerNorm(x, b.norm2.weight, b.norm2.bias, b.norm2.eps, t.norm2, rows, dim, t.mean2, t.rstd2);
        ops.linear(t.norm2, b.fc1.weight, b.fc1.bias, t.before, rows, dim, config_.hidden);
        ops.gelu(t.before, t.after, static_cast<size_t>(rows) * static_cast<size_t>(config_.hidden));
        ops.linear(t.after, b.fc2.weight, b.fc2.bias, x, rows, config_.hidden, dim, ops::Epilogue::Add);
    }
    float* kept = ws.get(tag + ".last", static_cast<size_t>(rows) * static_cast<size_t>(dim));
    const ops::NormWeights last = at(norm_);
    std::memcpy(kept, x, bytes);
    ops.layerNorm(x, last.weight, last.bias, last.eps, out, rows, dim, ws.get(tag + ".mean", static_cast<size_t>(rows)),
                  ws.get(tag + ".rstd", static_cast<size_t>(rows)));
}

void Transformer::backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws,
                           const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim, hidden = config_.hidden;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    const ops::NormWeights last = at(norm_);
    const auto gradOf = [this, grads](const float* weight) { return grads + (weight - params_.data()); };   // same layout
    float* d = ws.get("backward.x", n);
    std::memset(d, 0, n * sizeof(float));
    ops.layerNormBackward(dOut, ws.get(tag + ".last", n), last.weight, ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r), d,
                          gradOf(last.weight), gradOf(last.bias), rows, dim);
    float* dHidden = ws.get("backward.hidden", r * static_cast<size_t>(hidden));
    float* dQkv = ws.get("backward.qkv", 3 * n);
    float* dBranch = ws.get("backward.branch", n);
    for (int i = config_.depth - 1; i >= 0; --i)
    {
        const ops::BlockWeights b = block(i);
        const Tape t = tapeOf(config_, i, batch, tokens, ws, tag);
        ops.linearBackwardWeight(d, t.after, gradOf(b.fc2.weight), gradOf(b.fc2.bias), rows, hidden, dim);
        ops.linearBackwardInput(d, b.fc2.weight, dHidden, rows, hidden, dim);
        ops.geluBackward(t.before, dHidden, dHidden, r * static_cast<size_t>(hidden));
        ops.linearBackwardWeight(dHidden, t.norm2, gradOf(b.fc1.weight), gradOf(b.fc1.bias), rows, dim, hidden);
        ops.linearBackwardInput(dHidden, b.fc1.weight, dBranch, rows, dim, hidden);
        ops.layerNormBackward(dBranch, t.middle, b.norm2.weight, t.mean2, t.rstd2, d, gradOf(b.norm2.weight), gradOf(b.norm2.bias), rows, dim);

        ops.linearBackwardWeight(d, t.attended, gradOf(b.proj.weight), gradOf(b.proj.bias), rows, dim, dim);
        ops.linearBackwardInput(d, b.proj.weight, dBranch, rows, dim, dim);
        ops.attentionBackward(t.qkv, t.probabilities, dBranch, dQkv, batch, tokens, dim, config_.heads);
        ops.linearBackwardWeight(dQkv, t.norm1, gradOf(b.qkv.weight), gradOf(b.qkv.bias), rows, dim, 3 * dim);
        ops.linearBackwardInput(dQkv, b.qkv.weight, dBranch, rows, dim, 3 * dim);
        ops.layerNormBackward(dBranch, t.x, b.norm1.weight, t.mean1, t.rstd1, d, gradOf(b.norm1.weight), gradOf(b.norm1.bias), rows, dim);
    }
    std::memcpy(dx, d, n * sizeof(float));
}

}}}  // namespace
