// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/tokens.hpp"

#include "select/score_map.hpp"

#include <algorithm>

namespace cv { namespace ltrp {

namespace {

enum { maxGridSide = 4096, maxMerge = 64 };

void checkGrid(Size grid)
{
    LTRP_REQUIRE(grid.width >= 1 && grid.width <= maxGridSide && grid.height >= 1 && grid.height <= maxGridSide,
                 Error::StsOutOfRange, "grid of " << grid.width << " columns and " << grid.height
                 << " rows, expected 1 to " << int(maxGridSide) << " of each");
}

void checkMerge(int merge)
{
    LTRP_REQUIRE(merge >= 1 && merge <= maxMerge, Error::StsOutOfRange,
                 "side of a merge window is " << merge << ", expected 1 to " << int(maxMerge));
}

/// Resampling weights of one axis: CV_64FC1, one row per cell of the result, each with sum 1.
Mat axisWeights(int from, int to)
{
    Mat weights = Mat::zeros(to, from, CV_64F);
    const double step = static_cast<double>(from) / to;
    for (int i = 0; i < to; ++i)
    {
        double* row = weights.ptr<double>(i);
        if (to < from)
        {
            const double first = i * step, last = (i + 1) * step;
            for (int j = static_cast<int>(first); j < from && j < last; ++j)
                row[j] = std::max(0.0, std::min(last, j + 1.0) - std::max(first, static_cast<double>(j))) / step;
            continue;
        }
        const double centre = std::min(std::max((i + 0.5) * step - 0.5, 0.0), from - 1.0);
        const int left = static_cast<int>(centre), right = std::min(left + 1, from - 1);
        row[left] += 1 - (centre - left);
        row[right] += centre - left;
    }
    return weights;
}

/// Multiple of `unit` pixels nearest to a length, ties to even, at least 1.
int nearestMultiple(int length, int64_t unit)
{
    const int64_t below = length / unit, rest = 2 * (length % unit);
    return static_cast<int>(std::max<int64_t>(1, below + (rest > unit || (rest == unit && below % 2 == 1))));
}

}  // namespace

void resampleScores(InputArray input, Size grid, OutputArray dst)
{
    const Mat scores = select::checkedScores(input);
    checkGrid(grid);
    checkGrid(scores.size());
    Mat result;
    scores.convertTo(result, CV_64F);
    if (grid.height != scores.rows)
        result = axisWeights(scores.rows, grid.height) * result;
    if (grid.width != scores.cols)
        result = result * axisWeights(scores.cols, grid.width).t();
    result.convertTo(dst, CV_32F);
}

Size tokenGrid(Size imageSize, int patchSize, int merge)
{
    LTRP_REQUIRE(imageSize.width >= 1 && imageSize.height >= 1, Error::StsOutOfRange,
                 "image size is " << imageSize.width << " x " << imageSize.height << ", expected at least 1 x 1");
    LTRP_REQUIRE(patchSize >= 1, Error::StsOutOfRange,
                 "side of a patch is " << patchSize << " pixels, expected at least 1");
    checkMerge(merge);
    const int64_t window = static_cast<int64_t>(patchSize) * merge;
    const int64_t columns = static_cast<int64_t>(nearestMultiple(imageSize.width, window)) * merge;
    const int64_t rows = static_cast<int64_t>(nearestMultiple(imageSize.height, window)) * merge;
    LTRP_REQUIRE(columns <= maxGridSide && rows <= maxGridSide, Error::StsOutOfRange,
                 "an image of " << imageSize.width << " x " << imageSize.height << " pixels has " << columns
                 << " columns and " << rows << " rows of patches of " << patchSize << " pixels, expected up to "
                 << int(maxGridSide) << " of each");
    return Size(static_cast<int>(columns), static_cast<int>(rows));
}

TokenSelection selectTokens(const PatchRanking& ranking, Size grid, const SelectParams& params, int merge, int order)
{
    LTRP_REQUIRE(params.method != SELECT_CLUSTER, Error::StsOutOfRange,
                 "selection method is SELECT_CLUSTER (1), expected SELECT_TOPK (0), SELECT_MASS (2), "
                 "SELECT_THRESHOLD (3) or SELECT_SAMPLE (4) for tokens");
    LTRP_REQUIRE(order == TOKEN_ORDER_RASTER || order == TOKEN_ORDER_WINDOWS, Error::StsOutOfRange,
                 "order of the tokens is " << order << ", expected TOKEN_ORDER_RASTER (0) or TOKEN_ORDER_WINDOWS (1)");
    checkGrid(grid);
    checkMerge(merge);
    LTRP_REQUIRE(grid.width % merge == 0 && grid.height % merge == 0, Error::StsUnmatchedSizes,
                 "grid of " << grid.width << " columns and " << grid.height << " rows, expected multiples of the merge "
                 "window's side, " << merge);
    const int area = merge * merge, columns = grid.width / merge;
    SelectParams budget = params;
    if ((params.method == SELECT_TOPK || params.method == SELECT_SAMPLE) && params.count != 0)
    {
        LTRP_REQUIRE(params.count >= area && params.count <= grid.area(), Error::StsOutOfRange,
                     "number of tokens to keep is " << params.count << ", expected " << area
                     << " (one merge window) to " << grid.area());
        budget.count = params.count / area;
    }
    Mat tokens;
    resampleScores(ranking.scores, grid, tokens);
    PatchRanking windows;
    windows.imageSize = ranking.imageSize;
    resampleScores(tokens, Size(columns, grid.height / merge), windows.scores);

    TokenSelection result;
    result.grid = grid;
    result.merge = merge;
    result.merged = selectPatches(windows, budget);
    std::vector<std::pair<int, Point>> kept;   // number and position
    for (int window : result.merged)
        for (int i = 0; i < area; ++i)
        {
            const Point at(window % columns * merge + i % merge, window / columns * merge + i / merge);
            kept.emplace_back(order == TOKEN_ORDER_RASTER ? at.y * grid.width + at.x : window * area + i, at);
        }
    std::sort(kept.begin(), kept.end(), [](const std::pair<int, Point>& a, const std::pair<int, Point>& b)
              { return a.first < b.first; });
    for (const std::pair<int, Point>& token : kept)
    {
        result.indices.push_back(token.first);
        result.rows.push_back(token.second.y);
        result.columns.push_back(token.second.x);
    }
    return result;
}

}}  // namespace
