// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "classifier.hpp"
#include "patches.hpp"
#include "token_merging.hpp"

namespace cv { namespace ltrp { namespace vit {

Classifier::Classifier(const ClassifierConfig& config, const ParamArena& params)
    : config_(config), params_(params), encoder_(config.encoder, config.layerNormEps, params, "blocks.", "norm.")
{
}

void Classifier::pool(const float* x, int batch, int n, float* pooled, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t stride = ops::z(n + 1) * ops::z(dim);
    if (config_.task != Task::Classify)
        ws.ops().gatherRows(x, stride, nullptr, 1, pooled, batch, n, dim);
    else if (config_.pooling == Pooling::Mean)
        ws.ops().meanRows(x, stride, 1, pooled, batch, n, dim);
    else
        ws.ops().gatherRows(x, stride, nullptr, 0, pooled, batch, 1, dim);
}

void Classifier::unpool(const float* dPooled, int batch, int n, float* dx, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    const size_t stride = ops::z(n + 1) * ops::z(dim);
    ws.ops().zero(dx, ops::z(batch) * stride * sizeof(float));
    if (config_.task != Task::Classify)
        ws.ops().scatterRows(dPooled, nullptr, 1, dx, stride, batch, n, dim);
    else if (config_.pooling == Pooling::Mean)
        ws.ops().meanRowsBackward(dPooled, dx, stride, 1, batch, n, dim);
    else
        ws.ops().scatterRows(dPooled, nullptr, 0, dx, stride, batch, 1, dim);
}

void Classifier::head(const float* pooled, int batch, int n, float* logits, Workspace& ws, bool training,
                      const MergedTokens* merged) const
{
    const int dim = config_.encoder.dim, classes = config_.classes;
    const ops::Backend& ops = ws.ops();
    const float *weight = ws.at(params_, "head.weight"), *bias = ws.at(params_, "head.bias");
    if (config_.task != Task::Multilabel)
    {
        ops.linear(pooled, weight, bias, logits, batch * rows(n), dim, classes);
        return;
    }
    const size_t answers = ops::z(batch) * ops::z(classes), values = answers * ops::z(dim);
    float* kv = ws.get("head.kv", ops::z(batch) * ops::z(n) * 2 * ops::z(dim));
    float* attended = ws.get("head.attended", values);
    float* normed = ws.get("head.normed", values);
    float* probabilities = training ? ws.get("head.probabilities", answers * ops::z(config_.encoder.heads) * ops::z(n)) : nullptr;
    ops.linear(pooled, ws.at(params_, "head.kv.weight"), ws.at(params_, "head.kv.bias"), kv, batch * n, dim, 2 * dim);
    if (merged)
        crossAttentionBySize(*merged, queriesOf(batch, n), ws.at(params_, "head.queries"), kv, attended, ws);
    else
        ops.crossAttention(queriesOf(batch, n), ws.at(params_, "head.queries"), kv, attended, probabilities);
    ops.layerNorm(attended, ws.at(params_, "head.norm.weight"), ws.at(params_, "head.norm.bias"), config_.layerNormEps, normed,
                  batch * classes, dim, ws.get("head.mean", answers), ws.get("head.rstd", answers));
    ops.rowProducts(normed, weight, bias, logits, batch, classes, dim);
}

void Classifier::headBackward(const float* dLogits, const float* pooled, int batch, int n, float* dPooled, float* grads,
                              Workspace& ws) const
{
    const int dim = config_.encoder.dim, classes = config_.classes;
    const ops::Backend& ops = ws.ops();
    const auto gradOf = [&](const char* name) { return grads + params_.layout.at(name).offset; };
    const float* weight = ws.at(params_, "head.weight");
    if (config_.task != Task::Multilabel)
    {
        ops.linearBackwardWeight(dLogits, pooled, gradOf("head.weight"), gradOf("head.bias"), batch * rows(n), dim, classes);
        ops.linearBackwardInput(dLogits, weight, dPooled, batch * rows(n), dim, classes);
        return;
    }
    const size_t answers = ops::z(batch) * ops::z(classes), values = answers * ops::z(dim);
    const size_t tokens = ops::z(batch) * ops::z(n);
    float* dNormed = ws.get("backward.normed", values);
    float* dAttended = ws.get("backward.attended", values);
    float* dKv = ws.get("backward.kv", tokens * 2 * ops::z(dim));
    ops.rowProductsBackward(dLogits, ws.get("head.normed", values), weight, dNormed, gradOf("head.weight"), gradOf("head.bias"), batch,
                            classes, dim);
    ops.zero(dAttended, values * sizeof(float));
    ops.layerNormBackward(dNormed, ws.get("head.attended", values), ws.at(params_, "head.norm.weight"), ws.get("head.mean", answers),
                          ws.get("head.rstd", answers), dAttended, gradOf("head.norm.weight"), gradOf("head.norm.bias"),
                          batch * classes, dim);
    ops.crossAttentionBackward(queriesOf(batch, n), ws.at(params_, "head.queries"), ws.get("head.kv", tokens * 2 * ops::z(dim)),
                               ws.get("head.probabilities", answers * ops::z(config_.encoder.heads) * ops::z(n)), dAttended,
                               gradOf("head.queries"), dKv);
    ops.linearBackwardWeight(dKv, pooled, gradOf("head.kv.weight"), gradOf("head.kv.bias"), batch * n, dim, 2 * dim);
    ops.linearBackwardInput(dKv, ws.at(params_, "head.kv.weight"), dPooled, batch * n, dim, 2 * dim);
}

/// The gradient takes the place of the logits.
void Classifier::lossOf(float* logits, int batch, const int* ids, int n, const Truth& truth, double* loss, Workspace& ws,
                        float gradientScale) const
{
    const int classes = config_.classes;
    const ops::Backend& ops = ws.ops();
    if (config_.task == Task::Classify)
        ops.crossEntropy({logits, truth.labels, batch, classes, truth.smoothing, gradientScale, logits, loss});
    else if (config_.task == Task::Multilabel)
        ops.asymmetricLoss({logits, truth.targets, batch, classes, asymmetricPositive, asymmetricNegative, asymmetricClip,
                            gradientScale, logits, loss});
    else
    {
        float* kept = ws.get("train.shares", ops::z(batch) * ops::z(n) * ops::z(classes));
        ops.gatherRows(truth.targets, ops::z(config_.input.numPatches()) * ops::z(classes), ids, 0, kept, batch, n, classes);
        ops.shareEntropy({logits, kept, batch * n, classes, truth.smoothing, gradientScale, logits, loss});
    }
}

void Classifier::forward(const float* pixels, int batch, const int* ids, int n, float* logits, Workspace& ws) const
{
    const int dim = config_.encoder.dim;
    float* x = ws.get("x", ops::z(batch) * ops::z(n + 1) * ops::z(dim));
    float* pooled = ws.get("pooled", ops::z(batch) * ops::z(pooledRows(n)) * ops::z(dim));
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, nullptr, ws);
    encoder_.forward(x, batch, n + 1, nullptr, x, ws);
    pool(x, batch, n, pooled, ws);
    head(pooled, batch, n, logits, ws, false);
}

void Classifier::forwardMerging(const float* pixels, int batch, int perBlock, float* logits, Workspace& ws) const
{
    CV_Assert(config_.task != Task::Segment);
    const int dim = config_.encoder.dim, patches = config_.input.numPatches();
    float* x = ws.get("x", ops::z(batch) * ops::z(patches + 1) * ops::z(dim));
    embedPatches(config_.input, dim, params_, pixels, batch, nullptr, patches, x, nullptr, ws);
    const MergedTokens tokens = vit::forwardMerging(encoder_, x, batch, patches, perBlock, ws);
    float* pooled = ws.get("pooled", ops::z(batch) * ops::z(pooledRows(tokens.n)) * ops::z(dim));
    if (config_.task == Task::Classify && config_.pooling == Pooling::Mean)
        meanBySize(tokens, batch, dim, pooled);
    else
        pool(tokens.x, batch, tokens.n, pooled, ws);
    head(pooled, batch, tokens.n, logits, ws, false, &tokens);
}

void Classifier::trainPass(const float* pixels, int batch, const int* ids, int n, const Truth& truth, float* grads, double* loss,
                           Workspace& ws, float gradientScale) const
{
    const int dim = config_.encoder.dim;
    const size_t images = ops::z(batch), d = ops::z(dim), stride = ops::z(n + 1) * d, pooledValues = images * ops::z(pooledRows(n)) * d;
    float* patches = ws.get("train.patches", images * ops::z(n) * ops::z(config_.input.patchValues()));
    float* x = ws.get("x", images * stride);
    float* out = ws.get("train.out", images * stride);
    float* pooled = ws.get("pooled", pooledValues);
    float* logits = ws.get("train.logits", images * ops::z(rows(n)) * ops::z(config_.classes));
    embedPatches(config_.input, dim, params_, pixels, batch, ids, n, x, patches, ws);
    encoder_.forwardTrain(x, batch, n + 1, out, ws, "classifier");
    pool(out, batch, n, pooled, ws);
    head(pooled, batch, n, logits, ws, true);
    lossOf(logits, batch, ids, n, truth, loss, ws, gradientScale);

    float* dPooled = ws.get("backward.pooled", pooledValues);
    headBackward(logits, pooled, batch, n, dPooled, grads, ws);
    unpool(dPooled, batch, n, out, ws);
    encoder_.backward(out, batch, n + 1, out, grads, ws, "classifier");
    embedBackward(config_.input, dim, params_, patches, out, batch, n, grads, ws);
}

}}}  // namespace
