// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_SCORE_OPTIONS_HPP
#define LTRP_TOOL_SCORE_OPTIONS_HPP

#include "common.hpp"

#include <opencv2/ltrp/scorer.hpp>

#include <functional>

namespace tool
{

/// Options for computing pseudo-scores: --mask-ratio --removal --metric --space --masks --average --seed --teacher
/// --context --smooth --feature-blocks --feature-photos --norm-pix-loss.
void addScoreOptions(po::options_description& options);
/// Reads and checks them.
cv::ltrp::ScoreParams scoreParams(const po::variables_map& values);
/// Creates the scorer with that autoencoder and the options --norm-pix-loss, --device and --precision; prints the
/// file's warnings.
cv::Ptr<cv::ltrp::Scorer> createScorer(const std::string& file, const po::variables_map& values);
/// Throws for a mask ratio that leaves fewer than two of the model's patches visible.
void checkMaskRatio(const cv::ltrp::ScoreParams& params, cv::Size grid);

/// If the teacher has the cue `features`: gives the scorer the photos of --feature-photos, or else those to be scored.
/// read: reads number i of those to be scored, which may not be a separate file; null: readPhoto().
void addFeaturePhotos(cv::ltrp::Scorer& scorer, const cv::ltrp::ScoreParams& params, const po::variables_map& values,
                      const std::vector<std::string>& scored, const std::function<cv::Mat(size_t)>& read = nullptr);

}  // namespace tool

#endif
