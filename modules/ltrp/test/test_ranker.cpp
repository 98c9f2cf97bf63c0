// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>

#include <cstdio>
#include <fstream>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

TEST(Ltrp_Ranker, matches_reference)
{
    struct Geometry { int size, patch; Stack encoder; double eps; };
    for (const Geometry& g : {Geometry{32, 8, {24, 2, 3, 48}, 1e-5}, Geometry{28, 7, {20, 3, 1, 36}, 1e-2},
                              Geometry{60, 12, {36, 1, 6, 72}, 1e-6}})
    {
        const Network network(g.size, g.patch, g.encoder, noDecoder, g.eps, g.size);
        const Ptr<Ranker> ranker = Ranker::create(network.path);
        ASSERT_EQ(Size(g.size, g.size), ranker->getInputSize());
        ASSERT_EQ(Size(g.size / g.patch, g.size / g.patch), ranker->getGrid());
        EXPECT_EQ(Scalar(0.5, 0.45, 0.4), ranker->getInputMean());
        EXPECT_EQ(Scalar(0.25, 0.22, 0.2), ranker->getInputStd());
        for (int number = 0; number < 3; number++)
        {
            const Mat image = photo(Size(g.size, g.size), number);   // not to be resized: the reference cannot
            const PatchRanking ranking = ranker->rank(image);
            EXPECT_EQ(ranker->getGrid(), ranking.grid());
            ASSERT_TRUE(ranking.scores.isContinuous());
            const double error = relativeError(ranking.scores, network.rank(image));
            EXPECT_LE(error, 1e-5) << "image " << number << " of " << g.size;
            double lowest, highest;
            minMaxLoc(ranking.scores, &lowest, &highest);
            EXPECT_GT(highest - lowest, 0.1);   // otherwise other tests would also accept constant scores
        }
    }
}

TEST(Ltrp_Ranker, describes_itself)
{
    const Network network(48, 8, {48, 2, 3, 96}, noDecoder, 1e-5, 1);
    const String info = Ranker::create(network.path)->info();
    for (const String& part : {network.path, String("grid 6 x 6"), String("precision: FP32"), String("device: CPU"),
                               String("2 blocks, 48 wide, 3 heads")})
        EXPECT_NE(String::npos, info.find(part)) << "'" << part << "' is missing in:\n" << info;
}

TEST(Ltrp_Ranker, results_are_the_callers_own)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const Mat first = ranker->rank(photo(Size(61, 47), 3)).scores, before = first.clone();
    const Mat second = ranker->rank(photo(Size(80, 80), 4)).scores;
    EXPECT_EQ(0, cvtest::norm(first, before, NORM_INF));
    EXPECT_GT(cvtest::norm(second, before, NORM_INF), 1e-3);
}

TEST(Ltrp_Ranker, batch_gives_the_scores_of_single_images)
{
    const Network network(48, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    std::vector<Mat> images = {photo(Size(100, 40), 1), photo(Size(33, 95), 2)(Rect(5, 9, 20, 61))};
    Mat gray, withAlpha, floating;
    cvtColor(images[0], gray, COLOR_BGR2GRAY);
    cvtColor(images[0], withAlpha, COLOR_BGR2BGRA);
    images[0].convertTo(floating, CV_32F, 1 / 255.0);
    images.insert(images.end(), {gray, withAlpha, floating});
    for (int i = 5; i < 130; i++)   // more than one pass of the network
        images.push_back(photo(Size(17 + 13 * i % 90, 90 - 11 * i % 70), i));
    const std::vector<PatchRanking> batch = ranker->rankBatch(images);
    ASSERT_EQ(images.size(), batch.size());
    for (size_t i = 0; i < images.size(); i++)
    {
        EXPECT_EQ(images[i].size(), batch[i].imageSize);
        EXPECT_LE(relativeError(batch[i].scores, ranker->rank(images[i]).scores), 1e-5) << i;
    }
    EXPECT_TRUE(ranker->rankBatch(std::vector<Mat>()).empty());
    EXPECT_TRUE(ranker->rankBatch(noArray()).empty());

    std::vector<UMat> device(2);
    images[0].copyTo(device[0]);
    images[1].copyTo(device[1]);
    EXPECT_LE(relativeError(ranker->rankBatch(device).at(1).scores, batch[1].scores), 1e-5);
}

TEST(Ltrp_Ranker, takes_views_and_all_pixel_types)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const Mat image = photo(Size(90, 70), 5), expected = ranker->rank(image).scores;
    const auto differenceTo = [&](InputArray other)
    { return cvtest::norm(ranker->rank(other).scores, expected, NORM_INF); };

    Mat wide(100, 120, CV_8UC3, Scalar::all(200));
    image.copyTo(wide(Rect(13, 7, 90, 70)));
    EXPECT_EQ(0, differenceTo(wide(Rect(13, 7, 90, 70))));
    EXPECT_GT(differenceTo(wide(Rect(12, 7, 90, 70))), 0);

    Mat converted, gray, grayAsColour;
    struct Type { int depth; double scale; };
    for (const Type& type : {Type{CV_32F, 1 / 255.0}, Type{CV_64F, 1 / 255.0}, Type{CV_16U, 257}})
    {
        image.convertTo(converted, type.depth, type.scale);
        EXPECT_EQ(0, differenceTo(converted)) << type.depth;
    }
    cvtColor(image, converted, COLOR_BGR2BGRA);
    EXPECT_EQ(0, differenceTo(converted));
    cvtColor(image, converted, COLOR_BGR2RGB);
    EXPECT_GT(differenceTo(converted), 1e-3);   // the order of the channels matters

    cvtColor(image, gray, COLOR_BGR2GRAY);
    cvtColor(gray, grayAsColour, COLOR_GRAY2BGR);
    EXPECT_EQ(0, cvtest::norm(ranker->rank(gray).scores, ranker->rank(grayAsColour).scores, NORM_INF));
    EXPECT_GT(differenceTo(gray), 1e-3);

    UMat device;
    image.copyTo(device);
    EXPECT_EQ(0, differenceTo(device));
}

TEST(Ltrp_Ranker, patches_tile_the_original_image)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    for (const Size size : {Size(101, 67), Size(32, 32), Size(3, 2)})
    {
        const PatchRanking ranking = ranker->rank(photo(size, 1));
        Mat covered(size, CV_32SC1, Scalar(0));
        for (int i = 0; i < ranking.grid().area(); i++)
        {
            const Rect rect = ranking.rect(i);
            if (rect.area() > 0)   // an image may have fewer pixels than the grid has patches
                cv::add(covered(rect), Scalar(1), covered(rect));   // unqualified it is ambiguous with ts
        }
        EXPECT_EQ(0, cvtest::norm(covered, Mat(size, CV_32SC1, Scalar(1)), NORM_INF)) << size;
        EXPECT_FALSE(errorOf(Error::StsOutOfRange, [&]() { ranking.rect(16); }).empty());
        EXPECT_FALSE(errorOf(Error::StsOutOfRange, [&]() { ranking.rect(-1); }).empty());
    }
}

TEST(Ltrp_Ranker, order_is_best_first)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const PatchRanking ranking = Ranker::create(network.path)->rank(photo(Size(50, 50), 1));
    std::vector<int> order = ranking.order();
    ASSERT_EQ(16u, order.size());
    for (size_t i = 1; i < order.size(); i++)
        EXPECT_GE(ranking.scores.ptr<float>()[order[i - 1]], ranking.scores.ptr<float>()[order[i]]);
    std::sort(order.begin(), order.end());
    for (int i = 0; i < 16; i++)
        EXPECT_EQ(i, order[i]);
}

TEST(Ltrp_Ranker, refuses_bad_images)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const Mat good = photo(Size(50, 50), 1), expected = ranker->rank(good).scores;
    const auto stillRight = [&]() { return cvtest::norm(ranker->rank(good).scores, expected, NORM_INF) == 0; };
    Mat nan(20, 20, CV_32FC3, Scalar::all(0.5)), infinite = nan.clone();
    nan.at<Vec3f>(19, 3)[1] = std::numeric_limits<float>::quiet_NaN();
    infinite.at<Vec3f>(0, 0)[2] = std::numeric_limits<float>::infinity();
    std::vector<Mat> bad = {Mat(), Mat(0, 5, CV_8UC3), nan, infinite};
    for (int type : {CV_8SC3, CV_32SC1, CV_32SC3, CV_8UC2, CV_8UC(5)})
        bad.push_back(Mat::zeros(8, 8, type));
    for (size_t i = 0; i < bad.size(); i++)
    {
        EXPECT_FALSE(errorOf(Error::StsBadArg, [&]() { ranker->rank(bad[i]); }).empty()) << i;
        EXPECT_TRUE(stillRight()) << i;
        const std::vector<Mat> list = {good, good, bad[i]};
        const String batch = errorOf(Error::StsBadArg, [&]() { ranker->rankBatch(list); });
        EXPECT_NE(String::npos, batch.find("image 2")) << i << ": " << batch;
        EXPECT_TRUE(stillRight()) << i;
    }
    // A single Mat would silently be treated as a list of its rows.
    const String single = errorOf(Error::StsBadArg, [&]() { ranker->rankBatch(good); });
    EXPECT_NE(String::npos, single.find("vector of images")) << single;
    EXPECT_TRUE(stillRight());
}

TEST(Ltrp_Ranker, refuses_damaged_files)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    std::ifstream file(network.path.c_str(), std::ios::binary);
    const std::string whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const String damaged = tempfile(".safetensors");
    const size_t bytes = whole.size();
    for (size_t length : {size_t(0), size_t(7), size_t(8), size_t(500), bytes / 2, bytes - 1, bytes + 1})
    {
        std::ofstream(damaged.c_str(), std::ios::binary) << (whole + "x").substr(0, length);
        const String error = errorOf(0, [&]() { Ranker::create(damaged); });
        EXPECT_NE(String::npos, error.find(damaged)) << length << " of " << bytes << " bytes: " << error;
    }
    std::remove(damaged.c_str());
}

TEST(Ltrp_Ranker, on_the_cpu_refuses_images_on_the_gpu)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    Mat image = photo(Size(50, 50), 1), scores;
    const cuda::GpuMat there(image.rows, image.cols, CV_8UC3, image.data, image.step);   // its memory is never read
    const std::vector<cuda::GpuMat> several(2, there);
    const int code = Error::StsBadArg;
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rank(there); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankBatch(several); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankOnDevice(there, scores); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankOnDevice(image, scores); }).find("expected a cv::cuda::GpuMat"));
}

/// The rankings of a list as a matrix, one row per image, as returned by Ranker::rankOnDevice.
Mat asRows(const std::vector<PatchRanking>& rankings)
{
    Mat rows;
    for (const PatchRanking& ranking : rankings)
        rows.push_back(ranking.scores.reshape(1, 1));
    return rows;
}

TEST(Ltrp_Ranker, on_the_gpu_takes_images_and_streams_of_opencv)
{
    needCudaOfOpencv();
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const std::vector<Mat> images = {photo(Size(50, 70), 1), photo(Size(33, 32), 2), photo(Size(91, 40), 3)};
    const Mat expected = asRows(ranker->rankBatch(images));
    ranker->setPreferableBackend(dnn::DNN_BACKEND_CUDA);
    const auto error = [&](const Mat& got)
    {
        return got.size() == expected.size() && got.type() == CV_32F
                   ? cvtest::norm(got, expected, NORM_INF) / cvtest::norm(expected, NORM_INF)
                   : DBL_MAX;
    };
    EXPECT_LE(error(asRows(ranker->rankBatch(images))), 1e-4);

    cuda::Stream stream;
    std::vector<cuda::HostMem> pinned(images.begin(), images.end());
    std::vector<cuda::GpuMat> there(images.size());
    for (size_t i = 0; i < images.size(); i++)
        there[i].upload(pinned[i], stream);   // still being uploaded when the scores are requested
    cuda::GpuMat scores;
    Mat host;
    ranker->rankOnDevice(there, scores, stream);
    scores.download(host, stream);
    stream.waitForCompletion();
    EXPECT_LE(error(host), 1e-4);

    const uchar* const place = scores.data;
    scores.setTo(Scalar::all(7));
    ranker->rankOnDevice(there, scores);
    scores.download(host);
    EXPECT_LE(error(host), 1e-4);
    EXPECT_EQ(place, scores.data) << "there was room";

    host.release();
    ranker->rankOnDevice(there, host, stream);
    EXPECT_LE(error(host), 1e-4);
    EXPECT_LE(error(asRows(ranker->rankBatch(there))), 1e-4);
    EXPECT_EQ(images[0].size(), ranker->rank(there[0]).imageSize);
    const cuda::GpuMat grey(images[0].size(), CV_8UC1);
    const String refused = errorOf(Error::StsBadArg, [&]() { ranker->rankOnDevice(grey, scores, stream); });
    EXPECT_NE(String::npos, refused.find("CV_8UC3")) << refused;
}

}}  // namespace
