// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Operations of DeviceBackend that consist of one kernel.
#if defined(HAVE_LTRP_CUDA) || defined(LTRP_SIMT)   // file globs ignore which parts a build has

#include "backend.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

namespace kernels = ::cv::ltrp::ops::LTRP_KERNELS_NAMESPACE;

}  // namespace

void DeviceBackend::patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n,
                             PatchOrder order, float* out) const
{
    kernels::patchify(device_->stream(), pixels, ids, order == PatchOrder::ChannelLast, out, batch, n,
                      grid.width, grid.height, grid.patch);
    device_->check("patchify");
}

void DeviceBackend::patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n,
                                 bool normalised, float* out, float* deviation) const
{
    kernels::patchTargets(device_->stream(), pixels, ids, normalised, out, deviation, batch, n,
                          grid.width, grid.height, grid.patch);
    device_->check("patchTargets");
}

void DeviceBackend::prepareImages(const DeviceImage* images, int count, Size size, const double mean[3],
                                  const double deviation[3], float* pixels) const
{
    std::vector<AugmentItem> items;
    int width = 1, height = 1;
    for (int i = 0; i < count; ++i)
    {
        const DeviceImage& image = images[i];
        device_->requireHere(image.data, "image " + std::to_string(i));
        items.push_back({image.data, image.step, image.width, image.height, 0});
        width = std::max(width, image.width);
        height = std::max(height, image.height);
    }
    // Images are BGR, pixels are RGB: the planes are computed in the images' order, then swapped.
    const float means[3] = {static_cast<float>(mean[2]), static_cast<float>(mean[1]), static_cast<float>(mean[0])};
    const float deviations[3] = {static_cast<float>(deviation[2]), static_cast<float>(deviation[1]),
                                 static_cast<float>(deviation[0])};
    const size_t plane = z(size.width) * z(size.height);
    const Scratch list(*scratch_, items.size() * sizeof(AugmentItem)),
        bgr(*scratch_, z(count) * 3 * plane * sizeof(float));
    const Scratch scratch(*scratch_, augmentScratch(count, size.width, size.height, width, height));
    device_->upload(items.data(), list.get(), items.size() * sizeof(AugmentItem));
    float* const from = static_cast<float*>(bgr.get());
    augment(device_->stream(), static_cast<const AugmentItem*>(list.get()), from, count, size.width, size.height, width,
            height, means, deviations, scratch.get());
    for (size_t i = 0; i < z(count); ++i)
        for (size_t c = 0; c < 3; ++c)
            device_->copy(from + (3 * i + c) * plane, pixels + (3 * i + 2 - c) * plane, plane * sizeof(float));
    device_->check("prepareImages");
}

void DeviceBackend::embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids,
                                float* x, int batch, int n, int dim) const
{
    kernels::embedTokens(device_->stream(), tokens, classToken, positions, ids, x, batch, n, dim);
    device_->check("embedTokens");
}

void DeviceBackend::embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n, int dim) const
{
    kernels::embedTokensBackward(device_->stream(), dx, dTokens, dClass, batch, n, dim);
    device_->check("embedTokensBackward");
}

void DeviceBackend::complement(const int* keep, int* masked, int batch, int visible, int patches) const
{
    complementPatches(device_->stream(), keep, masked, batch, visible, patches);
    device_->check("complement");
}

void DeviceBackend::decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                                 const int* masked, TokenOrder order, float* x, int batch, int visible, int patches,
                                 int dim) const
{
    const DecoderInputArgs args{embedded, maskToken, positions, keep, masked, order == TokenOrder::MaskedFirst, x,
                                batch, visible, patches, dim};
    kernels::decoderInput(device_->stream(), args);
    device_->check("decoderInput");
}

void DeviceBackend::decoderInputBackward(const float* dx, const int* keep, const int* masked, float* dEmbedded,
                                         float* dMask, int batch, int visible, int patches, int dim) const
{
    const Scratch scratch(*scratch_, decoderInputBackwardScratch(batch, visible, patches, dim));
    kernels::decoderInputBackward(device_->stream(), dx, keep, masked, dEmbedded, dMask, batch, visible, patches, dim,
                                  scratch.get());
    device_->check("decoderInputBackward");
}

void DeviceBackend::gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                               int dim) const
{
    kernels::gatherRows(device_->stream(), x, itemStride, ids, base, y, items, n, dim);
    device_->check("gatherRows");
}

void DeviceBackend::scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                                int dim) const
{
    kernels::scatterRows(device_->stream(), x, ids, base, y, itemStride, items, n, dim);
    device_->check("scatterRows");
}

void DeviceBackend::repeatItems(const void* x, void* y, size_t items, size_t times, size_t bytes) const
{
    kernels::repeatItems(device_->stream(), static_cast<const float*>(x), static_cast<float*>(y), items, times,
                         bytes / 4);
    device_->check("repeatItems");
}

void DeviceBackend::layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim,
                              float* mean, float* rstd) const
{
    const LayerNormArgs args{x, z(rows) * z(dim), w, b, eps, y, mean, rstd, 1, z(rows), dim};
    kernels::layerNorm(device_->stream(), args);
    device_->check("layerNorm");
}

void DeviceBackend::layerNormBackward(const float* dy, const float* x, const float* w, const float* mean,
                                      const float* rstd, float* dx, float* dw, float* db, int rows, int dim) const
{
    const Scratch scratch(*scratch_, layerNormBackwardScratch(z(rows), dim));
    kernels::layerNormBackward(device_->stream(), dy, x, w, mean, rstd, dx, dw, db, z(rows), dim, scratch.get());
    device_->check("layerNormBackward");
}

void DeviceBackend::gelu(const float* x, float* y, size_t count) const
{
    kernels::gelu(device_->stream(), x, nullptr, Output(nullptr, DataType::Float32), y, count, 1);
    device_->check("gelu");
}

void DeviceBackend::geluBackward(const float* x, const float* dy, float* dx, size_t count) const
{
    kernels::geluBackward(device_->stream(), x, dy, dx, count);
    device_->check("geluBackward");
}

void DeviceBackend::squaredLoss(const float* prediction, const float* target, size_t count, float* gradient,
                                double* loss, float gradientScale) const
{
    const Scratch scratch(*scratch_, squaredLossScratch(count));
    kernels::squaredLoss(device_->stream(), prediction, target, gradient, loss, count, scratch.get(), gradientScale);
    device_->check("squaredLoss");
}

void DeviceBackend::meanRows(const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim) const
{
    kernels::meanRows(device_->stream(), x, itemStride, base, mean, items, n, dim);
    device_->check("meanRows");
}

void DeviceBackend::meanRowsBackward(const float* dMean, float* dx, size_t itemStride, int base, int items, int n,
                                     int dim) const
{
    kernels::meanRowsBackward(device_->stream(), dMean, dx, itemStride, base, items, n, dim);
    device_->check("meanRowsBackward");
}

void DeviceBackend::crossEntropy(const CrossEntropy& args) const
{
    const Scratch scratch(*scratch_, crossEntropyScratch(args.batch));
    kernels::crossEntropy(device_->stream(), args, scratch.get());
    device_->check("crossEntropy");
}

void DeviceBackend::shareEntropy(const ShareEntropy& args) const
{
    const Scratch scratch(*scratch_, shareEntropyScratch(args.rows));
    kernels::shareEntropy(device_->stream(), args, scratch.get());
    device_->check("shareEntropy");
}

void DeviceBackend::asymmetricLoss(const AsymmetricLoss& args) const
{
    const Scratch scratch(*scratch_, asymmetricLossScratch(args.batch));
    kernels::asymmetricLoss(device_->stream(), args, scratch.get());
    device_->check("asymmetricLoss");
}

void DeviceBackend::crossAttention(const CrossAttention& sizes, const float* q, const float* kv, float* out,
                                   float* probabilities) const
{
    const Scratch scratch(*scratch_, probabilities ? 0 : crossAttentionScratch(sizes));
    kernels::crossAttention(device_->stream(), sizes, q, kv, out, probabilities ? probabilities : static_cast<float*>(scratch.get()));
    device_->check("crossAttention");
}

void DeviceBackend::crossAttentionBackward(const CrossAttention& sizes, const float* q, const float* kv, float* probabilities,
                                           const float* dOut, float* dQ, float* dKv) const
{
    const Scratch scratch(*scratch_, crossAttentionScratch(sizes));
    kernels::crossAttentionBackward(device_->stream(), sizes, q, kv, probabilities, dOut, dQ, dKv, scratch.get());
    device_->check("crossAttentionBackward");
}

void DeviceBackend::rowProducts(const float* x, const float* w, const float* b, float* y, int items, int n, int dim) const
{
    kernels::rowProducts(device_->stream(), x, w, b, y, items, n, dim);
    device_->check("rowProducts");
}

void DeviceBackend::rowProductsBackward(const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items,
                                        int n, int dim) const
{
    kernels::rowProductsBackward(device_->stream(), dy, x, w, dx, dw, db, items, n, dim);
    device_->check("rowProductsBackward");
}

void DeviceBackend::listMle(const ListMle& list) const
{
    LTRP_REQUIRE(list.n <= 1024, Error::StsNotImplemented, "ranker training on CUDA: lists of at most 1024 visible patches, found "
                 << list.n);
    const int k = list.drawn > 0 ? list.drawn : list.n;
    const Scratch scratch(*scratch_, listMleScratch(list.batch, list.n, k)),
        columns(*scratch_, list.drawn > 0 ? z(list.batch) * z(k) * sizeof(int) : 0);
    int* const drawn = static_cast<int*>(columns.get());
    if (drawn)
        drawColumns(device_->stream(), list.seed, list.keys, drawn, list.batch, list.n, k);
    const ListMleArgs args{list.scores, list.keep, list.target, drawn, list.loss, list.dScores, list.batch,
                           list.patches, list.n, k, list.gradientScale};
    kernels::listMle(device_->stream(), args, scratch.get());
    device_->check("listMle");
}

float DeviceBackend::gradientScale(size_t count) const
{
    return precision_ == Precision::FP16 ? std::exp2(std::floor(std::log2(static_cast<float>(count)))) : 1.f;
}

}}}}  // namespace

#endif
