// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "initial_weights.hpp"
#include "losses.hpp"
#include "../core/random.hpp"
#include "../core/words.hpp"
#include "../vit/leave_one_out.hpp"
#include "../vit/ranker_net.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp {

namespace train { namespace {

struct RankerOptions
{
    vit::LeaveOneOutOptions scoring;
    RankLoss loss = RankLoss::ListMleK;
    int listK = 20;
    bool seesAll = false;
    uint64_t seed = 0;
    ComputeDevice ranker, teacher;
};

/// The paper's teacher: pseudo-scores of the visible patches, recomputed for each batch.
class PseudoScores
{
public:
    PseudoScores(io::Model model, const RankerOptions& options)
        : model_(std::move(model)), mae_(model_.mae, model_.params), scorer_(mae_), options_(options.scoring),
          workspace_(options.teacher.backend)
    {
    }
    std::string text() const { return io::weightsText(model_); }
    const std::vector<std::string>& warnings() const { return model_.warnings; }
    void setStop(const std::function<bool()>& stop) { workspace_.stop = stop; }
    void compute(const ops::Samples& samples, float* target)
    {
        scorer_.scores(samples.pixels, samples.images, samples.keep, samples.visible, options_, target, workspace_);
    }

private:
    const io::Model model_;
    const vit::Mae mae_;
    const vit::LeaveOneOut scorer_;
    const vit::LeaveOneOutOptions options_;
    vit::Workspace workspace_;   // separate from the ranker's: the autoencoder's weights never change
};

/// The ranker is compared with pseudo-scores of the visible patches, or with precomputed score maps. Its input is only
/// the visible patches, as in the paper, or the whole image, as in inference; with score maps and the whole image all
/// patches are compared.
class RankerObjective CV_FINAL : public Objective
{
public:
    /// Exactly one of teacher and targets is not null.
    RankerObjective(const vit::RankerConfig& config, std::unique_ptr<PseudoScores> teacher, std::unique_ptr<TargetStore> targets,
                    const RankerOptions& options, const String& init)
        : start_(init), teacher_(std::move(teacher)), targets_(std::move(targets)), options_(options),
          workspace_(options.ranker.backend)
    {
        model_.kind = io::ModelKind::Ranker;
        model_.ranker = config;
        model_.params = vit::ParamArena(vit::rankerLayout(config));
        ranker_.reset(new vit::RankerNet(model_.ranker, model_.params));
        start_.apply(model_);   // here, so that an unsuitable file is rejected before anything is computed
    }

    io::Model& model() CV_OVERRIDE { return model_; }
    void initialise() CV_OVERRIDE
    {
        vit::initialiseParams(model_.ranker, options_.seed, model_.params);
        start_.apply(model_);
    }

    std::vector<std::string> warnings() const CV_OVERRIDE
    {
        return teacher_ ? teacher_->warnings() : std::vector<std::string>();
    }
    OptionList options() const CV_OVERRIDE
    {
        const vit::RankerConfig& c = model_.ranker;
        OptionList list{{"size", std::to_string(c.input.imageSize)},
                        {"patch", std::to_string(c.input.patchSize)}, {"embed-dim", std::to_string(c.encoder.dim)},
                        {"depth", std::to_string(c.encoder.depth)}, {"heads", std::to_string(c.encoder.heads)},
                        {"head", vit::headName(c.head)},
                        {"loss", words::losses[static_cast<int>(options_.loss)]}, {"ranker-input", words::rankerInputs[options_.seesAll]},
                        {"precision", ops::precisionName(options_.ranker.precision)}};
        if (targets_)
            list.emplace_back("targets", targets_->text());
        else
            for (const auto& option : OptionList{{"mae", teacher_->text()},
                                                 {"removal", words::removals[options_.scoring.removal]},
                                                 {"metric", words::metrics[options_.scoring.metric]},
                                                 {"space", words::spaces[options_.scoring.space]},
                                                 {"score-precision", ops::precisionName(options_.teacher.precision)}})
                list.push_back(option);
        if (options_.loss == RankLoss::ListMleK)
            list.emplace_back("list-k", std::to_string(options_.listK));
        list.emplace_back("init", start_.text());
        return list;
    }

    void setStop(const std::function<bool()>& stop) CV_OVERRIDE 
    {
        workspace_.stop = stop;
        if (teacher_)
            teacher_->setStop(stop);
    }
    const ops::Backend& backend() const CV_OVERRIDE { return workspace_.ops(); }
    /// Other losses and metrics are computed on the host.
    bool recordable() const CV_OVERRIDE
    {
        return isList() && (targets_ || options_.scoring.metric == METRIC_L1 || options_.scoring.metric == METRIC_L2);
    }
    const TargetStore* targets() const CV_OVERRIDE { return targets_.get(); }
    int visible(double maskRatio) CV_OVERRIDE
    {
        return targets_ && options_.seesAll ? model_.ranker.input.numPatches() : Objective::visible(maskRatio);
    }
    float gradientScale(int images, int) const CV_OVERRIDE { return backend().gradientScale(static_cast<size_t>(images)); }

    void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) CV_OVERRIDE
    {
        const size_t rows = static_cast<size_t>(samples.images);
        const int patches = model_.ranker.input.numPatches();
        float* target = workspace_.get("train.target", rows * static_cast<size_t>(samples.visible));
        float* scores = workspace_.get("train.scores", rows * static_cast<size_t>(patches));
        if (targets_)
            backend().gatherRows(samples.targets, static_cast<size_t>(patches), samples.keep, 0, target, samples.images,
                                 samples.visible, 1);
        else
            teacher_->compute(samples, target);
        const int* seen = options_.seesAll ? nullptr : samples.keep;
        const int seenCount = options_.seesAll ? patches : samples.visible;
        ranker_->forwardTrain(samples.pixels, samples.images, seen, seenCount, scores, workspace_);
        if (isList())
        {
            float* gradient = workspace_.get("train.scoreGradient", rows * static_cast<size_t>(patches));
            backend().listMle({scores, samples.keep, target, samples.keys, options_.seed, samples.images, patches, samples.visible,
                               options_.loss == RankLoss::ListMleK ? std::min(options_.listK, samples.visible) : 0,
                               scale, gradient, loss});
            scores = gradient;
        }
        else if (!hostLoss(samples, target, scores, loss, scale))
            return;
        ranker_->backward(samples.pixels, samples.images, seen, seenCount, scores, gradients, workspace_);
    }

private:
    bool isList() const { return options_.loss == RankLoss::ListMleK || options_.loss == RankLoss::ListMle; }

    /// For losses computed on the host: replaces the scores by the gradient; returns false if there is none.
    bool hostLoss(const ops::Samples& samples, const float* target, float* scores, double* loss, float scale)
    {
        const int images = samples.images, visible = samples.visible;
        const size_t n = static_cast<size_t>(visible), count = static_cast<size_t>(images) * n;
        const size_t patches = static_cast<size_t>(model_.ranker.input.numPatches()), all = static_cast<size_t>(images) * patches;
        const ops::Backend& ops = backend();
        keep_.resize(count);
        target_.resize(count);
        scores_.resize(all);
        ops.download(samples.keep, keep_.data(), count * sizeof(int));
        ops.download(target, target_.data(), count * sizeof(float));
        ops.download(scores, scores_.data(), all * sizeof(float));
        double value = std::numeric_limits<double>::quiet_NaN();   // the training loop reports the images
        const bool usable = std::all_of(target_.begin(), target_.end(), [](float v) { return std::isfinite(v); });
        if (usable)
        {
            predicted_.resize(count);
            gradient_.resize(count);
            for (size_t i = 0; i < count; i++)
                predicted_[i] = scores_[i / n * patches + static_cast<size_t>(keep_[i])];
            value = rankLoss(options_.loss, predicted_.data(), target_.data(), images, visible, nullptr, 0, gradient_.data());
        }
        ops.upload(&value, loss, sizeof(value));
        if (!std::isfinite(value))
            return false;
        std::fill(scores_.begin(), scores_.end(), 0.f);
        for (size_t i = 0; i < count; i++)
            scores_[i / n * patches + static_cast<size_t>(keep_[i])] = gradient_[i] * scale;
        ops.upload(scores_.data(), scores, all * sizeof(float));
        return true;
    }

    const InitialWeights start_;
    const std::unique_ptr<PseudoScores> teacher_;
    const std::unique_ptr<TargetStore> targets_;
    io::Model model_;
    std::unique_ptr<vit::RankerNet> ranker_;
    RankerOptions options_;
    vit::Workspace workspace_;
    std::vector<float> target_, predicted_, gradient_, scores_;
    std::vector<int> keep_;
};

}}  // namespace

Ptr<Trainer> Trainer::createRanker(const RankerTrainParams& params)
{
    const ComputeDevice computing = ComputeDevice::forTraining(params.target);
    return train::makeRankerTrainer(params, computing, computing.companion(params.scoreTarget));
}

Ptr<Trainer> train::makeRankerTrainer(const RankerTrainParams& params, const ComputeDevice& computing, const ComputeDevice& teacherComputing)
{
    checkParams(params);
    RankerOptions options;
    LTRP_REQUIRE(params.removal == REMOVAL_DECODER || params.removal == REMOVAL_ENCODER, Error::StsOutOfRange,
                 "removal is " << params.removal << ", expected 0 (decoder) or 1 (encoder)");
    LTRP_REQUIRE(params.metric >= METRIC_L1 && params.metric <= METRIC_PSNR, Error::StsOutOfRange,
                 "metric is " << params.metric << ", expected 0 (l1) to 3 (psnr)");
    LTRP_REQUIRE(params.space == SPACE_DECODER || params.space == SPACE_PIXEL, Error::StsOutOfRange,
                 "space is " << params.space << ", expected 0 (decoder) or 1 (pixel)");
    options.scoring.removal = params.removal;
    options.scoring.metric = params.metric;
    options.scoring.space = params.space;
    options.loss = parseRankLoss(params.loss);
    LTRP_REQUIRE(params.listK >= 2, Error::StsOutOfRange, "list-k is " << params.listK << ", expected 2 or more");
    options.listK = params.listK;
    options.seesAll = params.seesAll;
    options.ranker = computing;
    options.teacher = teacherComputing;
    options.seed = params.seed;
    LTRP_REQUIRE(params.mae.empty() != params.targets.empty(), Error::StsBadArg, "mae, targets: expected either the weight file "
                 "of an autoencoder or a folder of targets, found " << (params.mae.empty() ? "neither" : "both"));

    vit::RankerConfig config;
    std::unique_ptr<PseudoScores> teacher;
    std::unique_ptr<TargetStore> targets;
    if (params.targets.empty())
    {
        io::Model model = io::loadModel(params.mae, io::ModelKind::Mae);
        config.input = model.mae.input;
        teacher.reset(new PseudoScores(std::move(model), options));
    }
    else
    {
        targets.reset(new TargetStore(params.targets));
        config.input = targets->description().input;
    }
    config.encoder = {params.embedDim, params.depth, params.heads, 4 * params.embedDim};
    config.head = vit::parseHead(params.head, "options");
    vit::checkConfig(config, "options");
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, params.maskRatio);
    LTRP_REQUIRE(visible >= 2 && visible < patches, Error::StsOutOfRange, "mask-ratio " << params.maskRatio
                 << " leaves " << visible << " of " << patches << " patches visible, expected 2 to " << patches - 1
                 << " to be ranked");
    return makeTrainer(params, std::unique_ptr<Objective>(new RankerObjective(config, std::move(teacher), std::move(targets), options,
                                                                               params.init)),
                       computing.device);
}

}}  // namespace
