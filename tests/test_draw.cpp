// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Images of rankings: every pixel of drawKept and drawHeatMap, and checkable properties of drawOverlay.

#include "messages.hpp"
#include "precomp.hpp"
#include "opencv2/ltrp/draw.hpp"
#include "bright_box.hpp"

#include <opencv2/imgproc.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <functional>
#include <limits>
#include <set>

using namespace cv;
using namespace cv::ltrp;

namespace {

Mat picture(Size size, int type, int seed)
{
    Mat image(size, type);
    RNG rng(seed);
    rng.fill(image, RNG::UNIFORM, 0, 256);
    if (image.channels() == 4)
        insertChannel(Mat(size, CV_8U, Scalar(255)), image, 3);   // opaque
    return image;
}

PatchRanking ramp(Size imageSize, Size grid)
{
    PatchRanking ranking;
    ranking.imageSize = imageSize;
    ranking.scores.create(grid, CV_32F);
    for (int i = 0; i < grid.area(); ++i)
        ranking.scores.at<float>(i / grid.width, i % grid.width) = static_cast<float>(i) - 3;
    return ranking;
}

int channelOf(const Mat& image, int y, int x, int c)
{
    return image.ptr(y)[x * image.channels() + (image.channels() == 1 ? 0 : c)];
}

void checkRefused(const std::string& word, const std::function<void()>& call)
{
    const std::string text = messageOf(call);
    BOOST_CHECK_MESSAGE(text.find(word) != std::string::npos, "'" << word << "' expected: " << text);
}

const Size sizes[] = {Size(1, 1), Size(1, 50), Size(50, 1), Size(37, 61), Size(224, 224)};

}  // namespace

BOOST_AUTO_TEST_SUITE(draw)

BOOST_AUTO_TEST_CASE(kept_patches_stay_and_others_dim)
{
    const Size grid(5, 4);
    const std::vector<int> keep = {0, 7, 8, 19};
    const std::set<int> kept(keep.begin(), keep.end());
    int seed = 0;
    for (Size size : sizes)
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4})
            for (double dim : {0.0, 0.25, 1.0})
            {
                const Mat whole = picture(size + Size(3, 2), type, ++seed);
                const Mat image = whole(Rect(Point(2, 1), size)), before = image.clone();
                Mat got;
                drawKept(image, grid, keep, got, dim);
                BOOST_REQUIRE(got.size() == size && got.type() == CV_8UC3);
                int wrong = 0;
                for (int i = 0; i < grid.area(); ++i)
                {
                    const Rect rect = patchRect(size, grid, i);
                    for (int y = rect.y; y < rect.br().y; ++y)
                        for (int x = rect.x; x < rect.br().x; ++x)
                            for (int c = 0; c < 3; ++c)
                            {
                                const double want = channelOf(image, y, x, c) * (kept.count(i) ? 1 : dim);
                                wrong += std::fabs(got.at<Vec3b>(y, x)[c] - want) > 0.5 + 1e-9;
                            }
                }
                BOOST_CHECK_EQUAL(wrong, 0);
                BOOST_CHECK_EQUAL(norm(image, before, NORM_INF), 0);
            }
    Mat same = picture(Size(20, 20), CV_8UC3, 1), want;
    drawKept(same, grid, keep, want);
    drawKept(same, grid, keep, same);
    BOOST_CHECK_EQUAL(norm(same, want, NORM_INF), 0);
}

BOOST_AUTO_TEST_CASE(heat_map_mixes_image_and_colours)
{
    const Size grid(3, 4);
    Mat colours, levels(1, 256, CV_8U);
    for (int i = 0; i < 256; ++i)
        levels.at<uchar>(0, i) = static_cast<uchar>(i);
    applyColorMap(levels, colours, COLORMAP_INFERNO);
    int seed = 0;
    for (Size size : sizes)
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4})
            for (double alpha : {0.0, 0.55, 1.0})
            {
                const Mat whole = picture(size + Size(3, 2), type, ++seed);
                const Mat image = whole(Rect(Point(2, 1), size));
                Mat got;
                drawHeatMap(image, ramp(size, grid).scores, got, alpha);
                BOOST_REQUIRE(got.size() == size && got.type() == CV_8UC3);
                int wrong = 0;
                for (int i = 0; i < grid.area(); ++i)
                {
                    const Rect rect = patchRect(size, grid, i);
                    const Vec3b colour = colours.at<Vec3b>(0, cvRound(255 * i / 11.0));
                    for (int y = rect.y; y < rect.br().y; ++y)
                        for (int x = rect.x; x < rect.br().x; ++x)
                            for (int c = 0; c < 3; ++c)
                            {
                                const double want = (1 - alpha) * channelOf(image, y, x, c) + alpha * colour[c];
                                wrong += std::fabs(got.at<Vec3b>(y, x)[c] - want) > 0.51;
                            }
                }
                BOOST_CHECK_EQUAL(wrong, 0);
            }
    // All scores equal: one colour, no division by zero.
    Mat flat;
    drawHeatMap(Mat::zeros(8, 8, CV_8UC3), Mat(2, 2, CV_32F, Scalar(5)), flat, 1);
    BOOST_CHECK_EQUAL(norm(flat, Mat(8, 8, CV_8UC3, Scalar(flat.at<Vec3b>(0, 0))), NORM_INF), 0);
}

BOOST_AUTO_TEST_CASE(overlay_is_legible_for_every_image)
{
    for (Size size : {Size(1, 1), Size(1, 300), Size(300, 1), Size(32, 32), Size(640, 427), Size(427, 640),
                      Size(3000, 2000), Size(20000, 30)})
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4})
            for (Size grid : {Size(14, 14), Size(1, 1), Size(40, 3), Size(200, 200)})
            {
                Mat got;
                drawOverlay(Mat(size, type, Scalar::all(77)), ramp(size, grid), {0}, got);
                BOOST_TEST_CONTEXT(size << " " << grid << " gives " << got.size())
                {
                    BOOST_CHECK_EQUAL(got.type(), CV_8UC3);
                    BOOST_CHECK(got.cols >= 400 && got.cols <= 2200);
                    BOOST_CHECK(got.rows >= 100 && got.rows <= 1100);
                }
            }
}

BOOST_AUTO_TEST_CASE(overlay_shows_kept_patches_bright_and_scores_in_colour)
{
    // One quarter of a red image is kept: on the left only that quarter is red; on the right colours depend on the
    // scores.
    const Size size(480, 480);
    PatchRanking ranking;
    ranking.imageSize = size;
    ranking.scores = (Mat_<float>(2, 2) << 0, 1, 2, 9);
    Mat got;
    drawOverlay(Mat(size, CV_8UC3, Scalar(40, 40, 220)), ranking, {3}, got);
    Mat bright, hot;
    inRange(got, Scalar(40, 40, 220), Scalar(40, 40, 220), bright);
    const Rect kept = brightBox(bright);
    BOOST_CHECK(kept.width >= 236 && kept.width <= 240 && kept.height >= 236 && kept.height <= 240);
    BOOST_CHECK_GE(countNonZero(bright(kept)), 236 * 236);
    BOOST_CHECK_LT(kept.x, got.cols / 2);
    for (Point other : {Point(-100, -100), Point(100, -100), Point(-100, 100)})   // relative to the centre of the photo
    {
        const Vec3b pixel = got.at<Vec3b>(kept.tl() + other);
        BOOST_CHECK_MESSAGE(pixel[2] < 80 && pixel[2] - pixel[0] < 40, "a dropped patch is " << pixel);
    }
    const auto luma = [&](Point offset)
    {
        const Vec3b p = got.at<Vec3b>(Point(kept.x + size.width + (got.cols - 2 * size.width) / 8, kept.y) + offset);
        return 0.1 * p[0] + 0.6 * p[1] + 0.3 * p[2];
    };
    BOOST_CHECK_LT(luma(Point(-100, -100)), luma(Point(100, -100)));
    BOOST_CHECK_LT(luma(Point(100, -100)), luma(Point(-100, 100)));
    BOOST_CHECK_LT(luma(Point(-100, 100)), luma(Point(100, 100)));
}

BOOST_AUTO_TEST_CASE(overlay_names_the_extreme_scores)
{
    // The highest score is printed at the upper, light end of the colour bar, the lowest at the lower, dark one:
    // another extreme score changes only the text at its own end.
    const Size size(480, 480);
    const auto overlay = [&](float lowest, float highest)
    {
        PatchRanking ranking;
        ranking.imageSize = size;
        ranking.scores = (Mat_<float>(2, 2) << lowest, 20, 30, highest);
        Mat image;
        drawOverlay(Mat(size, CV_8UC3, Scalar::all(90)), ranking, {1}, image);
        return image;
    };
    const auto barEnd = [](const Mat& image)   // the last column of the bar
    {
        int x = image.cols - 1;
        while (x > 0 && image.at<Vec3b>(image.rows / 2, x) == Vec3b(255, 255, 255))
            --x;
        return x;
    };
    const Mat plain = overlay(11, 44), higher = overlay(11, 47), lower = overlay(17, 44);
    const int end = barEnd(plain);
    const auto luma = [&](int y)
    {
        const Vec3b p = plain.at<Vec3b>(y, end - 3);
        return 0.1 * p[0] + 0.6 * p[1] + 0.3 * p[2];
    };
    BOOST_CHECK_GT(luma(60), 180);
    BOOST_CHECK_LT(luma(plain.rows - 40), 40);

    const auto labels = [&](const Mat& image, bool top)   // dark pixels next to the bar
    {
        BOOST_REQUIRE_EQUAL(barEnd(image), end);
        Mat dark;
        inRange(image(top ? Range(0, 60) : Range(image.rows - 60, image.rows), Range(end + 2, image.cols)),
                Scalar::all(0), Scalar::all(120), dark);
        return dark;
    };
    BOOST_REQUIRE(higher.size() == plain.size() && lower.size() == plain.size());
    for (bool top : {true, false})
    {
        BOOST_CHECK_GT(countNonZero(labels(plain, top)), 10);
        BOOST_CHECK_EQUAL(norm(labels(plain, top), labels(higher, top), NORM_INF) > 0, top);
        BOOST_CHECK_EQUAL(norm(labels(plain, top), labels(lower, top), NORM_INF) > 0, !top);
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_drawn_is_refused)
{
    const Mat image = picture(Size(8, 8), CV_8UC3, 1), scores = ramp(image.size(), Size(2, 2)).scores;
    const PatchRanking ranking = ramp(image.size(), Size(2, 2));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    Mat out;
    checkRefused("empty", [&] { drawKept(Mat(), Size(2, 2), {0}, out); });
    checkRefused("32FC3", [&] { drawKept(Mat::zeros(4, 4, CV_32FC3), Size(2, 2), {0}, out); });
    checkRefused("8UC2", [&] { drawKept(Mat::zeros(4, 4, CV_8UC2), Size(2, 2), {0}, out); });
    checkRefused("kept patch 4", [&] { drawKept(image, Size(2, 2), {0, 4}, out); });
    checkRefused("kept patch -1", [&] { drawKept(image, Size(2, 2), {-1}, out); });
    checkRefused("patch grid of 0", [&] { drawKept(image, Size(0, 2), {}, out); });
    checkRefused("patch grid of 70000", [&] { drawKept(image, Size(70000, 70000), {}, out); });
    for (double bad : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    {
        checkRefused("brightness", [&] { drawKept(image, Size(2, 2), {0}, out, bad); });
        checkRefused("weight", [&] { drawHeatMap(image, scores, out, bad); });
    }
    checkRefused("scores are of type", [&] { drawHeatMap(image, Mat::zeros(2, 2, CV_64F), out); });
    checkRefused("scores are of type", [&] { drawHeatMap(image, Mat(), out); });
    checkRefused("NaN", [&] { drawHeatMap(image, Mat(2, 2, CV_32F, Scalar(nan)), out); });
    checkRefused("empty", [&] { drawOverlay(Mat(), ranking, {0}, out); });
    checkRefused("scores are of type", [&] { drawOverlay(image, PatchRanking(), {0}, out); });
    checkRefused("kept patch 4", [&] { drawOverlay(image, ranking, {4}, out); });
    BOOST_CHECK(out.empty());
}

BOOST_AUTO_TEST_SUITE_END()
