// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_MATMUL_HPP
#define OPENCV_LTRP_OPS_CPU_MATMUL_HPP

#include "../ops.hpp"

namespace cv { namespace ltrp { namespace ops {

/// c [m, n] = op(a) op(b) (+ bias [n]) (+ c when accumulate), all row-major and dense.
/// op(a) is [m, k]: a is stored [m, k], or [k, m] when transposeA; op(b) is [k, n]: stored [k, n], or [n, k] when transposeB.
/// The only place that knows the matrix library: oneDNN 2.6 or 3.x, or cv::gemm.
void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate);

/// "oneDNN 2.6.3" or "cv::gemm".
std::string matmulLibrary();

}}}  // namespace

#endif
