// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_SMOOTH_HEAD_HPP
#define OPENCV_LTRP_VIT_SMOOTH_HEAD_HPP

#include "params.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Changes a ranker so that its scores come out smoothed over the patch grid: a Gaussian of `sigma` patches, cut at three
/// sigma, its weights summing to one over the patches that there are. Exact and free at run time, since the head is
/// linear. @throws Error::StsOutOfRange unless 0 < sigma <= grid
void smoothHead(const RankerConfig& config, double sigma, ParamArena& params);

}}}  // namespace

#endif
