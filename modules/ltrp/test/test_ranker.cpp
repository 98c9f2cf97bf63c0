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

const Stack noDecoder = {0, 0, 0, 0};

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
            const double error = relativeError(ranker->rank(image).scores, network.rank(image));
            EXPECT_LE(error, 1e-5) << "image " << number << " of " << g.size;
        }
    }
}

TEST(Ltrp_Ranker, batch_of_images_of_all_kinds)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    std::vector<Mat> images;
    images.push_back(photo(Size(100, 40), 1));
    images.push_back(photo(Size(33, 95), 2)(Rect(5, 9, 20, 61)));
    Mat gray, withAlpha, floating;
    cvtColor(images[0], gray, COLOR_BGR2GRAY);
    images.push_back(gray);
    cvtColor(images[0], withAlpha, COLOR_BGR2BGRA);
    images.push_back(withAlpha);
    images[0].convertTo(floating, CV_32F, 1 / 255.0);
    images.push_back(floating);
    const std::vector<PatchRanking> batch = ranker->rankBatch(images);
    ASSERT_EQ(images.size(), batch.size());
    for (size_t i = 0; i < images.size(); i++)
    {
        const Mat alone = ranker->rank(images[i]).scores;
        EXPECT_EQ(images[i].size(), batch[i].imageSize);
        EXPECT_LE(cvtest::norm(batch[i].scores, alone, NORM_INF), 1e-5 * cvtest::norm(alone, NORM_INF)) << i;
    }
    EXPECT_LE(cvtest::norm(batch[0].scores, batch[3].scores, NORM_INF), 1e-5 * cvtest::norm(batch[0].scores, NORM_INF));
    EXPECT_LE(cvtest::norm(batch[0].scores, batch[4].scores, NORM_INF), 1e-5 * cvtest::norm(batch[0].scores, NORM_INF));
    EXPECT_GT(cvtest::norm(batch[0].scores, batch[2].scores, NORM_INF), 1e-3);
    EXPECT_TRUE(ranker->rankBatch(std::vector<Mat>()).empty());
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
            if (rect.area() > 0)   // an image may have fewer pixels than the grid has places
                cv::add(covered(rect), Scalar(1), covered(rect));   // unqualified it is ambiguous within ts
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
    const std::vector<int> order = ranking.order();
    ASSERT_EQ(16u, order.size());
    for (size_t i = 1; i < order.size(); i++)
        EXPECT_GE(ranking.scores.ptr<float>()[order[i - 1]], ranking.scores.ptr<float>()[order[i]]);
}

TEST(Ltrp_Ranker, refuses_bad_images)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const Mat good = photo(Size(50, 50), 1), expected = ranker->rank(good).scores;
    Mat nan(8, 8, CV_32FC3, Scalar::all(0.5));
    nan.at<Vec3f>(7, 7)[2] = std::numeric_limits<float>::quiet_NaN();
    for (const Mat& bad : {Mat(), nan, Mat(8, 8, CV_8UC2, Scalar::all(1)), Mat(8, 8, CV_32SC3, Scalar::all(1))})
    {
        EXPECT_FALSE(errorOf(Error::StsBadArg, [&]() { ranker->rank(bad); }).empty());
        const String batch = errorOf(Error::StsBadArg, [&]() { ranker->rankBatch(std::vector<Mat>{good, bad}); });
        EXPECT_NE(String::npos, batch.find("image 1")) << batch;
        EXPECT_EQ(0, cvtest::norm(ranker->rank(good).scores, expected, NORM_INF));
    }
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
        try
        {
            Ranker::create(damaged);
            ADD_FAILURE() << "accepted a file of " << length << " instead of " << bytes << " bytes";
        }
        catch (const cv::Exception& e)
        {
            EXPECT_NE(String::npos, e.err.find(damaged)) << e.err;
        }
    }
    std::remove(damaged.c_str());
}

TEST(Ltrp_Ranker, never_falls_back_in_silence)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const Mat image = photo(Size(50, 50), 1), expected = ranker->rank(image).scores;
    const int code = Error::StsNotImplemented;
    const String cuda = missingForTarget(dnn::DNN_TARGET_CUDA);
    if (!cuda.empty())   // what there is not is named; where there is a GPU, other tests use it
    {
        const int none = Error::GpuNotSupported;
        EXPECT_NE(String::npos, errorOf(none, [&]() { ranker->setPreferableBackend(dnn::DNN_BACKEND_CUDA); }).find(cuda));
        EXPECT_NE(String::npos, errorOf(none, [&]() { ranker->setPreferableTarget(dnn::DNN_TARGET_CUDA); }).find(cuda));
    }
    EXPECT_FALSE(errorOf(code, [&]() { ranker->setPreferableTarget(dnn::DNN_TARGET_OPENCL); }).empty());
    EXPECT_EQ(0, cvtest::norm(ranker->rank(image).scores, expected, NORM_INF));
    ranker->setPreferableBackend(dnn::DNN_BACKEND_OPENCV);
    ranker->setPreferableTarget(dnn::DNN_TARGET_CPU);
    EXPECT_EQ(0, cvtest::norm(ranker->rank(image).scores, expected, NORM_INF));
    EXPECT_NE(String::npos, ranker->info().find(network.path));
}

TEST(Ltrp_Ranker, on_the_cpu_refuses_images_on_the_gpu)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    Mat image = photo(Size(50, 50), 1), scores;
    const cuda::GpuMat there(image.rows, image.cols, CV_8UC3, image.data, image.step);   // nobody will look into it
    const std::vector<cuda::GpuMat> several(2, there);
    const int code = Error::StsBadArg;
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rank(there); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankBatch(several); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankOnDevice(there, scores); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankOnDevice(image, scores); }).find("expected a cv::cuda::GpuMat"));
}

/// The matrix of a list's rankings, a row an image, as Ranker::rankOnDevice gives it.
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
        there[i].upload(pinned[i], stream);   // on its way when the scores are asked for
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
