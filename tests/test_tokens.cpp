// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Tokens of other grids, compared with references that examine all patches.

#include "precomp.hpp"
#include "ranking_cases.hpp"
#include "opencv2/ltrp/tokens.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// Weight of cell i of n cells in cell j of m cells on the same line: by counting samples of the line, or by the hat
/// function around the centre of i.
double weight(int n, int m, int j, int i)
{
    if (m >= n)
        return std::max(0.0, 1 - std::abs(std::min(std::max((j + 0.5) * n / m - 0.5, 0.0), n - 1.0) - i));
    const int samples = 2520;   // a multiple of all n used
    int hits = 0;
    for (int s = 0; s < samples; ++s)
        hits += (j * samples + s) * n / (m * samples) == i;
    return static_cast<double>(hits) / samples;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tokens)

BOOST_AUTO_TEST_CASE(resampling_is_the_mean_of_an_area_or_linear)
{
    for (Size from : {Size(1, 1), Size(3, 5), Size(14, 14), Size(7, 2)})
        for (Size to : {Size(1, 1), Size(2, 9), Size(14, 14), Size(5, 3), Size(16, 24)})
            BOOST_TEST_CONTEXT(from << " to " << to)
            {
                const Mat scores = randomRanking(Size(300, 200), from, 3).scores;
                Mat got;
                resampleScores(scores, to, got);
                BOOST_REQUIRE(got.size() == to && got.type() == CV_32FC1);
                double worst = 0;
                for (int y = 0; y < to.height; ++y)
                    for (int x = 0; x < to.width; ++x)
                    {
                        double value = 0;
                        for (int row = 0; row < from.height; ++row)
                            for (int column = 0; column < from.width; ++column)
                                value += weight(from.height, to.height, y, row) *
                                         weight(from.width, to.width, x, column) * scores.at<float>(row, column);
                        worst = std::max(worst, std::abs(value - got.at<float>(y, x)));
                    }
                BOOST_TEST(worst < 2e-3);   // error of the counting
            }
    Mat same;
    const Mat scores = randomRanking(Size(300, 200), Size(5, 4), 1).scores;
    resampleScores(scores, scores.size(), same);
    BOOST_TEST(norm(same, scores, NORM_INF) == 0.0);
}

BOOST_AUTO_TEST_CASE(windows_are_kept_whole)
{
    const Size grid(12, 18);
    const PatchRanking scores = randomRanking(Size(300, 200), Size(7, 5), 5);
    Mat map;
    resampleScores(scores.scores, grid, map);
    SelectParams params;
    params.count = 30;
    for (int merge : {1, 2, 3})
        for (int order : {TOKEN_ORDER_RASTER, TOKEN_ORDER_WINDOWS})
            BOOST_TEST_CONTEXT("merge " << merge << ", order " << order)
            {
                const int area = merge * merge, columns = grid.width / merge;
                const TokenSelection tokens = selectTokens(scores, grid, params, merge, order);
                BOOST_CHECK(tokens.grid == grid);
                BOOST_TEST(tokens.merge == merge);
                std::vector<std::pair<double, int>> windows;
                for (int window = 0; window < grid.area() / area; ++window)
                    windows.emplace_back(
                        -mean(map(Rect(window % columns * merge, window / columns * merge, merge, merge)))[0], window);
                std::sort(windows.begin(), windows.end());
                std::vector<int> best, places;
                for (int i = 0; i < 30 / area; ++i)
                    best.push_back(windows[static_cast<size_t>(i)].second);
                std::sort(best.begin(), best.end());
                BOOST_TEST(tokens.merged == best, boost::test_tools::per_element());
                // Every token of the grid is kept if and only if its window is, under its number in the given order.
                for (int y = 0; y < grid.height; ++y)
                    for (int x = 0; x < grid.width; ++x)
                    {
                        const int window = y / merge * columns + x / merge;
                        const int index = order == TOKEN_ORDER_RASTER ? y * grid.width + x
                                                                      : window * area + y % merge * merge + x % merge;
                        const auto at = std::find(tokens.indices.begin(), tokens.indices.end(), index);
                        const bool kept = std::binary_search(best.begin(), best.end(), window);
                        BOOST_REQUIRE_EQUAL(at != tokens.indices.end(), kept);
                        if (kept)
                        {
                            BOOST_REQUIRE_EQUAL(tokens.rows[static_cast<size_t>(at - tokens.indices.begin())], y);
                            BOOST_REQUIRE_EQUAL(tokens.columns[static_cast<size_t>(at - tokens.indices.begin())], x);
                        }
                    }
                BOOST_TEST(std::is_sorted(tokens.indices.begin(), tokens.indices.end()));
                BOOST_TEST(tokens.indices.size() == best.size() * static_cast<size_t>(area));
            }
}

BOOST_AUTO_TEST_CASE(budgets_count_windows)
{
    const PatchRanking scores = randomRanking(Size(300, 200), Size(14, 14), 2);
    SelectParams params;
    BOOST_TEST(selectTokens(scores, Size(10, 10), params).indices.size() == 25u);
    BOOST_TEST(selectTokens(scores, Size(10, 10), params, 2).indices.size() == 24u);   // int(25 * 0.25) windows
    for (int count : {4, 7, 8, 100})
    {
        params.count = count;
        BOOST_TEST(selectTokens(scores, Size(10, 10), params, 2).merged.size() == static_cast<size_t>(count / 4));
    }
    params.method = SELECT_MASS;
    params.mass = 1e-9;
    params.minRatio = 0.2;
    BOOST_TEST(selectTokens(scores, Size(10, 10), params, 2).indices.size() == 20u);
    params.method = SELECT_THRESHOLD;
    params.threshold = -1;
    params.maxRatio = 0.4;
    BOOST_TEST(selectTokens(scores, Size(10, 10), params, 2).indices.size() == 40u);
}

BOOST_AUTO_TEST_CASE(native_resolution_is_rounded_to_windows)
{
    BOOST_CHECK(tokenGrid(Size(451, 300), 14, 2) == Size(32, 22));
    BOOST_CHECK(tokenGrid(Size(451, 300), 16) == Size(28, 19));
    BOOST_CHECK(tokenGrid(Size(42, 70), 14, 2) == Size(4, 4));   // 1.5 and 2.5 windows: to the even number
    BOOST_CHECK(tokenGrid(Size(43, 71), 14, 2) == Size(4, 6));
    BOOST_CHECK(tokenGrid(Size(1, 1), 14, 2) == Size(2, 2));
    BOOST_CHECK(tokenGrid(Size(1, 1), std::numeric_limits<int>::max(), 64) == Size(64, 64));
}

BOOST_AUTO_TEST_CASE(senseless_tokens_are_named)
{
    PatchRanking scores = randomRanking(Size(300, 200), Size(4, 4), 1);
    const SelectParams plain;
    Mat map;
    for (Size grid : {Size(0, 4), Size(4, -1), Size(4097, 1), Size(1, 4097)})
    {
        refused("expected 1 to 4096 of each", [&] { resampleScores(scores.scores, grid, map); });
        refused("expected 1 to 4096 of each", [&] { selectTokens(scores, grid, plain); });
    }
    for (int merge : {0, -2, 65})
    {
        refused("expected 1 to 64", [&] { selectTokens(scores, Size(64, 64), plain, merge); });
        refused("expected 1 to 64", [&] { tokenGrid(Size(64, 64), 14, merge); });
    }
    refused("expected multiples of the merge window's side, 3", [&] { selectTokens(scores, Size(9, 10), plain, 3); });
    refused("order of the tokens is 2", [&] { selectTokens(scores, Size(4, 4), plain, 1, 2); });
    refused("expected at least 1 x 1", [] { tokenGrid(Size(0, 5), 14); });
    refused("side of a patch is 0", [] { tokenGrid(Size(5, 5), 0); });
    refused("expected up to 4096 of each", [] { tokenGrid(Size(1 << 30, 5), 1, 64); });
    SelectParams params;
    for (int count : {-1, 3, 65})
    {
        params.count = count;
        refused("expected 4 (one merge window) to 64", [&] { selectTokens(scores, Size(8, 8), params, 2); });
    }
    params.method = SELECT_CLUSTER;
    refused("SELECT_CLUSTER", [&] { selectTokens(scores, Size(8, 8), params); });
    scores.scores.at<float>(1, 1) = std::numeric_limits<float>::infinity();
    refused("NaN or infinite", [&] { selectTokens(scores, Size(8, 8), plain); });
    refused("expected a matrix of 32FC1", [&] { resampleScores(Mat::zeros(3, 3, CV_64F), Size(2, 2), map); });
    refused("expected a matrix of 32FC1", [&] { selectTokens(PatchRanking(), Size(8, 8), plain); });
}

BOOST_AUTO_TEST_SUITE_END()
