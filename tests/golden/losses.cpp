// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "train/losses.hpp"

#include <cmath>

namespace golden
{

using cv::ltrp::train::RankLoss;

namespace
{

/// Ranking losses: tensors "BATCH.LOSS.value" and "BATCH.LOSS.grad" over the lists "BATCH.y_pred" and "BATCH.y_true".
class LossRunner : public Runner
{
public:
    using Runner::Runner;

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() != 3 || (parts[2] != "value" && parts[2] != "grad"))
            unknown(entry);
        const Result& result = evaluate(entry, parts[0], parts[1]);
        return parts[2] == "value" ? result.value : result.grad;
    }

    void compare(const Entry& entry, const Values& want, const Values& got) override
    {
        Runner::compare(entry, want, got);
        compareWith64Bits(entry, want, got);
    }

    void further() override { report_.onCpu("all of it, ranking losses of recorded lists"); }

private:
    struct Result
    {
        Values value, grad;
    };

    const Result& evaluate(const Entry& entry, const std::string& batch, const std::string& loss)
    {
        const auto known = results_.find(batch + "." + loss);
        if (known != results_.end())
            return known->second;

        const Entry* listed = case_.find(batch + ".y_pred");
        if (!listed || listed->shape.size() != 2 || listed->integer || shapeCount(listed->shape) == 0 ||
            listed->shape[0] > (1 << 20) || listed->shape[1] > (1 << 20))
            throw std::runtime_error("tensor '" + batch + ".y_pred' is not listed as float32 of shape [batch, n]");
        const Values pred = case_.load(*listed), target = case_.own(batch + ".y_true", listed->shape, false);
        const int rows = static_cast<int>(pred.shape[0]), n = static_cast<int>(pred.shape[1]);
        std::vector<int> columns;
        const RankLoss kind = lossOf(entry, batch, loss, rows, n, columns);
        cv::ltrp::train::RankLossParams params;
        if (kind == RankLoss::RankNet)   // the focused form keeps the published threshold and sigma
        {
            params.threshold = case_.number("rank_net.threshold");
            params.sigma = case_.number("rank_net.sigma");
        }
        if (kind == RankLoss::FocusedRank)
            params.focused = case_.size("focused_rank_k");

        Result result{floatValues({1}), floatValues(pred.shape)};
        result.value.floats[0] = static_cast<float>(rankLoss(kind, pred.floats.data(), target.floats.data(), rows, n,
            columns.empty() ? nullptr : columns.data(), static_cast<int>(columns.size()) / rows,
            result.grad.floats.data(), params));
        return results_.emplace(batch + "." + loss, result).first->second;
    }

    /// `columns`: the recorded draw, one row per list, for losses that use one.
    RankLoss lossOf(const Entry& entry, const std::string& batch, const std::string& loss, int rows, int n,
                    std::vector<int>& columns) const
    {
        if (loss == "list_mle")
            return RankLoss::ListMle;
        if (loss == "rank_net")
            return RankLoss::RankNet;
        if (loss == "list_net")
            return RankLoss::ListNet;
        if (loss == "point_wise")
            return RankLoss::PointWise;
        if (loss == "focused_rank")
            return RankLoss::FocusedRank;
        const std::string prefix = batch + "." + loss;
        if (loss == "list_mle_k")   // one draw with replacement for the whole batch
        {
            const int k = case_.size("list_mle_k");
            const std::string name = prefix + ".columns";
            const std::vector<int> row = case_.own(name, {k}, true).asInts(0, n - 1, name);
            for (int i = 0; i < rows; i++)
                columns.insert(columns.end(), row.begin(), row.end());
            return RankLoss::ListMle;
        }
        if (loss == "list_mleEx")
        {
            const int k = std::min(case_.size("list_mleEx_k"), n);
            columns = case_.own(prefix + ".ids", {rows, k}, true).asInts(0, n - 1, prefix + ".ids");
            return RankLoss::ListMleK;
        }
        unknown(entry);
    }

    /// Where the recorded 32-bit value overflowed, the same code in 64 bits often did not: ours is then compared with
    /// the latter.
    void compareWith64Bits(const Entry& entry, const Values& want, const Values& got)
    {
        const std::string suffix = ".value";
        if (entry.name.size() <= suffix.size() || want.count() != 1 || got.count() != 1 ||
            std::isfinite(want.floats[0]) || !case_.json().contains("values_float32_float64"))
            return;
        const Json& all = case_.json()["values_float32_float64"];
        const std::string key = entry.name.substr(0, entry.name.size() - suffix.size());
        if (!all.is_object() || !all.contains(key) || !all[key].is_array() || all[key].size() != 2 ||
            !all[key][1].is_string())
            return;
        const double recorded = std::strtod(all[key][1].get<std::string>().c_str(), nullptr);
        if (!std::isfinite(recorded))
            return;
        Values wide = want;
        wide.floats[0] = static_cast<float>(recorded);
        report_.compare(key + ".value (64-bit figure)", wide, got,
                        [recorded](size_t) { return 1e-6 + 1e-6 * std::abs(recorded); }, "1e-06 + 1e-06*|want|");
    }

    std::map<std::string, Result> results_;
};

}  // namespace

std::unique_ptr<Runner> makeLossRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new LossRunner(c, report));
}

}  // namespace
