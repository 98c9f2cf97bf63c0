// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_TEST_LTRP_PRECOMP_HPP
#define OPENCV_TEST_LTRP_PRECOMP_HPP

#include "opencv2/ts.hpp"
#include "opencv2/dnn.hpp"
#include "opencv2/imgproc.hpp"
#include "opencv2/ltrp/layers.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "opencv2/ltrp/select.hpp"

#endif
