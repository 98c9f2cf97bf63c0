// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "coverage.hpp"

#include "opencv2/ltrp/select.hpp"

namespace cv { namespace ltrp { namespace eval {

Coverage::Coverage(const Mat& foreground, Size grid) : size_(foreground.size()), grid_(grid)
{
    LTRP_REQUIRE(foreground.type() == CV_8UC1 && foreground.dims == 2 && !foreground.empty(), Error::StsBadArg,
                 "the foreground mask is of type " << typeToString(foreground.type()) << ", expected 8UC1");
    LTRP_REQUIRE(grid.width > 0 && grid.height > 0, Error::StsBadArg, "the ranking has no scores");
    total_ = countNonZero(foreground);
    LTRP_REQUIRE(total_ > 0, Error::StsBadArg, "the mask has no foreground pixel");
    for (int patch = 0; patch < grid.area(); ++patch)
    {
        const Rect rect = patchRect(size_, grid, patch);
        pixels_.push_back(rect.empty() ? 0 : countNonZero(foreground(rect)));
    }
}

std::vector<double> Coverage::kept(const PatchRanking& ranking, const std::vector<double>& keepRatios) const
{
    LTRP_REQUIRE(ranking.imageSize == size_, Error::StsUnmatchedSizes,
                 "the foreground mask is " << size_.width << " x " << size_.height << ", the image "
                                           << ranking.imageSize.width << " x " << ranking.imageSize.height);
    LTRP_REQUIRE(ranking.grid() == grid_, Error::StsUnmatchedSizes,
                 "the ranking has " << ranking.grid().width << " x " << ranking.grid().height << " patches, expected "
                                    << grid_.width << " x " << grid_.height);
    const std::vector<int> order = ranking.order();
    std::vector<int64_t> within(order.size() + 1, 0);   // foreground pixels in the best 0, 1, 2, ... patches
    for (size_t i = 0; i < order.size(); ++i)
        within[i + 1] = within[i] + pixels_[static_cast<size_t>(order[i])];
    std::vector<double> shares;
    for (double ratio : keepRatios)
        shares.push_back(
            static_cast<double>(within[static_cast<size_t>(keepCount(static_cast<int>(order.size()), ratio))]) /
            total_);
    return shares;
}

PatchRanking Coverage::perfect() const
{
    PatchRanking ranking;
    ranking.imageSize = size_;
    Mat(pixels_, true).reshape(1, grid_.height).convertTo(ranking.scores, CV_32F);
    return ranking;
}

}}}  // namespace
