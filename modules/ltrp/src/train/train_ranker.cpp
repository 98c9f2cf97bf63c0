// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "checksum.hpp"
#include "losses.hpp"
#include "../core/target.hpp"
#include "../vit/leave_one_out.hpp"
#include "../vit/ranker_net.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp {

namespace train { namespace {

const char* const removalNames[] = {"decoder", "encoder"};
const char* const metricNames[] = {"l1", "l2", "ssim", "psnr"};
const char* const spaceNames[] = {"decoder", "pixel"};

struct RankerOptions
{
    vit::LeaveOneOutOptions scoring;
    RankLoss loss = RankLoss::ListMleK;
    int listK = 20;
    bool seesAll = false;
    uint64_t seed = 0;
    ops::Precision precision = ops::Precision::FP32;        ///< of the ranker
    ops::Precision scorePrecision = ops::Precision::FP32;   ///< of the autoencoder's passes
};

/// The pseudo-scores of the visible patches are the target, and the ranker is compared there. It sees the visible patches
/// alone, as the paper trains it, or the whole image, as it will at run time.
class RankerObjective CV_FINAL : public Objective
{
public:
    RankerObjective(const vit::RankerConfig& config, io::Model teacher, const RankerOptions& options)
        : teacher_(std::move(teacher)), mae_(teacher_.mae, teacher_.params), scorer_(mae_), options_(options),
          teacherWorkspace_(ops::frozenCpu(options.scorePrecision)),
          workspace_(ops::trainingCpu(options.precision))
    {
        model_.kind = io::ModelKind::Ranker;
        model_.ranker = config;
        model_.params = vit::ParamArena(vit::rankerLayout(config));
        ranker_.reset(new vit::RankerNet(model_.ranker, model_.params));
    }

    io::Model& model() CV_OVERRIDE { return model_; }
    void initialise() CV_OVERRIDE { vit::initialiseParams(model_.ranker, options_.seed, model_.params); }

    OptionList options() const CV_OVERRIDE
    {
        const vit::RankerConfig& c = model_.ranker;
        Crc32 crc;   // of values, not of the file: the same weights in another container are the same teacher
        crc.add(teacher_.params.data(), teacher_.params.layout.total() * sizeof(float));
        const int heads[] = {teacher_.mae.encoder.heads, teacher_.mae.decoder.heads};
        crc.add(heads, sizeof(heads));
        crc.add(&teacher_.mae.layerNormEps, sizeof(float));
        char mae[64];
        std::snprintf(mae, sizeof(mae), "%zu parameters, checksum %08x", teacher_.params.layout.parameterCount(),
                      crc.value());
        OptionList list{{"mae", mae}, {"size", std::to_string(c.input.imageSize)},
                        {"patch", std::to_string(c.input.patchSize)}, {"embed-dim", std::to_string(c.encoder.dim)},
                        {"depth", std::to_string(c.encoder.depth)}, {"heads", std::to_string(c.encoder.heads)},
                        {"removal", removalNames[options_.scoring.removal]},
                        {"metric", metricNames[options_.scoring.metric]}, {"space", spaceNames[options_.scoring.space]},
                        {"loss", rankLossName(options_.loss)}, {"sees", options_.seesAll ? "all" : "visible"},
                        {"precision", ops::precisionName(options_.precision)},
                        {"score-precision", ops::precisionName(options_.scorePrecision)}};
        if (options_.loss == RankLoss::ListMleK)
            list.emplace_back("list-k", std::to_string(options_.listK));
        return list;
    }

    void weightsChanged() CV_OVERRIDE { workspace_.ops().weightsChanged(); }

    double forwardBackward(const Batch& batch, int visible, float* grads) CV_OVERRIDE
    {
        const int images = static_cast<int>(batch.images.size());
        const size_t rows = batch.images.size(), n = static_cast<size_t>(visible);
        const size_t patches = static_cast<size_t>(model_.ranker.input.numPatches());
        const float* pixels = batch.pixels.data();
        target_.resize(rows * n);
        predicted_.resize(rows * n);
        gradient_.resize(rows * n);
        scores_.resize(rows * patches);

        scorer_.scores(pixels, images, batch.idsKeep.data(), visible, options_.scoring, target_.data(),
                       teacherWorkspace_);
        for (const float value : target_)
            if (!std::isfinite(value))
                return std::numeric_limits<double>::quiet_NaN();   // the loop names the images

        const int* seen = options_.seesAll ? nullptr : batch.idsKeep.data();
        const int seenCount = options_.seesAll ? model_.ranker.input.numPatches() : visible;
        ranker_->forwardTrain(pixels, images, seen, seenCount, scores_.data(), workspace_);
        for (size_t i = 0; i < rows * n; i++)
            predicted_[i] = scores_[i / n * patches + static_cast<size_t>(batch.idsKeep[i])];

        const bool drawn = options_.loss == RankLoss::ListMleK;
        const int k = drawn ? std::min(options_.listK, visible) : 0;
        if (drawn)
            drawColumns(batch, visible, k);
        const double loss = rankLoss(options_.loss, predicted_.data(), target_.data(), images, visible,
                                     drawn ? columns_.data() : nullptr, k, gradient_.data());
        if (!std::isfinite(loss))
            return loss;
        std::fill(scores_.begin(), scores_.end(), 0.f);
        for (size_t i = 0; i < rows * n; i++)
            scores_[i / n * patches + static_cast<size_t>(batch.idsKeep[i])] = gradient_[i];
        ranker_->backward(pixels, images, seen, seenCount, scores_.data(), grads, workspace_);
        return loss;
    }

private:
    /// k different visible patches per image, drawn anew for each sample of each epoch.
    void drawColumns(const Batch& batch, int visible, int k)
    {
        columns_.clear();
        std::vector<int> order(static_cast<size_t>(visible));
        for (const int position : batch.positions)
        {
            std::iota(order.begin(), order.end(), 0);
            RandomStream random(options_.seed, RandomPurpose::Loss, batch.epoch, static_cast<uint32_t>(position));
            random.shuffle(order);
            columns_.insert(columns_.end(), order.begin(), order.begin() + k);
        }
    }

    io::Model teacher_, model_;
    vit::Mae mae_;
    vit::LeaveOneOut scorer_;
    std::unique_ptr<vit::RankerNet> ranker_;
    RankerOptions options_;
    vit::Workspace teacherWorkspace_, workspace_;   // the autoencoder's weights never change
    std::vector<float> target_, predicted_, gradient_, scores_;
    std::vector<int> columns_;
};

}}  // namespace

Ptr<Trainer> Trainer::createRanker(const RankerTrainParams& params)
{
    train::checkParams(params);
    train::RankerOptions options;
    LTRP_REQUIRE(params.removal == REMOVAL_DECODER || params.removal == REMOVAL_ENCODER, Error::StsOutOfRange,
                 "removal is " << params.removal << ", expected 0 (decoder) or 1 (encoder)");
    LTRP_REQUIRE(params.metric >= METRIC_L1 && params.metric <= METRIC_PSNR, Error::StsOutOfRange,
                 "metric is " << params.metric << ", expected 0 (l1) to 3 (psnr)");
    LTRP_REQUIRE(params.space == SPACE_DECODER || params.space == SPACE_PIXEL, Error::StsOutOfRange,
                 "space is " << params.space << ", expected 0 (decoder) or 1 (pixel)");
    options.scoring.removal = params.removal;
    options.scoring.metric = params.metric;
    options.scoring.space = params.space;
    options.loss = train::parseRankLoss(params.loss);
    LTRP_REQUIRE(params.listK >= 2, Error::StsOutOfRange, "list-k is " << params.listK << ", expected 2 or more");
    options.listK = params.listK;
    options.seesAll = params.seesAll;
    options.precision = train::trainingPrecision(params);
    options.scorePrecision = precisionOf(params.scoreTarget);
    options.seed = params.seed;
    LTRP_REQUIRE(!params.mae.empty(), Error::StsBadArg, "mae: no weight file of an autoencoder given");

    io::Model teacher = io::loadModel(params.mae, io::ModelKind::Mae);
    vit::RankerConfig config;
    config.input = teacher.mae.input;
    config.encoder = {params.embedDim, params.depth, params.heads, 4 * params.embedDim};
    vit::checkConfig(config, "options");
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, params.maskRatio);
    LTRP_REQUIRE(visible >= 2 && visible < patches, Error::StsOutOfRange, "mask-ratio " << params.maskRatio
                 << " leaves " << visible << " of " << patches << " patches visible, expected 2 to " << patches - 1
                 << " to be ranked");
    return train::makeTrainer(params, std::unique_ptr<train::Objective>(
        new train::RankerObjective(config, std::move(teacher), options)));
}

}}  // namespace
