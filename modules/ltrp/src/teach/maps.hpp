// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_MAPS_HPP
#define OPENCV_LTRP_TEACH_MAPS_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Replaces scores by their ranks, 0 for the lowest to 1 for the highest; equal scores get their mean rank.
/// scores: CV_32FC1, continuous. @return CV_32FC1 of the same size
Mat toRanks(const Mat& scores);

/// Smooths scores with a Gaussian. sigma: standard deviation in patches; 0: returns a copy.
Mat smoothed(const Mat& scores, double sigma);

}}}  // namespace

#endif
