// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "vit/leave_one_out.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace golden
{

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
                return raw ? similarities(parts[0], parts[1], metric.second) : scores(parts[0], parts[1], metric.second);
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
        // Omitting the token from the sequence must give the same masked patches as masking it in attention.
        Entry dropped = entry;
        dropped.name += " (token dropped)";
        const Values scores = droppedScores(parts[0], parts[2] == "l2");
        Runner::compare(dropped, want, scores);
        compareOrder(dropped, want, scores);
    }

    void further() override { report_.onCpu("SSIM and PSNR of the reconstructions"); }

private:
    vit::LeaveOneOutOptions options(const std::string& mode, int metric) const
    {
        vit::LeaveOneOutOptions o;
        o.removal = mode == "decoder" ? REMOVAL_DECODER : REMOVAL_ENCODER;
        o.metric = metric;
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

    Values scores(const std::string& ratio, const std::string& mode, int metric)
    {
        const int visible = case_.visible(ratio);
        Values result = floatValues({batch_, visible});
        float* scores = device_.at("scores", result);
        vit::LeaveOneOut(*mae_).scores(device_.in("pixels", pixels_), batch_, device_.in("keep", idsKeep(ratio)), visible,
                                       options(mode, metric), scores, device_.ws());
        device_.back(scores, result);
        return result;
    }

    /// SSIM or PSNR before scaling.
    Values similarities(const std::string& ratio, const std::string& mode, int metric)
    {
        const int visible = case_.visible(ratio);
        const std::vector<double> all = vit::LeaveOneOut(*mae_).similarities(
            device_.in("pixels", pixels_), batch_, device_.in("keep", idsKeep(ratio)), visible, options(mode, metric), device_.ws());
        Values result = floatValues({batch_, visible});
        std::copy(all.begin(), all.end(), result.floats.begin());
        return result;
    }

    /// Decoder removal by definition: a sequence without the patch's token, with every masked patch predicted.
    Values droppedScores(const std::string& ratio, bool squared)
    {
        const vit::MaeConfig& config = mae_->config();
        vit::Workspace& ws = device_.ws();
        const int visible = case_.visible(ratio), dim = config.decoder.dim;
        const size_t n = visible, l = patches_, values = config.input.patchValues(), one = l * values, each = (l + 1) * dim;
        const std::vector<int> keep = idsKeep(ratio);
        const int* ids = device_.in("keep", keep);
        float* latent = ws.get("golden.latent", batch_ * (n + 1) * config.encoder.dim);
        float* anchors = ws.get("golden.anchors", batch_ * one);
        float* x0 = ws.get("golden.x0", batch_ * each);
        float* x = ws.get("golden.x", n * l * dim);
        float* predictions = ws.get("golden.predictions", n * one);
        mae_->encode(device_.in("pixels", pixels_), batch_, ids, visible, nullptr, latent, ws);
        mae_->decode(latent, batch_, ids, visible, nullptr, anchors, ws);
        mae_->decoderInput(latent, batch_, ids, mae_->maskedPatches(ids, batch_, visible, ws), visible,
                           ops::TokenOrder::Raster, x0, ws);
        const float* anchor = ws.download("golden.anchors", anchors, batch_ * one);
        Values result = floatValues({batch_, visible});
        for (size_t b = 0; b < static_cast<size_t>(batch_); b++)
        {
            const int* kept = &keep[b * n];
            std::vector<int> tokens;   // dropped token of each variant
            for (size_t i = 0; i < n; i++)
                for (int token = 0; token <= patches_; token++)
                    if (token != 1 + kept[i])
                        tokens.push_back(token);
            ws.ops().gatherRows(x0 + b * each, 0, ws.upload("golden.tokens", tokens.data(), tokens.size()), 0, x, visible,
                                patches_, dim);
            mae_->decoder().forwardBlocks(x, visible, patches_, nullptr, 0, config.decoder.depth, ws);
            mae_->predict(x, visible * patches_, predictions, ws);
            const float* variants = ws.download("golden.predictions", predictions, n * one);
            for (size_t i = 0; i < n; i++)
            {
                double total = 0;
                for (int patch = 0; patch < patches_; patch++)
                {
                    if (std::binary_search(kept, kept + n, patch))
                        continue;
                    const float* whole = anchor + b * one + patch * values;
                    const float* other = variants + i * one + (patch < kept[i] ? patch + 1 : patch) * values;
                    for (size_t k = 0; k < values; k++)
                    {
                        const double d = static_cast<double>(whole[k]) - other[k];
                        total += squared ? d * d : std::abs(d);
                    }
                }
                result.floats[b * n + i] = static_cast<float>(total / ((l - n) * values));
            }
        }
        return result;
    }

    /// Reconstruction of the first images without visible patch number `patch`, or the anchor (-1).
    Values reconstruction(const std::string& ratio, const std::string& mode, int images, int patch)
    {
        const int visible = case_.visible(ratio), values = model_->mae.input.patchValues();
        const size_t one = static_cast<size_t>(patches_) * values;
        Values result = floatValues({images, patches_, values});
        vit::LeaveOneOut(*mae_).reconstructions(
            device_.in("pixels", pixels_), images, device_.in("keep", idsKeep(ratio)), visible, options(mode, METRIC_L1),
            [&](int image, int removed, const float* prediction)
            {
                if (removed == patch)
                    std::copy_n(prediction, one, &result.floats[image * one]);
            }, device_.ws());
        return result;
    }

    /// Scores are used for ranking: pairs whose recorded difference exceeds the rounding of the recorded run must be in
    /// the same order.
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
};

}  // namespace

std::unique_ptr<Runner> makePseudoScoreRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new PseudoScoreRunner(c, report));
}

}  // namespace
