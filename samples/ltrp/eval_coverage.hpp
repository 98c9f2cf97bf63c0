// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_COVERAGE_HPP
#define LTRP_TOOL_EVAL_COVERAGE_HPP

#include "eval_methods.hpp"
#include "eval_sets.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/eval/baselines.hpp"
#include "../../modules/ltrp/src/eval/bootstrap.hpp"

namespace tool
{

/// What `eval coverage` measures: the models, then the baselines.
struct Methods
{
    std::vector<Judge> judges;
    std::vector<cv::ltrp::eval::Baseline> baselines;   ///< those that this build has
    std::vector<std::string> names;                    ///< of the judges, then of the baselines
};

Methods makeMethods(std::vector<Judge> judges);

/// Shares of patches kept: 0.1, 0.25, 0.5, 0.75.
const std::vector<double>& keepRatios();

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
    std::vector<std::string> images;   ///< paths below images/
    cv::Mat shares;                    ///< CV_64FC1, a row an image, a column for each keep ratio of each method

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

/// Prints the tables; none is wider than 120 columns where names are short.
void printTables(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods);
Json toJson(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods, const std::string& half);

}  // namespace tool

#endif
