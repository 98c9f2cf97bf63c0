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

The function searches for the one file *KIND*.safetensors in the folder given by the environment
variable LTRP_MODELS. If it is not set, it searches the folder `models` next to the library (or next to the program or
Python extension that contains it), and `share/ltrp` in each parent folder; builds and packages put the files there.
@param kind "rank": the ranker; "mae": the masked autoencoder
@throws cv::Exception with Error::StsOutOfRange for another kind; with Error::StsObjectNotFound, naming the folders, if
there is no such file or more than one
*/
CV_EXPORTS_W String shippedModel(const String& kind);

/** @brief Writes a ranker as ONNX, for cv::dnn, ONNX Runtime, OpenVINO and others.

The model (opset 11) has the input "image" [N,3,H,W], RGB in [0, 1] minus the mean, divided by the standard
deviation (both are in the file's metadata), and the output "scores" [N,L], L patches in raster order. The file is
replaced atomically.
@param model weight file of a ranker
@param onnx file to write
@param inputSize H and W in pixels, multiples of the patch size; empty: as in training. Only rankers with a token head
accept a size other than in training
@throws cv::Exception naming the file: `model` cannot be read or is no ranker, `onnx` is `model` or cannot be written,
or the ranker does not support this size */
CV_EXPORTS_W void exportOnnx(const String& model, const String& onnx, Size inputSize = Size());

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
