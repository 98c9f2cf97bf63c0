// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "../io/checksum.hpp"
#include "initial_weights.hpp"
#include "loader.hpp"
#include "opencv2/ltrp/select.hpp"
#include "../core/random.hpp"
#include "../vit/classifier.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace train {

namespace {

std::string joined(const std::vector<std::string>& texts)
{
    std::string all;
    for (const std::string& text : texts)
        all += (all.empty() ? "" : ", ") + text;
    return all;
}

/// "5 classes, checksum 01234567"
std::string classesText(const std::vector<std::string>& names)
{
    io::Crc32 crc;
    for (const std::string& name : names)
        crc.add(name + "\n");
    return std::to_string(names.size()) + " classes, checksum " + crc.text();
}

void requireRange(const char* name, double value, bool good, const char* range)
{
    LTRP_REQUIRE(good && std::isfinite(value), Error::StsOutOfRange, name << " is " << value << ", expected " << range);
}

/// The network sees the patches that a selector keeps of each crop.
class ClassifierObjective CV_FINAL : public Objective
{
public:
    ClassifierObjective(const ClassifierTrainParams& params, const ComputeDevice& computing, Dataset data, InitialWeights start)
        : params_(params), start_(std::move(start)), data_(std::move(data)), precision_(computing.precision),
          workspace_(computing.backend)
    {
        for (const std::string& name : params.selectors)
            selectors_.push_back(select::makeSelector(name, params.selectorModels));
        vit::ClassifierConfig& config = model_.classifier;
        if (start_.given())
        {
            const io::Model& from = start_.model();
            config.input = from.input();
            config.encoder = from.encoder();
            config.layerNormEps = from.layerNormEps();
        }
        else
        {
            config.input.imageSize = params.imageSize;
            config.input.patchSize = params.patchSize;
            config.encoder = {params.embedDim, params.depth, params.heads, 4 * params.embedDim};
        }
        config.task = params.task;
        config.pooling = vit::parsePooling(params.pool, "options");
        config.classes = static_cast<int>(data_.classes.size());
        vit::checkConfig(config, "options");
        model_.kind = io::ModelKind::Classifier;
        model_.classes = data_.classes;
        model_.params = vit::ParamArena(layout());
        classifier_.reset(new vit::Classifier(config, model_.params));
        start_.apply(model_);   // now, so that a file that does not fit is refused before anything is computed
    }

    io::Model& model() CV_OVERRIDE { return model_; }
    void initialise() CV_OVERRIDE
    {
        vit::ParamArena drawn;
        vit::initialiseParams(model_.classifier, params_.seed, drawn);
        drawn.values.copyTo(model_.params.values);
        const vit::ParamInfo& head = model_.params.layout.at("head.weight");   // small: at first all classes are about alike
        for (size_t i = 0; i < head.count; i++)
            model_.params.data()[head.offset + i] *= 0.01f;
        start_.apply(model_);
    }

    Dataset images(const std::vector<std::string>&) CV_OVERRIDE { return data_; }
    bool masks() const CV_OVERRIDE { return false; }
    int visible(double) CV_OVERRIDE { return keepCount(model_.input().numPatches(), params_.keepMax); }

    void prepare(LoaderOptions& options) const CV_OVERRIDE
    {
        const int patches = model_.input().numPatches();
        const double low = params_.keepMin, high = params_.keepMax;
        const uint64_t seed = params_.seed;
        if (low < high)
            options.visibleOf = [=](uint32_t epoch, uint32_t batch)
            { return keepCount(patches, std::min(high, RandomStream(seed, RandomPurpose::KeepRatio, epoch, batch).uniform(low, high))); };
        const Size grid(model_.input().columns(), model_.input().rows());
        addTarget(options);
        options.choose = [this, grid, seed](const Mat& crop, const ops::SampleKey& key, int count, int* keep)
        {
            const size_t which = selectors_.size() == 1 ? 0 : static_cast<size_t>(
                RandomStream(seed, RandomPurpose::Selector, key.epoch, key.sample).below(static_cast<int>(selectors_.size())));
            Mat bgr;
            cvtColor(crop, bgr, COLOR_RGB2BGR);
            const std::vector<int> kept = select::firstPatches(*selectors_[which], bgr, grid, count, {seed, key.epoch, key.sample});
            std::copy(kept.begin(), kept.end(), keep);
        };
    }

    OptionList options() const CV_OVERRIDE
    {
        const vit::ClassifierConfig& c = model_.classifier;
        std::vector<std::string> selectors;
        for (const auto& selector : selectors_)
            selectors.push_back(selector->text());
        const std::string low = optionText(params_.keepMin), high = optionText(params_.keepMax);
        OptionList list = {{"task", vit::taskName(c.task)}, {"size", std::to_string(c.input.imageSize)},
                           {"patch", std::to_string(c.input.patchSize)}, {"embed-dim", std::to_string(c.encoder.dim)},
                           {"depth", std::to_string(c.encoder.depth)}, {"heads", std::to_string(c.encoder.heads)}};
        if (c.task == vit::Task::Classify)
            list.emplace_back("pool", vit::poolingName(c.pooling));
        list.insert(list.end(), {{"classes", classesText(model_.classes)}, {"keep", low == high ? low : low + ".." + high},
                                 {"selector", joined(selectors)}});
        if (c.task != vit::Task::Multilabel)
            list.emplace_back("smoothing", optionText(params_.smoothing));
        list.insert(list.end(), {{"layer-decay", optionText(params_.layerDecay)}, {"precision", ops::precisionName(precision_)},
                                 {"init", start_.text()}});
        return list;
    }

    std::vector<std::string> warnings() const CV_OVERRIDE { return data_.notes; }

    bool labelled() const CV_OVERRIDE { return !data_.labels.empty(); }
    void setStop(const std::function<bool()>& stop) CV_OVERRIDE { workspace_.stop = stop; }
    const ops::Backend& backend() const CV_OVERRIDE { return workspace_.ops(); }
    bool recordable() const CV_OVERRIDE { return true; }
    float gradientScale(int images, int) const CV_OVERRIDE { return backend().gradientScale(static_cast<size_t>(images)); }

    void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) CV_OVERRIDE
    {
        classifier_->trainPass(samples.pixels, samples.images, samples.keep, samples.visible,
                               {samples.labels, samples.targets, static_cast<float>(params_.smoothing)}, gradients, loss, workspace_,
                               scale);
    }

private:
    /// What the logits are compared with, where that is no single class.
    void addTarget(LoaderOptions& options) const
    {
        const int classes = model_.classifier.classes, grid = model_.input().grid();
        if (model_.classifier.task == vit::Task::Segment)
        {
            options.targetValues = model_.input().numPatches() * classes;
            options.target = [this, classes, grid](int image, Size size, const Crop& crop, float* out)
            { labelShares(data_.labelImages.read(image, size), crop.region, crop.mirrored, grid, classes, out); };
        }
        else if (model_.classifier.task == vit::Task::Multilabel)
        {
            options.targetValues = classes;
            options.target = [this, classes](int image, Size, const Crop&, float* out)
            {
                std::fill(out, out + classes, 0.f);
                for (const int label : data_.labelSets[static_cast<size_t>(image)])
                    out[label] = 1;
            };
        }
    }

    vit::ParamLayout layout() const
    {
        vit::ParamLayout layout = vit::classifierLayout(model_.classifier);
        layout.decayRates(model_.classifier.encoder.depth, static_cast<float>(params_.layerDecay));
        return layout;
    }

    const ClassifierTrainParams params_;
    const InitialWeights start_;
    const Dataset data_;
    const ops::Precision precision_;
    std::vector<std::shared_ptr<const select::Selector>> selectors_;
    io::Model model_;
    std::unique_ptr<vit::Classifier> classifier_;
    vit::Workspace workspace_;
};

}  // namespace

ClassifierTrainParams::ClassifierTrainParams()
{
    epochs = 50;
    baseLearningRate = 1e-3;
    beta2 = 0.999;
    scaleMin = 0.35;
}

Ptr<Trainer> makeClassifierTrainer(const ClassifierTrainParams& params, const ComputeDevice& computing)
{
    checkParams(params);
    LTRP_REQUIRE(params.data.size() == 1, Error::StsBadArg, "data: " << params.data.size()
                 << " arguments, expected one folder or file of labelled data");
    requireRange("keep", params.keepMin, params.keepMin > 0 && params.keepMin <= params.keepMax, "a share above 0, A..B with A <= B");
    requireRange("keep", params.keepMax, params.keepMax <= 1, "a share of at most 1");
    requireRange("smoothing", params.smoothing, params.smoothing >= 0 && params.smoothing < 1, "0 or more, below 1");
    requireRange("layer-decay", params.layerDecay, params.layerDecay > 0 && params.layerDecay <= 1, "above 0, at most 1");
    LTRP_REQUIRE(!params.selectors.empty(), Error::StsBadArg, "selector: none given");
    const bool all = std::find(params.selectors.begin(), params.selectors.end(), "all") != params.selectors.end();
    LTRP_REQUIRE(!all || params.keepMin == 1, Error::StsBadArg, "selector 'all' keeps every patch, but keep is " << params.keepMin
                 << ", expected 1, or another selector");
    InitialWeights start(params.init);
    if (start.given())
        requireStart(start.model(), io::ModelKind::Classifier);
    return makeTrainer(params, std::unique_ptr<Objective>(new ClassifierObjective(params, computing,
        listLabelled({params.data[0], params.task, params.images}), std::move(start))), computing.device);
}

}}}  // namespace
