// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "ranker_net.hpp"
#include "patches.hpp"

namespace cv { namespace ltrp { namespace vit {

RankerNet::RankerNet(const RankerConfig& config, const ParamArena& params)
    : config_(config), params_(params), encoder_(config.encoder, config.layerNormEps, params, "blocks.", "norm.")
{
}

void RankerNet::forward(const float* pixels, int batch, const int* ids, int n, float* scores, float* cls, Workspace& ws) const
{
    const size_t d = static_cast<size_t>(config_.encoder.dim), tokens = static_cast<size_t>(n) + 1;
    float* x = ws.get("x", static_cast<size_t>(batch) * tokens * d);
    embedPatches(config_.input, config_.encoder.dim, params_, pixels, batch, ids, n, x, nullptr, ws);
    encoder_.forwardBlocks(x, batch, n + 1, nullptr, 0, config_.encoder.depth, ws, 1);
    if (!cls)
        cls = ws.get("class", static_cast<size_t>(batch) * d);
    ws.ops().gatherRows(x, tokens * d, nullptr, 0, cls, batch, 1, config_.encoder.dim);   // only the class token goes on
    encoder_.finalNorm(cls, static_cast<size_t>(batch), cls, ws);
    ws.ops().linear(cls, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), scores, batch, config_.encoder.dim,
                    config_.input.numPatches());
}

void RankerNet::forwardTrain(const float* pixels, int batch, const int* ids, int n, float* scores, Workspace& ws) const
{
    const size_t d = static_cast<size_t>(config_.encoder.dim), tokens = static_cast<size_t>(n) + 1;
    const size_t rows = static_cast<size_t>(batch) * tokens;
    float* x = ws.get("x", rows * d);
    float* out = ws.get("ranker.out", rows * d);
    float* cls = ws.get("class", static_cast<size_t>(batch) * d);
    float* patches = ws.get("ranker.patches", static_cast<size_t>(batch) * static_cast<size_t>(n)
                                                  * static_cast<size_t>(config_.input.patchValues()));
    embedPatches(config_.input, config_.encoder.dim, params_, pixels, batch, ids, n, x, patches, ws);
    encoder_.forwardTrain(x, batch, n + 1, out, ws, "ranker");
    ws.ops().gatherRows(out, tokens * d, nullptr, 0, cls, batch, 1, config_.encoder.dim);
    ws.ops().linear(cls, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), scores, batch, config_.encoder.dim,
                    config_.input.numPatches());
}

void RankerNet::backward(const float*, int batch, const int*, int n, const float* dScores, float* grads, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t d = static_cast<size_t>(dim), tokens = static_cast<size_t>(n) + 1, images = static_cast<size_t>(batch);
    float* cls = ws.get("class", images * d);
    float* dCls = ws.get("backward.class", images * d);
    float* dOut = ws.get("backward.out", images * tokens * d);
    ws.ops().linearBackwardWeight(dScores, cls, grads + params_.layout.at("head.weight").offset,
                                  grads + params_.layout.at("head.bias").offset, batch, dim, config_.input.numPatches());
    ws.ops().linearBackwardInput(dScores, ws.at(params_, "head.weight"), dCls, batch, dim, config_.input.numPatches());
    ws.ops().zero(dOut, images * tokens * d * sizeof(float));
    ws.ops().scatterRows(dCls, nullptr, 0, dOut, tokens * d, batch, 1, dim);
    encoder_.backward(dOut, batch, n + 1, dOut, grads, ws, "ranker");
    const float* patches = ws.get("ranker.patches", images * static_cast<size_t>(n) * static_cast<size_t>(config_.input.patchValues()));
    embedBackward(config_.input, dim, params_, patches, dOut, batch, n, grads, ws);
}

}}}  // namespace
