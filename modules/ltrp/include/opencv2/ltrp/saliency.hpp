// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SALIENCY_HPP
#define OPENCV_LTRP_SALIENCY_HPP

#include "opencv2/ltrp/ranker.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Saliency maps from patch scores, with the interface of cv::saliency::StaticSaliency but without that module.

The scores are scaled to [0, 1] for each image, interpolated to its size and aligned with its edges by a guided filter
@cite He2013Guided , whose coefficients are computed on at most 512 x 512 pixels.

@code{.cpp}
Mat map, mask;
ltrp::RankSaliency::create()->computeSaliency(image, map);
threshold(map, mask, 0.5, 255, THRESH_BINARY);
@endcode

**Threads**: computeSaliency() may be called from several threads, but not at the same time as setEdgeAware(). */
class CV_EXPORTS_W RankSaliency
{
public:
    virtual ~RankSaliency() {}

    /** @brief Creates the detector.
    @param model weight file of a ranker, see Ranker::create; empty: the shipped one
    @throws cv::Exception as Ranker::create */
    CV_WRAP static Ptr<RankSaliency> create(CV_WRAP_FILE_PATH const String& model = String());

    /** @brief Computes the saliency map of an image.
    @param image as for Ranker::rank
    @param saliencyMap CV_32FC1 of the image's size, 0 to 1; the lowest and the highest patch score of the image count
    as 0 and 1 before they are interpolated. 0 everywhere if all patches score the same
    @return true; false for an empty image, as the saliency module does: saliencyMap is then released
    @throws cv::Exception as Ranker::rank for other unsupported images */
    CV_WRAP virtual bool computeSaliency(InputArray image, OutputArray saliencyMap) const = 0;

    /** @brief Aligns maps with the edges of the image (true, the default), or only interpolates the scores linearly. */
    CV_WRAP virtual void setEdgeAware(bool edgeAware) = 0;
    CV_WRAP virtual bool getEdgeAware() const = 0;   //!< whether maps are aligned with edges

    /** @brief Returns the ranker in use, to choose its input size, backend and target. */
    CV_WRAP virtual Ptr<Ranker> getRanker() const = 0;
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
