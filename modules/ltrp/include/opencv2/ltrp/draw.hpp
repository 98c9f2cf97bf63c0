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

/** @brief Draws the image with dropped patches dimmed.
@param image CV_8U, 1, 3 (BGR) or 4 (BGRA) channels
@param grid columns (width) and rows (height) of the patch grid
@param keep kept patch numbers, raster order
@param dst CV_8UC3 of the image's size
@param dim brightness factor of dropped patches, 0 to 1
*/
CV_EXPORTS_W void drawKept(InputArray image, Size grid, const std::vector<int>& keep, OutputArray dst,
                           double dim = 0.25);

/** @brief Blends the image with a colour map of its patch scores.
@param image as for drawKept
@param scores CV_32FC1, one value per patch (PatchRanking::scores)
@param dst CV_8UC3 of the image's size; dark colours for low scores, light ones for high scores
@param alpha weight of the colours, 0 to 1
*/
CV_EXPORTS_W void drawHeatMap(InputArray image, InputArray scores, OutputArray dst, double alpha = 0.55);

/** @brief Draws the kept patches next to a heat map, as `ltrp rank --overlay` does.

Left: dropped patches dimmed. Right: the heat map, with a colour bar and the lowest and the highest score.
@param image as for drawKept
@param ranking scores of the image
@param keep kept patch numbers
@param dst CV_8UC3, about twice as wide as the image, which is scaled to a longer side of 480 to 900 pixels
@throws cv::Exception for NaN or infinite scores, and for kept patches outside the grid
*/
CV_EXPORTS_W void drawOverlay(InputArray image, const PatchRanking& ranking, const std::vector<int>& keep,
                              OutputArray dst);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
