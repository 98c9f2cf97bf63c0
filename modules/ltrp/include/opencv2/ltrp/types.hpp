// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TYPES_HPP
#define OPENCV_LTRP_TYPES_HPP

#include <opencv2/core.hpp>

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Where the patches of a grid lie on an image.

The image, whatever its size, is divided into `grid.height` rows and `grid.width` columns; borders are rounded to
whole pixels, so that the rectangles tile the image exactly: no pixel is left out, none belongs to two patches.
@param imageSize width and height of the original image in pixels
@param grid number of columns (width) and rows (height) of the patch grid
@param index patch number in raster order, 0 to grid.area() - 1
@return the patch's rectangle in pixels of the original image (empty where the image has fewer pixels than the grid
has columns or rows)
@throws cv::Exception with Error::StsOutOfRange for an index outside the grid
*/
CV_EXPORTS_W Rect patchRect(Size imageSize, Size grid, int index);

/** @brief Scores of all patches of one image. */
struct CV_EXPORTS_W_SIMPLE PatchRanking
{
    CV_WRAP PatchRanking() {}

    CV_PROP_RW Size imageSize;   //!< the original image, in pixels
    CV_PROP_RW Mat scores;       //!< CV_32FC1, one row per grid row; higher = more worth keeping; no fixed range

    /** @brief Grid size: columns (width) and rows (height). */
    CV_WRAP Size grid() const { return scores.size(); }
    /** @brief Patch numbers (raster order), best first; equal scores in raster order. */
    CV_WRAP std::vector<int> order() const;
    /** @brief The patch's rectangle on the original image, see cv::ltrp::patchRect. */
    CV_WRAP Rect rect(int index) const { return patchRect(imageSize, grid(), index); }
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
