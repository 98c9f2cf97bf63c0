// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/types.hpp"

#include "select/top_k.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp {

namespace {

/// Border `i` if `length` pixels are divided into `parts` equal parts, rounded half up, in integers.
int border(int length, int parts, int i)
{
    return static_cast<int>((2 * static_cast<int64_t>(length) * i + parts) / (2 * static_cast<int64_t>(parts)));
}

}  // namespace

Rect patchRect(Size imageSize, Size grid, int index)
{
    LTRP_REQUIRE(imageSize.width >= 0 && imageSize.height >= 0, Error::StsOutOfRange,
                 "image size " << imageSize.width << " x " << imageSize.height << " is negative");
    LTRP_REQUIRE(grid.width > 0 && grid.height > 0, Error::StsOutOfRange,
                 "patch grid of " << grid.width << " columns and " << grid.height
                                  << " rows, expected at least 1 of each");
    LTRP_REQUIRE(index >= 0 && index < static_cast<int64_t>(grid.width) * grid.height, Error::StsOutOfRange,
                 "patch " << index << " is outside the grid of " << grid.width << " columns and " << grid.height
                          << " rows");
    const int column = index % grid.width, row = index / grid.width;
    const int left = border(imageSize.width, grid.width, column), top = border(imageSize.height, grid.height, row);
    return Rect(left, top, border(imageSize.width, grid.width, column + 1) - left,
                border(imageSize.height, grid.height, row + 1) - top);
}

std::vector<int> PatchRanking::order() const
{
    LTRP_REQUIRE(scores.dims <= 2 && (scores.empty() || scores.type() == CV_32FC1), Error::StsBadArg,
                 "scores are a matrix of type " << typeToString(scores.type()) << " with " << scores.dims
                 << " dimensions, expected 32FC1 with 2");
    std::vector<float> values;
    values.reserve(scores.total());
    for (int y = 0; y < scores.rows; ++y)
        values.insert(values.end(), scores.ptr<float>(y), scores.ptr<float>(y) + scores.cols);
    // NaN has no order, and would break the sort's comparator.
    const auto nan = std::find_if(values.begin(), values.end(), [](float v) { return std::isnan(v); });
    LTRP_REQUIRE(nan == values.end(), Error::StsBadArg, "the score of patch " << nan - values.begin() << " is NaN");
    return select::topK(values.data(), values.size(), values.size());
}

}}  // namespace
