// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "train/losses.hpp"
#include "train/optimizer.hpp"
#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <algorithm>
#include <cmath>

namespace golden
{

using namespace cv::ltrp;

namespace
{

/// AdamW steps of the ranker ("ltrp.") and of the autoencoder ("mae."): loss before each, first gradient, weights
/// after.
class TrainStepRunner : public Runner
{
public:
    TrainStepRunner(const Case& c, Report& report) : Runner(c, report)
    {
        batch_ = c.size("batch");
        const int side = c.size("image_size");
        patches_ = c.size("num_patches");
        pixels_ = c.input("images", "", "pixel_values", {batch_, 3, side, side}, false);
    }

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() < 2 || (parts[0] != "ltrp" && parts[0] != "mae"))
            unknown(entry);
        const Run& run = evaluate(parts[0]);
        if (entry.name == parts[0] + ".loss")
        {
            Values losses = floatValues({static_cast<int64_t>(run.losses.size())});
            losses.floats = run.losses;
            return losses;
        }
        const vit::ParamInfo* info = run.start.layout.find(joinName(parts, 2));
        if (parts.size() < 3 || !info || !info->trainable)
            unknown(entry);
        const int step = numberAfter(parts[1], "step");
        if (parts[1] == "grad")
            return tensor(run.grads, *info);
        if (run.after.count(step))
            return tensor(run.after.at(step), *info);
        unknown(entry);
    }

    void compare(const Entry& entry, const Values& want, const Values& got) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (numberAfter(parts[1], "step") < 0)
        {
            Runner::compare(entry, want, got);
            return;
        }
        // Where the gradient is rounding noise, Adam turns it into whole steps: only a bound can be checked there.
        const double abs = toleranceNumber(entry, "abs"), rel = toleranceNumber(entry, "rel");
        const double threshold = toleranceNumber(entry, "gradient_threshold");
        const double elsewhere = toleranceNumber(entry, "abs_elsewhere");
        const std::string name = joinName(parts, 2), gradName = parts[0] + ".grad." + name;
        const Values grad = case_.find(gradName) ? case_.own(gradName, want.shape, false)
                                                 : tensor(evaluate(parts[0]).grads,
                                                          evaluate(parts[0]).start.layout.at(name));
        const bool head = parts[0] == "ltrp" && (name == "head.weight" || name == "head.bias");
        size_t loose = 0;
        std::vector<double> allowed(want.count());
        for (size_t i = 0; i < want.count() && grad.count() == want.count(); i++)
        {
            const double size = std::abs(grad.floats[i]);
            const bool close = size >= threshold || (head && size == 0);
            loose += !close;
            allowed[i] = close ? abs + rel * std::abs(want.floats[i]) : elsewhere;
        }
        std::ostringstream tolerance;
        tolerance << abs << " + " << rel << "*|want|";
        if (loose)
            tolerance << ", " << elsewhere << " at the " << loose << " of " << want.count() << " with a tiny gradient";
        report_.compare(entry.name, want, got, [&allowed](size_t i) { return allowed[i]; }, tolerance.str());
    }

    void further() override
    {
        for (const auto& item : runs_)
            for (const vit::ParamInfo& info : item.second.start.layout.tensors())
                if (!info.trainable)
                    compareFrozen(item.first, item.second, info);
        if (case_.json().contains("lr_schedule"))
            compareSchedules();
        report_.onCpu("the ranking loss, the optimizer, the learning rates");
    }

private:
    struct Run
    {
        std::vector<float> losses;
        vit::ParamArena start, grads;             ///< before the first step; first gradient
        std::map<int, vit::ParamArena> after;     ///< weights after each step, by its number
    };
    typedef std::function<double(const vit::ParamArena& params, vit::ParamArena& grads)> LossAndGradient;

    static Values tensor(const vit::ParamArena& arena, const vit::ParamInfo& info)
    {
        Values values = floatValues(Shape(info.shape.begin(), info.shape.end()));
        std::copy_n(arena.data() + info.offset, info.count, values.floats.begin());
        return values;
    }

    const Run& evaluate(const std::string& which)
    {
        const auto known = runs_.find(which);
        if (known != runs_.end())
            return known->second;
        return runs_.emplace(which, which == "mae" ? trainMae() : trainRanker()).first->second;
    }

    std::vector<int> idsKeep(const std::string& ratio, int visible) const
    {
        const std::string name = ratio + ".ids_keep";
        return case_.input("masks", ratio, name, {batch_, visible}, true).asInts(0, patches_ - 1, name);
    }

    Run trainMae()
    {
        const std::unique_ptr<io::Model> model = loadMae(case_, case_.inputPath("mae"));
        const std::string ratio = case_.ratioKey(case_.number("mae.mask_ratio"));
        const int visible = case_.visible(ratio);
        const std::vector<int> ids = idsKeep(ratio, visible);
        OnDevice device(report_.device(), false);
        return train("mae", model->params, device, [&](const vit::ParamArena& params, vit::ParamArena& grads)
        {
            double loss = 0;
            device.gradients(grads, [&](float* there) {
                loss = vit::Mae(model->mae, params).forwardBackward(device.in("pixels", pixels_), batch_, device.in("keep", ids),
                                                                    visible, there, device.ws());
            });
            return loss;
        });
    }

    Run trainRanker()
    {
        const std::unique_ptr<io::Model> mae = loadMae(case_, case_.inputPath("mae"));
        const std::unique_ptr<io::Model> ranker = loadRanker(case_, case_.inputPath("ranker"), "ranker.");
        const std::string ratio = case_.ratioKey(case_.number("ltrp.mask_ratio"));
        const int visible = case_.visible(ratio), k = std::min(case_.size("list_mle_k"), visible);
        const std::vector<int> ids = idsKeep(ratio, visible);
        const std::string drawn = ratio + ".list_mle_ids";
        const std::vector<int> columns =
            case_.input("list_mle_ids", ratio, drawn, {batch_, k}, true).asInts(0, visible - 1, drawn);

        Values target = floatValues({batch_, visible});
        const vit::Mae frozen(mae->mae, mae->params);
        OnDevice teacher(report_.device(), true), device(report_.device(), false);
        float* targetThere = teacher.at("target", target);
        vit::LeaveOneOut(frozen).scores(teacher.in("pixels", pixels_), batch_, teacher.in("keep", ids), visible,
                                        vit::LeaveOneOutOptions(), targetThere, teacher.ws());
        teacher.back(targetThere, target);
        return train("ltrp", ranker->params, device, [&](const vit::ParamArena& params, vit::ParamArena& grads)
        {
            const vit::RankerNet net(ranker->ranker, params);
            const float* pixels = device.in("pixels", pixels_);
            const int* keep = device.in("keep", ids);
            Values scores = floatValues({batch_, patches_}), scoreGrad = floatValues({batch_, patches_});
            std::vector<float> pred(ids.size()), predGrad(ids.size());
            float* scoresThere = device.at("scores", scores);
            net.forwardTrain(pixels, batch_, keep, visible, scoresThere, device.ws());
            device.back(scoresThere, scores);
            for (size_t i = 0; i < ids.size(); i++)
                pred[i] = scores.floats[i / visible * patches_ + ids[i]];
            const double loss = train::rankLoss(train::RankLoss::ListMleK, pred.data(), target.floats.data(), batch_, visible,
                                                columns.data(), k, predGrad.data());
            for (size_t i = 0; i < ids.size(); i++)
                scoreGrad.floats[i / visible * patches_ + ids[i]] += predGrad[i];
            device.gradients(grads, [&](float* there) {
                net.backward(pixels, batch_, keep, visible, device.in("dScores", scoreGrad), there, device.ws());
            });
            return loss;
        });
    }

    /// Runs as many steps as the list of losses has entries.
    Run train(const std::string& which, const vit::ParamArena& start, OnDevice& device, const LossAndGradient& lossAndGradient)
    {
        const Entry* losses = case_.find(which + ".loss");
        if (!losses || losses->shape.size() != 1 || losses->shape[0] < 1 || losses->shape[0] > 1000)
            throw std::runtime_error(case_.path("case.json") + ": '" + which +
                                     ".loss' is not listed as [1 to 1000 steps]");
        const Json& betas = case_.config(which + ".betas");
        if (!betas.is_array() || betas.size() != 2 || !betas[0].is_number() || !betas[1].is_number())
            throw std::runtime_error(case_.path("case.json") + ": config." + which + ".betas must be two numbers");
        train::AdamWParams options;
        options.learningRate = case_.number(which + ".lr");
        options.weightDecay = case_.number(which + ".weight_decay");
        options.eps = case_.number(which + ".eps");
        options.beta1 = betas[0].get<double>();
        options.beta2 = betas[1].get<double>();

        Run run;
        run.start = cloneArena(start);
        vit::ParamArena params = cloneArena(start);
        train::AdamW optimizer(params.layout);
        for (int step = 1; step <= losses->shape[0]; step++)
        {
            vit::ParamArena grads(params.layout);
            run.losses.push_back(static_cast<float>(lossAndGradient(params, grads)));
            optimizer.step(params, grads.data(), options);
            device.ws().ops().weightsChanged();
            if (step == 1)
                run.grads = grads;
            if (listed(which + ".step" + std::to_string(step) + "."))
                run.after.emplace(step, cloneArena(params));
        }
        run.after.emplace(static_cast<int>(losses->shape[0]), params);   // the last step, for the frozen tables
        return run;
    }

    bool listed(const std::string& prefix) const
    {
        return std::any_of(case_.entries().begin(), case_.entries().end(),
                           [&](const Entry& entry) { return entry.name.compare(0, prefix.size(), prefix) == 0; });
    }

    void compareFrozen(const std::string& which, const Run& run, const vit::ParamInfo& info)
    {
        const std::string name = which + "." + info.name + " stays";
        const float* last = run.after.rbegin()->second.data() + info.offset;
        if (std::equal(last, last + info.count, run.start.data() + info.offset))
            report_.passed(name, "frozen: all " + std::to_string(info.count) + " values unchanged after " +
                           std::to_string(run.losses.size()) + " steps");
        else
            report_.failed(name, "frozen, but training changed it");
    }

    double field(const Json& schedule, const char* key) const
    {
        if (!schedule.is_object() || !schedule.contains(key) || !schedule[key].is_number())
            throw std::runtime_error(case_.path("case.json") + ": an entry of 'lr_schedule' has no number '" +
                                     key + "'");
        return schedule[key].get<double>();
    }

    void compareSchedules()
    {
        const Json& all = case_.json()["lr_schedule"];
        if (!all.is_array())
            throw std::runtime_error(case_.path("case.json") + ": 'lr_schedule' must be a list");
        for (size_t s = 0; s < all.size(); s++)
        {
            const Json& one = all[s];
            const double base = field(one, "base_lr"), minimum = field(one, "min_lr");
            const double warmup = field(one, "warmup_epochs"), epochs = field(one, "epochs");
            if (!one.contains("epoch") || !one.contains("lr") || !one["epoch"].is_array() || !one["lr"].is_array() ||
                one["epoch"].size() != one["lr"].size() || one["epoch"].empty())
                throw std::runtime_error(case_.path("case.json") + ": an entry of 'lr_schedule' needs lists 'epoch' "
                                         "and 'lr' of one length");
            double largest = 0, relative = 0;
            bool ok = true;
            for (size_t i = 0; i < one["lr"].size(); i++)
            {
                if (!one["epoch"][i].is_number() || !one["lr"][i].is_number())
                    throw std::runtime_error(case_.path("case.json") + ": 'lr_schedule' holds something not a number");
                const double want = one["lr"][i].get<double>();
                const double error = std::abs(train::learningRate(base, minimum, warmup, epochs,
                                                                  one["epoch"][i].get<double>()) - want);
                largest = std::max(largest, error);
                // The end of a cosine schedule is a difference of almost equal numbers: its error is relative to the
                // base rate, not to the value.
                const double share = error / std::max(std::abs(want), 1e-4 * std::abs(base));
                relative = std::max(relative, share);
                ok = ok && share <= 1e-12;
            }
            std::ostringstream text;
            text << "abs " << largest << " rel " << relative << " over " << one["lr"].size()
                 << " epochs, tolerance 1e-12*|want|";
            const std::string name = "lr_schedule " + std::to_string(s);
            if (ok)
                report_.passed(name, text.str());
            else
                report_.failed(name, text.str());
        }
    }

    int batch_ = 0, patches_ = 0;
    Values pixels_;
    std::map<std::string, Run> runs_;
};

}  // namespace

std::unique_ptr<Runner> makeTrainStepRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new TrainStepRunner(c, report));
}

}  // namespace
