// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_POINTS_HPP
#define LTRP_TOOL_EVAL_POINTS_HPP

#include "eval_methods.hpp"
#include "eval_sets.hpp"
#include "photos.hpp"

namespace tool
{

/// Measures of `eval points`: for each image the share of its foreground instances that contain one of K points, and
/// the share of the points on foreground. An instance is a connected component of the mask (8 neighbours) of at least
/// 0.1 % of the image, or the largest one if there is none.
class PointsEvaluation
{
public:
    PointsEvaluation(std::vector<Judge> judges, const std::vector<int>& counts, double spread);

    /// Failures are reported on stderr and counted in `failed`. @throws std::runtime_error if no image can be measured
    void measure(const ImageSet& set, size_t& failed);
    void print() const;
    Json json() const;
    size_t images() const { return static_cast<size_t>(values_.rows); }

private:
    std::vector<cv::Point> points(size_t method, int count, int seed, uint32_t sample,
                                  const std::vector<cv::ltrp::PatchRanking>& rankings, cv::Size image) const;
    void measure(const ImagePair& pair, cv::ltrp::eval::MaskRule rule, cv::Mat& row, size_t& instances) const;
    size_t column(size_t method, size_t count, bool onForeground) const;

    std::vector<Judge> judges_;
    std::vector<int> counts_;
    double spread_;
    std::vector<std::string> names_;   ///< of the methods: judges, score maps of baselines, grid, random points
    size_t scored_ = 0;                ///< number of methods with a score map, which come first
    size_t instances_ = 0;
    std::vector<std::string> files_;
    cv::Mat values_, means_;           ///< CV_64FC1: one row per image; one row per bootstrap replicate
};

/// K points on the centres of a grid of rows and columns whose product is K, cells as square as the factors of K allow.
std::vector<cv::Point> gridPoints(cv::Size image, int count);

}  // namespace tool

#endif
