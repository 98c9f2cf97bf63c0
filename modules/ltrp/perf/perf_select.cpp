// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "perf_precomp.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;

PatchRanking randomRanking(Size imageSize, int grid)
{
    PatchRanking ranking;
    ranking.imageSize = imageSize;
    ranking.scores.create(grid, grid, CV_32F);
    theRNG().fill(ranking.scores, RNG::UNIFORM, 0, 1);
    return ranking;
}

typedef TestBaseWithParam<std::tuple<int, int, double>> Ltrp_Select;   // SelectMethod, grid, keep ratio

PERF_TEST_P(Ltrp_Select, patches, Combine(Values(int(SELECT_TOPK), int(SELECT_CLUSTER)), Values(14, 32),
                                          Values(0.25, 0.5)))
{
    SelectParams params;
    params.method = std::get<0>(GetParam());
    params.keepRatio = std::get<2>(GetParam());
    const Mat image = testImage(szVGA);
    const PatchRanking ranking = randomRanking(image.size(), std::get<1>(GetParam()));
    TEST_CYCLE() selectPatches(ranking, params, image);
    SANITY_CHECK_NOTHING();
}

typedef TestBaseWithParam<Size> Ltrp_Draw;

PERF_TEST_P(Ltrp_Draw, overlay, Values(szVGA, sz1080p))
{
    const Mat image = testImage(GetParam());
    const PatchRanking ranking = randomRanking(image.size(), 14);
    const std::vector<int> keep = selectPatches(ranking, SelectParams());
    Mat picture;
    TEST_CYCLE() drawOverlay(image, ranking, keep, picture);
    SANITY_CHECK_NOTHING();
}

}}  // namespace
