// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_TOP_K_HPP
#define OPENCV_LTRP_SELECT_TOP_K_HPP

#include "../precomp.hpp"

#include <algorithm>
#include <numeric>

namespace cv { namespace ltrp { namespace select {

/// Indices of the k largest of n values, in descending order; among equal values the earlier one first. The values must
/// not be NaN.
template <class T> std::vector<int> topK(const T* values, size_t n, size_t k)
{
    LTRP_REQUIRE(k <= n, Error::StsOutOfRange, "cannot take the largest " << k << " of " << n << " values");
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [values](int a, int b) { return values[a] > values[b]; });
    order.resize(k);
    return order;
}

}}}  // namespace

#endif
