// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

TEST(Ltrp_Scorer, matches_reference)
{
    struct Geometry { int size, patch; Stack encoder, decoder; double ratio; size_t visible; };
    for (const Geometry& g : {Geometry{32, 8, {24, 2, 3, 48}, {16, 2, 2, 40}, 0.75, 4},
                              Geometry{30, 6, {16, 1, 1, 32}, {24, 3, 3, 24}, 0.7, 7}})
    {
        const Network network(g.size, g.patch, g.encoder, g.decoder, 1e-6, g.size);
        const Ptr<Scorer> scorer = Scorer::create(network.path);
        ASSERT_EQ(Size(g.size, g.size), scorer->getInputSize());
        ScoreParams params;
        params.maskRatio = g.ratio;
        for (int number = 0; number < 3; number++)
            for (int removal : {int(REMOVAL_DECODER), int(REMOVAL_ENCODER)})
                for (int metric : {int(METRIC_L1), int(METRIC_L2)})
                {
                    const Mat image = photo(Size(g.size, g.size), number);
                    params.seed = number;
                    params.removal = removal;
                    params.metric = metric;
                    const VisibleScores got = scorer->score(image, params);
                    ASSERT_EQ(g.visible, got.patches.size());
                    const std::vector<double> expected =
                        network.score(image, got.patches, removal == REMOVAL_ENCODER, metric == METRIC_L2);
                    EXPECT_LE(relativeError(Mat(got.scores).reshape(1, 1), expected), 1e-4)
                        << "size " << g.size << " image " << number << " removal " << removal << " metric " << metric;
                }
    }
}

TEST(Ltrp_Scorer, map_covers_every_patch_and_repeats)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(90, 60), 1);
    ScoreParams params;
    params.masks = 1;   // 3 of 36 patches are visible in one mask
    int total = 0;
    const PatchRanking map = scorer->scoreMap(image, params, [&](int, int all) { total = all; return true; });
    EXPECT_GE(total, 12);
    EXPECT_EQ(Size(6, 6), map.grid());
    EXPECT_EQ(image.size(), map.imageSize);
    double lowest;
    minMaxLoc(map.scores, &lowest);
    EXPECT_GT(lowest, 0);   // a patch that was never visible would have no score; L1 scores are positive
    EXPECT_EQ(0, cvtest::norm(scorer->scoreMap(image, params).scores, map.scores, NORM_INF));
    params.seed = 1;
    EXPECT_GT(cvtest::norm(scorer->scoreMap(image, params).scores, map.scores, NORM_INF), 0);
}

TEST(Ltrp_Scorer, map_can_be_cancelled)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(90, 60), 1), expected = scorer->scoreMap(image).scores;
    int calls = 0;
    const String error = errorOf(Error::StsNoConv, [&]()
    {
        scorer->scoreMap(image, ScoreParams(), [&](int done, int) { calls++; return done < 5; });
    });
    EXPECT_NE(String::npos, error.find("cancelled"));
    EXPECT_EQ(5, calls);
    EXPECT_EQ(0, cvtest::norm(scorer->scoreMap(image).scores, expected, NORM_INF));
}

TEST(Ltrp_Scorer, names_wrong_parameters)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(90, 60), 1);
    ScoreParams ratio, metric, masks;
    ratio.maskRatio = 1;
    metric.metric = 4;
    masks.masks = 0;
    const auto error = [&](const ScoreParams& params)
    { return errorOf(Error::StsOutOfRange, [&]() { scorer->scoreMap(image, params); }); };
    EXPECT_NE(String::npos, error(ratio).find("maskRatio"));
    EXPECT_NE(String::npos, error(metric).find("metric"));
    EXPECT_NE(String::npos, error(masks).find("masks"));
}

TEST(Ltrp_Scorer, on_the_cpu_refuses_images_on_the_gpu)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    Mat image = photo(Size(90, 60), 1);
    const cuda::GpuMat there(image.rows, image.cols, CV_8UC3, image.data, image.step);   // nobody will look into it
    EXPECT_NE(String::npos, errorOf(Error::StsBadArg, [&]() { scorer->score(there); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(Error::StsBadArg, [&]() { scorer->scoreMap(there); }).find("download it"));
    Mat scores;
    const int code = Error::StsBadArg;
    EXPECT_NE(String::npos, errorOf(code, [&]() { scorer->scoreOnDevice(there, scores); }).find("download it"));
    EXPECT_NE(String::npos, errorOf(code, [&]() { scorer->scoreOnDevice(image, scores); }).find("expected a cv::cuda::GpuMat"));
}

TEST(Ltrp_Scorer, on_the_gpu_takes_images_and_streams_of_opencv)
{
    needCudaOfOpencv();
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const std::vector<Mat> images = {photo(Size(90, 60), 1), photo(Size(33, 70), 2)};
    ScoreParams params;
    params.maskRatio = 0.75;
    std::vector<VisibleScores> expected;
    for (const Mat& image : images)
        expected.push_back(scorer->score(image, params));
    scorer->setPreferableBackend(dnn::DNN_BACKEND_CUDA);

    cuda::Stream stream;
    std::vector<cuda::HostMem> pinned(images.begin(), images.end());
    std::vector<cuda::GpuMat> there(images.size());
    for (size_t i = 0; i < images.size(); i++)
        there[i].upload(pinned[i], stream);   // on its way when the scores are asked for
    cuda::GpuMat scores;
    Mat host;
    const std::vector<int> visible = scorer->scoreOnDevice(there, scores, params, stream);
    scores.download(host, stream);
    stream.waitForCompletion();
    ASSERT_EQ(Size(int(visible.size()), int(images.size())), host.size());
    for (size_t i = 0; i < images.size(); i++)
    {
        EXPECT_EQ(expected[i].patches, visible);
        const std::vector<double> row(expected[i].scores.begin(), expected[i].scores.end());
        EXPECT_LE(relativeError(host.row(int(i)), row), 1e-3) << "image " << i;
    }
}

TEST(Ltrp_Scorer, wants_an_autoencoder)
{
    const Network ranker(32, 8, {24, 1, 3, 48}, {0, 0, 0, 0}, 1e-5, 1);
    const Network autoencoder(32, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 1);
    EXPECT_THROW(Scorer::create(ranker.path), cv::Exception);
    EXPECT_THROW(Ranker::create(autoencoder.path), cv::Exception);
}

}}  // namespace
