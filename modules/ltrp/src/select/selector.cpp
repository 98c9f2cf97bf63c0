// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dpc_knn.hpp"
#include "model_selector.hpp"
#include "sampling.hpp"
#include "token_selectors.hpp"

#include "../core/random.hpp"
#include "../teach/baselines.hpp"
#include "../io/file_bytes.hpp"
#include "../io/checksum.hpp"
#include "../io/model_file.hpp"
#include "../io/onnx_file.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "opencv2/ltrp/select.hpp"

#include <algorithm>
#include <numeric>

namespace cv { namespace ltrp { namespace select {

namespace {

const char all[] = "all", ownError[] = "own_error", leaveOneOut[] = "leave_one_out", ranker[] = "ranker",
           rankerSample[] = "ranker_sample", rankerClusters[] = "ranker_clusters", dpcKnnPixels[] = "dpc_knn";

class RasterSelector CV_FINAL : public Selector
{
public:
    RasterSelector() : Selector(all) {}
    PatchRanking rank(const Mat& image, Size grid, const Draw&) const CV_OVERRIDE
    {
        std::vector<int> order(static_cast<size_t>(grid.area()));
        std::iota(order.begin(), order.end(), 0);
        PatchRanking ranking;
        ranking.imageSize = image.size();
        ranking.scores = scoresOf(order, grid);
        return ranking;
    }
};

class BaselineSelector CV_FINAL : public Selector
{
public:
    explicit BaselineSelector(teach::Baseline baseline) : Selector(teach::baselineName(baseline)), baseline_(baseline)
    {
        LTRP_REQUIRE(teach::baselineAvailable(baseline), Error::StsNotImplemented, "selector " << name()
                     << " needs OpenCV's saliency module (opencv_contrib)");
    }
    PatchRanking rank(const Mat& image, Size grid, const Draw& draw) const CV_OVERRIDE
    {
        return teach::BaselineRanker(image, grid).rank(baseline_, draw.seed, draw.sample, draw.epoch);
    }

private:
    const teach::Baseline baseline_;
};

class DpcKnnSelector CV_FINAL : public Selector
{
public:
    DpcKnnSelector() : Selector(dpcKnnPixels) {}
    PatchRanking rank(const Mat& image, Size grid, const Draw&) const CV_OVERRIDE
    {
        const int patches = grid.area();
        LTRP_REQUIRE(patches <= maxClusteredPatches, Error::StsOutOfRange, "selector " << name() << ": " << patches
                     << " patches, expected at most " << int(maxClusteredPatches));
        RandomStream random(0, RandomPurpose::Cluster);
        std::vector<float> noise(static_cast<size_t>(patches));   // else each patch of an empty sky would be a peak
        for (float& value : noise)
            value = random.uniform();
        const Mat distances = patchDistances(patchPixels(image, grid));
        PatchRanking ranking;
        ranking.imageSize = image.size();
        ranking.scores = scoresOf(dpcKnn(distances, patches, SelectParams().neighbours, noise.data()).centres, grid);
        return ranking;
    }
};

/// Of what a network computes from an image, independent of the form of its file but for ONNX.
std::string checksumOf(const std::string& file)
{
    io::Crc32 crc;
    if (io::isOnnx(file))
    {
        const std::shared_ptr<const io::FileBytes> bytes = io::FileBytes::map(file);
        crc.add(bytes->data(), bytes->size());
        return crc.text();
    }
    const io::Model model = io::loadModel(file);
    crc.add(io::weightsText(model));
    crc.add(model.input().mean, sizeof(model.input().mean));
    crc.add(model.input().std, sizeof(model.input().std));
    const uchar normalised = model.kind == io::ModelKind::Mae && model.mae.normPixLoss;
    crc.add(&normalised, sizeof(normalised));
    if (model.kind == io::ModelKind::Classifier)   // what the attention and its use depend on beside the weights
        crc.add(std::to_string(model.encoder().heads) + " " + vit::poolingName(model.classifier.pooling));
    return crc.text();
}

class RankerSelector CV_FINAL : public ModelSelector
{
public:
    RankerSelector(const std::string& name, const SelectorModels& models)
        : ModelSelector(name, models), ranker_(Ranker::create(models.ranker)), sampled_(name == rankerSample)
    {
        ranker_->setPreferableTarget(models.target);
    }
    PatchRanking rank(const Mat& image, Size grid, const Draw& draw) const CV_OVERRIDE
    {
        PatchRanking ranking = ModelSelector::rank(image, grid, draw);
        if (sampled_)   // drawn on the wanted grid
            ranking.scores = scoresOf(sampledOrder(ranking.scores, ranking.order(), 1,
                                                   RandomStream(draw.seed, RandomPurpose::Sample, draw.epoch, draw.sample)), grid);
        return ranking;
    }
    std::vector<int> first(const Mat& image, Size grid, int count, const Draw& draw) const CV_OVERRIDE
    {
        if (name() != rankerClusters)
            return ModelSelector::first(image, grid, count, draw);
        SelectParams params;
        params.method = SELECT_CLUSTER;
        params.count = count;
        params.seed = static_cast<size_t>(draw.seed);
        return selectPatches(rank(image, grid, draw), params, image);
    }

private:
    PatchRanking scores(const Mat& image, const Draw&) const CV_OVERRIDE { return ranker_->rank(image); }

    const Ptr<Ranker> ranker_;
    const bool sampled_;
};

class ScorerSelector CV_FINAL : public ModelSelector
{
public:
    ScorerSelector(const std::string& name, const SelectorModels& models)
        : ModelSelector(name, models), scorer_(Scorer::create(models.mae))
    {
        params_.teacher = name == ownError ? "own-error" : "leave-one-out";
        scorer_->setPreferableTarget(models.target);
    }

private:
    PatchRanking scores(const Mat& image, const Draw& draw) const CV_OVERRIDE
    {
        ScoreParams params = params_;
        params.seed = static_cast<size_t>(draw.seed);
        return scorer_->scoreMap(image, params);
    }

    const Ptr<Scorer> scorer_;
    ScoreParams params_;
};

}  // namespace

const std::vector<std::string>& selectorNames()
{
    static const std::vector<std::string> names = []()
    {
        std::vector<std::string> list = {all};
        for (const teach::Baseline baseline : teach::baselines())
            list.push_back(teach::baselineName(baseline));
        list.insert(list.end(), {dpcKnnPixels, ownError, leaveOneOut, ranker, rankerSample, rankerClusters});
        for (const TokenMethod& method : tokenMethods())
            list.push_back(method.name);
        return list;
    }();
    return names;
}

std::string knownSelectors()
{
    std::string text;
    for (const std::string& name : selectorNames())
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

std::string selectorModel(const std::string& name)
{
    for (const TokenMethod& method : tokenMethods())
        if (name == method.name)
            return method.model;
    if (name == ranker || name == rankerSample || name == rankerClusters)
        return "rank";
    return name == ownError || name == leaveOneOut ? "mae" : "";
}

std::string selectorText(const std::string& name, const SelectorModels& models)
{
    const std::string kind = selectorModel(name);
    if (kind.empty())
        return name;
    LTRP_REQUIRE(kind != "classifier" || !models.classifier.empty(), Error::StsBadArg, "selector " << name
                 << ": needs a classifier's weight file, found none");
    return name + " " + checksumOf(models.file(kind));
}

std::shared_ptr<const Selector> makeSelector(const std::string& name, const SelectorModels& models)
{
    if (name == all)
        return std::make_shared<RasterSelector>();
    if (name == dpcKnnPixels)
        return std::make_shared<DpcKnnSelector>();
    for (const teach::Baseline baseline : teach::baselines())
        if (name == teach::baselineName(baseline))
            return std::make_shared<BaselineSelector>(baseline);
    for (const TokenMethod& method : tokenMethods())
        if (name == method.name)
            return makeTokenSelector(method, models);
    if (selectorModel(name) == "rank")
        return std::make_shared<RankerSelector>(name, models);
    if (selectorModel(name) == "mae")
        return std::make_shared<ScorerSelector>(name, models);
    LTRP_ERROR(Error::StsBadArg, "selector '" << name.substr(0, 64) << "' is not known, expected one of " << knownSelectors());
}

std::vector<int> Selector::first(const Mat& image, Size grid, int count, const Draw& draw) const
{
    std::vector<int> patches = rank(image, grid, draw).order();
    patches.resize(static_cast<size_t>(count));
    return patches;
}

std::vector<int> firstPatches(const Selector& selector, const Mat& image, Size grid, int count, const Draw& draw)
{
    LTRP_REQUIRE(count >= 1 && count <= grid.area(), Error::StsOutOfRange, "patches to keep: " << count
                 << ", expected 1 to " << grid.area());
    std::vector<int> patches = selector.first(image, grid, count, draw);
    std::sort(patches.begin(), patches.end());
    return patches;
}

}}}  // namespace
