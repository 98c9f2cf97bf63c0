// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_SCORE_MAP_HPP
#define OPENCV_LTRP_SELECT_SCORE_MAP_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace select {

/// Checks a score map given by the caller: CV_32FC1, not empty, finite. @throws cv::Exception
inline Mat checkedScores(InputArray input)
{
    const Mat scores = input.getMat();
    LTRP_REQUIRE(!scores.empty() && scores.dims == 2 && scores.type() == CV_32FC1, Error::StsBadArg,
                 "scores are of type " << typeToString(scores.type()) << ", expected a matrix of 32FC1");
    LTRP_REQUIRE(checkRange(scores), Error::StsBadArg, "the scores hold NaN or infinite values");
    return scores;
}

/// One byte per patch of a grid, 1 for those of `keep`. @throws cv::Exception for a patch outside the grid
inline std::vector<char> keptMask(Size grid, const std::vector<int>& keep)
{
    LTRP_REQUIRE(grid.width > 0 && grid.height > 0 && static_cast<int64_t>(grid.width) * grid.height <= INT_MAX,
                 Error::StsOutOfRange, "patch grid of " << grid.width << " columns and " << grid.height << " rows");
    std::vector<char> kept(static_cast<size_t>(grid.area()), 0);
    for (int patch : keep)
    {
        LTRP_REQUIRE(patch >= 0 && patch < grid.area(), Error::StsOutOfRange,
                     "kept patch " << patch << " is outside the grid of " << grid.area() << " patches");
        kept[static_cast<size_t>(patch)] = 1;
    }
    return kept;
}

}}}  // namespace

#endif
