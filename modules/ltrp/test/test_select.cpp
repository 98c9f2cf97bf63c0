// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

PatchRanking randomRanking(Size imageSize, int grid, int seed)
{
    PatchRanking ranking;
    ranking.imageSize = imageSize;
    ranking.scores.create(grid, grid, CV_32F);
    RNG rng(seed);
    rng.fill(ranking.scores, RNG::UNIFORM, -1, 1);
    return ranking;
}

TEST(Ltrp_Select, keep_count_truncates_and_keeps_one)
{
    EXPECT_EQ(49, keepCount(196, 0.25));
    EXPECT_EQ(19, keepCount(196, 0.1));
    EXPECT_EQ(196, keepCount(196, 1));
    EXPECT_EQ(1, keepCount(196, 1e-9));
    for (double ratio : {0.0, -0.1, 1.0001, std::numeric_limits<double>::quiet_NaN()})
        EXPECT_FALSE(errorOf(Error::StsOutOfRange, [&]() { keepCount(196, ratio); }).empty()) << ratio;
}

TEST(Ltrp_Select, top_k_keeps_the_best)
{
    const PatchRanking ranking = randomRanking(Size(140, 140), 14, 1);
    SelectParams params;
    params.keepRatio = 0.3;
    const std::vector<int> kept = selectPatches(ranking, params);
    ASSERT_EQ(58u, kept.size());
    EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
    double worstKept = 1, bestDropped = -1;
    for (int i = 0; i < 196; i++)
    {
        const double score = ranking.scores.ptr<float>()[i];
        if (std::binary_search(kept.begin(), kept.end(), i))
            worstKept = std::min(worstKept, score);
        else
            bestDropped = std::max(bestDropped, score);
    }
    EXPECT_GT(worstKept, bestDropped);
}

TEST(Ltrp_Select, cluster_keeps_the_best_and_something_of_the_rest)
{
    const Mat image = photo(Size(140, 140), 2);
    const PatchRanking ranking = randomRanking(image.size(), 14, 2);
    SelectParams params;
    params.method = SELECT_CLUSTER;
    const std::vector<int> kept = selectPatches(ranking, params, image), again = selectPatches(ranking, params, image);
    EXPECT_EQ(kept, again);
    ASSERT_EQ(49u, kept.size());
    EXPECT_TRUE(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<int>()) == kept.end());
    EXPECT_GE(kept.front(), 0);
    EXPECT_LT(kept.back(), 196);

    const std::vector<int> order = ranking.order();
    int best = 0;
    for (int i = 0; i < 34; i++)   // 70 % of 49
        best += std::binary_search(kept.begin(), kept.end(), order[i]);
    EXPECT_EQ(34, best);
    SelectParams plain;
    EXPECT_NE(selectPatches(ranking, plain), kept);
    EXPECT_THROW(selectPatches(ranking, params), cv::Exception);   // needs the image
}

}}  // namespace
