// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "initial_weights.hpp"
#include "../vit/mae.hpp"

namespace cv { namespace ltrp {

namespace train { namespace {

class MaeObjective CV_FINAL : public Objective
{
public:
    MaeObjective(const vit::MaeConfig& config, uint64_t seed, const ComputeDevice& computing, const String& init)
        : start_(init), workspace_(computing.backend), seed_(seed), precision_(computing.precision)
    {
        model_.kind = io::ModelKind::Mae;
        model_.mae = config;
        model_.params = vit::ParamArena(vit::maeLayout(config));
        mae_.reset(new vit::Mae(model_.mae, model_.params));
        start_.apply(model_);   // here, so that an unsuitable file is rejected before anything is computed
    }

    io::Model& model() CV_OVERRIDE { return model_; }
    void initialise() CV_OVERRIDE
    {
        vit::initialiseParams(model_.mae, seed_, model_.params);
        start_.apply(model_);
    }

    OptionList options() const CV_OVERRIDE
    {
        const vit::MaeConfig& c = model_.mae;
        return {{"size", std::to_string(c.input.imageSize)}, {"patch", std::to_string(c.input.patchSize)},
                {"embed-dim", std::to_string(c.encoder.dim)}, {"depth", std::to_string(c.encoder.depth)},
                {"heads", std::to_string(c.encoder.heads)}, {"decoder-embed-dim", std::to_string(c.decoder.dim)},
                {"decoder-depth", std::to_string(c.decoder.depth)}, {"decoder-heads", std::to_string(c.decoder.heads)},
                {"norm-pix-loss", c.normPixLoss ? "1" : "0"}, {"precision", ops::precisionName(precision_)},
                {"init", start_.text()}};
    }

    void setStop(const std::function<bool()>& stop) CV_OVERRIDE { workspace_.stop = stop; }
    const ops::Backend& backend() const CV_OVERRIDE { return workspace_.ops(); }
    bool recordable() const CV_OVERRIDE { return true; }

    float gradientScale(int images, int visible) const CV_OVERRIDE
    {
        const vit::InputConfig& input = model_.mae.input;
        return backend().gradientScale(static_cast<size_t>(images) * static_cast<size_t>(input.numPatches() - visible)
                                       * static_cast<size_t>(input.patchValues()));
    }

    void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) CV_OVERRIDE
    {
        mae_->trainPass(samples.pixels, samples.images, samples.keep, samples.visible, gradients, loss, workspace_,
                        scale);
    }

private:
    const InitialWeights start_;
    io::Model model_;
    std::unique_ptr<vit::Mae> mae_;
    vit::Workspace workspace_;
    uint64_t seed_;
    ops::Precision precision_;
};

}}  // namespace

Ptr<Trainer> Trainer::createPretrain(const MaePretrainParams& params)
{
    return train::makePretrainer(params, ComputeDevice::forTraining(params.target));
}

Ptr<Trainer> train::makePretrainer(const MaePretrainParams& params, const ComputeDevice& computing)
{
    return makeTrainer(params, makePretraining(params, computing), computing.device);
}

std::unique_ptr<train::Objective> train::makePretraining(const MaePretrainParams& params, const ComputeDevice& computing)
{
    checkParams(params);
    vit::MaeConfig config;
    config.input.imageSize = params.imageSize;
    config.input.patchSize = params.patchSize;
    config.encoder = {params.embedDim, params.depth, params.heads, 4 * params.embedDim};
    config.decoder = {params.decoderEmbedDim, params.decoderDepth, params.decoderHeads, 4 * params.decoderEmbedDim};
    config.normPixLoss = params.normPixLoss;
    vit::checkConfig(config, "options");
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, params.maskRatio);
    LTRP_REQUIRE(visible >= 1 && visible < patches, Error::StsOutOfRange, "mask-ratio " << params.maskRatio
                 << " leaves " << visible << " of " << patches << " patches visible, expected 1 to " << patches - 1);
    return std::unique_ptr<Objective>(new MaeObjective(config, params.seed, computing, params.init));
}

}}  // namespace
