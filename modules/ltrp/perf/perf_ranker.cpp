// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "perf_precomp.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;

typedef TestBaseWithParam<Size> Ltrp_Rank;

PERF_TEST_P(Ltrp_Rank, one_image, Values(szVGA, sz1080p))
{
    const Ptr<Ranker> ranker = Ranker::create(rankerFile());
    const Mat image = testImage(GetParam());
    TEST_CYCLE() ranker->rank(image);
    SANITY_CHECK_NOTHING();
}

typedef TestBaseWithParam<int> Ltrp_RankBatch;

PERF_TEST_P(Ltrp_RankBatch, images, Values(1, 4, 16))
{
    const Ptr<Ranker> ranker = Ranker::create(rankerFile());
    const std::vector<Mat> images(GetParam(), testImage(szVGA));
    TEST_CYCLE() ranker->rankBatch(images);
    SANITY_CHECK_NOTHING();
}

typedef TestBaseWithParam<int> Ltrp_RankTarget;

PERF_TEST_P(Ltrp_RankTarget, one_image, Values(int(TARGET_CPU_BF16), int(TARGET_CPU_INT8)))
{
    const String missing = missingForTarget(GetParam());
    if (!missing.empty())
        throw cvtest::SkipTestException(missing);
    const Ptr<Ranker> ranker = Ranker::create(rankerFile());
    ranker->setPreferableTarget(GetParam());
    const Mat image = testImage(szVGA);
    TEST_CYCLE() ranker->rank(image);
    SANITY_CHECK_NOTHING();
}

}}  // namespace
