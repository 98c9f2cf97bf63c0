// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_SAMPLED_ORDER_HPP
#define OPENCV_LTRP_SELECT_SAMPLED_ORDER_HPP

#include "../core/random.hpp"

namespace cv { namespace ltrp { namespace select {

/// Numbers of all patches as SELECT_SAMPLE draws them, one after the other, by the softmax of the standardised scores.
/// order: all patches by descending score
std::vector<int> sampledOrder(const Mat& scores, const std::vector<int>& order, double temperature, RandomStream random);

}}}  // namespace

#endif
