// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The ranking loss ListMLE of one list, on the CPU.
#ifndef OPENCV_LTRP_OPS_CPU_LIST_MLE_HPP
#define OPENCV_LTRP_OPS_CPU_LIST_MLE_HPP

#include <vector>

namespace cv { namespace ltrp { namespace ops {

/// log(exp(a) + exp(b)); either may be -infinity.
double logAddExp(double a, double b);

/// Sorts positions within `columns` (k column numbers; null: 0 to k-1) by descending target; stable.
std::vector<int> descendingPositions(const float* yTrue, const int* columns, int k);
/// The same, as column numbers.
std::vector<int> descendingColumns(const float* yTrue, const int* columns, int k);

/// `scale` times the sum over positions i of log(sum_{j >= i} exp(y_j) + 1e-10) - y_i for the columns in `order`; adds
/// its gradient. The published form uses exp() directly; here the sums are kept as logarithms, which gives the same
/// result wherever the published form is finite: log(S + 1e-10) = logAddExp(log S, log 1e-10).
double listMle(const float* yPred, const std::vector<int>& order, double scale, double* grad);

}}}  // namespace

#endif
