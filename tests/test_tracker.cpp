// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// cv::ltrp::RankingTracker compared with a plain loop, and with invalid input.

#include "api_models.hpp"
#include "opencv2/ltrp/tracker.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <functional>
#include <limits>

using namespace cv;
using namespace cv::ltrp;

namespace {

PatchRanking rankingOf(Size image, const Mat& scores)
{
    PatchRanking ranking;
    ranking.imageSize = image;
    ranking.scores = scores.clone();
    return ranking;
}

/// The same scores on every frame, and noise on top.
Mat noisyScores(RNG& random, Size grid, double noise)
{
    Mat scores(grid, CV_32F), added(grid, CV_32F);
    for (int i = 0; i < grid.area(); ++i)
        scores.ptr<float>()[i] = static_cast<float>(100 + 7 * std::sin(0.9 * i) + 3 * std::cos(2.3 * i));
    random.fill(added, RNG::NORMAL, 0, noise);
    return scores + added;
}

/// The header's rule in double precision, patch by patch.
struct SlowTracker
{
    SlowTracker(double memory, double margin, size_t keep) : memory_(memory), margin_(margin), keep_(keep) {}

    void update(const Mat& scores, bool begins)
    {
        const int count = static_cast<int>(scores.total());
        double mean = 0, square = 0;
        for (int i = 0; i < count; ++i)
            mean += scores.ptr<float>()[i] / count;
        for (int i = 0; i < count; ++i)
            square += std::pow(scores.ptr<float>()[i] - mean, 2) / count;
        if (begins)
        {
            smoothed.assign(static_cast<size_t>(count), 0);
            kept.clear();
        }
        std::vector<std::pair<double, int>> order;
        for (int i = 0; i < count; ++i)
        {
            double& value = smoothed[static_cast<size_t>(i)];
            const double now = (scores.ptr<float>()[i] - mean) / std::sqrt(square);
            value = begins ? now : memory_ * value + (1 - memory_) * now;
            const bool favoured = std::find(kept.begin(), kept.end(), i) != kept.end();
            order.emplace_back(-(value + (favoured ? margin_ : 0)), i);
        }
        std::sort(order.begin(), order.end());
        kept.clear();
        for (size_t i = 0; i < keep_; ++i)
            kept.push_back(order[i].second);
        std::sort(kept.begin(), kept.end());
    }

    std::vector<double> smoothed;
    std::vector<int> kept;

private:
    double memory_, margin_;
    size_t keep_;
};

std::string refusal(const std::function<void()>& call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& error)
    {
        return error.err;
    }
    return "accepted";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tracker)

BOOST_AUTO_TEST_CASE(agrees_with_a_plain_loop)
{
    const Size size(120, 90), grid(14, 9);
    SelectParams select;
    select.keepRatio = 0.3;
    const Ptr<RankingTracker> tracker = RankingTracker::create(select, 0.6, 0.35, 0.5);
    SlowTracker slow(0.6, 0.35, static_cast<size_t>(keepCount(grid.area(), 0.3)));
    RNG random(7);
    BOOST_TEST(tracker->getKept().empty());
    BOOST_TEST(tracker->getRanking().scores.empty());
    for (int i = 0; i < 30; ++i)
        BOOST_TEST_CONTEXT("frame " << i)
        {
            const bool cut = i == 0 || i == 17;
            const Mat frame(size, CV_8UC3, i < 17 ? Scalar(30, 90, 200) : Scalar(200, 20, 20));
            const Mat scores = noisyScores(random, grid, 4);
            BOOST_TEST(tracker->update(frame, rankingOf(size, scores)) == cut);
            slow.update(scores, cut);
            BOOST_TEST(tracker->getKept() == slow.kept, boost::test_tools::per_element());
            const PatchRanking now = tracker->getRanking();
            BOOST_TEST((now.grid() == grid && now.imageSize == size));
            for (int p = 0; p < grid.area(); ++p)
                BOOST_TEST(std::abs(now.scores.ptr<float>()[p] - slow.smoothed[static_cast<size_t>(p)]) < 1e-5);
        }
}

BOOST_AUTO_TEST_CASE(noise_does_not_flicker)
{
    const Size size(64, 64), grid(14, 14);
    const Mat frame(size, CV_8UC3, Scalar(30, 90, 200));
    const auto changes = [&](double memory, double margin)
    {
        const Ptr<RankingTracker> tracker = RankingTracker::create(SelectParams(), memory, margin);
        RNG random(11);
        std::vector<int> before;
        size_t changed = 0;
        for (int i = 0; i < 60; ++i)
        {
            tracker->update(frame, rankingOf(size, noisyScores(random, grid, 1)));
            const std::vector<int> now = tracker->getKept();
            std::vector<int> fresh;
            std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(fresh));
            changed += i > 0 ? fresh.size() : 0;
            before = now;
        }
        return changed;
    };
    const size_t alone = changes(0, 0), steady = changes(0.7, 0.2);
    BOOST_TEST(alone > 100u);
    BOOST_TEST(steady * 5 < alone, steady << " of " << alone);
}

BOOST_AUTO_TEST_CASE(scenes)
{
    const Size size(160, 120), grid(8, 6);
    Mat scores(grid, CV_32F), other(grid, CV_32F);
    randu(scores, 0, 1);
    randu(other, 0, 1);
    const Mat scene = photo(size, 1), cut(size, CV_8UC3, Scalar(0, 0, 255));
    const Ptr<RankingTracker> tracker = RankingTracker::create();
    BOOST_TEST(tracker->update(scene, rankingOf(size, scores)));
    BOOST_TEST(!tracker->update(scene, rankingOf(size, other)));
    // A pan moves the image and hardly changes its colours.
    Mat moved;
    const Matx23d shift(1, 0, 5, 0, 1, 3);
    warpAffine(scene, moved, shift, size, INTER_LINEAR, BORDER_REFLECT);
    BOOST_TEST(!tracker->update(moved, rankingOf(size, other)));
    BOOST_TEST(tracker->update(cut, rankingOf(size, scores)));
    // The results for a new scene are those of a new tracker.
    const Ptr<RankingTracker> fresh = RankingTracker::create();
    fresh->update(cut, rankingOf(size, scores));
    BOOST_TEST(tracker->getKept() == fresh->getKept(), boost::test_tools::per_element());
    BOOST_TEST(norm(tracker->getRanking().scores, fresh->getRanking().scores, NORM_INF) == 0);
    // Another size of the frame or of the grid.
    const Size small(80, 60);
    BOOST_TEST(tracker->update(Mat(small, CV_8UC3, Scalar(0, 0, 255)), rankingOf(small, scores)));
    BOOST_TEST(tracker->update(Mat(small, CV_8UC3, Scalar(0, 0, 255)), rankingOf(small, Mat(4, 4, CV_32F, Scalar(1)))));
    BOOST_TEST(tracker->getKept().size() == 4u);   // equal scores are not an error
    tracker->reset();
    BOOST_TEST(tracker->getKept().empty());
    BOOST_TEST(tracker->update(Mat(small, CV_8UC3, Scalar(0, 0, 255)), rankingOf(small, scores)));
    // cut 1: colours are ignored; cut 0: each change counts.
    const Ptr<RankingTracker> never = RankingTracker::create(SelectParams(), 0.7, 0.2, 1),
                              always = RankingTracker::create(SelectParams(), 0.7, 0.2, 0);
    for (const Ptr<RankingTracker>& each : {never, always})
        each->update(scene, rankingOf(size, scores));
    BOOST_TEST(!never->update(cut, rankingOf(size, scores)));
    BOOST_TEST(always->update(moved, rankingOf(size, scores)));
}

BOOST_AUTO_TEST_CASE(all_kinds_of_frames)
{
    const Size size(90, 70), grid(6, 6);
    Mat scores(grid, CV_32F);
    randu(scores, 0, 1);
    for (int type : {CV_8UC1, CV_8UC3, CV_8UC4, CV_16UC1, CV_16UC3, CV_16UC4, CV_32FC1, CV_32FC3, CV_32FC4, CV_64FC3})
        BOOST_TEST_CONTEXT(typeToString(type))
        {
            const double full = CV_MAT_DEPTH(type) == CV_8U ? 255 : CV_MAT_DEPTH(type) == CV_16U ? 65535 : 1;
            const Mat dark(size, type, Scalar(0.1, 0.1, 0.1, 1) * full);
            const Mat light(size, type, Scalar(0.9, 0.9, 0.9, 1) * full);
            const Ptr<RankingTracker> tracker = RankingTracker::create();
            BOOST_TEST(tracker->update(dark, rankingOf(size, scores)));
            BOOST_TEST(!tracker->update(dark, rankingOf(size, scores)));
            BOOST_TEST(tracker->update(light, rankingOf(size, scores)));
        }
    // Clusters are computed from the frame's own pixels.
    SelectParams cluster;
    cluster.method = SELECT_CLUSTER;
    const Ptr<RankingTracker> tracker = RankingTracker::create(cluster);
    tracker->update(photo(size, 2), rankingOf(size, scores));
    BOOST_TEST(tracker->getKept() == selectPatches(tracker->getRanking(), cluster, photo(size, 2)),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bad_input_is_refused_by_name)
{
    const auto create = [](double memory, double margin, double cut)
    { return refusal([=]() { RankingTracker::create(SelectParams(), memory, margin, cut); }); };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (double memory : {-0.1, 1.0, nan})
        BOOST_TEST(create(memory, 0, 0).find("memory is") != std::string::npos);
    for (double margin : {-0.1, 1e9, nan})
        BOOST_TEST(create(0, margin, 0).find("margin is") != std::string::npos);
    for (double cut : {-0.1, 1.1, nan})
        BOOST_TEST(create(0, 0, cut).find("cut is") != std::string::npos);
    SelectParams none;
    none.keepRatio = 0;
    BOOST_TEST(refusal([&]() { RankingTracker::create(none); }).find("keep ratio") != std::string::npos);

    const Size size(40, 30);
    const Mat frame = photo(size, 3);
    Mat scores(5, 5, CV_32F);
    randu(scores, 0, 1);
    const Ptr<RankingTracker> tracker = RankingTracker::create();
    tracker->update(frame, rankingOf(size, scores));
    const std::vector<int> kept = tracker->getKept();
    const auto update = [&](const Mat& image, const PatchRanking& ranking)
    { return refusal([&]() { tracker->update(image, ranking); }); };
    Mat holed = scores.clone();
    holed.at<float>(2, 2) = std::numeric_limits<float>::infinity();
    BOOST_TEST(update(frame, rankingOf(size, holed)).find("infinite") != std::string::npos);
    BOOST_TEST(update(frame, rankingOf(size, Mat())).find("empty") != std::string::npos);
    BOOST_TEST(update(frame, rankingOf(size, Mat(5, 5, CV_64F, Scalar(0)))).find("64FC1") != std::string::npos);
    BOOST_TEST(update(frame, rankingOf(Size(41, 30), scores)).find("41 x 30") != std::string::npos);
    BOOST_TEST(update(Mat(), rankingOf(size, scores)) != "accepted");
    BOOST_TEST(update(Mat(size, CV_8UC2, Scalar(0)), rankingOf(size, scores)) != "accepted");
    BOOST_TEST(update(Mat(size, CV_32FC3, Scalar::all(7)), rankingOf(size, scores)) != "accepted");
    // The failed calls have changed nothing.
    BOOST_TEST(tracker->getKept() == kept, boost::test_tools::per_element());
    BOOST_TEST(!tracker->update(frame, rankingOf(size, scores)));
}

BOOST_AUTO_TEST_SUITE_END()
