// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_OPTION_TABLE_HPP
#define OPENCV_LTRP_TRAIN_OPTION_TABLE_HPP

#include "opencv2/ltrp/train.hpp"

#include <vector>

namespace cv { namespace ltrp { namespace train {

/// A numeric option of all trainings: the single source for checkParams(), runOptions(), the tool's options and
/// Python's members.
struct TrainOption
{
    const char* name;              ///< in the tool, config files, logs and checkpoints
    const char* member;            ///< of TrainParams, in C++ and Python
    double TrainParams::*real;     ///< the member, or null
    int TrainParams::*whole;       ///< the member if `real` is null
    bool (*valid)(const TrainParams& params);
    const char* range;             ///< the condition of valid() in words
    bool decidesResult;            ///< whether a resumed training needs the same value
    const char* help;

    double value(const TrainParams& params) const { return real ? params.*real : params.*whole; }
};

const std::vector<TrainOption>& trainOptions();

}}}  // namespace

#endif
