// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "ranker_net.hpp"
#include "patches.hpp"
#include "positions.hpp"

namespace cv { namespace ltrp { namespace vit {

RankerNet::RankerNet(const RankerConfig& config, const ParamArena& params)
    : config_(config), params_(params), encoder_(config.encoder, config.layerNormEps, params, "blocks.", "norm."),
      positions_(config.input.otherSize.empty()
                     ? std::vector<float>()
                     : resizedPositions(config.input, config.encoder.dim, params.at("pos_embed"))),
      positionsName_(format("positions %d x %d", config.input.size().width, config.input.size().height))
{
}

void RankerNet::forward(const float* pixels, int batch, const int* ids, int n, float* scores, float* cls, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t d = static_cast<size_t>(dim), tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    float* x = ws.get("x", images * tokens * d);
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, nullptr, ws, positions(ws));
    if (config_.head == Head::Token)
    {
        encoder_.forward(x, batch, n + 1, nullptr, x, ws);
        tokenScores(x, batch, ids, n, scores, ws);
        if (cls)
            ws.ops().gatherRows(x, tokens * d, nullptr, 0, cls, batch, 1, dim);
        return;
    }
    encoder_.forwardBlocks(x, batch, n + 1, nullptr, 0, config_.encoder.depth, ws, 1);
    if (!cls)
        cls = ws.get("class", images * d);
    ws.ops().gatherRows(x, tokens * d, nullptr, 0, cls, batch, 1, dim);   // only the class token is used from here on
    encoder_.finalNorm(cls, images, cls, ws);
    ws.ops().linear(cls, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), scores, batch, dim, config_.headOutputs());
}

void RankerNet::tokenScores(const float* x, int batch, const int* ids, int n, float* scores, Workspace& ws) const
{
    const size_t tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    const size_t patches = static_cast<size_t>(config_.input.numPatches());
    const ops::Backend& ops = ws.ops();
    float* all = ws.get("token.scores", images * tokens);   // class token included: cheaper than a copy
    ops.linear(x, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), all, batch * (n + 1), config_.encoder.dim, 1);
    float* ofPatches = ids ? ws.get("token.patchScores", images * static_cast<size_t>(n)) : scores;
    ops.gatherRows(all + 1, tokens, nullptr, 0, ofPatches, batch, 1, n);
    if (!ids)
        return;
    ops.zero(scores, images * patches * sizeof(float));
    ops.scatterRows(ofPatches, ids, 0, scores, patches, batch, n, 1);
}

void RankerNet::forwardTrain(const float* pixels, int batch, const int* ids, int n, float* scores, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t d = static_cast<size_t>(dim), tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    float* x = ws.get("x", images * tokens * d);
    float* out = ws.get("ranker.out", images * tokens * d);
    float* patches = ws.get("ranker.patches", images * static_cast<size_t>(n) * static_cast<size_t>(config_.input.patchValues()));
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, patches, ws, positions(ws));
    encoder_.forwardTrain(x, batch, n + 1, out, ws, "ranker");
    if (config_.head == Head::Token)
        return tokenScores(out, batch, ids, n, scores, ws);
    float* cls = ws.get("class", images * d);
    ws.ops().gatherRows(out, tokens * d, nullptr, 0, cls, batch, 1, dim);
    ws.ops().linear(cls, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), scores, batch, dim, config_.headOutputs());
}

void RankerNet::classHeadBackward(int batch, int n, const float* dScores, float* dOut, float* grads, Workspace& ws) const
{
    const int dim = config_.encoder.dim, outputs = config_.headOutputs();
    const size_t d = static_cast<size_t>(dim), tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    const ops::Backend& ops = ws.ops();
    float* dCls = ws.get("backward.class", images * d);
    ops.linearBackwardWeight(dScores, ws.get("class", images * d), grads + params_.layout.at("head.weight").offset,
                             grads + params_.layout.at("head.bias").offset, batch, dim, outputs);
    ops.linearBackwardInput(dScores, ws.at(params_, "head.weight"), dCls, batch, dim, outputs);
    ops.zero(dOut, images * tokens * d * sizeof(float));
    ops.scatterRows(dCls, nullptr, 0, dOut, tokens * d, batch, 1, dim);
}

void RankerNet::tokenHeadBackward(int batch, const int* ids, int n, const float* dScores, float* dOut, float* grads,
                                  Workspace& ws) const
{
    const int dim = config_.encoder.dim, rows = batch * (n + 1);
    const size_t tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    const size_t patches = static_cast<size_t>(config_.input.numPatches());
    const ops::Backend& ops = ws.ops();
    const float* ofPatches = dScores;
    if (ids)
    {
        float* gathered = ws.get("token.patchScores", images * static_cast<size_t>(n));
        ops.gatherRows(dScores, patches, ids, 0, gathered, batch, n, 1);
        ofPatches = gathered;
    }
    float* all = ws.get("token.scores", images * tokens);
    ops.zero(all, images * tokens * sizeof(float));   // the class token's score is not used
    ops.scatterRows(ofPatches, nullptr, 0, all + 1, tokens, batch, 1, n);
    ops.linearBackwardWeight(all, ws.get("ranker.out", images * tokens * static_cast<size_t>(dim)),
                             grads + params_.layout.at("head.weight").offset, grads + params_.layout.at("head.bias").offset,
                             rows, dim, 1);
    ops.linearBackwardInput(all, ws.at(params_, "head.weight"), dOut, rows, dim, 1);
}

void RankerNet::backward(const float*, int batch, const int* ids, int n, const float* dScores, float* grads, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    float* dOut = ws.get("backward.out", images * tokens * static_cast<size_t>(dim));
    if (config_.head == Head::Token)
        tokenHeadBackward(batch, ids, n, dScores, dOut, grads, ws);
    else
        classHeadBackward(batch, n, dScores, dOut, grads, ws);
    encoder_.backward(dOut, batch, n + 1, dOut, grads, ws, "ranker");
    const float* patches = ws.get("ranker.patches", images * static_cast<size_t>(n) * static_cast<size_t>(config_.input.patchValues()));
    embedBackward(config_.input, dim, params_, patches, dOut, batch, n, grads, ws);
}

}}}  // namespace
