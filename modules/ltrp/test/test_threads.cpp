// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <atomic>
#include <thread>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

/// Runs call(thread, image number) for all images in 6 threads, each in another order.
template <class Call>
void inThreads(int images, Call call)
{
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; t++)
        threads.emplace_back([=]()
        {
            for (int i = 0; i < images; i++)
                call((i + t) % images);
        });
    for (std::thread& thread : threads)
        thread.join();
}

TEST(Ltrp_Threads, one_ranker_serves_all)
{
    const Network network(32, 8, {24, 2, 3, 48}, {0, 0, 0, 0}, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    std::vector<Mat> images;
    std::vector<std::vector<double>> expected;
    for (int i = 0; i < 12; i++)
    {
        images.push_back(photo(Size(32, 32), i));
        expected.push_back(network.rank(images[i]));
    }
    std::atomic<int> right(0), refused(0);
    inThreads(12, [&](int i)
    {
        right += relativeError(ranker->rank(images[i]).scores, expected[i]) < 1e-5;
        refused += !errorOf(Error::StsBadArg, [&]() { ranker->rank(Mat()); }).empty();
        right += relativeError(ranker->rankBatch(std::vector<Mat>(2, images[i]))[1].scores, expected[i]) < 1e-5;
    });
    EXPECT_EQ(2 * 6 * 12, right);
    EXPECT_EQ(6 * 12, refused);
}

TEST(Ltrp_Threads, one_scorer_serves_all)
{
    const Network network(32, 8, {24, 1, 3, 48}, {16, 2, 2, 32}, 1e-6, 1);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    ScoreParams params;
    params.maskRatio = 0.75;
    std::vector<Mat> images;
    std::vector<std::vector<double>> expected;
    for (int i = 0; i < 6; i++)
    {
        images.push_back(photo(Size(32, 32), i));
        expected.push_back(network.score(images[i], scorer->score(images[i], params).patches, false, false));
    }
    std::atomic<int> right(0);
    inThreads(6, [&](int i)
    {
        const VisibleScores got = scorer->score(images[i], params);
        right += relativeError(Mat(got.scores).reshape(1, 1), expected[i]) < 1e-4;
    });
    EXPECT_EQ(6 * 6, right);
}

TEST(Ltrp_Threads, objects_may_be_made_at_once)
{
    // The layers register with cv::dnn at first use, which must happen once whoever comes first.
    const Network network(32, 8, {24, 1, 3, 48}, {0, 0, 0, 0}, 1e-5, 1);
    const Mat image = photo(Size(32, 32), 1);
    const std::vector<double> expected = network.rank(image);
    std::atomic<int> right(0);
    inThreads(3, [&](int)
    {
        right += relativeError(Ranker::create(network.path)->rank(image).scores, expected) < 1e-5;
    });
    EXPECT_EQ(6 * 3, right);
}

}}  // namespace
