// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_WEIGHTS_HPP
#define LTRP_TOOL_WEIGHTS_HPP

#include "../../modules/ltrp/src/io/model_file.hpp"
#include "common.hpp"

namespace tool
{

/// Options for properties that shapes in a foreign weight file do not contain: --heads, --decoder-heads, --head, --eps.
void addHintOptions(po::options_description& options);

/// Only the option --norm-pix-loss, which addHintOptions() includes, and its value: 1, 0, or -1 if it is not given.
void addTargetsOption(po::options_description& options);
int targetsOption(const po::variables_map& values);

/// Reads a weight file with those hints. @throws std::runtime_error naming the file
cv::ltrp::io::Model loadWeights(const std::string& path, const po::variables_map& values);

}  // namespace tool

#endif
