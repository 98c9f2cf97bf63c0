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
    SELECT_TOPK = 0,       //!< the patches with the highest scores
    SELECT_CLUSTER = 1,    //!< a share by score, then representatives of the largest DPC-KNN clusters of the rest
    SELECT_MASS = 2,       //!< the fewest patches that hold a share of the scores' softmax
    SELECT_THRESHOLD = 3,  //!< the patches with at least a given score
    SELECT_SAMPLE = 4      //!< patches drawn at random, those with high scores more often
};

/** @brief Parameters of cv::ltrp::selectPatches.

SELECT_MASS: scores are standardised (minus their mean, divided by their standard deviation over the image; all zero
if the scores are equal) and divided by the temperature; their softmax is the patches' mass. The patches are taken by
descending score until they hold `mass` of it. A low temperature keeps fewer patches.

SELECT_SAMPLE: patches are drawn one after the other, without replacement; the probabilities of a draw are the same
softmax over the patches that are left. A temperature near 0 keeps the best patches, a high one a uniformly random set.
The draw depends only on scores, temperature and seed, not on threads or other images. The seed determines the noise of
each patch number: with the same seed, similar score maps keep similar patches, so that a video stays steady. For
independent draws, as in training, use a different seed for each image and epoch.

SELECT_TOPK, SELECT_MASS and SELECT_THRESHOLD keep the first patches of PatchRanking::order(): among equal scores
the one with the lower patch number. */
struct CV_EXPORTS_W_SIMPLE SelectParams
{
    CV_WRAP SelectParams()
        : method(SELECT_TOPK), keepRatio(0.25), count(0), scoreShare(0.7), neighbours(5), seed(0), mass(0.75),
          temperature(1), threshold(0), minRatio(0), maxRatio(1)
    {
    }

    CV_PROP_RW int method;          //!< cv::ltrp::SelectMethod
    CV_PROP_RW double keepRatio;    //!< TOPK, CLUSTER, SAMPLE: share of patches to keep, in (0, 1]; see keepCount()
    CV_PROP_RW int count;           //!< TOPK, CLUSTER, SAMPLE: number of patches to keep, up to all; 0: by keepRatio
    CV_PROP_RW double scoreShare;   //!< CLUSTER: share of the kept patches chosen by score, in [0, 1]
    CV_PROP_RW int neighbours;      //!< CLUSTER: k of DPC-KNN, the patch itself included, >= 1
    CV_PROP_RW size_t seed;         //!< SAMPLE: of the draw. CLUSTER: of representatives, and of centres among equals
    CV_PROP_RW double mass;         //!< MASS: share of the softmax to hold, in (0, 1]
    CV_PROP_RW double temperature;  //!< MASS, SAMPLE: of the softmax, in standard deviations of the scores, > 0
    CV_PROP_RW double threshold;    //!< THRESHOLD: lowest score that is kept; finite
    CV_PROP_RW double minRatio;     //!< MASS, THRESHOLD: least share to keep, in [0, 1]; int(patches * minRatio), >= 1
    CV_PROP_RW double maxRatio;     //!< MASS, THRESHOLD: largest share, in (0, 1], >= minRatio; int(patches * maxRatio)
};

/** @brief Returns the number of kept patches: int(numPatches * keepRatio), at least 1.
@throws cv::Exception with Error::StsOutOfRange for a ratio outside (0, 1]
*/
CV_EXPORTS_W int keepCount(int numPatches, double keepRatio);

/** @brief Selects the patches to keep.

@param ranking scores of all patches of an image
@param params number of patches and method
@param image the ranked image; required by SELECT_CLUSTER, which clusters the pixels of the patches
@return kept patch numbers, raster order, ascending, without repetitions; at least one
@throws cv::Exception naming the parameter and its range; for scores that are NaN, or infinite with SELECT_MASS or
SELECT_SAMPLE; for a missing image or one whose size differs from the ranked one; for more than 4096 patches with
SELECT_CLUSTER

The clustering is DPC-KNN, @cite Du2016DPCKNN .
*/
CV_EXPORTS_W std::vector<int> selectPatches(const PatchRanking& ranking, const SelectParams& params,
                                            InputArray image = noArray());

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
