// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_MODELS_HPP
#define OPENCV_LTRP_MODELS_HPP

#include <opencv2/core.hpp>

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Returns the path of a shipped weight file.

The function searches for the one file *KIND*.safetensors in the folder that the environment variable LTRP_MODELS
names. If it is not set, it searches the folder `models` beside the library (or beside the program or Python extension
that contains it), and `share/ltrp` in each parent folder; builds and packages put the files there.
@param kind "rank": the ranker; "mae": the masked autoencoder
@throws cv::Exception with Error::StsOutOfRange for another kind; with Error::StsObjectNotFound, naming the folders, if
there is no such file or more than one
*/
CV_EXPORTS_W String shippedModel(const String& kind);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
