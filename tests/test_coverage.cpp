// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Foreground coverage and the baselines.

#include "messages.hpp"
#include "precomp.hpp"
#include "teach/baselines.hpp"
#include "eval/bootstrap.hpp"
#include "eval/coverage.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/opencv_modules.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>

using namespace cv;
using namespace cv::ltrp;
using teach::Baseline;

namespace {

/// A textured disc on a calm background.
Mat scene(Size size, Point centre, int radius)
{
    Mat image(size, CV_8UC3, Scalar(120, 110, 100)), texture(size, CV_8UC3), mask = Mat::zeros(size, CV_8U);
    RNG rng(5);
    rng.fill(texture, RNG::UNIFORM, 0, 256);
    circle(mask, centre, radius, Scalar(255), FILLED);
    texture.copyTo(image, mask);
    GaussianBlur(image, image, Size(), 1.5);
    return image;
}

PatchRanking baselineRanking(const Mat& image, Size grid, Baseline baseline, uint64_t seed = 0, uint32_t sample = 0)
{
    return teach::BaselineRanker(image, grid).rank(baseline, seed, sample);
}

std::vector<double> keptForeground(const Mat& mask, const PatchRanking& ranking, const std::vector<double>& ratios)
{
    return eval::Coverage(mask, ranking.grid()).kept(ranking, ratios);
}

/// Photos with masks, in the folder that the environment variable LTRP_TEST_DATA names; empty: not set.
std::string photoFolder()
{
    const char* data = std::getenv("LTRP_TEST_DATA");
    return data && *data ? std::string(data) + "/coco128" : std::string();
}

boost::test_tools::assertion_result photosGiven(boost::unit_test::test_unit_id)
{
    boost::test_tools::assertion_result given(!photoFolder().empty());
    given.message() << "LTRP_TEST_DATA is not set";
    return given;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(coverage)

BOOST_AUTO_TEST_CASE(share_equals_counting_pixel_by_pixel)
{
    for (Size size : {Size(1, 1), Size(5, 300), Size(224, 224), Size(333, 217)})
        for (Size grid : {Size(14, 14), Size(3, 5)})
        {
            Mat mask(size, CV_8UC1);
            randu(mask, 0, 3);
            mask.at<uchar>(0, 0) = 1;
            const PatchRanking ranking = baselineRanking(Mat(size, CV_8UC3), grid, Baseline::Random, 3);
            const std::vector<double> ratios = {0.01, 0.1, 0.25, 0.5, 0.75, 1.0};
            const std::vector<double> got = keptForeground(mask, ranking, ratios);
            for (size_t r = 0; r < ratios.size(); ++r)
            {
                std::vector<int> order = ranking.order();
                order.resize(std::max<size_t>(1, static_cast<size_t>(static_cast<double>(grid.area()) * ratios[r])));
                Mat keptPixels = Mat::zeros(size, CV_8U);
                for (int patch : order)
                    if (!ranking.rect(patch).empty())
                        keptPixels(ranking.rect(patch)).setTo(1);
                double kept = 0, all = 0;
                for (int y = 0; y < size.height; ++y)
                    for (int x = 0; x < size.width; ++x)
                        if (mask.at<uchar>(y, x) != 0)
                        {
                            all += 1;
                            kept += keptPixels.at<uchar>(y, x);
                        }
                BOOST_CHECK_CLOSE_FRACTION(got[r], kept / all, 1e-12);
            }
            BOOST_CHECK_EQUAL(got.back(), 1.0);
        }
}

BOOST_AUTO_TEST_CASE(masks_that_do_not_fit_are_refused)
{
    const PatchRanking ranking = baselineRanking(Mat(20, 30, CV_8UC3), Size(4, 4), Baseline::Centre);
    const auto text = [&](const Mat& mask, double ratio)
    { return messageOf([&] { keptForeground(mask, ranking, {ratio}); }); };
    BOOST_CHECK_NE(text(Mat(20, 31, CV_8U, Scalar(255)), 0.5).find("31 x 20"), std::string::npos);
    BOOST_CHECK_NE(text(Mat(20, 30, CV_8U, Scalar(0)), 0.5).find("no foreground"), std::string::npos);
    BOOST_CHECK_NE(text(Mat(20, 30, CV_8UC3, Scalar(255)), 0.5).find("8UC3"), std::string::npos);
    BOOST_CHECK_NE(text(Mat(), 0.5).find("mask"), std::string::npos);
    BOOST_CHECK_NE(text(Mat(20, 30, CV_8U, Scalar(255)), 0).find("keep ratio"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(random_is_seeded_and_even)
{
    const Mat image(64, 64, CV_8UC3, Scalar::all(0));
    const auto order = [&](uint64_t seed, uint32_t sample)
    {
        return baselineRanking(image, Size(14, 14), Baseline::Random, seed, sample).order();
    };
    BOOST_CHECK(order(1, 0) == order(1, 0));
    BOOST_CHECK(order(1, 0) != order(2, 0));
    BOOST_CHECK(order(1, 0) != order(1, 1));
    // Each patch is first about equally often, and on average in the middle of the order.
    std::vector<double> place(196, 0);
    for (uint64_t seed = 0; seed < 400; ++seed)
    {
        const std::vector<int> one = order(seed, 0);
        for (size_t i = 0; i < one.size(); ++i)
            place[static_cast<size_t>(one[i])] += static_cast<double>(i) / 400;
    }
    for (double mean : place)
        BOOST_CHECK_LE(std::fabs(mean - 97.5), 14.5);   // 5 standard deviations of 56.6 / sqrt(400)
}

BOOST_AUTO_TEST_CASE(centre_prefers_the_centre)
{
    const PatchRanking ranking = baselineRanking(Mat(100, 300, CV_8UC3), Size(5, 3), Baseline::Centre);
    const std::vector<int> order = ranking.order();
    const std::vector<int> want = {7, 6, 8, 2, 12, 1, 3, 11, 13, 5, 9, 0, 4, 10, 14};
    BOOST_CHECK_EQUAL_COLLECTIONS(order.begin(), order.end(), want.begin(), want.end());
}

BOOST_AUTO_TEST_CASE(gradient_energy_equals_the_plain_sum)
{
    // With 16 pixels per patch nothing is resized: the plain formula applies.
    const Size grid(4, 3);
    Mat image(48, 64, CV_8UC1);
    randu(image, 0, 256);
    GaussianBlur(image, image, Size(), 2);
    const PatchRanking ranking = baselineRanking(image, grid, Baseline::Gradient);
    const auto at = [&](int y, int x)   // borders mirrored without repeating the last pixel
    {
        y = y < 0 ? -y : y >= 48 ? 94 - y : y;
        x = x < 0 ? -x : x >= 64 ? 126 - x : x;
        return static_cast<double>(image.at<uchar>(y, x));
    };
    for (int i = 0; i < grid.area(); ++i)
    {
        double sum = 0;
        for (int y = i / 4 * 16; y < i / 4 * 16 + 16; ++y)
            for (int x = i % 4 * 16; x < i % 4 * 16 + 16; ++x)
            {
                const double dx = at(y - 1, x + 1) + 2 * at(y, x + 1) + at(y + 1, x + 1) - at(y - 1, x - 1) -
                                  2 * at(y, x - 1) - at(y + 1, x - 1);
                const double dy = at(y + 1, x - 1) + 2 * at(y + 1, x) + at(y + 1, x + 1) - at(y - 1, x - 1) -
                                  2 * at(y - 1, x) - at(y - 1, x + 1);
                sum += dx * dx + dy * dy;
            }
        BOOST_CHECK_CLOSE_FRACTION(ranking.scores.at<float>(i / 4, i % 4), sum / 256, 1e-4);
    }
}

BOOST_AUTO_TEST_CASE(smoothed_baselines_equal_the_plain_sum_over_neighbours)
{
    const Size grid(6, 5);
    const Mat image = scene(Size(96, 80), Point(70, 30), 20);
    const Mat plain = baselineRanking(image, grid, Baseline::Gradient).scores;
    const Mat smooth = baselineRanking(image, grid, Baseline::GradientSmooth).scores;
    const auto mirrored = [](int i, int n) { return i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i; };
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
        {
            double sum = 0, weights = 0;
            for (int dy = -3; dy <= 3; ++dy)
                for (int dx = -3; dx <= 3; ++dx)
                {
                    const double weight = std::exp(-(dx * dx + dy * dy) / (2 * 0.7 * 0.7));
                    weights += weight;
                    sum += weight * plain.at<float>(mirrored(y + dy, grid.height), mirrored(x + dx, grid.width));
                }
            BOOST_CHECK_CLOSE_FRACTION(smooth.at<float>(y, x), sum / weights, 1e-4);
        }
}

BOOST_AUTO_TEST_CASE(centre_weighted_baselines_add_ranks)
{
    if (!teach::baselineAvailable(Baseline::Spectral))
        return;
    const Size grid(7, 6);
    const Mat image = scene(Size(300, 200), Point(220, 60), 40);
    const auto ranks = [&](Baseline baseline)   // number of lower ones, and half of the equal ones
    {
        const Mat scores = baselineRanking(image, grid, baseline).scores;
        std::vector<double> result;
        for (int i = 0; i < grid.area(); ++i)
        {
            double below = 0, equal = -1;
            for (int j = 0; j < grid.area(); ++j)
            {
                const float a = scores.at<float>(i / 7, i % 7), b = scores.at<float>(j / 7, j % 7);
                below += b < a;
                equal += b == a;
            }
            result.push_back((below + equal / 2) / (grid.area() - 1));
        }
        return result;
    };
    const std::vector<double> spectral = ranks(Baseline::SpectralSmooth), centre = ranks(Baseline::Centre);
    for (const auto& mixture : {std::make_pair(Baseline::SpectralCentre3, 0.3), {Baseline::SpectralCentre6, 0.6}})
    {
        const Mat scores = baselineRanking(image, grid, mixture.first).scores;
        for (int i = 0; i < grid.area(); ++i)
        {
            const size_t at = static_cast<size_t>(i);
            BOOST_CHECK_SMALL(scores.at<float>(i / 7, i % 7) - (spectral[at] + mixture.second * centre[at]), 1e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE(nothing_keeps_more_than_perfect_knowledge)
{
    Mat mask = Mat::zeros(Size(100, 100), CV_8U);
    mask(Rect(0, 0, 25, 10)).setTo(1);     // 250 of 350 pixels of patch 0 ...
    mask(Rect(75, 75, 10, 10)).setTo(1);   // ... and 100 of patch 15
    const eval::Coverage coverage(mask, Size(4, 4));
    const std::vector<double> kept = coverage.kept(coverage.perfect(), {1.0 / 16, 2.0 / 16, 1});
    BOOST_CHECK_CLOSE_FRACTION(kept[0], 250. / 350, 1e-12);
    BOOST_CHECK_EQUAL(kept[1], 1);
    BOOST_CHECK_EQUAL(kept[2], 1);
    const PatchRanking other = baselineRanking(mask, Size(4, 5), Baseline::Centre);
    BOOST_CHECK_NE(messageOf([&] { coverage.kept(other, {0.5}); }).find("4 x 5 patches, expected 4 x 4"),
                   std::string::npos);
}

BOOST_AUTO_TEST_CASE(bootstrap_means_spread_as_the_standard_error)
{
    const int images = 400, replicates = 4000;
    Mat values(images, 3, CV_64F);
    theRNG().state = 7;
    randn(values.col(0), 5, 2);
    values.col(1) = values.col(0) + 0.25;
    values.col(2) = 3;
    const Mat means = eval::bootstrapMeans(values, replicates, 1);
    BOOST_REQUIRE(means.size() == Size(3, replicates));
    Scalar centre, spread, mean, deviation;
    meanStdDev(values.col(0), mean, deviation);
    meanStdDev(means.col(0), centre, spread);
    const double error = deviation[0] / std::sqrt(images);
    BOOST_CHECK_SMALL(centre[0] - mean[0], 5 * error / std::sqrt(replicates));
    BOOST_CHECK_CLOSE_FRACTION(spread[0], error, 0.06);   // 5 standard deviations of 1 / sqrt(2 * 4000)
    const eval::Interval interval = eval::percentileInterval(means.col(0).clone().reshape(1, 1), 0.95);
    BOOST_CHECK_CLOSE_FRACTION(interval.low, mean[0] - 1.96 * error, 0.01);
    BOOST_CHECK_CLOSE_FRACTION(interval.high, mean[0] + 1.96 * error, 0.01);
    // All columns of a replicate use the same draw.
    for (int i = 0; i < replicates; ++i)
    {
        BOOST_CHECK_SMALL(means.at<double>(i, 1) - means.at<double>(i, 0) - 0.25, 1e-9);
        BOOST_CHECK_SMALL(means.at<double>(i, 2) - 3, 1e-9);
    }
    const auto same = [&](uint32_t stream)
    { return countNonZero(eval::bootstrapMeans(values, 50, stream) != means.rowRange(0, 50)) == 0; };
    BOOST_CHECK(same(1));
    BOOST_CHECK(!same(2));
    BOOST_CHECK_NE(messageOf([] { eval::bootstrapMeans(Mat(), 5, 0); }).find("bootstrap over 0 rows"),
                   std::string::npos);
}

BOOST_AUTO_TEST_CASE(percentiles_are_interpolated)
{
    const std::vector<double> values = {4, 0, 3, 1, 2};
    const eval::Interval wide = eval::percentileInterval(values, 0.9), half = eval::percentileInterval(values, 0.5);
    BOOST_CHECK_CLOSE_FRACTION(wide.low, 0.2, 1e-12);
    BOOST_CHECK_CLOSE_FRACTION(wide.high, 3.8, 1e-12);
    BOOST_CHECK_CLOSE_FRACTION(half.low, 1, 1e-12);
    BOOST_CHECK_CLOSE_FRACTION(half.high, 3, 1e-12);
    BOOST_CHECK_EQUAL(eval::percentileInterval({7}, 0.95).low, 7);
    BOOST_CHECK_NE(messageOf([] { eval::percentileInterval({}, 0.95); }).find("no values"), std::string::npos);
}

BOOST_AUTO_TEST_CASE(baselines_find_what_stands_out)
{
    const Size size(400, 300);
    const Point centre(300, 90);
    const Mat image = scene(size, centre, 50);
    Mat mask = Mat::zeros(size, CV_8U);
    circle(mask, centre, 50, Scalar(255), FILLED);
    std::set<std::string> names;
    for (Baseline baseline : teach::baselines())
    {
        const std::string name = teach::baselineName(baseline);
        names.insert(name);
        if (!teach::baselineAvailable(baseline))
        {
            BOOST_TEST_MESSAGE(name << " is not in this build");
            BOOST_CHECK_NE(messageOf([&] { baselineRanking(image, Size(14, 14), baseline); }).find(name),
                           std::string::npos);
            continue;
        }
        const PatchRanking ranking = baselineRanking(image, Size(14, 14), baseline);
        BOOST_CHECK(ranking.imageSize == size);
        BOOST_CHECK(ranking.grid() == Size(14, 14));
        const double share = keptForeground(mask, ranking, {0.15})[0];   // the disc covers 6.5 %
        if (baseline == Baseline::Random || baseline == Baseline::Uniform || baseline == Baseline::Centre)
            BOOST_CHECK_MESSAGE(share < 0.5, name << " " << share);   // these do not depend on the content
        else
            BOOST_CHECK_MESSAGE(share > 0.8, name << " " << share);
    }
    const std::set<std::string> want = {"random",
                                        "uniform",
                                        "centre",
                                        "gradient",
                                        "gradient_smooth",
                                        "barrier",
                                        "barrier_smooth",
                                        "fine_grained",
                                        "spectral_residual",
                                        "spectral_smooth",
                                        "spectral_centre_0.3",
                                        "spectral_centre_0.6"};
    BOOST_CHECK_EQUAL_COLLECTIONS(names.begin(), names.end(), want.begin(), want.end());
}

BOOST_AUTO_TEST_CASE(the_barrier_is_what_lies_around_a_region)
{
    // White on grey: a square away from the border, and a bar that touches it.
    Mat image(112, 112, CV_8UC3, Scalar::all(128));
    rectangle(image, Rect(32, 32, 24, 24), Scalar::all(255), FILLED);
    rectangle(image, Rect(80, 0, 24, 56), Scalar::all(255), FILLED);
    const PatchRanking ranking = baselineRanking(image, Size(14, 14), Baseline::Barrier);
    const double grey = 53.59, white = 100;   // CIELab's L of sRGB 128 and 255
    BOOST_CHECK_SMALL(ranking.scores.at<float>(5, 5) - (white - grey), 0.5);
    BOOST_CHECK_SMALL(ranking.scores.at<float>(3, 11) - 0., 0.5);
    BOOST_CHECK_SMALL(ranking.scores.at<float>(11, 3) - 0., 0.5);
    // A gap in a wall opens the space behind it, however the path winds.
    image.setTo(Scalar::all(128));
    for (int i = 0; i < 5; ++i)
        rectangle(image, Rect(8 * i, 8 * i, 112 - 16 * i, 112 - 16 * i), Scalar::all(i % 2 ? 255 : 128), FILLED);
    rectangle(image, Rect(8, 48, 8, 8), Scalar::all(128), FILLED);
    const float closed = baselineRanking(image, Size(14, 14), Baseline::Barrier).scores.at<float>(7, 7);
    rectangle(image, Rect(80, 56, 8, 8), Scalar::all(128), FILLED);
    const float open = baselineRanking(image, Size(14, 14), Baseline::Barrier).scores.at<float>(7, 7);
    BOOST_CHECK_SMALL(closed - (white - grey), 0.5);
    BOOST_CHECK_LT(open, 10);
}

BOOST_AUTO_TEST_CASE(baselines_take_every_image)
{
    for (Size size : {Size(1, 1), Size(1, 200), Size(20000, 30), Size(37, 21)})
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4, CV_16UC3, CV_32FC1})
            for (bool flat : {true, false})
            {
                Mat image(size, type, Scalar(0, 0, 0, 255));
                if (!flat)
                    randu(image, 0, type == CV_32FC1 ? 1 : 255);
                for (Baseline baseline : teach::baselines())
                    if (teach::baselineAvailable(baseline))
                    {
                        const PatchRanking ranking = baselineRanking(image, Size(14, 14), baseline);
                        BOOST_CHECK_MESSAGE(checkRange(ranking.scores), teach::baselineName(baseline) << " of " << size);
                        BOOST_CHECK_EQUAL(ranking.order().size(), 196u);
                    }
            }
    BOOST_CHECK_NE(messageOf([] { baselineRanking(Mat(), Size(4, 4), Baseline::Gradient); }).find("empty"),
                   std::string::npos);
    for (Size grid : {Size(0, 3), Size(3, -1), Size(100000, 100000)})
        BOOST_CHECK_NE(
            messageOf([&] { baselineRanking(Mat(8, 8, CV_8U), grid, Baseline::Random); }).find("patch grid"),
            std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

// A separate suite: ctest reports it as skipped if there are no photos.
BOOST_AUTO_TEST_SUITE(coverage_photos)

BOOST_AUTO_TEST_CASE(the_figures_of_photos_with_masks, *boost::unit_test::precondition(photosGiven))
{
    const std::string folder = photoFolder();
    BOOST_REQUIRE_MESSAGE(std::filesystem::is_directory(folder + "/images"), "no folder " << folder << "/images");
    // Measured with plain OpenCV on a grid of 14 x 14, keep 25 and 50 %.
    const struct
    {
        Baseline baseline;
        double quarter, half;
    } measured[] = {{Baseline::Random, 0.25, 0.50},
                    {Baseline::Gradient, 0.439, 0.676},
                    {Baseline::Spectral, 0.446, 0.672},
                    {Baseline::GradientSmooth, 0.444, 0.672},
                    {Baseline::FineGrained, 0.388, 0.645},
                    {Baseline::SpectralSmooth, 0.451, 0.671},
                    {Baseline::SpectralCentre3, 0.468, 0.687},
                    {Baseline::SpectralCentre6, 0.477, 0.701},
                    {Baseline::Centre, 0.410, 0.687}};
    for (const auto& m : measured)
    {
        if (!teach::baselineAvailable(m.baseline))
            continue;
        double quarter = 0, half = 0;
        uint32_t photos = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder + "/images"))
        {
            const Mat image = imread(entry.path().string());
            const Mat mask =
                imread(folder + "/foreground/" + entry.path().stem().string() + ".png", IMREAD_GRAYSCALE) > 127;
            const PatchRanking ranking = baselineRanking(image, Size(14, 14), m.baseline, 0, photos++);
            const std::vector<double> shares = keptForeground(mask, ranking, {0.25, 0.5});
            quarter += shares[0];
            half += shares[1];
        }
        BOOST_REQUIRE_GT(photos, 0u);
        const double tolerance = m.baseline == Baseline::Random ? 0.03 : 0.003;
        BOOST_TEST_MESSAGE(teach::baselineName(m.baseline) << " " << quarter / photos << " " << half / photos);
        BOOST_CHECK_SMALL(quarter / photos - m.quarter, tolerance);
        BOOST_CHECK_SMALL(half / photos - m.half, tolerance);
    }
}

BOOST_AUTO_TEST_SUITE_END()
