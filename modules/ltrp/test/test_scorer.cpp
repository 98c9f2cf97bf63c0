// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>

#include <climits>
#include <functional>
#include <iomanip>
#include <set>
#include <sstream>

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

TEST(Ltrp_Scorer, describes_itself)
{
    const Network network(48, 8, {48, 2, 3, 96}, {32, 2, 2, 64}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    EXPECT_EQ(Size(6, 6), scorer->getGrid());
    const String info = scorer->info();
    for (const String& part : {network.path, String("grid 6 x 6"), String("encoder: 2 blocks, 48 wide, 3 heads"),
                               String("decoder: 2 blocks, 32 wide, 2 heads")})
        EXPECT_NE(String::npos, info.find(part)) << "'" << part << "' is missing in:\n" << info;
}

TEST(Ltrp_Scorer, masks_are_a_function_of_the_seed)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(75, 52), 2);
    std::set<std::vector<int>> masks;
    ScoreParams params;
    for (double ratio : {0.9, 0.75, 0.5, 0.01, 0.999, 1e-300})
        for (uint64 seed : {uint64(0), uint64(1), uint64(1) << 32, ~uint64(0)})
        {
            params.maskRatio = ratio;
            params.seed = size_t(seed);
            const VisibleScores first = scorer->score(image, params);
            const VisibleScores second = Scorer::create(network.path)->score(image, params);
            EXPECT_EQ(first.patches, second.patches);
            EXPECT_EQ(first.scores, second.scores);
            // int(36 * (1 - ratio)), at least 2 visible and at least 1 hidden
            const size_t visible = size_t(std::min(35, std::max(2, int(36 * (1 - ratio)))));
            ASSERT_EQ(visible, first.patches.size());
            EXPECT_EQ(visible, first.scores.size());
            EXPECT_GE(first.patches.front(), 0);
            EXPECT_LT(first.patches.back(), 36);
            EXPECT_TRUE(std::adjacent_find(first.patches.begin(), first.patches.end(), std::greater_equal<int>()) ==
                        first.patches.end());
            const bool isNew = masks.insert(first.patches).second;
            EXPECT_TRUE(isNew || ratio > 0.9 || ratio < 0.5) << ratio << " " << seed;   // otherwise too few masks
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
    const Mat image = photo(Size(90, 60), 1);
    ScoreParams params;
    params.masks = 100;
    const Mat expected = scorer->scoreMap(image, params).scores;
    const auto stillRight = [&]()
    { return cvtest::norm(scorer->scoreMap(image, params).scores, expected, NORM_INF) == 0; };
    int calls = 0;
    const String error = errorOf(Error::StsNoConv, [&]()
    {
        scorer->scoreMap(image, params, [&](int, int) { return ++calls < 3; });
    });
    EXPECT_NE(String::npos, error.find("cancelled after 3 of 100")) << error;
    EXPECT_EQ(3, calls);
    EXPECT_TRUE(stillRight());

    struct Own {};
    EXPECT_THROW(scorer->scoreMap(image, params, [](int, int) -> bool { throw Own(); }), Own);
    EXPECT_TRUE(stillRight());

    // The callback may use the scorer itself.
    bool inner = false;
    scorer->scoreMap(image, params, [&](int done, int) { inner = done == 1 ? stillRight() : inner; return true; });
    EXPECT_TRUE(inner);
}

TEST(Ltrp_Scorer, names_wrong_parameters)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(90, 60), 1);
    const auto expectRefused = [&](const ScoreParams& params, const String& name, double value, bool mapOnly)
    {
        std::ostringstream found;
        found << std::setprecision(10) << "found " << value;
        const auto expectNamed = [&](const String& error)
        {
            EXPECT_NE(String::npos, error.find(name + ":")) << error;
            EXPECT_NE(String::npos, error.find(found.str())) << error;
        };
        expectNamed(errorOf(Error::StsOutOfRange, [&]() { scorer->scoreMap(image, params); }));
        if (mapOnly)
            EXPECT_EQ(3u, scorer->score(image, params).scores.size());
        else
            expectNamed(errorOf(Error::StsOutOfRange, [&]() { scorer->score(image, params); }));
    };
    for (double ratio : {0.0, 1.0, -0.5, 2.0, std::numeric_limits<double>::quiet_NaN()})
    {
        ScoreParams params;
        params.maskRatio = ratio;
        expectRefused(params, "maskRatio", ratio, false);
    }
    struct Wrong { int ScoreParams::*member; String name; std::vector<int> values; bool mapOnly; };
    for (const Wrong& wrong : {Wrong{&ScoreParams::removal, "removal", {-1, 2}, false},
                               Wrong{&ScoreParams::metric, "metric", {-1, 4}, false},
                               Wrong{&ScoreParams::space, "space", {-1, 2}, false},
                               Wrong{&ScoreParams::average, "average", {-1, 2}, true},
                               Wrong{&ScoreParams::masks, "masks", {0, -7, INT_MAX}, true}})
        for (int value : wrong.values)
        {
            ScoreParams params;
            params.*wrong.member = value;
            expectRefused(params, wrong.name, value, wrong.mapOnly);
        }
}

TEST(Ltrp_Scorer, refuses_bad_images_and_takes_any_shape)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    const Mat image = photo(Size(75, 52), 6);
    const std::vector<float> expected = scorer->score(image).scores;
    const Mat nan(4, 4, CV_32FC3, Scalar::all(std::numeric_limits<double>::quiet_NaN()));
    for (const Mat& bad : {Mat(), nan, Mat(4, 4, CV_8UC2, Scalar())})
    {
        EXPECT_THROW(scorer->score(bad), cv::Exception);
        EXPECT_THROW(scorer->scoreMap(bad), cv::Exception);
        EXPECT_EQ(expected, scorer->score(image).scores);
    }
    for (const Size size : {Size(1, 1), Size(20000, 30)})
        EXPECT_EQ(size, scorer->scoreMap(photo(size, 1)).imageSize);
}

TEST(Ltrp_Scorer, on_the_cpu_refuses_images_on_the_gpu)
{
    const Network network(48, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 3);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    Mat image = photo(Size(90, 60), 1);
    const cuda::GpuMat there(image.rows, image.cols, CV_8UC3, image.data, image.step);   // its memory is never read
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
        there[i].upload(pinned[i], stream);   // still being uploaded when the scores are requested
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
    const Network ranker(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Network autoencoder(32, 8, {24, 1, 3, 48}, {16, 1, 2, 32}, 1e-6, 1);
    const String missing = ranker.path + ".missing";
    for (const String& path : {ranker.path, missing})
        EXPECT_NE(String::npos, errorOf(0, [&]() { Scorer::create(path); }).find(path));
    for (const String& path : {autoencoder.path, missing})
        EXPECT_NE(String::npos, errorOf(0, [&]() { Ranker::create(path); }).find(path));
}

}}  // namespace
