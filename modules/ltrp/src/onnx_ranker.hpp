// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_ONNX_RANKER_HPP
#define OPENCV_LTRP_ONNX_RANKER_HPP

#include "precomp.hpp"
#include "opencv2/ltrp/ranker.hpp"

namespace cv { namespace ltrp {

/// A Ranker whose network is an ONNX graph run by cv::dnn: one written by `ltrp convert`, or any if `trusted`. @throws
/// cv::Exception naming the file
Ptr<Ranker> createOnnxRanker(const std::string& path, bool trusted);

}}  // namespace

#endif
