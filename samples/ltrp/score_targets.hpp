// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_SCORE_TARGETS_HPP
#define LTRP_TOOL_SCORE_TARGETS_HPP

#include "common.hpp"

#include <opencv2/ltrp/scorer.hpp>

namespace tool
{

/// `ltrp score --targets`: computes score maps of all images of DATA, stored in a folder for `ltrp train --targets`.
/// Existing files are not computed again. @return the exit status
int scoreTargets(const std::vector<std::string>& data, const std::string& folder, const std::string& mae,
                 const cv::ltrp::ScoreParams& params, const po::variables_map& values);

}  // namespace tool

#endif
