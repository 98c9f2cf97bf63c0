// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_MAPS_HPP
#define OPENCV_LTRP_TEACH_MAPS_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Each score's rank among all, 0 for the lowest to 1 for the highest; equal scores share the mean of their ranks.
/// scores: CV_32FC1, continuous. @return CV_32FC1 of the same size
Mat toRanks(const Mat& scores);

/// Scores after a Gaussian over neighbouring patches. sigma: standard deviation in patches, 0: a copy.
Mat smoothed(const Mat& scores, double sigma);

}}}  // namespace

#endif
