// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "ops/cpu/list_mle.hpp"
#include "train/losses.hpp"
#include "vit/ranker_net.hpp"

#include <algorithm>

namespace golden
{

using namespace cv::ltrp;

namespace
{

/// The ranker: scores of the full image, of visible patches only, training loss and gradients.
class RankerRunner : public Runner
{
public:
    RankerRunner(const Case& c, Report& report) : Runner(c, report), files_(c.weightFiles()), frozen_(report.device(), true), training_(report.device(), false)
    {
        if (files_.empty())
            throw std::runtime_error(c.path("case.json") + ": no tensor has the role weight");
        model_ = loadRanker(c, c.path(files_[0]), "");
        const vit::InputConfig& input = model_->ranker.input;
        batch_ = c.size("batch");
        patches_ = input.numPatches();
        if (c.size("num_outputs") != patches_)
            throw std::runtime_error(c.path("case.json") + ": config.num_outputs is " +
                                     std::to_string(c.size("num_outputs")) + ", the image has " +
                                     std::to_string(patches_) + " patches");
        pixels_ = c.input("images", "", "pixel_values", {batch_, 3, input.imageSize, input.imageSize}, false);
    }

    Values compute(const Entry& entry) override
    {
        if (entry.name == "scores_full")
            return full(model_->ranker.layerNormEps, false);
        if (entry.name == "cls_full")
            return full(model_->ranker.layerNormEps, true);
        const std::string other = "scores_full_eps";
        if (entry.name.compare(0, other.size(), other) == 0)
        {
            const double eps = std::strtod(entry.name.c_str() + other.size(), nullptr);
            if (!(eps > 0 && eps < 1))
                unknown(entry);
            return full(static_cast<float>(eps), false);
        }
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() < 2)
            unknown(entry);
        if (parts[1] == "grad" && parts.size() > 2)
        {
            const Training& t = training(parts[0]);
            const vit::ParamInfo* info = model_->params.layout.find(joinName(parts, 2));
            if (!info || !info->trainable)
                unknown(entry);
            Values grad = floatValues(Shape(info->shape.begin(), info->shape.end()));
            std::copy_n(t.grads.data() + info->offset, info->count, grad.floats.begin());
            return grad;
        }
        if (parts.size() != 2)
            unknown(entry);
        if (parts[1] == "scores_visible")
            return training(parts[0]).scores;
        if (parts[1] == "y_pred")
            return training(parts[0]).pred;
        if (parts[1] == "loss")
            return training(parts[0]).loss;
        if (parts[1] == "list_mle_order")
            return training(parts[0]).order;
        unknown(entry);
    }

    void further() override { report_.onCpu("the ranking loss and its gradient at the scores"); }

private:
    struct Training
    {
        Values scores, pred, loss, order;
        vit::ParamArena grads;
    };

    Values full(float eps, bool classToken)
    {
        vit::RankerConfig config = model_->ranker;
        config.layerNormEps = eps;
        Values scores = floatValues({batch_, patches_}), cls = floatValues({batch_, config.encoder.dim});
        float *scoresThere = frozen_.at("scores", scores), *clsThere = frozen_.at("cls", cls);
        vit::RankerNet(config, model_->params).forward(frozen_.in("pixels", pixels_), batch_, nullptr, patches_, scoresThere,
                                                       clsThere, frozen_.ws());
        frozen_.back(scoresThere, scores);
        frozen_.back(clsThere, cls);
        return classToken ? cls : scores;
    }

    /// The shape gives the number of visible patches: this kind of case has none in its config.
    int visible(const std::string& ratio) const
    {
        const Entry* entry = case_.find(ratio + ".ids_keep");
        if (!entry || entry->shape.size() != 2 || entry->shape[1] < 1 || entry->shape[1] > patches_)
            throw std::runtime_error("tensor '" + ratio + ".ids_keep' is not listed as [batch, 1 to " +
                                     std::to_string(patches_) + "]");
        return static_cast<int>(entry->shape[1]);
    }

    const Training& training(const std::string& ratio)
    {
        const auto known = trainings_.find(ratio);
        if (known != trainings_.end())
            return known->second;
        const int n = visible(ratio), k = std::min(case_.size("list_mle_k"), n);
        const std::vector<int> ids =
            case_.own(ratio + ".ids_keep", {batch_, n}, true).asInts(0, patches_ - 1, ratio + ".ids_keep");
        const std::vector<int> columns =
            case_.own(ratio + ".list_mle_ids", {batch_, k}, true).asInts(0, n - 1, ratio + ".list_mle_ids");
        const Values target = case_.own(ratio + ".y_true", {batch_, n}, false);

        Training t;
        t.scores = floatValues({batch_, patches_});
        t.pred = floatValues({batch_, n});
        t.loss = floatValues({1});
        t.grads = vit::ParamArena(model_->params.layout);
        const vit::RankerNet net(model_->ranker, model_->params);
        vit::Workspace& ws = training_.ws();
        const float* pixels = training_.in("pixels", pixels_);
        const int* keep = training_.in("keep", ids);
        float* scores = training_.at("scores", t.scores);
        net.forwardTrain(pixels, batch_, keep, n, scores, ws);
        training_.back(scores, t.scores);
        for (size_t i = 0; i < ids.size(); i++)
            t.pred.floats[i] = t.scores.floats[i / n * patches_ + ids[i]];

        std::vector<float> predGrad(ids.size());
        Values scoreGrad = floatValues(t.scores.shape);
        t.loss.floats[0] = static_cast<float>(train::rankLoss(train::RankLoss::ListMleK, t.pred.floats.data(),
            target.floats.data(), batch_, n, columns.data(), k, predGrad.data()));
        for (size_t i = 0; i < ids.size(); i++)
            scoreGrad.floats[i / n * patches_ + ids[i]] += predGrad[i];
        training_.gradients(t.grads, [&](float* grads) {
            net.backward(pixels, batch_, keep, n, training_.in("dScores", scoreGrad), grads, ws);
        });

        std::vector<int> order;
        for (int b = 0; b < batch_; b++)
            for (int position : ops::descendingPositions(&target.floats[static_cast<size_t>(b) * n],
                                                           &columns[static_cast<size_t>(b) * k], k))
                order.push_back(position);
        t.order = intValues({batch_, k}, order);
        return trainings_.emplace(ratio, t).first->second;
    }

    std::vector<std::string> files_;
    std::unique_ptr<io::Model> model_;
    int batch_ = 0, patches_ = 0;
    Values pixels_;
    OnDevice frozen_, training_;
    std::map<std::string, Training> trainings_;
};

}  // namespace

std::unique_ptr<Runner> makeRankerRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new RankerRunner(c, report));
}

}  // namespace
