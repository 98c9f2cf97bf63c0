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

std::vector<ops::BlockWeights> Transformer::blockWeights() const
{
    std::vector<ops::BlockWeights> blocks;
    for (int i = 0; i < config_.depth; ++i)
        blocks.push_back(block(i));
    return blocks;
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

void Transformer::forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    float* scratch = ws.get("train.scratch", ops.blockScratchFloats(block(0), batch, tokens, config_.heads));
    for (int i = 0; i < config_.depth; ++i)
        ops.trainBlock(block(i), x, batch, tokens, config_.heads, tapeOf(i, batch, tokens, ws, tag), scratch);
    float* kept = ws.get(tag + ".last", n);
    const ops::NormWeights last = at(norm_);
    std::memcpy(kept, x, n * sizeof(float));
    ops.layerNorm(x, last.weight, last.bias, last.eps, out, rows, dim, ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r));
}

void Transformer::backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws,
                           const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    const ops::NormWeights last = at(norm_);
    const auto gradOf = [this, grads](const auto& of) {   // same layout
        return ops::ParamGrads{grads + (of.weight - params_.data()), grads + (of.bias - params_.data())};
    };
    float* d = ws.get("backward.x", n);
    std::memset(d, 0, n * sizeof(float));
    ops.layerNormBackward(dOut, ws.get(tag + ".last", n), last.weight, ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r), d,
                          gradOf(last).weight, gradOf(last).bias, rows, dim);
    float* scratch = ws.get("train.scratch", ops.blockScratchFloats(block(0), batch, tokens, config_.heads));
    for (int i = config_.depth - 1; i >= 0; --i)
    {
        const ops::BlockWeights b = block(i);
        ops.backwardBlock(b, {gradOf(b.norm1), gradOf(b.qkv), gradOf(b.proj), gradOf(b.norm2), gradOf(b.fc1), gradOf(b.fc2)},
                          tapeOf(i, batch, tokens, ws, tag), d, batch, tokens, config_.heads, scratch);
    }
    std::memcpy(dx, d, n * sizeof(float));
}

float* Transformer::tapeOf(int i, int batch, int tokens, Workspace& ws, const std::string& tag) const
{
    return ws.get(tag + "." + std::to_string(i), ws.ops().tapeFloats(block(i), batch, tokens, config_.heads));
}

}}}  // namespace
