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

/// What `eval coverage` measures: the models, the baselines, and what perfect knowledge of the mask would keep.
struct Methods
{
    std::vector<Judge> judges;
    std::vector<cv::ltrp::teach::Baseline> baselines;   ///< those that this build has
    std::vector<std::string> names;                    ///< of the judges, then of the baselines, and "perfect"

    bool isJudge(size_t method) const { return method < judges.size(); }
    bool isBaseline(size_t method) const { return method >= judges.size() && method + 1 < names.size(); }
};

Methods makeMethods(std::vector<Judge> judges);

/// Shares of patches kept: 0.1, 0.25, 0.5, 0.75.
const std::vector<double>& keepRatios();
/// Shares of patches kept at which curves are drawn: 0.05, 0.1, ..., 1.
const std::vector<double>& curveRatios();

/// One model beside one baseline at one keep ratio, over the images of a set.
struct Comparison
{
    int wins = 0, ties = 0, losses = 0;   ///< images
    double difference = 0;                ///< of the means, model - baseline
    cv::ltrp::eval::Interval interval;    ///< 95 %
};

/// The shares of a set's images, and what follows from them. A column is a method at a keep ratio.
class SetResult
{
public:
    std::string name, folder, foreground;   ///< foreground: how masks were read, in words
    cv::ltrp::eval::MaskRule rule = cv::ltrp::eval::MaskRule::Auto;
    std::vector<ImagePair> images;
    cv::Mat shares;                    ///< CV_64FC1, a row an image, a column for each keep ratio of each method
    cv::Mat curves;                    ///< CV_64FC1, a row a method: mean share at each of curveRatios()

    /// Draws the images anew for the intervals.
    void bootstrap();
    /// All images of all sets as one set, each counting alike; images are drawn within each set.
    static SetResult pooled(const std::vector<SetResult>& sets);

    double mean(size_t method, size_t keep) const;
    cv::ltrp::eval::Interval interval(size_t method, size_t keep) const;
    Comparison compare(size_t method, size_t baseline, size_t keep) const;

private:
    cv::Mat means_;   ///< CV_64FC1, a row a replicate
};

/// Measures all images of a set. What fails is named on stderr and counted in `failed`.
SetResult measureSet(const ImageSet& set, const Methods& methods, size_t& failed);

/// One image as all methods see it.
struct RankedImage
{
    cv::Mat photo, foreground;
    std::vector<cv::ltrp::PatchRanking> rankings;   ///< in the order of Methods::names; random with its first seed
};

RankedImage rankImage(const ImagePair& pair, cv::ltrp::eval::MaskRule rule, const Methods& methods);

/// Prints the tables; none is wider than 120 columns where names are short.
void printTables(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods);
/// One self-contained HTML page: tables, curves, and the images on which the first model does best and worst.
std::string htmlReport(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods,
                       const std::string& half);
Json toJson(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods, const std::string& half);

}  // namespace tool

#endif
