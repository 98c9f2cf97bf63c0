// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_COVERAGE_HPP
#define LTRP_TOOL_EVAL_COVERAGE_HPP

#include "eval_methods.hpp"
#include "eval_sets.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/teach/baselines.hpp"
#include "../eval/bootstrap.hpp"

namespace tool
{

/// Methods of `eval coverage`: the models, the baselines, and the best possible ranking for the mask.
struct Methods
{
    std::vector<Judge> judges;
    std::vector<cv::ltrp::teach::Baseline> baselines;   ///< those available in this build
    std::vector<std::string> names;                    ///< of the judges, then of the baselines, and "perfect"

    bool isJudge(size_t method) const { return method < judges.size(); }
    bool isBaseline(size_t method) const { return method >= judges.size() && method + 1 < names.size(); }
};

Methods makeMethods(std::vector<Judge> judges);

/// Shares of patches kept: 0.1, 0.25, 0.5, 0.75.
const std::vector<double>& keepRatios();
/// Shares of patches kept at which curves are drawn: 0.05, 0.1, ..., 1.
const std::vector<double>& curveRatios();

/// Comparison of a model with a baseline at one keep ratio, over the images of a set.
struct Comparison
{
    int wins = 0, ties = 0, losses = 0;   ///< numbers of images
    double difference = 0;                ///< of the means, model - baseline
    cv::ltrp::eval::Interval interval;    ///< 95 %
};

/// The shares of a set's images, and statistics. A column is a method at a keep ratio.
class SetResult
{
public:
    std::string name, folder, foreground;   ///< foreground: description of how masks were read
    cv::ltrp::eval::MaskRule rule = cv::ltrp::eval::MaskRule::Auto;
    std::vector<ImagePair> images;
    cv::Mat shares;                    ///< CV_64FC1, one row per image, one column per keep ratio of each method
    cv::Mat curves;                    ///< CV_64FC1, one row per method: mean share at each of curveRatios()

    /// Resamples the images for the intervals.
    void bootstrap();
    /// All images of all sets as one set, with equal weight; images are resampled within each set.
    static SetResult pooled(const std::vector<SetResult>& sets);

    double mean(size_t method, size_t keep) const;
    cv::ltrp::eval::Interval interval(size_t method, size_t keep) const;
    Comparison compare(size_t method, size_t baseline, size_t keep) const;

private:
    cv::Mat means_;   ///< CV_64FC1, one row per replicate
};

/// Measures all images of a set. Failures are reported on stderr and counted in `failed`.
SetResult measureSet(const ImageSet& set, const Methods& methods, size_t& failed);

/// One image with the rankings of all methods.
struct RankedImage
{
    cv::Mat photo, foreground;
    std::vector<cv::ltrp::PatchRanking> rankings;   ///< in the order of Methods::names; random with its first seed
};

RankedImage rankImage(const ImagePair& pair, cv::ltrp::eval::MaskRule rule, const Methods& methods);

/// Prints the tables; at most 120 columns wide if names are short.
void printTables(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods);
/// A self-contained HTML page: tables, curves, and the images on which the first model does best and worst.
std::string htmlReport(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods,
                       const std::string& half);
Json toJson(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods, const std::string& half);

}  // namespace tool

#endif
