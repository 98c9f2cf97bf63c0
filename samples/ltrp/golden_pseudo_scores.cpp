// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "golden_case.hpp"

#include "../../modules/ltrp/src/vit/leave_one_out.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tool { namespace golden {

using namespace cv::ltrp;

namespace
{

/// Leave-one-out scores: "RATIO.anchor", "RATIO.decoder.l1", "RATIO.mask_all.removed_3" and so on.
class PseudoScoreRunner : public Runner
{
public:
    PseudoScoreRunner(const Case& c, Report& report) : Runner(c, report), model_(loadMae(c, c.inputPath("weights"))), device_(report.device(), true)
    {
        const vit::InputConfig& input = model_->mae.input;
        mae_.reset(new vit::Mae(model_->mae, model_->params));
        batch_ = c.size("batch");
        patches_ = input.numPatches();
        pixels_ = c.input("images", "", "pixel_values", {batch_, 3, input.imageSize, input.imageSize}, false);
    }

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        const bool known = case_.hasConfig("visible_per_ratio." + parts[0]);
        const bool whole = known && parts.size() == 3 && (parts[1] == "decoder" || parts[1] == "mask_all");
        const bool anchor = known && parts.size() == 2 && parts[1] == "anchor";
        if (!whole && !anchor)
            unknown(entry);
        const int visible = case_.visible(parts[0]);
        const int images = entry.shape.empty() ? 0 : static_cast<int>(std::min<int64_t>(entry.shape[0], 1 << 20));
        if (images < 1 || images > batch_)
            throw std::runtime_error("shape " + shapeText(entry.shape) + " does not start with 1 to " +
                                     std::to_string(batch_) + " images");
        if (anchor)
            return reconstruction(parts[0], "decoder", images, -1);
        const int patch = numberAfter(parts[2], "removed_");
        if (patch >= 0 && patch < visible)
            return reconstruction(parts[0], parts[1], images, patch);
        const std::pair<const char*, int> metrics[] = {{"l1", METRIC_L1}, {"l2", METRIC_L2}, {"ssim", METRIC_SSIM},
                                                       {"psnr", METRIC_PSNR}, {"ssim_raw", METRIC_SSIM},
                                                       {"psnr_raw", METRIC_PSNR}};
        for (const auto& metric : metrics)
            if (parts[2] == metric.first)
            {
                const bool raw = parts[2].size() > 4;
                const Scores& scores = evaluate(parts[0], parts[1], metric.second, false);
                return raw ? scores.raw : scores.scores;
            }
        unknown(entry);
    }

    void compare(const Entry& entry, const Values& want, const Values& got) override
    {
        Runner::compare(entry, want, got);
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() != 3 || (parts[2] != "l1" && parts[2] != "l2"))
            return;
        compareOrder(entry, want, got);
        if (parts[1] != "decoder")
            return;
        // Leaving the token out of the sequence must give the masked patches the same as masking it in attention.
        Entry dropped = entry;
        dropped.name += " (token dropped)";
        const Scores& scores = evaluate(parts[0], parts[1], parts[2] == "l1" ? METRIC_L1 : METRIC_L2, true);
        Runner::compare(dropped, want, scores.scores);
        compareOrder(dropped, want, scores.scores);
    }

    void further() override { report_.onCpu("SSIM and PSNR of the reconstructions"); }

private:
    struct Scores
    {
        Values scores, raw;
    };

    vit::LeaveOneOutOptions options(const std::string& mode, int metric, bool dropToken) const
    {
        vit::LeaveOneOutOptions o;
        o.removal = mode == "decoder" ? REMOVAL_DECODER : REMOVAL_ENCODER;
        o.metric = metric;
        o.dropToken = dropToken;
        return o;
    }

    std::vector<int> idsKeep(const std::string& ratio) const
    {
        const int visible = case_.visible(ratio);
        const std::string name = ratio + ".ids_keep";
        const Values ids = case_.input("masks", ratio, name, {batch_, visible}, true);
        for (size_t i = 0; i < ids.ints.size(); i++)
            if (i % visible && ids.ints[i] <= ids.ints[i - 1])
                throw std::runtime_error(case_.inputPath("masks", ratio) + ": '" + name + "' does not ascend in row " +
                                         std::to_string(i / visible));
        return ids.asInts(0, patches_ - 1, name);
    }

    const Scores& evaluate(const std::string& ratio, const std::string& mode, int metric, bool dropToken)
    {
        const std::string key = ratio + "." + mode + "." + std::to_string(metric) + (dropToken ? "." : "");
        const auto known = scores_.find(key);
        if (known != scores_.end())
            return known->second;
        const int visible = case_.visible(ratio);
        Scores s{floatValues({batch_, visible}), floatValues({batch_, visible})};
        vit::LeaveOneOutTrace trace;
        if (metric == METRIC_SSIM || metric == METRIC_PSNR)
            trace.raw = s.raw.floats.data();
        float* scores = device_.at("scores", s.scores);
        vit::LeaveOneOut(*mae_).scores(device_.in("pixels", pixels_), batch_, device_.in("keep", idsKeep(ratio)), visible,
                                       options(mode, metric, dropToken), scores, device_.ws(), &trace);
        device_.back(scores, s.scores);
        return scores_.emplace(key, s).first->second;
    }

    /// Reconstruction of the first images without visible patch number `patch`, or the anchor (-1).
    Values reconstruction(const std::string& ratio, const std::string& mode, int images, int patch)
    {
        const int visible = case_.visible(ratio), values = model_->mae.input.patchValues();
        const std::vector<int> keep = idsKeep(ratio);
        const int* ids = device_.in("keep", keep);
        const float* pixels = device_.in("pixels", pixels_);
        const size_t one = static_cast<size_t>(patches_) * values;
        Values result = floatValues({images, patches_, values});
        Values scores = floatValues({visible});
        std::vector<float> removed(patch < 0 ? 0 : visible * one);
        for (int b = 0; b < images; b++)   // one image at a time: all variants of a batch would take much memory
        {
            vit::LeaveOneOutTrace trace;
            trace.anchor = patch < 0 ? &result.floats[b * one] : nullptr;
            trace.removed = patch < 0 ? nullptr : removed.data();
            vit::LeaveOneOut(*mae_).scores(pixels + pixels_.count() / batch_ * b, 1, ids + static_cast<size_t>(b) * visible,
                                           visible, options(mode, METRIC_L1, false), device_.at("scores", scores), device_.ws(),
                                           &trace);
            if (patch >= 0)
                std::copy_n(removed.begin() + patch * one, one, result.floats.begin() + b * one);
        }
        return result;
    }

    /// Scores are there to rank: pairs whose recorded gap is beyond the rounding of the recorded run must stand in the
    /// same order.
    void compareOrder(const Entry& entry, const Values& want, const Values& got)
    {
        if (want.shape != got.shape || want.shape.size() != 2)
            return;
        const size_t n = static_cast<size_t>(want.shape[1]);
        size_t open = 0, swapped = 0, pairs = 0;
        for (size_t row = 0; row < want.count(); row += n)
            for (size_t i = row; i < row + n; i++)
                for (size_t j = i + 1; j < row + n; j++)
                {
                    const double gap = static_cast<double>(want.floats[i]) - want.floats[j];
                    const double ours = static_cast<double>(got.floats[i]) - got.floats[j];
                    pairs++;
                    if (std::abs(gap) <= 2 * entry.float64Deviation)
                        open++;
                    else if (!(gap * ours > 0))
                        swapped++;
                }
        const std::string name = entry.name + " order";
        const std::string left = open ? ", " + std::to_string(open) + " closer than rounding left open" : "";
        if (swapped)
            report_.failed(name, std::to_string(swapped) + " of " + std::to_string(pairs) + " pairs swapped" + left);
        else
            report_.passed(name, "all " + std::to_string(pairs) + " pairs in the recorded order" + left);
    }

    std::unique_ptr<io::Model> model_;
    std::unique_ptr<vit::Mae> mae_;
    int batch_ = 0, patches_ = 0;
    Values pixels_;
    OnDevice device_;
    std::map<std::string, Scores> scores_;
};

}  // namespace

std::unique_ptr<Runner> makePseudoScoreRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new PseudoScoreRunner(c, report));
}

}}  // namespace
