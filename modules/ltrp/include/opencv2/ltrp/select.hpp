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

/** @brief Method of cv::ltrp::selectPatches. */
enum SelectMethod
{
    SELECT_TOPK = 0,     //!< the patches with the highest scores
    SELECT_CLUSTER = 1   //!< a share by score, then representatives of the largest DPC-KNN clusters of the rest
};

/** @brief Parameters of cv::ltrp::selectPatches. */
struct CV_EXPORTS_W_SIMPLE SelectParams
{
    CV_WRAP SelectParams() : method(SELECT_TOPK), keepRatio(0.25), scoreShare(0.7), neighbours(5), seed(0) {}

    CV_PROP_RW int method;          //!< cv::ltrp::SelectMethod
    CV_PROP_RW double keepRatio;    //!< share of patches to keep, in (0, 1]; see keepCount()
    CV_PROP_RW double scoreShare;   //!< SELECT_CLUSTER: share of the kept patches chosen by score, in [0, 1]
    CV_PROP_RW int neighbours;      //!< SELECT_CLUSTER: k of DPC-KNN, the patch itself included, >= 1
    CV_PROP_RW size_t seed;         //!< SELECT_CLUSTER: of the choice of representatives, and of centres among equals
};

/** @brief Returns the number of kept patches: int(numPatches * keepRatio), at least 1.
@throws cv::Exception with Error::StsOutOfRange for a ratio outside (0, 1]
*/
CV_EXPORTS_W int keepCount(int numPatches, double keepRatio);

/** @brief Selects the patches to keep.

@param ranking scores of all patches of an image
@param params number of patches and method
@param image the ranked image; required by SELECT_CLUSTER, which clusters the pixels of the patches
@return kept patch numbers, raster order, ascending, without repetitions
@throws cv::Exception naming the parameter and its range; for a missing image or one of another size than the ranked
one; for more than 4096 patches with SELECT_CLUSTER

The clustering is DPC-KNN, @cite Du2016DPCKNN .
*/
CV_EXPORTS_W std::vector<int> selectPatches(const PatchRanking& ranking, const SelectParams& params,
                                            InputArray image = noArray());

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
