// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "mae.hpp"

#include <cmath>
#include <cstring>

namespace cv { namespace ltrp { namespace vit {

Mae::Mae(const MaeConfig& config, const ParamArena& params)
    : config_(config), params_(params),
      encoder_(config.encoder, config.layerNormEps, params, "blocks.", "norm."),
      decoder_(config.decoder, config.layerNormEps, params, "decoder_blocks.", "decoder_norm.")
{
}

void Mae::embed(const float* pixels, int batch, const int* ids, int n, float* tokens, Workspace& ws) const
{
    const size_t d = static_cast<size_t>(config_.encoder.dim), count = static_cast<size_t>(n);
    float* x = ws.get("x", static_cast<size_t>(batch) * (count + 1) * d);
    embedPatches(config_.input, config_.encoder.dim, params_, pixels, batch, ids, n, x, nullptr, ws);
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
        std::memcpy(tokens + b * count * d, x + (b * (count + 1) + 1) * d, count * d * sizeof(float));
}

void Mae::encode(const float* pixels, int batch, const int* idsKeep, int visible, const int* flagged, float* latent,
                 Workspace& ws) const
{
    float* x = ws.get("x", static_cast<size_t>(batch) * static_cast<size_t>(visible + 1) * static_cast<size_t>(config_.encoder.dim));
    embedPatches(config_.input, config_.encoder.dim, params_, pixels, batch, idsKeep, visible, x, nullptr, ws);
    encoder_.forward(x, batch, visible + 1, flagged, latent, ws);
}

void Mae::decoderInput(const float* latent, int batch, const int* idsKeep, int visible, float* x, Workspace& ws) const
{
    const int dim = config_.decoder.dim, numPatches = config_.input.numPatches();
    const size_t d = static_cast<size_t>(dim), l = static_cast<size_t>(numPatches), v = static_cast<size_t>(visible);
    float* embedded = ws.get("decoder.embedded", static_cast<size_t>(batch) * (v + 1) * d);
    ws.ops().linear(latent, params_.at("decoder_embed.weight"), params_.at("decoder_embed.bias"), embedded,
                    batch * (visible + 1), config_.encoder.dim, dim);
    const float* positions = params_.at("decoder_pos_embed");
    const float* maskToken = params_.at("mask_token");
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
    {
        const float* from = embedded + b * (v + 1) * d;
        const int* keep = idsKeep + b * v;
        float* to = x + b * (l + 1) * d;
        for (size_t i = 0; i < d; ++i)
            to[i] = from[i] + positions[i];
        size_t next = 0;
        for (size_t place = 0; place < l; ++place)
        {
            const bool shown = next < v && keep[next] == static_cast<int>(place);
            const float* token = shown ? from + (1 + next++) * d : maskToken;
            for (size_t i = 0; i < d; ++i)
                to[(1 + place) * d + i] = token[i] + positions[(1 + place) * d + i];
        }
    }
}

ops::LinearWeights Mae::predictionWeights() const
{
    return {params_.at("decoder_pred.weight"), params_.at("decoder_pred.bias"), config_.decoder.dim,
            config_.input.patchValues()};
}

void Mae::predict(const float* x, int rows, float* pred, Workspace& ws) const
{
    float* normed = ws.get("decoder.normed", static_cast<size_t>(rows) * static_cast<size_t>(config_.decoder.dim));
    decoder_.finalNorm(x, static_cast<size_t>(rows), normed, ws);
    ws.ops().linear(normed, params_.at("decoder_pred.weight"), params_.at("decoder_pred.bias"), pred, rows,
                    config_.decoder.dim, config_.input.patchValues());
}

void Mae::decode(const float* latent, int batch, const int* idsKeep, int visible, const int* flagged, float* pred,
                 Workspace& ws) const
{
    const size_t d = static_cast<size_t>(config_.decoder.dim), l = static_cast<size_t>(config_.input.numPatches());
    const size_t images = static_cast<size_t>(batch);
    float* x = ws.get("decoder.x", images * (l + 1) * d);
    float* rows = ws.get("decoder.rows", images * l * d);
    decoderInput(latent, batch, idsKeep, visible, x, ws);
    decoder_.forwardBlocks(x, batch, config_.input.numPatches() + 1, flagged, 0, config_.decoder.depth, ws);
    for (size_t b = 0; b < images; ++b)   // without the class token
        std::memcpy(rows + b * l * d, x + (b * (l + 1) + 1) * d, l * d * sizeof(float));
    predict(rows, batch * config_.input.numPatches(), pred, ws);
}

void Mae::targets(const float* pixels, int batch, const int* ids, int n, float* out, Workspace& ws) const
{
    const size_t rows = static_cast<size_t>(batch) * static_cast<size_t>(n);
    const size_t values = static_cast<size_t>(config_.input.patchValues());
    patchify(config_.input, pixels, batch, ids, n, PatchOrder::ChannelLast, out);
    if (!config_.normPixLoss)
        return;
    float* mean = ws.get("target.mean", rows);
    float* deviation = ws.get("target.deviation", rows);
    patchStatistics(out, rows, values, mean, deviation);
    for (size_t r = 0; r < rows; ++r)
        for (size_t i = 0; i < values; ++i)
            out[r * values + i] = (out[r * values + i] - mean[r]) / deviation[r];
}

namespace {

std::vector<int> removedOf(int batch, const int* idsKeep, int visible, int numPatches)
{
    std::vector<int> removed(static_cast<size_t>(batch) * static_cast<size_t>(numPatches - visible));
    for (int b = 0; b < batch; ++b)
        complement(idsKeep + static_cast<ptrdiff_t>(b) * visible, visible, numPatches,
                   removed.data() + static_cast<ptrdiff_t>(b) * (numPatches - visible));
    return removed;
}

}  // namespace

double Mae::loss(const float* pixels, int batch, const int* idsKeep, int visible, const float* pred, Workspace& ws) const
{
    const int numPatches = config_.input.numPatches(), hidden = numPatches - visible;
    const size_t values = static_cast<size_t>(config_.input.patchValues());
    const std::vector<int> removed = removedOf(batch, idsKeep, visible, numPatches);
    float* target = ws.get("target", removed.size() * values);
    targets(pixels, batch, removed.data(), hidden, target, ws);
    double total = 0;
    for (size_t i = 0; i < removed.size(); ++i)
    {
        const size_t image = i / static_cast<size_t>(hidden);
        const float* p = pred + (image * static_cast<size_t>(numPatches) + static_cast<size_t>(removed[i])) * values;
        total += ws.ops().meanDifference(p, target + i * values, values, nullptr, 0, true);
    }
    return total / static_cast<double>(removed.size());
}

double Mae::forwardBackward(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, Workspace& ws) const
{
    const int numPatches = config_.input.numPatches(), hidden = numPatches - visible, values = config_.input.patchValues();
    const int encoderDim = config_.encoder.dim, decoderDim = config_.decoder.dim;
    const size_t images = static_cast<size_t>(batch), v = static_cast<size_t>(visible), l = static_cast<size_t>(numPatches);
    const size_t de = static_cast<size_t>(encoderDim), dd = static_cast<size_t>(decoderDim);
    const size_t pv = static_cast<size_t>(values), h = static_cast<size_t>(hidden), shown = images * v;
    const ops::Backend& ops = ws.ops();
    const auto grad = [&](const char* name) { return grads + params_.layout.at(name).offset; };
    const std::vector<int> removed = removedOf(batch, idsKeep, visible, numPatches);

    float* patches = ws.get("train.patches", shown * pv);
    float* x = ws.get("x", images * (v + 1) * de);
    float* latent = ws.get("train.latent", images * (v + 1) * de);
    embedPatches(config_.input, encoderDim, params_, pixels, batch, idsKeep, visible, x, patches, ws);
    encoder_.forwardTrain(x, batch, visible + 1, latent, ws, "encoder");
    float* y = ws.get("decoder.x", images * (l + 1) * dd);
    float* decoded = ws.get("train.decoded", images * (l + 1) * dd);
    decoderInput(latent, batch, idsKeep, visible, y, ws);
    decoder_.forwardTrain(y, batch, numPatches + 1, decoded, ws, "decoder");

    // Only removed patches count: predict just these.
    const int rows = batch * hidden;
    float* normed = ws.get("train.rows", images * h * dd);
    for (size_t i = 0; i < images * h; ++i)
        std::memcpy(normed + i * dd, decoded + (i / h * (l + 1) + 1 + static_cast<size_t>(removed[i])) * dd, dd * sizeof(float));
    float* pred = ws.get("train.pred", images * h * pv);
    float* target = ws.get("target", images * h * pv);
    ops.linear(normed, params_.at("decoder_pred.weight"), params_.at("decoder_pred.bias"), pred, rows, decoderDim, values);
    targets(pixels, batch, removed.data(), hidden, target, ws);
    const size_t count = images * h * pv;
    const double loss = ops.meanDifference(pred, target, count, nullptr, 0, true);
    const float factor = static_cast<float>(2.0 / static_cast<double>(count));
    for (size_t i = 0; i < count; ++i)
        pred[i] = (pred[i] - target[i]) * factor;

    float* dNormed = ws.get("backward.rows", images * h * dd);
    ops.linearBackwardWeight(pred, normed, grad("decoder_pred.weight"), grad("decoder_pred.bias"), rows, decoderDim, values);
    ops.linearBackwardInput(pred, params_.at("decoder_pred.weight"), dNormed, rows, decoderDim, values);
    std::memset(decoded, 0, images * (l + 1) * dd * sizeof(float));
    for (size_t i = 0; i < images * h; ++i)
        std::memcpy(decoded + (i / h * (l + 1) + 1 + static_cast<size_t>(removed[i])) * dd, dNormed + i * dd, dd * sizeof(float));
    decoder_.backward(decoded, batch, numPatches + 1, decoded, grads, ws, "decoder");

    float* dEmbedded = ws.get("decoder.embedded", images * (v + 1) * dd);
    float* dMask = grad("mask_token");
    for (size_t b = 0; b < images; ++b)
    {
        const float* from = decoded + b * (l + 1) * dd;
        float* to = dEmbedded + b * (v + 1) * dd;
        std::memcpy(to, from, dd * sizeof(float));
        for (size_t i = 0; i < v; ++i)
            std::memcpy(to + (1 + i) * dd, from + (1 + static_cast<size_t>(idsKeep[b * v + i])) * dd, dd * sizeof(float));
        for (size_t i = 0; i < h; ++i)
        {
            const float* row = from + (1 + static_cast<size_t>(removed[b * h + i])) * dd;
            for (size_t k = 0; k < dd; ++k)
                dMask[k] += row[k];
        }
    }
    ops.linearBackwardWeight(dEmbedded, latent, grad("decoder_embed.weight"), grad("decoder_embed.bias"),
                             batch * (visible + 1), encoderDim, decoderDim);
    ops.linearBackwardInput(dEmbedded, params_.at("decoder_embed.weight"), x, batch * (visible + 1), encoderDim, decoderDim);
    encoder_.backward(x, batch, visible + 1, x, grads, ws, "encoder");
    embedBackward(config_.input, encoderDim, params_, patches, x, batch, visible, grads, ws);
    return loss;
}

}}}  // namespace
