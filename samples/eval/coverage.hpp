// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_COVERAGE_HPP
#define LTRP_EVAL_COVERAGE_HPP

#include "../../modules/ltrp/src/precomp.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Share of an image's foreground in the best patches of a ranking.
class Coverage
{
public:
    /// foreground: CV_8UC1 with at least one pixel that is not 0. grid: columns and rows of the rankings.
    Coverage(const Mat& foreground, Size grid);
    /// Share of the foreground pixels in the best patches, for each ratio of kept patches. ranking: of an image of the
    /// foreground's size, on the grid.
    std::vector<double> kept(const PatchRanking& ranking, const std::vector<double>& keepRatios) const;
    /// The best possible ranking: the score of a patch is its number of foreground pixels.
    PatchRanking perfect() const;

private:
    Size size_, grid_;
    std::vector<int> pixels_;   ///< foreground pixels of each patch
    int total_;
};

}}}  // namespace

#endif
