// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "classifier.hpp"
#include "patches.hpp"

namespace cv { namespace ltrp { namespace vit {

Classifier::Classifier(const ClassifierConfig& config, const ParamArena& params)
    : config_(config), params_(params), encoder_(config.encoder, config.layerNormEps, params, "blocks.", "norm.")
{
}

void Classifier::pool(const float* x, int batch, int n, float* pooled, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t stride = ops::z(n + 1) * ops::z(dim);
    if (config_.pooling == Pooling::Mean)
        ws.ops().meanRows(x, stride, 1, pooled, batch, n, dim);
    else
        ws.ops().gatherRows(x, stride, nullptr, 0, pooled, batch, 1, dim);
}

void Classifier::head(const float* pooled, int batch, float* logits, Workspace& ws) const
{
    ws.ops().linear(pooled, ws.at(params_, "head.weight"), ws.at(params_, "head.bias"), logits, batch, config_.encoder.dim,
                    config_.classes);
}

void Classifier::forward(const float* pixels, int batch, const int* ids, int n, float* logits, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    float* x = ws.get("x", ops::z(batch) * ops::z(n + 1) * ops::z(dim));
    float* pooled = ws.get("pooled", ops::z(batch) * ops::z(dim));
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, nullptr, ws);
    encoder_.forward(x, batch, n + 1, nullptr, x, ws);
    pool(x, batch, n, pooled, ws);
    head(pooled, batch, logits, ws);
}

void Classifier::trainPass(const float* pixels, int batch, const int* ids, int n, const int* labels, float smoothing, float* grads,
                           double* loss, Workspace& ws, float gradientScale) const
{
    const int dim = config_.encoder.dim, classes = config_.classes;
    const size_t images = ops::z(batch), d = ops::z(dim), stride = ops::z(n + 1) * d;
    const ops::Backend& ops = ws.ops();
    float* patches = ws.get("train.patches", images * ops::z(n) * ops::z(config_.input.patchValues()));
    float* x = ws.get("x", images * stride);
    float* out = ws.get("train.out", images * stride);
    float* pooled = ws.get("pooled", images * d);
    float* logits = ws.get("train.logits", images * ops::z(classes));
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, patches, ws);
    encoder_.forwardTrain(x, batch, n + 1, out, ws, "classifier");
    pool(out, batch, n, pooled, ws);
    head(pooled, batch, logits, ws);
    ops.crossEntropy({logits, labels, batch, classes, smoothing, gradientScale, logits, loss});

    float* dPooled = ws.get("backward.pooled", images * d);
    ops.linearBackwardWeight(logits, pooled, grads + params_.layout.at("head.weight").offset,
                             grads + params_.layout.at("head.bias").offset, batch, dim, classes);
    ops.linearBackwardInput(logits, ws.at(params_, "head.weight"), dPooled, batch, dim, classes);
    ops.zero(out, images * stride * sizeof(float));
    if (config_.pooling == Pooling::Mean)
        ops.meanRowsBackward(dPooled, out, stride, 1, batch, n, dim);
    else
        ops.scatterRows(dPooled, nullptr, 0, out, stride, batch, 1, dim);
    encoder_.backward(out, batch, n + 1, out, grads, ws, "classifier");
    embedBackward(config_.input, dim, params_, patches, out, batch, n, grads, ws);
}

}}}  // namespace
