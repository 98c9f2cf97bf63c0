// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "transformer.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace vit {

Workspace::~Workspace()
{
    repeated_.clear();
    for (const auto& entry : buffers_)
        backend_.release(entry.second.data);
}

void* Workspace::buffer(const std::string& name, size_t count, size_t size)
{
    Buffer& buffer = buffers_[name];
    if (buffer.bytes < count * size)
    {
        LTRP_REQUIRE(count <= static_cast<size_t>(INT_MAX), Error::StsNoMem,
                     "a batch this large needs a buffer '" << name << "' of " << count << " values; use a smaller batch");
        backend_.release(buffer.data);
        buffer = Buffer();
        indices_.erase(name);
        constants_.erase(name);
        ++growths_;
        buffer.data = backend_.allocate(count * size);
        buffer.bytes = count * size;
    }
    return buffer.data;
}

size_t Workspace::bytes() const
{
    size_t total = 0;
    for (const auto& entry : buffers_)
        total += entry.second.bytes;
    return total;
}

const float* Workspace::upload(const std::string& name, const float* host, size_t count)
{
    if (backend_.onHost())
        return host;
    float* const there = get(name, count);
    backend_.upload(host, there, count * sizeof(float));
    return there;
}

const int* Workspace::upload(const std::string& name, const int* host, size_t count)
{
    if (backend_.onHost())
        return host;
    int* const there = ints(name, count);
    backend_.upload(host, there, count * sizeof(int));
    return there;
}

const int* Workspace::indices(const std::string& name, const std::vector<int>& host)
{
    if (backend_.onHost())
        return host.data();
    int* const there = ints(name, host.size());
    std::vector<int>& held = indices_[name];
    if (held != host)
    {
        backend_.upload(host.data(), there, host.size() * sizeof(int));
        held = host;
    }
    return there;
}

const float* Workspace::constants(const std::string& name, const std::vector<float>& host)
{
    if (backend_.onHost())
        return host.data();
    float* const there = get(name, host.size());
    std::vector<float>& held = constants_[name];
    if (held != host)
    {
        backend_.upload(host.data(), there, host.size() * sizeof(float));
        held = host;
    }
    return there;
}

const float* Workspace::download(const std::string& name, const float* from, size_t count)
{
    if (backend_.onHost())
        return from;
    std::vector<float>& host = downloads_[name];
    host.resize(count);
    backend_.download(from, host.data(), count * sizeof(float));
    return host.data();
}

void Workspace::repeat(const std::string& key, const std::function<void()>& calls)
{
    if (repeated_.size() >= mostRepeated && !repeated_.count(key))
        repeated_.clear();
    Repeated& known = repeated_[key];
    if (!known.replay || known.buffers != growths_)   // buffers used by the recording have moved
        known.replay = backend_.replay();
    if (known.replay)
        known.replay->run(calls);
    else
        calls();
    known.buffers = growths_;
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

std::vector<ops::BlockWeights> Transformer::blockWeights(const Workspace& ws) const
{
    std::vector<ops::BlockWeights> blocks;
    for (int i = 0; i < config_.depth; ++i)
        blocks.push_back(block(ws, i));
    return blocks;
}

void Transformer::forwardBlocks(float* x, int batch, int tokens, const int* droppedToken, int first, int last, Workspace& ws,
                                int queries) const
{
    const size_t count = static_cast<size_t>(batch) * static_cast<size_t>(tokens) * static_cast<size_t>(config_.dim);
    std::vector<ops::BlockWeights> blocks;
    for (int i = first; i < last; ++i)
        blocks.push_back(block(ws, i));
    ws.ops().runBlocks(blocks.data(), last - first, x, droppedToken, batch, tokens, config_.heads, queries > 0 ? queries : tokens,
                       ws.get("qkv", 3 * count), ws.get("attended", count));
}

void Transformer::finalNorm(const float* x, size_t rows, float* out, Workspace& ws) const
{
    const ops::NormWeights norm = at(ws, norm_);
    ws.ops().layerNorm(x, norm.weight, norm.bias, norm.eps, out, static_cast<int>(rows), config_.dim);
}

void Transformer::forward(float* x, int batch, int tokens, const int* droppedToken, float* out, Workspace& ws) const
{
    forwardBlocks(x, batch, tokens, droppedToken, 0, config_.depth, ws);
    finalNorm(x, static_cast<size_t>(batch) * static_cast<size_t>(tokens), out, ws);
}

void Transformer::forwardVariants(const float* x0, int inputs, int tokens, int variants, const int* droppedToken, float* x,
                                 Workspace& ws, int queries) const
{
    const size_t count = static_cast<size_t>(inputs) * static_cast<size_t>(variants) * static_cast<size_t>(tokens)
                         * static_cast<size_t>(config_.dim);
    std::vector<ops::BlockWeights> blocks;
    for (int i = 0; i < config_.depth; ++i)
        blocks.push_back(block(ws, i));
    ws.ops().runVariants(blocks.data(), config_.depth, x0, inputs, variants, droppedToken, x, tokens, config_.heads,
                         queries > 0 ? queries : tokens, ws.get("qkv", 3 * count), ws.get("attended", count));
}

void Transformer::forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    float* scratch = ws.get("train.scratch", ops.blockScratchFloats(block(ws, 0), batch, tokens, config_.heads));
    for (int i = 0; i < config_.depth; ++i)
    {
        ws.pause();
        ops.trainBlock(block(ws, i), x, batch, tokens, config_.heads, tapeOf(i, batch, tokens, ws, tag), scratch);
    }
    float* kept = ws.get(tag + ".last", n);
    const ops::NormWeights last = at(ws, norm_);
    ops.copy(x, kept, n * sizeof(float));
    ops.layerNorm(x, last.weight, last.bias, last.eps, out, rows, dim, ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r));
}

void Transformer::backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws,
                           const std::string& tag) const
{
    const int rows = batch * tokens, dim = config_.dim;
    const size_t r = static_cast<size_t>(rows), n = r * static_cast<size_t>(dim);
    const ops::Backend& ops = ws.ops();
    const ops::NormWeights last = at(ws, norm_);
    const float* parameters = ws.parameters(params_);
    const auto gradOf = [parameters, grads](const auto& of) {   // same layout
        return ops::ParamGrads{grads + (of.weight - parameters), grads + (of.bias - parameters)};
    };
    float* d = ws.get("backward.x", n);
    ops.zero(d, n * sizeof(float));
    ops.layerNormBackward(dOut, ws.get(tag + ".last", n), last.weight, ws.get(tag + ".mean", r), ws.get(tag + ".rstd", r), d,
                          gradOf(last).weight, gradOf(last).bias, rows, dim);
    float* scratch = ws.get("train.scratch", ops.blockScratchFloats(block(ws, 0), batch, tokens, config_.heads));
    for (int i = config_.depth - 1; i >= 0; --i)
    {
        ws.pause();
        const ops::BlockWeights b = block(ws, i);
        ops.backwardBlock(b, {gradOf(b.norm1), gradOf(b.qkv), gradOf(b.proj), gradOf(b.norm2), gradOf(b.fc1), gradOf(b.fc2)},
                          tapeOf(i, batch, tokens, ws, tag), d, batch, tokens, config_.heads, scratch);
    }
    ops.copy(d, dx, n * sizeof(float));
}

float* Transformer::tapeOf(int i, int batch, int tokens, Workspace& ws, const std::string& tag) const
{
    return ws.get(tag + "." + std::to_string(i), ws.ops().tapeFloats(block(ws, i), batch, tokens, config_.heads));
}

}}}  // namespace
