// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_HPP
#define OPENCV_LTRP_SELECT_HPP

#include "opencv2/ltrp/types.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief How patches are chosen once they have scores. */
enum SelectMethod
{
    SELECT_TOPK = 0,     //!< the best-scored patches
    SELECT_CLUSTER = 1   //!< 70 % by score, the rest one representative each of the largest DPC-KNN clusters
};

/** @brief What cv::ltrp::selectPatches is to do. */
struct CV_EXPORTS_W_SIMPLE SelectParams
{
    CV_WRAP SelectParams() : method(SELECT_TOPK), keepRatio(0.25), scoreShare(0.7), neighbours(5), seed(0) {}

    CV_PROP_RW int method;          //!< cv::ltrp::SelectMethod
    CV_PROP_RW double keepRatio;    //!< share of patches to keep, in (0, 1]; int(patches * keepRatio), at least 1
    CV_PROP_RW double scoreShare;   //!< SELECT_CLUSTER: share of the kept ones chosen by score, in [0, 1]
    CV_PROP_RW int neighbours;      //!< SELECT_CLUSTER: k of DPC-KNN, the patch itself included, >= 1
    CV_PROP_RW size_t seed;         //!< SELECT_CLUSTER: picks representatives, and centres among equals
};

/** @brief Number of patches that a keep ratio leaves: int(numPatches * keepRatio), at least 1.
@throws cv::Exception with Error::StsOutOfRange for a ratio outside (0, 1]
*/
CV_EXPORTS_W int keepCount(int numPatches, double keepRatio);

/** @brief Chooses which patches to keep.

@param ranking scores of all patches of an image
@param params how many and how
@param image the image that was ranked (SELECT_CLUSTER clusters its patches' pixels; may be empty for SELECT_TOPK)
@return kept patch numbers in raster order, ascending, all different
@throws cv::Exception naming the parameter and its range, a missing image or one of another size than the ranked one;
SELECT_CLUSTER takes at most 4096 patches

Density-peak clustering of k nearest neighbours is @cite Du2016DPCKNN .
*/
CV_EXPORTS_W std::vector<int> selectPatches(const PatchRanking& ranking, const SelectParams& params,
                                            InputArray image = noArray());

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
