// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Patches sampled by the softmax of their scores: the distribution compared with one computed draw by draw, the limits
// of the temperature, and what the draw depends on.

#include "precomp.hpp"
#include "ranking_cases.hpp"
#include "core/random.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/select.hpp"
#include "opencv2/ltrp/tokens.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <thread>

using namespace cv;
using namespace cv::ltrp;

namespace {

PatchRanking rankingOf(const Mat& scores)
{
    PatchRanking result;
    result.imageSize = Size(300, 200);
    result.scores = scores;
    return result;
}

SelectParams sampling(int count, double temperature = 1, size_t seed = 0)
{
    SelectParams params;
    params.method = SELECT_SAMPLE;
    params.count = count;
    params.temperature = temperature;
    params.seed = seed;
    return params;
}

std::vector<int> best(const PatchRanking& ranking, int count)
{
    SelectParams params;
    params.count = count;
    return selectPatches(ranking, params);
}

std::vector<double> valuesOf(const PatchRanking& ranking)
{
    return std::vector<double>(ranking.scores.begin<float>(), ranking.scores.end<float>());
}

/// Adds to `sets` the probability of each set of `count` patches drawn without replacement: all orders of draws, each
/// draw a softmax over the remaining patches.
void drawOn(const std::vector<double>& shares, std::vector<int> drawn, size_t count, double probability,
            std::map<std::vector<int>, double>& sets)
{
    if (drawn.size() == count)
    {
        std::sort(drawn.begin(), drawn.end());
        sets[drawn] += probability;
        return;
    }
    double left = 0;
    for (size_t i = 0; i < shares.size(); ++i)
        if (std::find(drawn.begin(), drawn.end(), static_cast<int>(i)) == drawn.end())
            left += shares[i];
    for (size_t i = 0; i < shares.size(); ++i)
        if (std::find(drawn.begin(), drawn.end(), static_cast<int>(i)) == drawn.end())
        {
            std::vector<int> next = drawn;
            next.push_back(static_cast<int>(i));
            drawOn(shares, next, count, probability * shares[i] / left, sets);
        }
}

/// Sum of (seen - expected)^2 / expected over the sets, for seeds 0 to draws - 1.
double chiSquare(const PatchRanking& ranking, SelectParams params, const std::map<std::vector<int>, double>& sets, int draws)
{
    std::map<std::vector<int>, int> seen;
    for (int seed = 0; seed < draws; ++seed)
    {
        params.seed = static_cast<size_t>(seed);
        ++seen[selectPatches(ranking, params)];
    }
    double sum = 0;
    for (const auto& set : sets)
    {
        const double expected = set.second * draws;
        BOOST_REQUIRE_GE(expected, 5);
        sum += std::pow(seen[set.first] - expected, 2) / expected;
        seen.erase(set.first);
    }
    BOOST_TEST(seen.empty());   // no other sets
    return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(selection_sample)

BOOST_AUTO_TEST_CASE(sets_come_as_often_as_draws_without_replacement_give_them)
{
    // Mean 0, population deviation 1: the scores are already standardised.
    const PatchRanking scores = rankingOf((Mat_<float>(2, 2) << 1, -1, 1, -1));
    const PatchRanking slope = rankingOf((Mat_<float>(1, 5) << 7, 3, 4, 5, 6));
    const struct
    {
        const PatchRanking& ranking;
        double temperature;
        int count;
        double limit;   // of chi-square, exceeded by chance once in 10,000
    } cases[] = {{scores, 1, 1, 21.1}, {scores, 0.7, 2, 25.7}, {slope, 1, 1, 23.5}, {slope, 2, 2, 33.7}, {slope, 0.8, 3, 33.7}};
    for (const auto& test : cases)
        BOOST_TEST_CONTEXT(test.count << " of " << test.ranking.scores.total() << ", temperature " << test.temperature)
        {
            std::map<std::vector<int>, double> sets;
            drawOn(softmax(valuesOf(test.ranking), test.temperature), {}, static_cast<size_t>(test.count), 1, sets);
            BOOST_TEST(chiSquare(test.ranking, sampling(test.count, test.temperature), sets, 20000) < test.limit);
            // The test does distinguish temperatures.
            BOOST_TEST(chiSquare(test.ranking, sampling(test.count, test.temperature * 1.2), sets, 20000) > test.limit);
        }
}

BOOST_AUTO_TEST_CASE(the_first_draw_follows_the_softmax_of_a_grid)
{
    const PatchRanking scores = randomRanking(Size(140, 140), Size(14, 14), 4);
    std::map<std::vector<int>, double> sets;
    drawOn(softmax(valuesOf(scores), 1), {}, 1, 1, sets);
    BOOST_TEST(sets.size() == 196u);
    BOOST_TEST(chiSquare(scores, sampling(1), sets, 20000) < 277);   // 195 degrees of freedom: exceeded once in 10,000
}

BOOST_AUTO_TEST_CASE(scale_of_the_scores_does_not_matter)
{
    const PatchRanking scores = randomRanking(Size(140, 140), Size(14, 14), 5);
    const PatchRanking other = rankingOf(scores.scores * 1024 - 4096);   // exact except for the last bits of the sum
    for (size_t seed = 0; seed < 20; ++seed)
        BOOST_TEST(selectPatches(scores, sampling(49, 1, seed)) == selectPatches(other, sampling(49, 1, seed)),
                   boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(temperature_goes_from_the_best_patches_to_any)
{
    const PatchRanking scores = randomRanking(Size(140, 140), Size(14, 14), 6);
    for (double cold : {1e-9, 1e-300, std::numeric_limits<double>::denorm_min()})
        for (size_t seed = 0; seed < 20; ++seed)
            BOOST_TEST(selectPatches(scores, sampling(49, cold, seed)) == best(scores, 49), boost::test_tools::per_element());
    double last = 50;   // number of the best 49 that are kept, on average
    for (double temperature : {0.05, 0.3, 1.0, 3.0, 1e3})
    {
        double shared = 0;
        for (size_t seed = 0; seed < 200; ++seed)
        {
            const std::vector<int> kept = selectPatches(scores, sampling(49, temperature, seed)), top = best(scores, 49);
            std::vector<int> both;
            std::set_intersection(kept.begin(), kept.end(), top.begin(), top.end(), std::back_inserter(both));
            shared += static_cast<double>(both.size()) / 200;
        }
        BOOST_TEST(shared < last - 1);
        last = shared;
    }
    BOOST_TEST(std::abs(last - 49 * 0.25) < 0.5);   // hot: a quarter of any set. The mean's deviation is 0.19
    // Equal scores have no best ones; also values at the limits of the float range.
    std::set<std::vector<int>> flat, extreme;
    for (size_t seed = 0; seed < 200; ++seed)
    {
        flat.insert(selectPatches(rankingOf(Mat(1, 4, CV_32F, Scalar(0.1))), sampling(2, 1e-300, seed)));
        extreme.insert(selectPatches(rankingOf((Mat_<float>(1, 3) << FLT_MAX, FLT_MAX, -FLT_MAX)), sampling(1, 1e-300, seed)));
    }
    BOOST_TEST(flat.size() == 6u);
    BOOST_TEST(extreme == (std::set<std::vector<int>>{{0}, {1}}));
}

BOOST_AUTO_TEST_CASE(numbers_are_ascending_different_and_all_reachable)
{
    const PatchRanking scores = randomRanking(Size(90, 70), Size(9, 7), 7);
    std::vector<int> times(63, 0);
    for (size_t seed = 0; seed < 500; ++seed)
    {
        SelectParams params = sampling(0, 1, seed);
        params.keepRatio = 0.25;
        const std::vector<int> kept = selectPatches(scores, params);
        BOOST_REQUIRE_EQUAL(kept.size(), 15u);
        BOOST_REQUIRE(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<int>()) == kept.end());
        for (int patch : kept)
            ++times.at(static_cast<size_t>(patch));
    }
    const std::vector<int> order = scores.order();
    BOOST_TEST(*std::min_element(times.begin(), times.end()) > 0);
    BOOST_TEST(times[static_cast<size_t>(order.front())] > 2 * times[static_cast<size_t>(order.back())]);
    BOOST_TEST(selectPatches(scores, sampling(63)) == best(scores, 63), boost::test_tools::per_element());
    BOOST_TEST(selectPatches(rankingOf(Mat::zeros(1, 1, CV_32F)), sampling(0)) == std::vector<int>(1, 0));
}

BOOST_AUTO_TEST_CASE(the_draw_depends_on_scores_temperature_and_seed_alone)
{
    const PatchRanking scores = randomRanking(Size(140, 140), Size(14, 14), 8);
    std::set<std::vector<int>> draws;
    for (size_t seed : {size_t(0), size_t(1), size_t(2), size_t(1) << 32, std::numeric_limits<size_t>::max()})
        draws.insert(selectPatches(scores, sampling(49, 1, seed)));
    BOOST_TEST(draws.size() == 5u);
    // On other threads, between draws of other images.
    const std::vector<int> want = selectPatches(scores, sampling(49, 1, 3));
    std::vector<std::vector<int>> got(4);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < got.size(); ++i)
        threads.emplace_back([&got, &scores, i]
        {
            for (size_t k = 0; k < 20; ++k)
            {
                selectPatches(randomRanking(Size(140, 140), Size(14, 14), 100 * i + k), sampling(49, 1, k));
                got[i] = selectPatches(scores, sampling(49, 1, 3));
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    for (const std::vector<int>& kept : got)
        BOOST_TEST(kept == want, boost::test_tools::per_element());
    // After small changes of the scores most of the patches stay.
    PatchRanking near = rankingOf(scores.scores + 0.02 * randomRanking(Size(140, 140), Size(14, 14), 9).scores);
    std::vector<int> both;
    const std::vector<int> kept = selectPatches(near, sampling(49, 1, 3));
    std::set_intersection(kept.begin(), kept.end(), want.begin(), want.end(), std::back_inserter(both));
    BOOST_TEST(both.size() >= 45u);
}

BOOST_AUTO_TEST_CASE(tokens_are_drawn_by_windows)
{
    const PatchRanking scores = randomRanking(Size(300, 200), Size(10, 10), 10);
    PatchRanking windows = scores;
    resampleScores(scores.scores, Size(5, 5), windows.scores);
    for (size_t seed = 0; seed < 20; ++seed)
    {
        const TokenSelection tokens = selectTokens(scores, Size(10, 10), sampling(30, 1, seed), 2);
        BOOST_TEST(tokens.merged == selectPatches(windows, sampling(7, 1, seed)), boost::test_tools::per_element());
        BOOST_TEST(tokens.indices.size() == 28u);
    }
    refused("number of tokens to keep is 3, expected 4", [&] { selectTokens(scores, Size(10, 10), sampling(3), 2); });
}

BOOST_AUTO_TEST_CASE(senseless_draws_are_named)
{
    PatchRanking scores = randomRanking(Size(40, 40), Size(4, 4), 11);
    const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
    for (double temperature : {0.0, -1.0, nan, infinite})
        refused(", expected a finite number above 0", [&] { selectPatches(scores, sampling(2, temperature)); });
    for (int count : {-1, 17})
        refused(", expected 0 (by the keep ratio) to 16", [&] { selectPatches(scores, sampling(count)); });
    SelectParams params = sampling(0);
    params.keepRatio = 1.5;
    refused("keep ratio is 1.5", [&] { selectPatches(scores, params); });
    scores.scores.at<float>(2, 1) = static_cast<float>(-infinite);
    refused("infinite values, which have no softmax", [&] { selectPatches(scores, sampling(2)); });
    scores.scores.at<float>(2, 1) = static_cast<float>(nan);
    refused("NaN", [&] { selectPatches(scores, sampling(2)); });
}

BOOST_AUTO_TEST_SUITE_END()
