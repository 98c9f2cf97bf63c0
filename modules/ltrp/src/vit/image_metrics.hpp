// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_IMAGE_METRICS_HPP
#define OPENCV_LTRP_VIT_IMAGE_METRICS_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Structural similarity (Wang et al., 2004) of two planar images [3, side, side]: Gaussian 11 x 11, sigma 1.5, k1 0.01,
/// k2 0.03, range = the larger of the two images' own, mean over the positions where the window lies inside.
double structuralSimilarity(const float* anchor, const float* other, int side);

/// 10 log10(range^2 / mse) over all values; range = max(0, largest of other) - min(0, smallest of other).
double peakSignalToNoise(const float* anchor, const float* other, int side);

}}}  // namespace

#endif
