// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DRAW_HPP
#define OPENCV_LTRP_DRAW_HPP

#include "opencv2/ltrp/types.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Dims the patches that are not kept.
@param image CV_8U, 1, 3 or 4 channels (BGR order)
@param grid columns and rows of the patch grid
@param keep kept patch numbers, raster order
@param dst CV_8UC3 of the image's size
@param dim brightness factor of dropped patches, 0 to 1
*/
CV_EXPORTS_W void drawKept(InputArray image, Size grid, const std::vector<int>& keep, OutputArray dst,
                           double dim = 0.25);

/** @brief Colours an image by its patch scores.
@param image as for drawKept
@param scores CV_32FC1, one value per patch (PatchRanking::scores)
@param dst CV_8UC3 of the image's size: the image blended with the colour map, from dark for the lowest score to light
for the highest
@param alpha weight of the colours, 0 to 1
*/
CV_EXPORTS_W void drawHeatMap(InputArray image, InputArray scores, OutputArray dst, double alpha = 0.55);

/** @brief The picture that `ltrp rank --overlay` writes: kept patches bright and dropped ones dimmed on the left,
a heat map with a colour bar (lowest and highest score written beside it) on the right.
@param image as for drawKept
@param ranking scores of the image
@param keep kept patch numbers
@param dst CV_8UC3, about twice as wide as the photo, which is shown 480 to 900 pixels long whatever its own size
@throws cv::Exception for scores that are NaN or infinite, and for kept patches outside the grid
*/
CV_EXPORTS_W void drawOverlay(InputArray image, const PatchRanking& ranking, const std::vector<int>& keep,
                              OutputArray dst);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
