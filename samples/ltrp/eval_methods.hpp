// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_METHODS_HPP
#define LTRP_TOOL_EVAL_METHODS_HPP

#include "common.hpp"

#include <opencv2/ltrp/types.hpp>

#include <cstdint>
#include <functional>

namespace tool
{

/// A model that gives an image's patches scores: a ranker, or an autoencoder by its score maps.
struct Judge
{
    std::string name;   ///< of its column: the file's stem, with folders before it where that is taken
    std::string kind;   ///< "ranker", "autoencoder" or "selector"
    std::string file;
    /// sample: what random selections of this image are keyed by. Serial: uses all threads itself
    std::function<cv::ltrp::PatchRanking(const cv::Mat& photo, uint32_t sample)> rank;
    cv::Size grid;
};

/// Name of the column of perfect knowledge.
extern const char* const PERFECT;

/// Loads the models and autoencoders that were named, the installed ranker where none is. All share one grid.
/// selectors: names of selectors beside the baselines, which use the first of the models or autoencoders, else the
/// installed one, or --classifier. values: --device, --precision, --classifier and the options of score maps.
std::vector<Judge> makeJudges(const std::vector<std::string>& models, const std::vector<std::string>& autoencoders,
                              const std::vector<std::string>& selectors, const po::variables_map& values);

/// Short names for files or folders: the last part of each path, with the folders above where the name is not of its
/// own or among `taken`. stems: without the extension, where that suffices. @throws UsageError when a path is there
/// twice
std::vector<std::string> shortNames(const std::vector<std::string>& paths, bool stems,
                                    const std::vector<std::string>& taken = {});

}  // namespace tool

#endif
