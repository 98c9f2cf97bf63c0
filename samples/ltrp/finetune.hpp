// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_FINETUNE_HPP
#define LTRP_TOOL_FINETUNE_HPP

#include "../../modules/ltrp/src/train/trainer.hpp"

#include <string>
#include <vector>

namespace tool
{

/// What the arguments of `ltrp finetune` ask for, with the files of all weights that are read.
/// @return false when the help was asked for and has been printed
bool parseFinetune(const std::vector<std::string>& args, cv::ltrp::train::ClassifierTrainParams& params);

}  // namespace tool

#endif
