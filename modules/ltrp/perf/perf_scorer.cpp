// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "perf_precomp.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;

typedef TestBaseWithParam<std::tuple<int, int>> Ltrp_Score;   // Removal, ScoreMetric

PERF_TEST_P(Ltrp_Score, one_mask, Combine(Values(int(REMOVAL_DECODER), int(REMOVAL_ENCODER)),
                                          Values(int(METRIC_L1), int(METRIC_SSIM))))
{
    const Ptr<Scorer> scorer = Scorer::create(maeFile());
    ScoreParams params;
    params.removal = std::get<0>(GetParam());
    params.metric = std::get<1>(GetParam());
    const Mat image = testImage(szVGA);
    TEST_CYCLE() scorer->score(image, params);
    SANITY_CHECK_NOTHING();
}

typedef TestBaseWithParam<int> Ltrp_ScoreMap;

PERF_TEST_P(Ltrp_ScoreMap, masks, Values(8, 32))
{
    const Ptr<Scorer> scorer = Scorer::create(maeFile());
    ScoreParams params;
    params.masks = GetParam();
    const Mat image = testImage(szVGA);
    TEST_CYCLE() scorer->scoreMap(image, params);
    SANITY_CHECK_NOTHING();
}

}}  // namespace
