// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PROMPTS_HPP
#define OPENCV_LTRP_PROMPTS_HPP

#include "opencv2/ltrp/types.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Selects points on an image, for example as prompts of an interactive segmenter.

Greedy non-maximum suppression on the score map, which is enlarged four times in each direction by cubic interpolation
(to no more than a cell per pixel): the cell with the highest value whose centre is at least
spread * sqrt(width * height / count) pixels from all points so far is the next point. If no cell is left, the
distance is reduced by a quarter and the search continues. The result is deterministic; among equal values the first
cell in raster order is taken.
@param ranking scores of an image of at least one pixel per patch; finite
@param count number of points, 1 to 1024, and at most 16 per patch and one per pixel
@param spread distance between the points, 0 to 1: 0 takes the highest values wherever they are, 1 covers the image
almost evenly
@return points in pixels of the image, all different, in the order in which they were found: the first ones are the most
important
@throws cv::Exception naming the parameter and its range
*/
CV_EXPORTS_W std::vector<Point> selectPoints(const PatchRanking& ranking, int count, double spread = 0.5);

/** @brief A connected area of kept patches, see cv::ltrp::keptRegions. */
struct CV_EXPORTS_W_SIMPLE PatchRegion
{
    CV_WRAP PatchRegion() : score(0) {}

    CV_PROP_RW Rect box;                                  //!< bounding box in pixels
    CV_PROP_RW std::vector<Point> outline;                //!< outer border, see keptRegions()
    CV_PROP_RW std::vector<std::vector<Point> > holes;    //!< borders of the areas inside that are not kept
    CV_PROP_RW std::vector<int> patches;                  //!< patch numbers, raster order, ascending
    CV_PROP_RW double score;                              //!< mean score of the patches
};

/** @brief Groups kept patches into connected regions.

Patches that share a side are connected. Borders are corner points in pixels, 0 to width and 0 to height, along the
borders of the patches (patchRect()); consecutive points differ in one coordinate, the last one joins the first.
Outlines run clockwise as seen on the image, holes counter-clockwise.
@param ranking scores of an image of at least one pixel per patch
@param keep patch numbers, for example of selectPatches(); any order
@return regions by descending number of patches; among equals the one with the lower patch number first
@throws cv::Exception for a patch outside the grid, and for an image smaller than the grid
*/
CV_EXPORTS_W std::vector<PatchRegion> keptRegions(const PatchRanking& ranking, const std::vector<int>& keep);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
