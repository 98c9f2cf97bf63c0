// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "select/dpc_knn.hpp"
#include "select/top_k.hpp"

#include <algorithm>
#include <cmath>

namespace golden
{

using namespace cv::ltrp;

namespace
{

/// Top-k, density-peak clusters, and the mixed choice: "topk.KEEP", "distance0", "dpc.KEEP.centres" and so on.
class SelectionRunner : public Runner
{
public:
    SelectionRunner(const Case& c, Report& report) : Runner(c, report)
    {
        batch_ = c.size("batch");
        input_.patchSize = c.size("patch_size");
        input_.imageSize = input_.patchSize * c.size("grid");
        patches_ = c.size("num_patches");
        if (input_.imageSize > 1 << 14 || input_.numPatches() != patches_ || patches_ > 1 << 13)
            throw std::runtime_error(c.path("case.json") + ": config.grid " + std::to_string(c.size("grid")) +
                                     ", patch_size " + std::to_string(input_.patchSize) + " and num_patches " +
                                     std::to_string(patches_) + " do not fit together or are too large");
        const int side = input_.imageSize;
        pixels_ = c.input("images", "", "pixel_values", {batch_, 3, side, side}, false);
        scores_ = c.own("scores", {batch_, patches_}, false);
        for (float score : scores_.floats)
            if (std::isnan(score))
                throw std::runtime_error(c.path("case.json") + ": tensor 'scores' holds NaN");
    }

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() == 1)
            return distance(entry);
        if (!case_.hasConfig("keep." + parts[1]))
            unknown(entry);
        if (parts.size() == 2 && (parts[0] == "topk" || parts[0] == "topk_sorted"))
            return topK(parts[1], parts[0] == "topk_sorted");
        if (parts.size() != 3 || (parts[0] != "dpc" && parts[0] != "dpc0"))
            unknown(entry);
        const Choice& choice = evaluate(parts[0] + "." + parts[1], keep(parts[1]));
        const auto found = choice.find(parts[2]);
        if (found == choice.end())
            unknown(entry);
        return found->second;
    }

    void further() override { report_.onCpu("all of it, the selection of patches"); }

    void compare(const Entry& entry, const Values& want, const Values& got) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() != 3 || want.shape != got.shape)
            Runner::compare(entry, want, got);
        else if (parts[2] == "indicator")
            compareIndicator(entry, parts[0] + "." + parts[1], want, got);
        else if (want.integer)
            compareAgreed(entry, parts[0] + "." + parts[1], parts[2], want, got);
        else
            Runner::compare(entry, want, got);
    }

private:
    typedef std::map<std::string, Values> Choice;   ///< by the last part of the tensor's name

    int keep(const std::string& key) const
    {
        const int count = case_.size("keep." + key);
        if (count > patches_)
            throw std::runtime_error(case_.path("case.json") + ": config.keep." + key + " is " + std::to_string(count) +
                                     " of " + std::to_string(patches_) + " patches");
        return count;
    }

    const cv::Mat& distances(int image)
    {
        cv::Mat& known = distances_[image];
        if (known.empty())
            known = select::patchDistances(&pixels_.floats[pixels_.count() / batch_ * image], input_);
        return known;
    }

    /// "distance0" was recorded from 32-bit arithmetic, "distance0_exact" from 64-bit: ours is the latter.
    Values distance(const Entry& entry)
    {
        std::string name = entry.name;
        const std::string exact = "_exact";
        if (name.size() > exact.size() && name.compare(name.size() - exact.size(), exact.size(), exact) == 0)
            name.resize(name.size() - exact.size());
        const int image = numberAfter(name, "distance");
        if (image < 0 || image >= batch_)
            unknown(entry);
        Values values = floatValues({1, patches_, patches_});
        const cv::Mat& d = distances(image);
        std::transform(d.begin<double>(), d.end<double>(), values.floats.begin(),
                       [](double value) { return static_cast<float>(value); });
        return values;
    }

    /// The recorded lists are in ascending order of the scores.
    std::vector<int> best(int image, int count) const
    {
        std::vector<int> kept = select::topK(&scores_.floats[static_cast<size_t>(image) * patches_], patches_, count);
        std::reverse(kept.begin(), kept.end());
        return kept;
    }

    Values topK(const std::string& key, bool sorted) const
    {
        std::vector<int> all;
        for (int b = 0; b < batch_; b++)
        {
            std::vector<int> kept = best(b, keep(key));
            if (sorted)
                std::sort(kept.begin(), kept.end());
            all.insert(all.end(), kept.begin(), kept.end());
        }
        return intValues({batch_, keep(key)}, all);
    }

    static void append(Values& values, const std::vector<int>& row)
    {
        values.integer = true;
        values.ints.insert(values.ints.end(), row.begin(), row.end());
    }

    static void append(Values& values, const std::vector<double>& row)
    {
        for (double value : row)
            values.floats.push_back(static_cast<float>(value));
    }

    const Choice& evaluate(const std::string& prefix, int keep)
    {
        const auto known = choices_.find(prefix);
        if (known != choices_.end())
            return known->second;
        const double share = case_.number("ltrp_cluster_ratio");
        const int byScore = select::countByScore(keep, share);
        const Values member = case_.own(prefix + ".member_noise", {batch_, patches_}, false);
        const bool noisy = splitName(prefix)[0] == "dpc";
        const Values density = noisy ? case_.own(prefix + ".density_noise", {batch_, patches_}, false) : Values();
        Choice choice;
        for (int b = 0; b < batch_; b++)
        {
            const size_t row = static_cast<size_t>(b) * patches_;
            const select::Clusters clusters = select::dpcKnn(distances(b), keep, case_.size("dpc_k"),
                                                             noisy ? &density.floats[row] : nullptr);
            const std::vector<int> kept = best(b, byScore);
            const select::ClusterChoice picked = select::chooseFromClusters(clusters, &member.floats[row], kept,
                                                                            keep - byScore);
            append(choice["density"], clusters.density);
            append(choice["indicator"], clusters.indicator);
            append(choice["centres"], clusters.centres);
            append(choice["assignment"], clusters.assignment);
            append(choice["cluster_size"], clusters.size);
            append(choice["representative"], picked.representative);
            append(choice["effective_size"], picked.effectiveSize);
            append(choice["kept_by_score"], kept);
            append(choice["kept_by_cluster"], picked.kept);
            append(choice["final"], kept);
            append(choice["final"], picked.kept);
        }
        for (auto& item : choice)
            item.second.shape = {batch_, static_cast<int64_t>(item.second.count()) / batch_};
        return choices_.emplace(prefix, choice).first->second;
    }

    /// Whether exact distances give the recorded integers of this image, as stated in the case.
    bool agrees(const std::string& prefix, const std::string& what, int image) const
    {
        const std::map<std::string, std::vector<const char*>> keys = {
            {"centres", {"centres"}}, {"assignment", {"idc"}}, {"cluster_size", {"idc"}}, {"representative", {"rep"}},
            {"kept_by_score", {"topk"}}, {"effective_size", {"idc", "rep", "topk"}}, {"kept_by_cluster", {"picks"}},
            {"final", {"final"}}};
        const Json& json = case_.json();
        if (!json.contains("float64_agrees") || !json["float64_agrees"].is_object() ||
            !json["float64_agrees"].contains(prefix) || !keys.count(what))
            return true;
        const Json& flags = json["float64_agrees"][prefix];
        for (const char* key : keys.at(what))
            if (flags.is_object() && flags.contains(key) && flags[key].is_array() &&
                static_cast<size_t>(image) < flags[key].size() && flags[key][static_cast<size_t>(image)] == false)
                return false;
        return true;
    }

    void compareAgreed(const Entry& entry, const std::string& prefix, const std::string& what, const Values& want,
                       const Values& got)
    {
        const size_t row = want.count() / batch_;
        size_t open = 0;
        for (int b = 0; b < batch_; b++)
            open += !agrees(prefix, what, b);
        report_.compare(entry.name, want, got, [&](size_t i)
        {
            return agrees(prefix, what, static_cast<int>(i / row)) ? 0.0 : -1.0;
        }, "exact");
        if (open)
            report_.note("left out: " + std::to_string(open) + " of " + std::to_string(batch_) +
                         " images, where by float64_agrees exact distances give other integers than the recorded run");
    }

    /// The smallest distance to a patch of strictly higher density. Where densities differ by less than the rounding of
    /// the recorded run, their order there may have been different, and so the distance. Such elements are skipped if
    /// the recorded value results from either order.
    void compareIndicator(const Entry& entry, const std::string& prefix, const Values& want, const Values& got)
    {
        const double abs = toleranceNumber(entry, "abs"), rel = toleranceNumber(entry, "rel");
        const Entry* densityEntry = case_.find(prefix + ".density");
        const double tie = 2 * (densityEntry ? densityEntry->float64Deviation : 0.0);
        const Values& density = choices_.at(prefix).at("density");
        std::ostringstream tolerance;
        tolerance << abs << " + " << rel << "*|want|";
        report_.compare(entry.name, want, got, [&](size_t i)
        {
            const double allowed = abs + rel * std::abs(static_cast<double>(want.floats[i]));
            if (std::abs(static_cast<double>(got.floats[i]) - want.floats[i]) <= allowed)
                return allowed;
            const int image = static_cast<int>(i / patches_), patch = static_cast<int>(i % patches_);
            const cv::Mat& d = distances(image);
            double nearest, farthest;
            cv::minMaxIdx(d, nullptr, &farthest);
            nearest = farthest;
            for (int j = 0; j < patches_; j++)
            {
                const double higher = static_cast<double>(density.floats[i - patch + j]) - density.floats[i];
                if (j != patch && higher > -tie)
                    nearest = std::min(nearest, d.at<double>(patch, j));
                if (j != patch && higher > tie)
                    farthest = std::min(farthest, d.at<double>(patch, j));
            }
            return want.floats[i] >= nearest - allowed && want.floats[i] <= farthest + allowed ? -1.0 : allowed;
        }, tolerance.str());
    }

    int batch_ = 0, patches_ = 0;
    vit::InputConfig input_;
    Values pixels_, scores_;
    std::map<int, cv::Mat> distances_;
    std::map<std::string, Choice> choices_;
};

}  // namespace

std::unique_ptr<Runner> makeSelectionRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new SelectionRunner(c, report));
}

}  // namespace
