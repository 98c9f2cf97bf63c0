// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_LABEL_MAP_HPP
#define OPENCV_LTRP_VIT_LABEL_MAP_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Logits of all places of a grid: CV_32FC1, a row for each place in raster order. logits: CV_32FC1, a row for each kept patch,
/// with their numbers `kept`, ascending. The place of a dropped patch has the mean of those kept within three deviations of a
/// Gaussian around it, weighted by it; its deviation is one patch, or that doubled until there is one.
Mat fillGrid(const Mat& logits, const std::vector<int>& kept, Size grid);

/// The class of each pixel, CV_8UC1 of that size: the largest logit after bilinear interpolation between the centres of the patches.
/// grid: CV_32FC1, a row for each place of a grid of `size`; at most 256 columns, one for each class.
Mat labelMap(const Mat& grid, Size size, Size image);

}}}  // namespace

#endif
