// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_SAMPLING_HPP
#define OPENCV_LTRP_SELECT_SAMPLING_HPP

#include "../core/random.hpp"

namespace cv { namespace ltrp { namespace select {

/// The scores of patches, in the order of their numbers.
std::vector<double> valuesOf(const Mat& scores, const std::vector<int>& patches);

/// Logarithms of the softmax of the standardised scores, minus that of the best patch: at most 0. values: by descending
/// score. @throws Error::StsBadArg for infinite scores, Error::StsOutOfRange for a temperature that is not above 0
std::vector<double> logWeights(const std::vector<double>& values, double temperature);

/// All patches in the order in which SELECT_SAMPLE draws them, by the softmax of the standardised scores. order: all
/// patches by descending score
std::vector<int> sampledOrder(const Mat& scores, const std::vector<int>& order, double temperature, RandomStream random);

}}}  // namespace

#endif
