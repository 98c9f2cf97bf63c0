// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "token_selectors.hpp"

#include "kmeans.hpp"
#include "model_selector.hpp"
#include "../dnn/session.hpp"
#include "../io/model_file.hpp"
#include "../vit/attention_maps.hpp"
#include "../vit/patches.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace select {

namespace {

/// Of one call at a time.
struct Session
{
    explicit Session(const std::shared_ptr<const ops::Backend>& backend) : ws(backend) {}
    bool usable() const { return true; }
    vit::Workspace ws;
};

io::ModelKind kindOf(const TokenMethod& method)
{
    return method.model == std::string("mae") ? io::ModelKind::Mae : io::ModelKind::Classifier;
}

class TokenSelector CV_FINAL : public ModelSelector
{
public:
    TokenSelector(const TokenMethod& method, const SelectorModels& models)
        : ModelSelector(method.name, models), kind_(method.kind),
          model_(io::loadModel(models.file(method.model), kindOf(method))),
          stack_(model_.encoder(), model_.layerNormEps(), model_.params, "blocks.", "norm."),
          backend_(ops::frozenCpu(ops::Precision::FP32)),
          sessions_([this] { return std::make_unique<Session>(backend_); })
    {
        LTRP_REQUIRE(model_.kind != io::ModelKind::Classifier || model_.classifier.task == vit::Task::Classify,
                     Error::StsBadArg, model_.path << ": selector " << name() << " needs a network of the task classify, found "
                     << vit::taskName(model_.classifier.task));
    }

    PatchRanking rank(const Mat& image, Size grid, const Draw& draw) const CV_OVERRIDE
    {
        if (kind_ != TokenMethod::Kmeans)
            return ModelSelector::rank(image, grid, draw);
        Mat features = tokens(image);
        const Size own(model_.input().columns(), model_.input().rows());
        if (grid != own)   // means of the tokens that a patch covers, not of their places in an order
        {
            Mat planes, resampled, channel;
            transpose(features, planes);
            for (int c = 0; c < planes.rows; ++c)
            {
                resampleScores(planes.row(c).reshape(1, own.height), grid, channel);
                resampled.push_back(channel.reshape(1, 1));
            }
            transpose(resampled, features);
        }
        // as many clusters as a cluster has members
        const Kmeans kmeans(features, static_cast<int>(std::lround(std::sqrt(static_cast<double>(grid.area())))), 0);
        PatchRanking ranking;
        ranking.imageSize = image.size();
        ranking.scores = scoresOf(nearestFirst(kmeans), grid);
        return ranking;
    }

private:
    typedef SessionPool<Session>::Lease Lease;

    /// The blocks' input, [1 + L, dim].
    float* embed(const Mat& image, vit::Workspace& ws) const
    {
        const vit::InputConfig& input = model_.input();
        const int patches = input.numPatches(), dim = model_.encoder().dim;
        float* const pixels = ws.get("pixels", 3 * static_cast<size_t>(input.size().area()));
        float* const x = ws.get("x", ops::z(1 + patches) * ops::z(dim));
        prepareImage(image, input, pixels);
        vit::embedPatches(input, dim, model_.params, pixels, 1, nullptr, patches, x, nullptr, ws);
        return x;
    }

    PatchRanking scores(const Mat& image, const Draw&) const CV_OVERRIDE
    {
        const Lease session(sessions_);
        vit::Workspace& ws = session->ws;
        float* const x = embed(image, ws);
        const int patches = model_.input().numPatches();
        const vit::Pooling pooling =
            model_.kind == io::ModelKind::Classifier ? model_.classifier.pooling : vit::Pooling::Class;
        Mat map;
        if (kind_ == TokenMethod::Attention)
            map = vit::lastAttention(stack_, pooling, x, patches, ws);
        else if (kind_ == TokenMethod::Rollout)
            map = vit::attentionRollout(stack_, pooling, x, patches, ws);
        else
            map = vit::gradCam(vit::lastBlock(model_.classifier, model_.params, stack_, x, patches, ws));
        PatchRanking ranking;
        ranking.imageSize = image.size();
        keepScores(map, model_.input(), model_.path, ranking);
        return ranking;
    }

    /// The patches' tokens after the final norm, [L, dim].
    Mat tokens(const Mat& image) const
    {
        const Lease session(sessions_);
        float* const x = embed(image, session->ws);
        const int patches = model_.input().numPatches();
        stack_.forward(x, 1, 1 + patches, nullptr, x, session->ws);
        const Mat all(1 + patches, model_.encoder().dim, CV_32F, x);
        LTRP_REQUIRE(checkRange(all), Error::StsBadArg, model_.path << ": the model's tokens are not finite numbers");
        return all.rowRange(1, 1 + patches).clone();
    }

    const TokenMethod::Kind kind_;
    const io::Model model_;
    const vit::Transformer stack_;
    const std::shared_ptr<const ops::Backend> backend_;
    mutable SessionPool<Session> sessions_;
};

}  // namespace

const std::vector<TokenMethod>& tokenMethods()
{
    static const std::vector<TokenMethod> methods = {{"class_attention", "classifier", TokenMethod::Attention},
                                                     {"encoder_attention", "mae", TokenMethod::Attention},
                                                     {"grad_cam", "classifier", TokenMethod::GradCam},
                                                     {"attention_rollout", "classifier", TokenMethod::Rollout},
                                                     {"kmeans_features", "mae", TokenMethod::Kmeans}};
    return methods;
}

std::shared_ptr<const Selector> makeTokenSelector(const TokenMethod& method, const SelectorModels& models)
{
    return std::make_shared<TokenSelector>(method, models);
}

}}}  // namespace
