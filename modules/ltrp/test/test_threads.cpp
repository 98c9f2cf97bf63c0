// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <atomic>
#include <thread>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

const int numThreads = 8;

/// Runs call(image number) for all images on each of the threads, each in another order.
template <class Call>
void inThreads(int images, Call call)
{
    std::vector<std::thread> threads;
    for (int t = 0; t < numThreads; t++)
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
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(network.path);
    const int count = 24;
    std::vector<Mat> images;
    std::vector<std::vector<double>> expected;
    for (int i = 0; i < count; i += 2)
    {
        images.push_back(photo(Size(32, 32), i));
        expected.push_back(network.rank(images.back()));
        images.push_back(photo(Size(17 + 13 * i % 90, 90 - 11 * i % 70), i));   // the reference cannot resize
        const Mat scores = ranker->rank(images.back()).scores;
        expected.emplace_back(scores.begin<float>(), scores.end<float>());
    }
    std::atomic<int> right(0), refused(0);
    inThreads(count, [&](int i)
    {
        right += relativeError(ranker->rank(images[i]).scores, expected[i]) < 1e-5;
        refused += !errorOf(Error::StsBadArg, [&]() { ranker->rank(Mat()); }).empty();
        right += relativeError(ranker->rankBatch(std::vector<Mat>(2, images[i]))[1].scores, expected[i]) < 1e-5;
    });
    EXPECT_EQ(2 * numThreads * count, right);
    EXPECT_EQ(numThreads * count, refused);
}

TEST(Ltrp_Threads, one_scorer_serves_all)
{
    const Network network(32, 8, {24, 1, 3, 48}, {16, 2, 2, 32}, 1e-6, 1);
    const Ptr<Scorer> scorer = Scorer::create(network.path);
    ScoreParams params;
    params.maskRatio = 0.75;
    params.masks = 12;
    std::vector<Mat> images, others, maps;
    std::vector<std::vector<double>> expected;
    for (int i = 0; i < 6; i++)
    {
        images.push_back(photo(Size(32, 32), i));
        expected.push_back(network.score(images[i], scorer->score(images[i], params).patches, false, false));
        others.push_back(photo(Size(40 + 9 * i, 77), i));
        maps.push_back(scorer->scoreMap(others[i], params).scores);
    }
    std::atomic<int> right(0);
    inThreads(6, [&](int i)
    {
        const VisibleScores got = scorer->score(images[i], params);
        right += relativeError(Mat(got.scores).reshape(1, 1), expected[i]) < 1e-4;
        right += relativeError(scorer->scoreMap(others[i], params).scores, maps[i]) < 1e-5;
    });
    EXPECT_EQ(2 * numThreads * 6, right);
}

TEST(Ltrp_Threads, results_do_not_depend_on_their_number)
{
    const Network ranking(48, 8, {48, 2, 3, 96}, noDecoder, 1e-5, 1);
    const Network scoring(48, 8, {48, 2, 3, 96}, {32, 2, 2, 64}, 1e-6, 2);
    const Ptr<Ranker> ranker = Ranker::create(ranking.path);
    const Ptr<Scorer> scorer = Scorer::create(scoring.path);
    const Mat large = photo(Size(300, 200), 6), small = photo(Size(75, 52), 7);
    const int before = getNumThreads();
    setNumThreads(1);
    const Mat ranks = ranker->rank(large).scores, scores = scorer->scoreMap(small).scores;
    setNumThreads(2);
    const Mat ranksOfTwo = ranker->rank(large).scores, scoresOfTwo = scorer->scoreMap(small).scores;
    setNumThreads(before);
    EXPECT_LE(relativeError(ranksOfTwo, ranks), 1e-5);
    EXPECT_LE(relativeError(scoresOfTwo, scores), 1e-5);
}

TEST(Ltrp_Threads, objects_may_be_made_at_once)
{
    // The layers register with cv::dnn at first use, which must happen exactly once, whichever thread is first.
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Mat image = photo(Size(32, 32), 1);
    const std::vector<double> expected = network.rank(image);
    std::atomic<int> right(0);
    inThreads(3, [&](int)
    {
        right += relativeError(Ranker::create(network.path)->rank(image).scores, expected) < 1e-5;
    });
    EXPECT_EQ(3 * numThreads, right);
}

}}  // namespace
