// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "mae.hpp"

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
    ws.ops().gatherRows(x, (count + 1) * d, nullptr, 1, tokens, batch, n, config_.encoder.dim);
}

void Mae::encode(const float* pixels, int batch, const int* idsKeep, int visible, const int* droppedToken, float* latent,
                 Workspace& ws) const
{
    float* x = ws.get("x", static_cast<size_t>(batch) * static_cast<size_t>(visible + 1) * static_cast<size_t>(config_.encoder.dim));
    embedPatches(config_.input, config_.encoder.dim, params_, pixels, batch, idsKeep, visible, x, nullptr, ws);
    encoder_.forward(x, batch, visible + 1, droppedToken, latent, ws);
}

void Mae::decoderInput(const float* latent, int batch, const int* idsKeep, const int* idsRemoved, int visible,
                       ops::TokenOrder order, float* x, Workspace& ws) const
{
    const int dim = config_.decoder.dim;
    const size_t rows = static_cast<size_t>(batch) * static_cast<size_t>(visible + 1);
    float* embedded = ws.get("decoder.embedded", rows * static_cast<size_t>(dim));
    ws.ops().linear(latent, ws.at(params_, "decoder_embed.weight"), ws.at(params_, "decoder_embed.bias"), embedded,
                    batch * (visible + 1), config_.encoder.dim, dim);
    ws.ops().decoderInput(embedded, ws.at(params_, "mask_token"), ws.at(params_, "decoder_pos_embed"), idsKeep, idsRemoved,
                          order, x, batch, visible, config_.input.numPatches(), dim);
}

const int* Mae::maskedPatches(const int* idsKeep, int batch, int visible, Workspace& ws) const
{
    const int numPatches = config_.input.numPatches();
    int* masked = ws.ints("masked", static_cast<size_t>(batch) * static_cast<size_t>(numPatches - visible));
    ws.ops().complement(idsKeep, masked, batch, visible, numPatches);
    return masked;
}

ops::LinearWeights Mae::predictionWeights(const Workspace& ws) const
{
    return {ws.at(params_, "decoder_pred.weight"), ws.at(params_, "decoder_pred.bias"), config_.decoder.dim,
            config_.input.patchValues()};
}

void Mae::predict(const float* x, int rows, float* pred, Workspace& ws) const
{
    float* normed = ws.get("decoder.normed", static_cast<size_t>(rows) * static_cast<size_t>(config_.decoder.dim));
    decoder_.finalNorm(x, static_cast<size_t>(rows), normed, ws);
    ws.ops().linear(normed, ws.at(params_, "decoder_pred.weight"), ws.at(params_, "decoder_pred.bias"), pred, rows,
                    config_.decoder.dim, config_.input.patchValues());
}

void Mae::decode(const float* latent, int batch, const int* idsKeep, int visible, const int* droppedToken, float* pred,
                 Workspace& ws) const
{
    const size_t d = static_cast<size_t>(config_.decoder.dim), l = static_cast<size_t>(config_.input.numPatches());
    const size_t images = static_cast<size_t>(batch);
    float* x = ws.get("decoder.x", images * (l + 1) * d);
    float* rows = ws.get("decoder.rows", images * l * d);
    decoderInput(latent, batch, idsKeep, maskedPatches(idsKeep, batch, visible, ws), visible, ops::TokenOrder::Raster, x, ws);
    decoder_.forwardBlocks(x, batch, config_.input.numPatches() + 1, droppedToken, 0, config_.decoder.depth, ws);
    ws.ops().gatherRows(x, (l + 1) * d, nullptr, 1, rows, batch, config_.input.numPatches(), config_.decoder.dim);
    predict(rows, batch * config_.input.numPatches(), pred, ws);
}

double Mae::forwardBackward(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, Workspace& ws) const
{
    double* there = ws.doubles("loss", 1);
    double loss = 0;
    trainPass(pixels, batch, idsKeep, visible, grads, there, ws);
    ws.ops().download(there, &loss, sizeof(loss));
    return loss;
}

void Mae::trainPass(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, double* loss, Workspace& ws,
                    float gradientScale) const
{
    const int numPatches = config_.input.numPatches(), maskedCount = numPatches - visible, values = config_.input.patchValues();
    const int encoderDim = config_.encoder.dim, decoderDim = config_.decoder.dim;
    const size_t images = static_cast<size_t>(batch), v = static_cast<size_t>(visible), l = static_cast<size_t>(numPatches);
    const size_t de = static_cast<size_t>(encoderDim), dd = static_cast<size_t>(decoderDim);
    const size_t pv = static_cast<size_t>(values), h = static_cast<size_t>(maskedCount), shown = images * v;
    const ops::Backend& ops = ws.ops();
    const auto grad = [&](const char* name) { return grads + params_.layout.at(name).offset; };
    const int* masked = maskedPatches(idsKeep, batch, visible, ws);

    float* patches = ws.get("train.patches", shown * pv);
    float* x = ws.get("x", images * (v + 1) * de);
    float* latent = ws.get("train.latent", images * (v + 1) * de);
    embedPatches(config_.input, encoderDim, params_, pixels, batch, idsKeep, visible, x, patches, ws);
    encoder_.forwardTrain(x, batch, visible + 1, latent, ws, "encoder");
    float* y = ws.get("decoder.x", images * (l + 1) * dd);
    float* decoded = ws.get("train.decoded", images * (l + 1) * dd);
    decoderInput(latent, batch, idsKeep, masked, visible, ops::TokenOrder::Raster, y, ws);
    decoder_.forwardTrain(y, batch, numPatches + 1, decoded, ws, "decoder");

    // The loss uses only masked patches, so only these are predicted.
    const int rows = batch * maskedCount;
    float* normed = ws.get("train.rows", images * h * dd);
    ops.gatherRows(decoded, (l + 1) * dd, masked, 1, normed, batch, maskedCount, decoderDim);
    float* pred = ws.get("train.pred", images * h * pv);
    float* target = ws.get("target", images * h * pv);
    ops.linear(normed, ws.at(params_, "decoder_pred.weight"), ws.at(params_, "decoder_pred.bias"), pred, rows, decoderDim, values);
    ops.patchTargets(gridOf(config_.input), pixels, batch, masked, maskedCount, config_.normPixLoss, target, nullptr);
    ops.squaredLoss(pred, target, images * h * pv, pred, loss, gradientScale);

    float* dNormed = ws.get("backward.rows", images * h * dd);
    ops.linearBackwardWeight(pred, normed, grad("decoder_pred.weight"), grad("decoder_pred.bias"), rows, decoderDim, values);
    ops.linearBackwardInput(pred, ws.at(params_, "decoder_pred.weight"), dNormed, rows, decoderDim, values);
    ops.zero(decoded, images * (l + 1) * dd * sizeof(float));
    ops.scatterRows(dNormed, masked, 1, decoded, (l + 1) * dd, batch, maskedCount, decoderDim);
    decoder_.backward(decoded, batch, numPatches + 1, decoded, grads, ws, "decoder");

    float* dEmbedded = ws.get("decoder.embedded", images * (v + 1) * dd);
    ops.decoderInputBackward(decoded, idsKeep, masked, dEmbedded, grad("mask_token"), batch, visible, numPatches, decoderDim);
    ops.linearBackwardWeight(dEmbedded, latent, grad("decoder_embed.weight"), grad("decoder_embed.bias"),
                             batch * (visible + 1), encoderDim, decoderDim);
    ops.linearBackwardInput(dEmbedded, ws.at(params_, "decoder_embed.weight"), x, batch * (visible + 1), encoderDim, decoderDim);
    encoder_.backward(x, batch, visible + 1, x, grads, ws, "encoder");
    embedBackward(config_.input, encoderDim, params_, patches, x, batch, visible, grads, ws);
}

}}}  // namespace
