// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_TARGET_HPP
#define OPENCV_LTRP_CORE_TARGET_HPP

#include "../ops/ops.hpp"

namespace cv { namespace ltrp {

/// The precision that a cv::ltrp::ComputeTarget asks for. @throws Error::StsNotImplemented for a number that is none, and
/// for a target that this processor or build lacks, saying what is missing.
ops::Precision precisionOf(int target);

}}  // namespace

#endif
