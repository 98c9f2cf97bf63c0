// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Points and regions on images, compared with references that examine every cell and every pixel.

#include "precomp.hpp"
#include "ranking_cases.hpp"
#include "opencv2/ltrp/prompts.hpp"
#include "bright_box.hpp"

#include <opencv2/imgproc.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// The points by the header's definition: at each step all cells are examined again.
std::vector<Point> plainPoints(const PatchRanking& ranking, int count, double spread)
{
    const Size image = ranking.imageSize, grid = ranking.grid();
    Mat map;
    resize(ranking.scores, map, Size(std::min(4 * grid.width, image.width), std::min(4 * grid.height, image.height)), 0, 0,
           INTER_CUBIC);
    std::vector<Point2d> taken;
    double distance = spread * std::sqrt(static_cast<double>(image.area()) / count);
    while (taken.size() < static_cast<size_t>(count))
    {
        bool found = false;
        float best = 0;
        Point2d place;
        for (int y = 0; y < map.rows; ++y)
            for (int x = 0; x < map.cols; ++x)
            {
                const Point2d centre((x + 0.5) * image.width / map.cols, (y + 0.5) * image.height / map.rows);
                bool free = true;
                for (const Point2d& other : taken)
                    free &= centre != other && norm(centre - other) >= distance;
                if (free && (!found || map.at<float>(y, x) > best))
                {
                    found = true;
                    best = map.at<float>(y, x);
                    place = centre;
                }
            }
        if (found)
            taken.push_back(place);
        else
            distance = distance > 0.5 ? 0.75 * distance : 0;
    }
    std::vector<Point> points;
    for (const Point2d& point : taken)
        points.emplace_back(static_cast<int>(point.x), static_cast<int>(point.y));
    return points;
}

/// Even-odd rule on the centre of a pixel.
bool isInside(const std::vector<Point>& line, Point pixel)
{
    bool inside = false;
    for (size_t i = 0; i < line.size(); ++i)
    {
        const Point a = line[i], b = line[(i + 1) % line.size()];
        if (a.x == b.x && a.x > pixel.x && std::min(a.y, b.y) <= pixel.y && pixel.y < std::max(a.y, b.y))
            inside = !inside;
    }
    return inside;
}

/// Twice the area enclosed by a line, positive if it runs clockwise on an image.
double turn(const std::vector<Point>& line)
{
    double sum = 0;
    for (size_t i = 0; i < line.size(); ++i)
        sum += Point2d(line[i]).cross(Point2d(line[(i + 1) % line.size()]));
    return sum;
}

void checkRegions(const PatchRanking& ranking, const std::vector<int>& keep)
{
    const std::vector<PatchRegion> regions = keptRegions(ranking, keep);
    Mat covered = Mat::zeros(ranking.imageSize, CV_32S), expected = covered.clone();
    for (int patch : keep)
        expected(ranking.rect(patch)).setTo(1);
    std::vector<int> all;
    for (const PatchRegion& region : regions)
    {
        all.insert(all.end(), region.patches.begin(), region.patches.end());
        Mat own = Mat::zeros(ranking.imageSize, CV_8U), pixels = own.clone();
        double sum = 0;
        for (int patch : region.patches)
        {
            own(ranking.rect(patch)).setTo(1);
            sum += ranking.scores.at<float>(patch / ranking.grid().width, patch % ranking.grid().width);
        }
        for (int y = 0; y < own.rows; ++y)
            for (int x = 0; x < own.cols; ++x)
            {
                bool inside = isInside(region.outline, Point(x, y));
                for (const std::vector<Point>& hole : region.holes)
                    inside &= !isInside(hole, Point(x, y));
                pixels.at<uchar>(y, x) = inside;
                covered.at<int>(y, x) += inside;
            }
        BOOST_REQUIRE_EQUAL(countNonZero(own != pixels), 0);
        BOOST_REQUIRE(region.box == brightBox(own));
        BOOST_REQUIRE(std::is_sorted(region.patches.begin(), region.patches.end()));
        BOOST_TEST(std::abs(region.score - sum / static_cast<double>(region.patches.size())) < 1e-6);
        Mat labels;
        BOOST_REQUIRE_EQUAL(connectedComponents(own, labels, 4), 2);   // including the background
        BOOST_TEST(turn(region.outline) > 0);
        std::vector<std::vector<Point>> lines = region.holes;
        for (const std::vector<Point>& hole : region.holes)
            BOOST_TEST(turn(hole) < 0);
        lines.push_back(region.outline);
        for (const std::vector<Point>& line : lines)   // only corners: directions alternate
            for (size_t i = 0; i < line.size(); ++i)
            {
                const Point a = line[i], b = line[(i + 1) % line.size()], c = line[(i + 2) % line.size()];
                BOOST_REQUIRE((a.x == b.x) != (a.y == b.y));
                BOOST_REQUIRE((a.x == b.x) != (b.x == c.x));
            }
    }
    BOOST_TEST(countNonZero(covered != expected) == 0);
    for (size_t i = 1; i < regions.size(); ++i)
        BOOST_TEST((regions[i - 1].patches.size() > regions[i].patches.size()
                    || (regions[i - 1].patches.size() == regions[i].patches.size()
                        && regions[i - 1].patches.front() < regions[i].patches.front())));
    std::sort(all.begin(), all.end());
    BOOST_TEST(all == keep, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(prompts)

BOOST_AUTO_TEST_CASE(points_are_the_highest_cells_that_keep_their_distance)
{
    for (Size image : {Size(230, 170), Size(20, 300), Size(7, 6)})
        for (int count : {1, 5, 16, 40})
            for (double spread : {0.0, 0.3, 0.5, 1.0})
                BOOST_TEST_CONTEXT(image << ", " << count << " points, spread " << spread)
                {
                    const PatchRanking scores = randomRanking(image, Size(7, 6), 4);
                    const std::vector<Point> points = selectPoints(scores, count, spread);
                    BOOST_CHECK(points == plainPoints(scores, count, spread));
                    std::set<std::pair<int, int>> different;
                    for (const Point& point : points)
                    {
                        BOOST_CHECK(Rect(Point(), image).contains(point));
                        different.emplace(point.x, point.y);
                    }
                    BOOST_TEST(different.size() == static_cast<size_t>(count));
                }
}

BOOST_AUTO_TEST_CASE(equal_scores_and_all_cells)
{
    PatchRanking flat = randomRanking(Size(40, 30), Size(4, 3), 1);
    flat.scores.setTo(0.5);
    BOOST_CHECK(selectPoints(flat, 1)[0] == Point(1, 1));   // the first cell of 16 x 12
    BOOST_TEST(selectPoints(flat, 192, 1).size() == 192u);
    refused("number of points is 193, expected 1 to 192", [&] { selectPoints(flat, 193); });
}

BOOST_AUTO_TEST_CASE(regions_cover_the_kept_patches_exactly)
{
    for (uint64_t seed = 0; seed < 60; ++seed)
        for (Size grid : {Size(1, 1), Size(6, 5), Size(9, 12)})
            BOOST_TEST_CONTEXT("seed " << seed << ", grid " << grid)
            {
                RandomStream random(seed, RandomPurpose::Baseline);
                std::vector<int> keep;
                for (int i = 0; i < grid.area(); ++i)
                    if (random.uniform() < 0.2f + 0.013f * static_cast<float>(seed))
                        keep.push_back(i);
                checkRegions(randomRanking(Size(70, 61), grid, seed), keep);
            }
}

BOOST_AUTO_TEST_CASE(regions_that_touch_at_corners)
{
    const PatchRanking scores = randomRanking(Size(40, 30), Size(4, 3), 1);
    BOOST_TEST(keptRegions(scores, {0, 5}).size() == 2u);   // diagonal neighbours are not connected
    checkRegions(scores, {0, 5, 10});
    checkRegions(scores, {0, 1, 2, 4, 6, 8, 9, 10});   // a ring
    checkRegions(scores, {0, 1, 2, 4, 6, 8, 9, 11});   // a ring with a gap at a corner
    const std::vector<PatchRegion> unordered = keptRegions(scores, {2, 0, 1, 0});
    BOOST_REQUIRE_EQUAL(unordered.size(), 1u);
    BOOST_CHECK(unordered[0].patches == (std::vector<int>{0, 1, 2}));
    BOOST_CHECK(unordered[0].box == Rect(0, 0, 30, 10));
    BOOST_CHECK(keptRegions(scores, {}).empty());
}

BOOST_AUTO_TEST_CASE(senseless_prompts_are_named)
{
    PatchRanking scores = randomRanking(Size(300, 200), Size(14, 14), 1);
    for (int count : {0, -1, 1025})
        refused("number of points is " + std::to_string(count) + ", expected 1 to 1024", [&] { selectPoints(scores, count); });
    for (double spread : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
        refused(", expected 0 to 1", [&] { selectPoints(scores, 4, spread); });
    refused("kept patch 196 is outside", [&] { keptRegions(scores, {196}); });
    refused("kept patch -1 is outside", [&] { keptRegions(scores, {-1}); });
    scores.imageSize = Size(13, 200);
    refused("expected at least one for each of 14 x 14 patches", [&] { selectPoints(scores, 4); });
    refused("expected at least one for each of 14 x 14 patches", [&] { keptRegions(scores, {}); });
    scores.imageSize = Size(300, 200);
    scores.scores.at<float>(3, 3) = std::numeric_limits<float>::quiet_NaN();
    refused("NaN or infinite", [&] { selectPoints(scores, 4); });
    refused("NaN or infinite", [&] { keptRegions(scores, {3}); });
}

BOOST_AUTO_TEST_SUITE_END()
