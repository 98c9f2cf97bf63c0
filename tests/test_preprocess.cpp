// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// From any image to the network's input: compared with Pillow's pixels and with plain formulas, for all kinds of
// images.

#include "messages.hpp"
#include "precomp.hpp"
#include "golden_folders.hpp"
#include "image/preprocess.hpp"
#include "io/tensor_file.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <filesystem>
#include <limits>

using namespace cv;
using namespace cv::ltrp;

namespace {

double cubicWeight(double x)
{
    x = std::fabs(x);
    return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/// One output sample along a line, in double precision, rounded to 8 bits.
template <typename Pixel> double sample(Pixel pixel, int source, double begin, double end, int64_t total, int64_t o)
{
    const double scale = (end - begin) / static_cast<double>(total), wide = std::max(1.0, scale);
    const double centre = begin + (static_cast<double>(o) + 0.5) * scale;
    double sum = 0, weights = 0;
    for (int i = 0; i < source; ++i)
        if (i + 0.5 > centre - 2 * wide - 1 && i + 0.5 < centre + 2 * wide + 1)
        {
            const double w = cubicWeight((i + 0.5 - centre) / wide);
            sum += w * pixel(i);
            weights += w;
        }
    return std::min(255.0, std::max(0.0, std::floor(sum / weights + 0.5)));
}

/// The resize in its simplest form: every row, then every column.
Mat plainResize(const Mat& src, Size size, Rect2d box)
{
    const int channels = src.channels();
    Mat middle(src.rows, size.width, CV_8UC(channels)), out(size, CV_8UC(channels));
    for (int y = 0; y < src.rows; ++y)
        for (int x = 0; x < size.width; ++x)
            for (int c = 0; c < channels; ++c)
                middle.ptr(y)[x * channels + c] =
                    static_cast<uchar>(sample([&](int i) { return src.ptr(y)[i * channels + c]; }, src.cols, box.x,
                                              box.x + box.width, size.width, x));
    for (int y = 0; y < size.height; ++y)
        for (int x = 0; x < size.width; ++x)
            for (int c = 0; c < channels; ++c)
                out.ptr(y)[x * channels + c] =
                    static_cast<uchar>(sample([&](int i) { return middle.ptr(i)[x * channels + c]; }, src.rows, box.y,
                                              box.y + box.height, size.height, y));
    return out;
}

/// Blobs, edges and noise.
Mat picture(Size size, int type, int seed)
{
    Mat small(std::min(size.height, 9), std::min(size.width, 7), type), image;
    RNG rng(seed);
    rng.fill(small, RNG::UNIFORM, 0, 256);
    resize(small, image, size, 0, 0, INTER_NEAREST);
    Mat noise(size, type);
    rng.fill(noise, RNG::UNIFORM, 0, 40);
    return image + noise;
}

double largestDifference(const Mat& a, const Mat& b)
{
    BOOST_REQUIRE(a.size() == b.size() && a.type() == b.type());
    return norm(a, b, NORM_INF);
}

#define CHECK_REFUSED(word, call)                                                          \
    do                                                                                     \
    {                                                                                      \
        const std::string text_ = messageOf([&] { call; });                                  \
        BOOST_CHECK_MESSAGE(text_.find(word) != std::string::npos, #call << ": " << text_); \
    } while (false)

}  // namespace

BOOST_AUTO_TEST_SUITE(preprocess)

BOOST_AUTO_TEST_CASE(photos_become_the_recorded_tensors)
{
    int photos = 0;
    for (const std::string& golden : goldenFolders())
        for (int i = 0; std::filesystem::exists(golden + "/preprocess/photo_" + std::to_string(i) + ".png"); ++i)
        {
            const std::string folder = golden + "/preprocess", number = std::to_string(i);
            Mat rgb, want, got;
            image::toRgb8(imread(folder + "/photo_" + number + ".png", IMREAD_COLOR), rgb);
            image::toRgb8(imread(folder + "/expected_crop_" + number + ".png", IMREAD_COLOR), want);
            image::centreCrop(rgb, 224, got);
            BOOST_CHECK_EQUAL(largestDifference(got, want), 0);
            ++photos;
            const std::string tensors = folder + "/expected.safetensors";
            if (!std::filesystem::exists(tensors))
                continue;   // the project has only the crop, where the reference can differ
            std::vector<float> recorded(3 * 224 * 224), values(3 * 224 * 224);
            io::toFloat(io::TensorFile::open(tensors)->at("photo_" + number + ".tensor"), recorded.data());
            image::normalise(got, vit::InputConfig(), values.data());
            BOOST_CHECK_LE(norm(recorded, values, NORM_INF), 1e-6);
        }
    BOOST_CHECK_GE(photos, 1);
}

BOOST_AUTO_TEST_CASE(resize_equals_pillow)
{
    // Pixels from Pillow 12.0: Image.resize(size, BICUBIC, box) of the image below.
    Mat source(17, 23, CV_8UC3);
    for (int y = 0; y < 17; ++y)
        for (int x = 0; x < 23; ++x)
            for (int c = 0; c < 3; ++c)
                source.at<Vec3b>(y, x)[c] = static_cast<uchar>((x * x * 37 + y * 91 + c * 53 + x * y * 11) % 256);
    const struct
    {
        Size size;
        Rect2d box;
        std::vector<uchar> want;
    } cases[] = {
        {Size(5, 4), Rect2d(0, 0, 23, 17), {
            125, 136, 139, 125, 131, 116, 113, 126, 146, 92, 112, 157, 132, 113, 130, 125, 147, 127, 116, 133,
            125, 132, 112, 114, 100, 124, 162, 113, 136, 136, 126, 130, 125, 133, 131, 115, 144, 142, 126, 150,
            145, 163, 132, 123, 137, 121, 150, 111, 119, 142, 120, 109, 121, 124, 144, 160, 123, 135, 125, 118}},
        {Size(6, 3), Rect2d(2.25, 1.5, 18.5, 7.625), {
            143, 131, 130, 118, 136, 119, 127, 103, 113, 95, 131, 170, 84, 106, 161, 116, 116, 136, 142, 141,
            128, 114, 131, 124, 125, 144, 113, 107, 85, 130, 69, 127, 180, 101, 117, 121, 97, 147, 120, 112,
            130, 124, 143, 120, 120, 161, 111, 89, 116, 140, 185, 135, 152, 151}},
        {Size(7, 2), Rect2d(8, 3, 3, 11), {
            111, 140, 126, 119, 135, 129, 131, 131, 124, 139, 128, 118, 136, 124, 114, 131, 121, 112, 133, 116,
            111, 143, 123, 121, 134, 119, 127, 129, 116, 116, 127, 115, 107, 127, 121, 117, 128, 129, 130, 130,
            136, 128}}};
    for (const auto& c : cases)
    {
        Mat got;
        image::resizeAntialiasedCubic(source, got, c.size, c.box);
        const std::vector<uchar> values = got.reshape(1, 1);
        BOOST_CHECK_EQUAL_COLLECTIONS(values.begin(), values.end(), c.want.begin(), c.want.end());
    }
}

BOOST_AUTO_TEST_CASE(resize_follows_the_formula_for_every_type_size_and_step)
{
    // At most one level of difference: fixed-point weights may round a value between two levels the other way, and the
    // second pass can add another such difference.
    int seed = 0;
    for (int type : {CV_8UC1, CV_8UC3, CV_8UC4})
        for (Size from : {Size(1, 1), Size(1, 40), Size(40, 1), Size(31, 47), Size(150, 70), Size(700, 5)})
            for (Size to : {Size(1, 1), Size(8, 8), Size(33, 70), Size(from.width, 9), Size(9, from.height), from})
                for (int view = 0; view < 2; ++view)
                {
                    Mat whole = picture(from + Size(5, 3), type, ++seed);
                    const Mat source = view ? whole(Rect(Point(3, 1), from)) : whole(Rect(Point(3, 1), from)).clone();
                    const Rect2d all(0, 0, from.width, from.height);
                    const Rect2d part(0.3 * from.width, 0.1 * from.height, 0.55 * from.width, 0.77 * from.height);
                    BOOST_TEST_CONTEXT("type " << type << ", " << from << " to " << to << ", view " << view)
                    {
                        Mat got;
                        image::resizeAntialiasedCubic(source, got, to);
                        BOOST_CHECK_LE(largestDifference(got, plainResize(source, to, all)), from == to ? 0 : 1);
                        image::resizeAntialiasedCubic(source, got, to, part);
                        BOOST_CHECK_LE(largestDifference(got, plainResize(source, to, part)), 1);
                        // Pixels outside a view must not be used.
                        Mat again;
                        image::resizeAntialiasedCubic(source.clone(), again, to, part);
                        BOOST_CHECK_EQUAL(largestDifference(got, again), 0);
                    }
                }
}

BOOST_AUTO_TEST_CASE(resize_may_write_over_its_source)
{
    const Mat source = picture(Size(30, 20), CV_8UC3, 1);
    for (Size size : {Size(7, 9), Size(30, 9), Size(7, 20), Size(30, 20)})
    {
        Mat want, both = source.clone();
        image::resizeAntialiasedCubic(source, want, size);
        image::resizeAntialiasedCubic(both, both, size);
        BOOST_CHECK_EQUAL(largestDifference(both, want), 0);
    }
    // Equal sizes give a copy, not a reference to the same pixels.
    Mat copy, same = source.clone();
    image::resizeAntialiasedCubic(same, copy, same.size());
    same.setTo(0);
    BOOST_CHECK_EQUAL(largestDifference(copy, source), 0);
}

BOOST_AUTO_TEST_CASE(resize_refuses_what_it_cannot_do)
{
    Mat out;
    const Mat image = picture(Size(10, 8), CV_8UC3, 1);
    CHECK_REFUSED("empty", image::resizeAntialiasedCubic(Mat(), out, Size(4, 4)));
    CHECK_REFUSED("0 x 4", image::resizeAntialiasedCubic(image, out, Size(0, 4)));
    CHECK_REFUSED("8-bit", image::resizeAntialiasedCubic(Mat::zeros(4, 4, CV_32FC3), out, Size(4, 4)));
    CHECK_REFUSED("with 2", image::resizeAntialiasedCubic(Mat::zeros(4, 4, CV_8UC2), out, Size(4, 4)));
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (Rect2d box : {Rect2d(-0.1, 0, 4, 4), Rect2d(0, 0, 10.1, 4), Rect2d(0, 0, 0, 4), Rect2d(0, 7, 4, 1.5),
                       Rect2d(nan, 0, 4, 4), Rect2d(0, 0, nan, 4)})
        CHECK_REFUSED("resize box", image::resizeAntialiasedCubic(image, out, Size(4, 4), box));
    BOOST_CHECK(out.empty());
}

BOOST_AUTO_TEST_CASE(every_type_becomes_the_same_rgb)
{
    for (Size size : {Size(1, 1), Size(1, 33), Size(33, 1), Size(57, 41), Size(20000, 30)})
        for (int channels : {1, 3, 4})
        {
            Mat whole(size + Size(4, 2), CV_8UC(channels));
            randu(whole, 0, 256);
            if (channels == 4)
                insertChannel(Mat(whole.size(), CV_8U, Scalar(255)), whole, 3);   // opaque
            const Mat bytes = whole(Rect(Point(1, 2), size));
            Mat want(size, CV_8UC3);
            for (int y = 0; y < size.height; ++y)
                for (int x = 0; x < size.width; ++x)
                    for (int c = 0; c < 3; ++c)
                        want.at<Vec3b>(y, x)[c] = bytes.ptr(y)[x * channels + (channels == 1 ? 0 : 2 - c)];
            for (int depth : {CV_8U, CV_16U, CV_32F, CV_64F})
            {
                Mat other, view, rgb;
                const double scale = depth == CV_8U ? 1 : depth == CV_16U ? 257 : 1 / 255.0;
                whole.convertTo(other, depth, scale);
                view = other(Rect(Point(1, 2), size));
                image::toRgb8(view, rgb);
                BOOST_TEST_CONTEXT(size << ", " << channels << " channels, depth " << depth)
                    BOOST_CHECK_EQUAL(largestDifference(rgb, want), 0);
                image::toRgb8(view.clone(), rgb);
                BOOST_CHECK_EQUAL(largestDifference(rgb, want), 0);
            }
        }
}

BOOST_AUTO_TEST_CASE(rgb_does_not_touch_the_image)
{
    Mat image = picture(Size(9, 9), CV_8UC3, 4);
    const Mat before = image.clone();
    Mat rgb;
    image::toRgb8(image, rgb);
    rgb.setTo(7);
    BOOST_CHECK_EQUAL(largestDifference(image, before), 0);
    image::toRgb8(image, image);
    BOOST_CHECK_EQUAL(image.at<Vec3b>(2, 3)[0], before.at<Vec3b>(2, 3)[2]);
}

BOOST_AUTO_TEST_CASE(an_overshoot_is_clamped_and_values_further_outside_are_refused)
{
    const Mat floats = (Mat_<float>(1, 7) << -0.1f, -1e-30f, 0.f, 0.5f, 1.f, 1.01f, 1.12f);
    const Mat doubles = (Mat_<double>(1, 7) << -0.12, -1e-300, 0., 0.5, 1., 1.01, 1.1);
    Mat rgb;
    const std::vector<int> want = {0, 0, 0, 128, 255, 255, 255};
    for (const Mat& image : {floats, doubles})
    {
        image::toRgb8(image, rgb);
        for (int i = 0; i < 7; ++i)
            BOOST_CHECK_EQUAL(int(rgb.at<Vec3b>(0, i)[1]), want[static_cast<size_t>(i)]);
    }
    for (int depth : {CV_32F, CV_64F})
        for (double value : {-0.2, -2.1, 1.2, 2.6, 255., 1e30})
        {
            Mat image(9, 7, CV_MAKETYPE(depth, 3), Scalar::all(0.5));
            Mat(image, Rect(3, 4, 1, 1)).setTo(Scalar(0.5, 0.5, value));
            CHECK_REFUSED("expected 0 to 1", image::toRgb8(image, rgb));
            CHECK_REFUSED(value < 0 ? "undo the normalisation" : "divide values of 0 to 255", image::toRgb8(image, rgb));
        }
    // 16 bits, all values: the nearest of 255 levels.
    Mat words(256, 256, CV_16U);
    for (int i = 0; i < 65536; ++i)
        words.at<ushort>(i / 256, i % 256) = static_cast<ushort>(i);
    image::toRgb8(words, rgb);
    int wrong = 0;
    for (int i = 0; i < 65536; ++i)
        wrong += rgb.at<Vec3b>(i / 256, i % 256)[2] != cvRound(i / 257.0);
    BOOST_CHECK_EQUAL(wrong, 0);
}

BOOST_AUTO_TEST_CASE(transparent_pixels_lie_on_white)
{
    // Transparent, half, opaque: the colour of the first is ignored.
    const Mat bytes = (Mat_<Vec4b>(1, 3) << Vec4b(1, 2, 3, 0), Vec4b(0, 100, 200, 128), Vec4b(7, 8, 9, 255));
    for (int depth : {CV_8U, CV_16U, CV_32F, CV_64F})
    {
        Mat image, rgb;
        bytes.convertTo(image, depth, depth == CV_8U ? 1 : depth == CV_16U ? 257 : 1 / 255.0);
        image::toRgb8(image, rgb);
        const Vec3b want[] = {Vec3b(255, 255, 255), Vec3b(227, 177, 127), Vec3b(9, 8, 7)};
        for (int x = 0; x < 3; ++x)
            for (int c = 0; c < 3; ++c)
                BOOST_CHECK_LE(std::abs(rgb.at<Vec3b>(0, x)[c] - want[x][c]), 0);
    }
    Mat rgb;
    CHECK_REFUSED("every pixel of the image is transparent", image::toRgb8(Mat(9, 9, CV_8UC4, Scalar(1, 2, 3, 0)), rgb));
}

BOOST_AUTO_TEST_CASE(images_that_are_none_are_refused)
{
    Mat rgb;
    CHECK_REFUSED("empty", image::toRgb8(Mat(), rgb));
    CHECK_REFUSED("empty", image::toRgb8(noArray(), rgb));
    CHECK_REFUSED("2 channels", image::toRgb8(Mat::zeros(4, 4, CV_8UC2), rgb));
    CHECK_REFUSED("5 channels", image::toRgb8(Mat::zeros(4, 4, CV_8UC(5)), rgb));
    const int sizes[] = {2, 3, 4};
    CHECK_REFUSED("3 dimensions", image::toRgb8(Mat(3, sizes, CV_8U, Scalar(0)), rgb));
    for (int depth : {CV_8S, CV_16S, CV_32S})
        CHECK_REFUSED("expected 8U", image::toRgb8(Mat::zeros(4, 4, CV_MAKETYPE(depth, 3)), rgb));
    for (double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                         -std::numeric_limits<double>::infinity()})
        for (int depth : {CV_32F, CV_64F})
            for (Point place : {Point(0, 0), Point(6, 0), Point(4, 8)})
            {
                Mat image = Mat::zeros(9, 7, CV_MAKETYPE(depth, 3));
                if (depth == CV_32F)
                    image.at<Vec3f>(place)[2] = static_cast<float>(value);
                else
                    image.at<Vec3d>(place)[2] = value;
                CHECK_REFUSED(cv::format("column %d, row %d, channel 2", place.x, place.y), image::toRgb8(image, rgb));
            }
    BOOST_CHECK(rgb.empty());
    // A value outside a view is ignored.
    Mat outside = Mat::zeros(9, 9, CV_32F);
    outside.at<float>(8, 8) = std::numeric_limits<float>::quiet_NaN();
    image::toRgb8(outside(Rect(0, 0, 8, 9)), rgb);
    BOOST_CHECK(rgb.size() == Size(8, 9));
}

BOOST_AUTO_TEST_CASE(centre_crop_is_the_middle_of_the_resized_image)
{
    const auto halfToEven = [](int64_t doubled)
    {
        const int64_t low = doubled >> 1;
        return doubled % 2 && low % 2 ? low + 1 : low;
    };
    for (Size size :
         {Size(500, 375), Size(375, 500), Size(31, 30), Size(30, 31), Size(64, 64), Size(7, 90), Size(301, 203)})
        for (int side : {32, 48, 112, 160, 224, 240, 384})
        {
            const Mat rgb = picture(size, CV_8UC3, size.width + side);
            const int shorter = side <= 224 ? side * 256 / 224 : side, least = std::min(size.width, size.height);
            const Size whole(shorter * size.width / least, shorter * size.height / least);
            Mat resized, got;
            image::resizeAntialiasedCubic(rgb, resized, whole);
            image::centreCrop(rgb, side, got);
            const Rect window(static_cast<int>(halfToEven(whole.width - side)),
                              static_cast<int>(halfToEven(whole.height - side)), side, side);
            BOOST_TEST_CONTEXT(size << " to " << side)
                BOOST_CHECK_EQUAL(largestDifference(got, resized(window)), 0);
        }
}

BOOST_AUTO_TEST_CASE(centre_crop_of_strips)
{
    for (Size size : {Size(1, 1), Size(1, 20000), Size(20000, 30), Size(20000, 1)})
    {
        Mat rgb(size, CV_8UC3, Scalar(10, 20, 30)), got;
        image::centreCrop(rgb, 224, got);
        BOOST_CHECK_EQUAL(largestDifference(got, Mat(224, 224, CV_8UC3, Scalar(10, 20, 30))), 0);
    }
    // Of 20000 x 30 pixels the middle 26 columns (30 * 224 / 256, rounded) are used: a mark there has an effect, others
    // do not.
    Mat strip(30, 20000, CV_8UC3, Scalar::all(0)), got;
    strip.colRange(0, 9980).setTo(255);
    strip.colRange(10020, 20000).setTo(255);
    image::centreCrop(strip, 224, got);
    BOOST_CHECK_EQUAL(countNonZero(got.reshape(1)), 0);
    strip.setTo(0);
    strip.colRange(9999, 10001).setTo(255);
    image::centreCrop(strip, 224, got);
    BOOST_CHECK_GT(countNonZero(got.reshape(1).row(100)), 0);
    CHECK_REFUSED("empty", image::centreCrop(Mat(0, 0, CV_8UC3), 224, got));
    CHECK_REFUSED("8-bit", image::centreCrop(Mat::zeros(4, 4, CV_8U), 224, got));
    CHECK_REFUSED("is 0", image::centreCrop(Mat::zeros(4, 4, CV_8UC3), 0, got));
}

BOOST_AUTO_TEST_CASE(normalised_values)
{
    vit::InputConfig input;
    input.imageSize = 32;
    input.mean[0] = 0.1;
    input.std[2] = 0.7;
    Mat whole = picture(Size(40, 36), CV_8UC3, 3);
    for (const Mat& rgb : {whole(Rect(4, 2, 32, 32)), whole(Rect(4, 2, 32, 32)).clone()})
    {
        std::vector<float> got(3 * 32 * 32 + 1, 99.f);
        image::normalise(rgb, input, got.data());
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < 32; ++y)
                for (int x = 0; x < 32; ++x)
                    BOOST_REQUIRE_SMALL(got[static_cast<size_t>((c * 32 + y) * 32 + x)] -
                                            (rgb.at<Vec3b>(y, x)[c] / 255.0 - input.mean[c]) / input.std[c], 1e-6);
        BOOST_CHECK_EQUAL(got.back(), 99.f);   // nothing is written beyond the end
    }
    std::vector<float> out(3 * 32 * 32);
    CHECK_REFUSED("40 x 36", image::normalise(whole, input, out.data()));
    CHECK_REFUSED("8-bit", image::normalise(Mat::zeros(32, 32, CV_8UC1), input, out.data()));
}

BOOST_AUTO_TEST_SUITE_END()
