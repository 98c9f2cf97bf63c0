// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "leave_one_out.hpp"
#include "image_metrics.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace cv { namespace ltrp { namespace vit {

namespace {

/// Token rows that run at once: enough for the matrix products to reach their rate, few enough to stay near the cache.
const int rowsAtOnce = 4096;

/// Copies decoder tokens (1 + place) of one run x [tokens, dim] into dense rows; `dropped` (or -1) is a token that is not
/// in the sequence: those behind it stand one earlier, and it leaves a zero row itself.
void gatherPlaces(const float* x, size_t dim, const std::vector<int>& places, int dropped, float* out)
{
    for (const int place : places)
    {
        const int token = 1 + place;
        if (token == dropped)
            std::memset(out, 0, dim * sizeof(float));
        else
            std::memcpy(out, x + static_cast<size_t>(dropped >= 0 && token > dropped ? token - 1 : token) * dim,
                        dim * sizeof(float));
        out += dim;
    }
}

/// Scores that grow with the damage: 1 - (raw - min) / (max - min); all equal: zero.
void scaleInverted(const std::vector<double>& raw, float* scores)
{
    const auto ends = std::minmax_element(raw.begin(), raw.end());
    const double low = *ends.first, high = *ends.second;
    for (size_t i = 0; i < raw.size(); ++i)
        scores[i] = high > low ? static_cast<float>(1 - (raw[i] - low) / (high - low)) : 0.f;
}

/// The leave-one-out loop over one image.
class ImageLoop
{
public:
    ImageLoop(const Mae& mae, const LeaveOneOutOptions& options, Workspace& ws, const LeaveOneOutTrace* trace)
        : mae_(mae), config_(mae.config()), options_(options), ws_(ws), trace_(trace),
          l_(config_.input.numPatches()), values_(static_cast<size_t>(config_.input.patchValues())),
          full_(comparesImages() || (trace && (trace->anchor || trace->removed)))
    {
    }

    /// latent [1 + visible, De] is the encoder's output with nothing left out.
    void run(const float* pixels, const float* latent, const int* keep, int visible, float* scores, double* raw,
             float* anchorOut, float* removedOut)
    {
        removedPlaces_.resize(static_cast<size_t>(l_ - visible));
        complement(keep, visible, l_, removedPlaces_.data());
        pixelScale(pixels);
        if (options_.sampleShare < 1)
        {
            const std::string lacks = full_ && !comparesImages() ? "no reconstructions come with them" : sampleLacks(options_);
            LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, "approximate scores: " << lacks);
            sampledScores(latent, keep, visible, scores, raw);
            return;
        }
        if (!full_)
        {
            fusedScores(pixels, latent, keep, visible, scores, raw);
            return;
        }
        places_.resize(static_cast<size_t>(l_));
        std::iota(places_.begin(), places_.end(), 0);
        const size_t tokens = static_cast<size_t>(l_) + 1, dim = static_cast<size_t>(config_.decoder.dim);
        const size_t predSize = places_.size() * values_;
        float* x0 = ws_.get("loo.x0", tokens * dim);
        float* anchor = ws_.get("loo.anchor", predSize);
        mae_.decoderInput(latent, 1, keep, visible, x0, ws_);
        const int none = -1;
        float* x = ws_.get("loo.x", tokens * dim);
        mae_.decoder().forwardFlagged(x0, l_ + 1, 1, &none, x, ws_);
        predictPlaces(x, 1, l_ + 1, &none, anchor);
        if (anchorOut)
            std::memcpy(anchorOut, anchor, predSize * sizeof(float));
        float* anchorPixels = ws_.get("loo.imageA", predSize);
        if (comparesImages())
            unpatchify(config_.input, anchor, 1, anchorPixels);
        AnchorImage anchorImage(anchorPixels, config_.input.imageSize);

        const int chunk = std::max(1, rowsAtOnce / (l_ + 1));
        for (int first = 0; first < visible; first += chunk)
        {
            const int n = std::min(chunk, visible - first);
            float* pred = ws_.get("loo.pred", static_cast<size_t>(n) * predSize);
            if (options_.removal == REMOVAL_DECODER)
                decoderVariants(x0, keep, first, n, pred);
            else
                encoderVariants(pixels, keep, visible, first, n, pred);
            for (int v = 0; v < n; ++v)
            {
                const float* one = pred + static_cast<size_t>(v) * predSize;
                if (removedOut)
                    std::memcpy(removedOut + static_cast<size_t>(first + v) * predSize, one, predSize * sizeof(float));
                const double value = comparesImages() ? compareImages(anchorImage, one) : compare(anchor, one);
                raw[first + v] = value;
                scores[first + v] = static_cast<float>(value);
            }
        }
    }

private:
    /// Estimates of what fusedScores() measures.
    void sampledScores(const float* latent, const int* keep, int visible, float* scores, double* raw)
    {
        const int hidden = l_ - visible;
        const float* x0 = orderedInput(latent, keep, visible);
        std::vector<int> flagged(static_cast<size_t>(visible));
        std::iota(flagged.begin(), flagged.end(), hidden + 1);
        const std::vector<ops::BlockWeights> blocks = mae_.decoder().blockWeights();
        ws_.ops().sampledDifferences({blocks.data(), config_.decoder.depth, mae_.decoder().finalNormWeights(),
                                      mae_.predictionWeights(), x0, l_ + 1, hidden, config_.decoder.heads, flagged.data(),
                                      visible, options_.sampleShare, scale_.empty() ? nullptr : scale_.data(),
                                      options_.metric == METRIC_L2}, raw);
        for (int i = 0; i < visible; ++i)
            scores[i] = static_cast<float>(raw[i]);
    }

    /// L1 and L2, the common case: the anchor and its variants are one batch, the patches that are compared come first in
    /// it (attention does not mind the order), so that the last block computes just them, and predictions are compared
    /// where they arise. To them, a token masked in the decoder and one left out of it are the same thing.
    void fusedScores(const float* pixels, const float* latent, const int* keep, int visible, float* scores, double* raw)
    {
        const int hidden = l_ - visible, tokens = l_ + 1, runs = visible + 1;
        const size_t each = static_cast<size_t>(tokens) * static_cast<size_t>(config_.decoder.dim);
        const ops::NormWeights norm = mae_.decoder().finalNormWeights();
        const ops::LinearWeights head = mae_.predictionWeights();
        float* anchor = ws_.get("loo.anchor", static_cast<size_t>(hidden) * values_);
        const int chunk = std::max(2, rowsAtOnce / tokens);
        std::vector<double> sums(static_cast<size_t>(chunk));
        const double count = static_cast<double>(hidden) * static_cast<double>(values_);
        for (int first = 0; first < runs; first += chunk)   // run 0 is the anchor, run 1 + i lacks visible patch i
        {
            const int n = std::min(chunk, runs - first), anchors = first == 0 ? 1 : 0;
            float* x = ws_.get("loo.variants", static_cast<size_t>(n) * each);
            if (options_.removal == REMOVAL_DECODER)
                decoderRuns(latent, keep, visible, first, n, x);
            else
                encoderRuns(pixels, keep, visible, first, n, x);
            if (anchors)
                ws_.ops().normLinear(norm, head, x, anchor, hidden);
            ws_.ops().sumDifferences(norm, head, x + static_cast<size_t>(anchors) * each, each, n - anchors, hidden, anchor,
                                     scale_.empty() ? nullptr : scale_.data(), options_.metric == METRIC_L2, sums.data());
            for (int i = anchors; i < n; ++i)
            {
                raw[first + i - 1] = sums[static_cast<size_t>(i - anchors)] / count;
                scores[first + i - 1] = static_cast<float>(raw[first + i - 1]);
            }
        }
    }

    /// Decoder tokens in the order of fusedScores(): what is compared, the class token, what is visible.
    void reorder(const float* natural, const int* keep, int visible, float* ordered)
    {
        const size_t dim = static_cast<size_t>(config_.decoder.dim);
        const auto append = [&](int token) {
            std::memcpy(ordered, natural + static_cast<size_t>(token) * dim, dim * sizeof(float));
            ordered += dim;
        };
        for (const int place : removedPlaces_)
            append(1 + place);
        append(0);
        for (int i = 0; i < visible; ++i)
            append(1 + keep[i]);
    }

    void decoderRuns(const float* latent, const int* keep, int visible, int first, int n, float* x)
    {
        const int hidden = l_ - visible;
        const float* ordered = orderedInput(latent, keep, visible);
        std::vector<int> flagged;
        for (int run = first; run < first + n; ++run)
            flagged.push_back(run == 0 ? -1 : hidden + run);
        mae_.decoder().forwardFlagged(ordered, l_ + 1, n, flagged.data(), x, ws_, hidden);
    }

    /// The decoder's input, nothing left out, reordered.
    const float* orderedInput(const float* latent, const int* keep, int visible)
    {
        const size_t each = static_cast<size_t>(l_ + 1) * static_cast<size_t>(config_.decoder.dim);
        float* natural = ws_.get("loo.x0", each);
        float* ordered = ws_.get("loo.ordered", each);
        mae_.decoderInput(latent, 1, keep, visible, natural, ws_);
        reorder(natural, keep, visible, ordered);
        return ordered;
    }

    void encoderRuns(const float* pixels, const int* keep, int visible, int first, int n, float* x)
    {
        const size_t each = static_cast<size_t>(l_ + 1) * static_cast<size_t>(config_.decoder.dim);
        std::vector<int> flagged;
        for (int run = first; run < first + n; ++run)
            flagged.push_back(run == 0 ? -1 : run);
        const float* latent = encodeFlagged(pixels, keep, visible, flagged);
        std::vector<int> keeps;
        for (int run = 0; run < n; ++run)
            keeps.insert(keeps.end(), keep, keep + visible);
        float* natural = ws_.get("loo.x0", static_cast<size_t>(n) * each);
        mae_.decoderInput(latent, n, keeps.data(), visible, natural, ws_);
        for (size_t run = 0; run < static_cast<size_t>(n); ++run)
            reorder(natural + run * each, keep, visible, x + run * each);
        mae_.decoder().forwardBlocks(x, n, l_ + 1, nullptr, 0, config_.decoder.depth, ws_, l_ - visible);
    }

    /// The encoder's output [runs, 1 + visible, De], each run with its own flagged token.
    const float* encodeFlagged(const float* pixels, const int* keep, int visible, const std::vector<int>& flagged)
    {
        const size_t runs = flagged.size(), tokens = static_cast<size_t>(visible) + 1;
        const size_t dim = static_cast<size_t>(config_.encoder.dim);
        float* e0 = ws_.get("loo.e0", tokens * dim);
        float* latent = ws_.get("loo.latent", runs * tokens * dim);
        embedPatches(config_.input, config_.encoder.dim, mae_.params(), pixels, 1, keep, visible, e0, nullptr, ws_);
        mae_.encoder().forwardFlagged(e0, visible + 1, static_cast<int>(runs), flagged.data(), latent, ws_);
        mae_.encoder().finalNorm(latent, runs * tokens, latent, ws_);
        return latent;
    }

    void decoderVariants(const float* x0, const int* keep, int first, int n, float* pred)
    {
        std::vector<int> token(static_cast<size_t>(n)), none(static_cast<size_t>(n), -1);
        for (int v = 0; v < n; ++v)
            token[static_cast<size_t>(v)] = 1 + keep[first + v];
        const bool drop = options_.dropToken && !comparesImages();
        const int tokens = drop ? l_ : l_ + 1;
        float* x = ws_.get("loo.variants", static_cast<size_t>(n) * static_cast<size_t>(l_ + 1)
                                               * static_cast<size_t>(config_.decoder.dim));
        if (drop)
            mae_.decoder().forwardDropped(x0, l_ + 1, n, token.data(), x, ws_);
        else
            mae_.decoder().forwardFlagged(x0, l_ + 1, n, token.data(), x, ws_);
        predictPlaces(x, n, tokens, drop ? token.data() : none.data(), pred);
    }

    void encoderVariants(const float* pixels, const int* keep, int visible, int first, int n, float* pred)
    {
        const size_t tokens = static_cast<size_t>(l_) + 1, dd = static_cast<size_t>(config_.decoder.dim);
        std::vector<int> flagged(static_cast<size_t>(n)), none(static_cast<size_t>(n), -1), keeps;
        for (int v = 0; v < n; ++v)
        {
            flagged[static_cast<size_t>(v)] = 1 + first + v;
            keeps.insert(keeps.end(), keep, keep + visible);
        }
        const float* latent = encodeFlagged(pixels, keep, visible, flagged);
        float* x = ws_.get("loo.variants", static_cast<size_t>(n) * tokens * dd);
        mae_.decoderInput(latent, n, keeps.data(), visible, x, ws_);
        mae_.decoder().forwardBlocks(x, n, l_ + 1, nullptr, 0, config_.decoder.depth, ws_);
        predictPlaces(x, n, l_ + 1, none.data(), pred);
    }

    void predictPlaces(const float* x, int runs, int tokens, const int* dropped, float* pred)
    {
        const size_t dim = static_cast<size_t>(config_.decoder.dim);
        float* rows = ws_.get("loo.rows", static_cast<size_t>(runs) * places_.size() * dim);
        for (int v = 0; v < runs; ++v)
            gatherPlaces(x + static_cast<size_t>(v) * static_cast<size_t>(tokens) * dim, dim, places_, dropped[v],
                         rows + static_cast<size_t>(v) * places_.size() * dim);
        mae_.predict(rows, runs * static_cast<int>(places_.size()), pred, ws_);
        for (int v = 0; v < runs; ++v)   // a dropped token predicts nothing
            if (dropped[v] > 0)
                std::memset(pred + (static_cast<size_t>(v) * places_.size() + static_cast<size_t>(dropped[v] - 1)) * values_, 0,
                            values_ * sizeof(float));
    }

    void pixelScale(const float* pixels)
    {
        scale_.clear();
        if (options_.space != SPACE_PIXEL || !config_.normPixLoss)
            return;   // an autoencoder of plain pixels predicts in that space already
        std::vector<float> patches(removedPlaces_.size() * values_), mean(removedPlaces_.size());
        scale_.resize(removedPlaces_.size());
        patchify(config_.input, pixels, 1, removedPlaces_.data(), static_cast<int>(removedPlaces_.size()),
                 PatchOrder::ChannelLast, patches.data());
        patchStatistics(patches.data(), removedPlaces_.size(), values_, mean.data(), scale_.data());
    }

    bool comparesImages() const { return options_.metric == METRIC_SSIM || options_.metric == METRIC_PSNR; }

    double compareImages(AnchorImage& anchor, const float* other)
    {
        float* pixels = ws_.get("loo.imageB", static_cast<size_t>(l_) * values_);
        unpatchify(config_.input, other, 1, pixels);
        return options_.metric == METRIC_SSIM ? anchor.structuralSimilarity(pixels) : anchor.peakSignalToNoise(pixels);
    }

    double compare(const float* anchor, const float* other)
    {
        const bool squared = options_.metric == METRIC_L2;
        const float* scale = scale_.empty() ? nullptr : scale_.data();
        double total = 0;
        for (size_t i = 0; i < removedPlaces_.size(); ++i)
        {
            const size_t at = static_cast<size_t>(removedPlaces_[i]) * values_;
            total += ws_.ops().meanDifference(anchor + at, other + at, values_, scale ? scale + i : nullptr, values_, squared);
        }
        return total / static_cast<double>(removedPlaces_.size());
    }

    const Mae& mae_;
    const MaeConfig& config_;
    const LeaveOneOutOptions& options_;
    Workspace& ws_;
    const LeaveOneOutTrace* trace_;
    int l_;
    size_t values_;
    bool full_;   ///< whole reconstructions are wanted: SSIM, PSNR, traces
    std::vector<int> removedPlaces_, places_;
    std::vector<float> scale_;
};

}  // namespace

std::string sampleLacks(const LeaveOneOutOptions& options)
{
    if (options.removal != REMOVAL_DECODER)
        return "only decoder removal can be estimated";
    if (options.metric != METRIC_L1 && options.metric != METRIC_L2)
        return "only L1 and L2 can be estimated";
    return std::string();
}

void LeaveOneOut::scores(const float* pixels, int batch, const int* idsKeep, int visible, const LeaveOneOutOptions& options,
                         float* scores, Workspace& ws, const LeaveOneOutTrace* trace) const
{
    const MaeConfig& config = mae_.config();
    const size_t v = static_cast<size_t>(visible), l = static_cast<size_t>(config.input.numPatches());
    const size_t side = static_cast<size_t>(config.input.imageSize);
    const size_t latentSize = (v + 1) * static_cast<size_t>(config.encoder.dim);
    const size_t predSize = l * static_cast<size_t>(config.input.patchValues());
    float* latent = ws.get("loo.encoded", static_cast<size_t>(batch) * latentSize);
    mae_.encode(pixels, batch, idsKeep, visible, nullptr, latent, ws);
    std::vector<double> raw(static_cast<size_t>(batch) * v);
    ImageLoop loop(mae_, options, ws, trace);
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
        loop.run(pixels + b * 3 * side * side, latent + b * latentSize, idsKeep + b * v, visible, scores + b * v,
                 raw.data() + b * v, trace && trace->anchor ? trace->anchor + b * predSize : nullptr,
                 trace && trace->removed ? trace->removed + b * v * predSize : nullptr);
    if (trace && trace->raw)
        for (size_t i = 0; i < raw.size(); ++i)
            trace->raw[i] = static_cast<float>(raw[i]);
    if (options.metric == METRIC_SSIM || options.metric == METRIC_PSNR)
        scaleInverted(raw, scores);
}

}}}  // namespace
