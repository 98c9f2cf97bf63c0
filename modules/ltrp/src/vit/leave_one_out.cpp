// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "leave_one_out.hpp"
#include "image_metrics.hpp"

#include <algorithm>
#include <memory>
#include <numeric>

namespace cv { namespace ltrp { namespace vit {

namespace {

/// Inverts and scales, so that scores grow with the damage: 1 - (raw - min) / (max - min); all equal: zero.
void scaleInverted(const std::vector<double>& raw, float* scores)
{
    const auto ends = std::minmax_element(raw.begin(), raw.end());
    const double low = *ends.first, high = *ends.second;
    for (size_t i = 0; i < raw.size(); ++i)
        scores[i] = high > low ? static_cast<float>(1 - (raw[i] - low) / (high - low)) : 0.f;
}

/// The leave-one-out loop over a batch. Arrays are in the backend's memory unless stated otherwise.
class Measurement
{
public:
    Measurement(const Mae& mae, const LeaveOneOutOptions& options, Workspace& ws, int visible)
        : mae_(mae), config_(mae.config()), options_(options), ws_(ws), ops_(ws.ops()), visible_(visible),
          l_(config_.input.numPatches()), maskedCount_(l_ - visible), tokens_(l_ + 1),
          dim_(static_cast<size_t>(config_.decoder.dim)), each_(static_cast<size_t>(tokens_) * dim_),
          values_(static_cast<size_t>(config_.input.patchValues())),
          encoded_(static_cast<size_t>(visible + 1) * static_cast<size_t>(config_.encoder.dim)),
          image_(static_cast<size_t>(3) * static_cast<size_t>(config_.input.imageSize)
                 * static_cast<size_t>(config_.input.imageSize))
    {
    }

    /// L1 and L2, the common case. The anchor and its variants are one batch. The compared patches come first in it
    /// (attention does not depend on the order), so that the last block computes only those, and predictions are
    /// compared without storing them. For these metrics, masking a token in the decoder is equivalent to omitting it.
    void fusedScores(const float* pixels, const float* latent, const int* keep, int batch, float* scores)
    {
        const int runs = visible_ + 1;   // run 0 is the anchor, run 1 + i lacks visible patch i
        const int images = std::min(batch, std::max(1, ops_.rowsAtOnce() / (runs * tokens_)));
        const int chunk = images > 1 ? runs : std::min(runs, std::max(2, ops_.rowsAtOnce() / tokens_));
        const int* masked = mae_.maskedPatches(keep, batch, visible_, ws_);
        const float* scale = pixelScale(pixels, masked, batch);
        const ops::NormWeights norm = mae_.decoder().finalNormWeights(ws_);
        const ops::LinearWeights head = mae_.predictionWeights(ws_);
        const size_t rows = static_cast<size_t>(maskedCount_);
        float* reference = ws_.get("loo.anchor", static_cast<size_t>(images) * rows * std::max(values_, dim_));
        for (int image = 0; image < batch; image += images)
            for (int first = 0; first < runs; first += chunk)
            {
                ws_.pause();
                const int count = std::min(images, batch - image), n = std::min(chunk, runs - first);
                const size_t i = static_cast<size_t>(image);
                float* x = ws_.get("loo.variants", static_cast<size_t>(count) * static_cast<size_t>(n) * each_);
                const Part part{pixels + i * image_, latent + i * encoded_, keep + image * visible_,
                                masked + image * maskedCount_, count, first, n};
                if (options_.removal == REMOVAL_DECODER)
                    decoderRuns(part, x);
                else
                    encoderRuns(part, x);
                if (first == 0)
                    ops_.storeAnchor(norm, head, x, static_cast<size_t>(n) * each_, count, maskedCount_, reference);
                // With several images, their anchors are between the variants and are compared with themselves.
                const int skipped = count == 1 && first == 0 ? 1 : 0;
                float* to = scores + i * static_cast<size_t>(visible_);
                float* means = count == 1 ? to + std::max(first - 1, 0)
                                          : ws_.get("loo.means", static_cast<size_t>(count) * static_cast<size_t>(n));
                ops_.differencesFromReference(norm, head, x + static_cast<size_t>(skipped) * each_, each_,
                                              count * n - skipped, n - skipped, maskedCount_, reference,
                                              scale ? scale + i * rows : nullptr, options_.metric == METRIC_L2,
                                              static_cast<double>(maskedCount_) * static_cast<double>(values_), means);
                if (count > 1)
                    ops_.gatherRows(means, static_cast<size_t>(n), nullptr, 1, to, count, visible_, 1);
            }
    }

    /// Estimates of the differences in fusedScores(). raw [batch, visible]: host memory.
    void sampledScores(const float* pixels, const float* latent, const int* keep, int batch, double* raw)
    {
        const int* masked = mae_.maskedPatches(keep, batch, visible_, ws_);
        const float* scale = pixelScale(pixels, masked, batch);
        std::vector<int> droppedToken(static_cast<size_t>(visible_));
        std::iota(droppedToken.begin(), droppedToken.end(), maskedCount_ + 1);
        const std::vector<ops::BlockWeights> blocks = mae_.decoder().blockWeights(ws_);
        for (int i = 0; i < batch; ++i)
        {
            float* x0 = ws_.get("loo.x0", each_);
            mae_.decoderInput(latent + static_cast<size_t>(i) * encoded_, 1, keep + i * visible_, masked + i * maskedCount_, visible_,
                              ops::TokenOrder::MaskedFirst, x0, ws_);
            ops_.sampledDifferences({blocks.data(), config_.decoder.depth, mae_.decoder().finalNormWeights(ws_),
                                     mae_.predictionWeights(ws_), x0, tokens_, maskedCount_, config_.decoder.heads, droppedToken.data(),
                                     visible_, options_.sampleShare, scale ? scale + i * maskedCount_ : nullptr,
                                     options_.metric == METRIC_L2}, raw + i * visible_);
        }
    }

    void reconstructions(const float* pixels, const float* latent, const int* keep, int image, const OnReconstruction& receive)
    {
        const size_t predSize = static_cast<size_t>(l_) * values_;
        const int* masked = mae_.maskedPatches(keep, 1, visible_, ws_);
        std::vector<int> kept(static_cast<size_t>(visible_));
        ops_.download(keep, kept.data(), kept.size() * sizeof(int));

        float* x0 = ws_.get("loo.x0", each_);
        float* x = ws_.get("loo.x", each_);
        float* anchor = ws_.get("loo.anchor", predSize);
        mae_.decoderInput(latent, 1, keep, masked, visible_, ops::TokenOrder::Raster, x0, ws_);
        const std::vector<int> none(1, -1);
        mae_.decoder().forwardVariants(x0, 1, tokens_, 1, ws_.indices("loo.none", none), x, ws_);
        predictPlaces(x, 1, anchor);
        receive(image, -1, ws_.download("loo.anchor", anchor, predSize));

        const int chunk = std::max(1, std::min(ops_.rowsAtOnce(), 4096) / tokens_);
        for (int first = 0; first < visible_; first += chunk)
        {
            ws_.pause();
            const int n = std::min(chunk, visible_ - first);
            float* pred = ws_.get("loo.pred", static_cast<size_t>(n) * predSize);
            if (options_.removal == REMOVAL_DECODER)
                decoderVariants(x0, &kept[static_cast<size_t>(first)], n, pred);
            else
                encoderVariants({pixels, latent, keep, masked, 1, 1 + first, n}, pred);
            const float* preds = ws_.download("loo.pred", pred, static_cast<size_t>(n) * predSize);
            for (int v = 0; v < n; ++v)
                receive(image, first + v, preds + static_cast<size_t>(v) * predSize);
        }
    }

private:
    /// Runs first .. first + n - 1 of `images` consecutive images.
    struct Part
    {
        const float* pixels;
        const float* latent;
        const int* keep;
        const int* masked;
        int images, first, n;
    };

    /// The token that each run lacks, the same for all images: `base` + run, none for the anchor.
    const int* droppedToken(const std::string& kind, const Part& part, int base)
    {
        // One name per list, so that the parts of a batch do not overwrite each other's buffer and upload it again each
        // time.
        const std::string name = kind + "." + std::to_string(part.images) + "." + std::to_string(part.first);
        std::vector<int>& list = dropped_[name];
        list.clear();
        for (int image = 0; image < part.images; ++image)
            for (int run = part.first; run < part.first + part.n; ++run)
                list.push_back(run == 0 ? -1 : base + run);
        return ws_.indices(name, list);
    }

    void decoderRuns(const Part& part, float* x)
    {
        float* x0 = ws_.get("loo.x0", static_cast<size_t>(part.images) * each_);
        mae_.decoderInput(part.latent, part.images, part.keep, part.masked, visible_, ops::TokenOrder::MaskedFirst, x0, ws_);
        mae_.decoder().forwardVariants(x0, part.images, tokens_, part.n, droppedToken("loo.decoder", part, maskedCount_), x, ws_, maskedCount_);
    }

    void encoderRuns(const Part& part, float* x)
    {
        encodedVariants(part, ops::TokenOrder::MaskedFirst, x);
        mae_.decoder().forwardBlocks(x, part.images * part.n, tokens_, nullptr, 0, config_.decoder.depth, ws_, maskedCount_);
    }

    /// The decoder's tokens x [images, n, L + 1, Dd], each run encoded without its token.
    void encodedVariants(const Part& part, ops::TokenOrder order, float* x)
    {
        const int dim = config_.encoder.dim, runs = part.images * part.n;
        const size_t images = static_cast<size_t>(part.images), n = static_cast<size_t>(part.n);
        float* e0 = ws_.get("loo.e0", images * encoded_);
        float* latent = ws_.get("loo.latent", images * n * encoded_);
        embedPatches(config_.input, dim, mae_.params(), part.pixels, part.images, part.keep, visible_, e0, nullptr, ws_);
        mae_.encoder().forwardVariants(e0, part.images, visible_ + 1, part.n, droppedToken("loo.encoder", part, 0), latent, ws_);
        mae_.encoder().finalNorm(latent, images * n * static_cast<size_t>(visible_ + 1), latent, ws_);
        int* keeps = ws_.ints("loo.keeps", images * n * static_cast<size_t>(visible_));
        int* allMasked = ws_.ints("loo.allMasked", images * n * static_cast<size_t>(maskedCount_));
        ops_.repeatItems(part.keep, keeps, images, n, static_cast<size_t>(visible_) * sizeof(int));
        ops_.repeatItems(part.masked, allMasked, images, n, static_cast<size_t>(maskedCount_) * sizeof(int));
        mae_.decoderInput(latent, runs, keeps, allMasked, visible_, order, x, ws_);
    }

    void decoderVariants(const float* x0, const int* patches, int n, float* pred)
    {
        std::vector<int> tokens(patches, patches + n);
        for (int& token : tokens)
            ++token;   // token 0 is the class token
        float* x = ws_.get("loo.variants", static_cast<size_t>(n) * each_);
        mae_.decoder().forwardVariants(x0, 1, tokens_, n, ws_.upload("loo.tokens", tokens.data(), tokens.size()), x, ws_);
        predictPlaces(x, n, pred);
    }

    void encoderVariants(const Part& part, float* pred)
    {
        float* x = ws_.get("loo.variants", static_cast<size_t>(part.n) * each_);
        encodedVariants(part, ops::TokenOrder::Raster, x);
        mae_.decoder().forwardBlocks(x, part.n, tokens_, nullptr, 0, config_.decoder.depth, ws_);
        predictPlaces(x, part.n, pred);
    }

    /// pred [runs, L, P] of decoder tokens x [runs, tokens, Dd].
    void predictPlaces(const float* x, int runs, float* pred)
    {
        float* rows = ws_.get("loo.rows", static_cast<size_t>(runs) * static_cast<size_t>(l_) * dim_);
        ops_.gatherRows(x, each_, nullptr, 1, rows, runs, l_, config_.decoder.dim);
        mae_.predict(rows, runs * l_, pred, ws_);
    }

    /// Deviations of the masked patches [batch, masked], or null if they are not needed.
    const float* pixelScale(const float* pixels, const int* masked, int batch)
    {
        if (options_.space != SPACE_PIXEL || !config_.normPixLoss)
            return nullptr;   // an autoencoder of plain pixels already predicts in that space
        float* deviation = ws_.get("loo.deviation", static_cast<size_t>(batch) * static_cast<size_t>(maskedCount_));
        ops_.patchTargets(gridOf(config_.input), pixels, batch, masked, maskedCount_, false, nullptr, deviation);
        return deviation;
    }

    const Mae& mae_;
    const MaeConfig& config_;
    const LeaveOneOutOptions& options_;
    Workspace& ws_;
    const ops::Backend& ops_;
    int visible_, l_, maskedCount_, tokens_;
    size_t dim_, each_, values_, encoded_, image_;
    std::unordered_map<std::string, std::vector<int>> dropped_;
};

}  // namespace

bool comparesImages(const LeaveOneOutOptions& options)
{
    return options.metric == METRIC_SSIM || options.metric == METRIC_PSNR;
}

std::string sampleLacks(const LeaveOneOutOptions& options)
{
    if (options.removal != REMOVAL_DECODER)
        return "only decoder removal can be estimated";
    if (options.metric != METRIC_L1 && options.metric != METRIC_L2)
        return "only L1 and L2 can be estimated";
    return std::string();
}

const float* LeaveOneOut::encoded(const float* pixels, int batch, const int* idsKeep, int visible, Workspace& ws) const
{
    float* latent = ws.get("loo.encoded", static_cast<size_t>(batch) * static_cast<size_t>(visible + 1)
                                              * static_cast<size_t>(mae_.config().encoder.dim));
    mae_.encode(pixels, batch, idsKeep, visible, nullptr, latent, ws);
    return latent;
}

void LeaveOneOut::scores(const float* pixels, int batch, const int* idsKeep, int visible, const LeaveOneOutOptions& options,
                         float* scores, Workspace& ws) const
{
    const size_t count = static_cast<size_t>(batch) * static_cast<size_t>(visible);
    std::vector<float> values(count);
    if (options.sampleShare < 1)
    {
        const std::string lacks = sampleLacks(options);
        LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, "approximate scores: " << lacks);
        std::vector<double> raw(count);
        Measurement(mae_, options, ws, visible)
            .sampledScores(pixels, encoded(pixels, batch, idsKeep, visible, ws), idsKeep, batch, raw.data());
        std::copy(raw.begin(), raw.end(), values.begin());
    }
    else if (comparesImages(options))
        scaleInverted(similarities(pixels, batch, idsKeep, visible, options, ws), values.data());
    else
    {
        Measurement(mae_, options, ws, visible)
            .fusedScores(pixels, encoded(pixels, batch, idsKeep, visible, ws), idsKeep, batch, scores);
        return;
    }
    ws.ops().upload(values.data(), scores, count * sizeof(float));
}

std::vector<double> LeaveOneOut::similarities(const float* pixels, int batch, const int* idsKeep, int visible,
                                              const LeaveOneOutOptions& options, Workspace& ws) const
{
    const InputConfig& input = mae_.config().input;
    const int side = input.imageSize;
    std::vector<float> anchorPixels(static_cast<size_t>(3) * static_cast<size_t>(side) * static_cast<size_t>(side)),
        otherPixels(anchorPixels.size());
    std::unique_ptr<AnchorImage> anchor;
    std::vector<double> result(static_cast<size_t>(batch) * static_cast<size_t>(visible));
    reconstructions(pixels, batch, idsKeep, visible, options, [&](int image, int dropped, const float* prediction)
    {
        unpatchify(input, prediction, 1, (dropped < 0 ? anchorPixels : otherPixels).data());
        if (dropped < 0)
            anchor.reset(new AnchorImage(anchorPixels.data(), side));
        else
            result[static_cast<size_t>(image) * static_cast<size_t>(visible) + static_cast<size_t>(dropped)] =
                options.metric == METRIC_SSIM ? anchor->structuralSimilarity(otherPixels.data())
                                              : anchor->peakSignalToNoise(otherPixels.data());
    }, ws);
    return result;
}

void LeaveOneOut::reconstructions(const float* pixels, int batch, const int* idsKeep, int visible,
                                  const LeaveOneOutOptions& options, const OnReconstruction& receive, Workspace& ws) const
{
    const size_t side = static_cast<size_t>(mae_.config().input.imageSize), v = static_cast<size_t>(visible);
    const size_t latentSize = (v + 1) * static_cast<size_t>(mae_.config().encoder.dim);
    const float* latent = encoded(pixels, batch, idsKeep, visible, ws);
    Measurement measurement(mae_, options, ws, visible);
    for (int image = 0; image < batch; ++image)
    {
        const size_t b = static_cast<size_t>(image);
        measurement.reconstructions(pixels + b * 3 * side * side, latent + b * latentSize, idsKeep + b * v, image, receive);
    }
}

}}}  // namespace
