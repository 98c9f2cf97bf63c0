// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "attention_maps.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace vit {

namespace {

/// How much the head reads of each token, [1, 1 + n].
Mat readTokens(Pooling pooling, int n)
{
    Mat share(1, 1 + n, CV_32F, Scalar::all(pooling == Pooling::Mean ? 1. / n : 0.));
    share.at<float>(0) = pooling == Pooling::Mean ? 0.f : 1.f;
    return share;
}

/// Adds softmax(logits) * factor to sum, both [1, n]; overwrites logits.
void addSoftmax(Mat logits, double factor, Mat sum)
{
    double largest = 0;
    minMaxLoc(logits, nullptr, &largest);
    logits -= largest;
    exp(logits, logits);
    scaleAdd(logits, factor / cv::sum(logits)[0], sum, sum);
}

}  // namespace

Mat meanAttention(const Transformer& stack, int block, const float* x, int tokens, int queries, Workspace& ws)
{
    CV_Assert(ws.ops().onHost());
    const int dim = stack.config().dim, heads = stack.config().heads, width = dim / heads;
    const ops::BlockWeights weights = stack.blockWeights(ws)[ops::z(block)];
    Mat qkv(tokens, 3 * dim, CV_32F, ws.get("maps.qkv", ops::z(tokens) * 3 * ops::z(dim)));
    ws.ops().normLinear(weights.norm1, weights.qkv, x, qkv.ptr<float>(), tokens);
    Mat q(queries, width, CV_32F, ws.get("maps.q", ops::z(queries) * ops::z(width)));
    Mat k(tokens, width, CV_32F, ws.get("maps.k", ops::z(tokens) * ops::z(width)));
    Mat logits(queries, tokens, CV_32F, ws.get("maps.logits", ops::z(queries) * ops::z(tokens)));
    Mat mean = Mat::zeros(queries, tokens, CV_32F);
    for (int head = 0; head < heads; ++head)
    {
        qkv(Rect(head * width, 0, width, queries)).convertTo(q, CV_32F, 1 / std::sqrt(static_cast<double>(width)));
        qkv(Rect(dim + head * width, 0, width, tokens)).copyTo(k);
        // not the workspace's backend, which may take a second factor for weights that never change
        ops::cpu().linear(q.ptr<float>(), k.ptr<float>(), nullptr, logits.ptr<float>(), queries, width, tokens);
        for (int i = 0; i < queries; ++i)
            addSoftmax(logits.row(i), 1. / heads, mean.row(i));
    }
    return mean;
}

Mat lastAttention(const Transformer& stack, Pooling pooling, float* x, int n, Workspace& ws)
{
    const int last = stack.config().depth - 1;
    stack.forwardBlocks(x, 1, 1 + n, nullptr, 0, last, ws);
    const Mat attention = meanAttention(stack, last, x, 1 + n, pooling == Pooling::Class ? 1 : 1 + n, ws);
    const Mat row = readTokens(pooling, n).colRange(0, attention.rows) * attention;
    return row.colRange(1, 1 + n).clone();
}

Mat attentionRollout(const Transformer& stack, Pooling pooling, float* x, int n, Workspace& ws)
{
    std::vector<Mat> attention;
    for (int block = 0; block < stack.config().depth; ++block)
    {
        attention.push_back(meanAttention(stack, block, x, 1 + n, 1 + n, ws));
        stack.forwardBlocks(x, 1, 1 + n, nullptr, block, block + 1, ws);
    }
    Mat row = readTokens(pooling, n);   // one row of the product, from the last block to the first
    for (auto a = attention.rbegin(); a != attention.rend(); ++a)
        row = 0.5 * (row * *a) + 0.5 * row;
    return row.colRange(1, 1 + n).clone();
}

LastBlock lastBlock(const ClassifierConfig& config, const ParamArena& params, const Transformer& stack, float* x, int n,
                    Workspace& ws)
{
    CV_Assert(ws.ops().onHost());
    const ops::Backend& ops = ops::cpu();
    const int tokens = 1 + n, dim = config.encoder.dim, heads = config.encoder.heads, last = config.encoder.depth - 1;
    const size_t values = ops::z(tokens) * ops::z(dim), d = ops::z(dim);
    stack.forwardBlocks(x, 1, tokens, nullptr, 0, last, ws);
    LastBlock result;
    result.tokens = Mat(tokens, dim, CV_32F, x).clone();

    const ops::BlockWeights block = stack.blockWeights(ws)[ops::z(last)];
    const ops::NormWeights norm = stack.finalNormWeights(ws);
    float* const tape = ws.get("maps.tape", ops.tapeFloats(block, 1, tokens, heads));
    float* const scratch = ws.get("maps.scratch", ops.blockScratchFloats(block, 1, tokens, heads));
    float* const normed = ws.get("maps.normed", values);
    float* const pooled = ws.get("maps.pooled", d);
    float *const mean = ws.get("maps.mean", ops::z(tokens)), *const rstd = ws.get("maps.rstd", ops::z(tokens));
    ops.trainBlock(block, x, 1, tokens, heads, tape, scratch);
    ops.layerNorm(x, norm.weight, norm.bias, norm.eps, normed, tokens, dim, mean, rstd);
    if (config.pooling == Pooling::Mean)
        ops.meanRows(normed, values, 1, pooled, 1, n, dim);
    else
        ops.gatherRows(normed, values, nullptr, 0, pooled, 1, 1, dim);
    const float* const head = params.at("head.weight");
    result.logits.create(1, config.classes, CV_32F);
    ops.linear(pooled, head, params.at("head.bias"), result.logits.ptr<float>(), 1, dim, config.classes);
    const float* const logits = result.logits.ptr<float>();
    result.winner = static_cast<int>(std::max_element(logits, logits + config.classes) - logits);

    // Gradients of the parameters come with those of the tokens; nobody asks for them.
    const auto unused = [&](const char* name, size_t count)
    {
        float* const memory = ws.get(name, count);
        ops.zero(memory, count * sizeof(float));
        return memory;
    };
    const auto normGrads = [&](const char* name)
    {
        float* const memory = unused(name, 2 * d);
        return ops::ParamGrads{memory, memory + d};
    };
    const auto linearGrads = [&](const char* name, const ops::LinearWeights& of)
    {
        const size_t count = ops::z(of.in) * ops::z(of.out);
        float* const memory = unused(name, count + ops::z(of.out));
        return ops::ParamGrads{memory, memory + count};
    };
    Mat out = Mat::zeros(tokens, dim, CV_32F);
    if (config.pooling == Pooling::Mean)
        ops.meanRowsBackward(head + ops::z(result.winner) * d, out.ptr<float>(), values, 1, 1, n, dim);
    else
        ops.scatterRows(head + ops::z(result.winner) * d, nullptr, 0, out.ptr<float>(), values, 1, 1, dim);
    result.gradient = Mat::zeros(tokens, dim, CV_32F);
    const ops::ParamGrads ofNorm = normGrads("maps.grads.norm");
    ops.layerNormBackward(out.ptr<float>(), x, norm.weight, mean, rstd, result.gradient.ptr<float>(), ofNorm.weight,
                          ofNorm.bias, tokens, dim);
    ops.backwardBlock(block, {normGrads("maps.grads.norm1"), linearGrads("maps.grads.qkv", block.qkv),
                              linearGrads("maps.grads.proj", block.proj), normGrads("maps.grads.norm2"),
                              linearGrads("maps.grads.fc1", block.fc1), linearGrads("maps.grads.fc2", block.fc2)},
                      tape, result.gradient.ptr<float>(), 1, tokens, heads, scratch);
    return result;
}

Mat gradCam(const LastBlock& last)
{
    const Range patches(1, last.tokens.rows);
    Mat weights;
    reduce(last.gradient.rowRange(patches), weights, 0, REDUCE_AVG);
    const Mat column = last.tokens.rowRange(patches) * weights.t();
    return column.reshape(1, 1);
}

}}}  // namespace
