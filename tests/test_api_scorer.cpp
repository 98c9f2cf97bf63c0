// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// cv::ltrp::Scorer held against the measurement it runs, mask by mask.

#include "api_models.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <set>
#include <thread>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// As in test_api.cpp: the same sums in another order.
const double splitTolerance = 1e-5;

/// What Scorer documents, written down once more: one mask at a time, straight through the leave-one-out loop.
struct OneMaskAtATime
{
    OneMaskAtATime(const ApiModels& models, InputArray image) : net(models.mae.mae, models.mae.params)
    {
        const vit::InputConfig& input = net.config().input;
        Mat rgb, resized;
        image::toRgb8(image, rgb);
        image::resizeAntialiasedCubic(rgb, resized, Size(input.imageSize, input.imageSize));
        pixels.resize(size_t(3) * input.imageSize * input.imageSize);
        image::normalise(resized, input, pixels.data());
    }

    VisibleScores operator()(const ScoreParams& params, int number, int visible)
    {
        const int patches = net.config().input.numPatches();
        RandomStream random(params.seed, RandomPurpose::Mask, 0, uint32_t(number));
        std::vector<float> noise(patches);
        for (float& value : noise)
            value = random.uniform();
        VisibleScores result;
        result.patches.resize(visible);
        result.scores.resize(visible);
        vit::maskFromNoise(noise.data(), patches, visible, result.patches.data());
        vit::LeaveOneOutOptions options;
        options.removal = params.removal;
        options.metric = params.metric;
        options.space = params.space;
        vit::LeaveOneOut(net).scores(pixels.data(), 1, result.patches.data(), visible, options, result.scores.data(),
                                     workspace);
        return result;
    }

    vit::Mae net;
    vit::Workspace workspace;
    std::vector<float> pixels;
};

/// Rank of each score, 0 to 1, by counting; equal scores share the mean.
std::vector<float> ranksByCounting(const std::vector<float>& scores)
{
    std::vector<float> ranks;
    for (float score : scores)
    {
        double lower = 0, equal = 0;
        for (float other : scores)
        {
            lower += other < score;
            equal += other == score;
        }
        ranks.push_back(float((lower + (equal - 1) / 2) / double(scores.size() - 1)));
    }
    return ranks;
}

double distance(const std::vector<float>& a, const std::vector<float>& b)
{
    BOOST_REQUIRE(a.size() == b.size());
    return norm(a, b, NORM_INF) / std::max(norm(b, NORM_INF), 1e-30);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(api, ApiModels)

BOOST_AUTO_TEST_CASE(scorer_gives_the_scores_of_the_measurement)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 1);
    OneMaskAtATime expected(*this, image);
    std::set<std::vector<float>> different;
    ScoreParams params;
    params.maskRatio = 0.75;
    params.seed = 42;
    for (params.removal = 0; params.removal <= REMOVAL_ENCODER; params.removal++)
        for (params.metric = 0; params.metric <= METRIC_PSNR; params.metric++)
            for (params.space = 0; params.space <= SPACE_PIXEL; params.space++)
                BOOST_TEST_CONTEXT("removal " << params.removal << " metric " << params.metric << " space "
                                              << params.space)
                {
                    const VisibleScores got = scorer->score(image, params), want = expected(params, 0, 9);
                    BOOST_TEST(got.patches == want.patches, boost::test_tools::per_element());
                    // Packed weights are multiplied in another order than plain ones on some processors.
                    BOOST_TEST(norm(got.scores, want.scores, NORM_INF) <= splitTolerance * norm(want.scores, NORM_INF));
                    if (params.metric == METRIC_L1 || params.metric == METRIC_L2)
                        different.insert(got.scores);
                    else
                    {
                        BOOST_TEST(*std::min_element(got.scores.begin(), got.scores.end()) == 0);
                        BOOST_TEST(*std::max_element(got.scores.begin(), got.scores.end()) == 1);
                    }
                }
    BOOST_TEST(different.size() == 8u);   // every parameter reaches the measurement
}

BOOST_AUTO_TEST_CASE(scorer_describes_itself)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    BOOST_TEST((scorer->getInputSize() == Size(48, 48)));
    BOOST_TEST((scorer->getGrid() == Size(6, 6)));
    const String info = scorer->info();
    for (const std::string& part : {maePath, std::string("grid 6 x 6"), ops::cpuLibrary(),
                                    std::string("encoder: 2 blocks, 48 wide, 3 heads"),
                                    std::string("decoder: 2 blocks, 32 wide, 2 heads")})
        BOOST_TEST(info.find(part) != String::npos, "'" << part << "' is missing in:\n" << info);
}

BOOST_AUTO_TEST_CASE(scorer_masks_are_a_function_of_the_seed)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 2);
    std::set<std::vector<int>> masks;
    ScoreParams params;
    for (double ratio : {0.9, 0.75, 0.5, 0.01, 0.999, 1e-300})
        for (uint64 seed : {uint64(0), uint64(1), uint64(1) << 32, ~uint64(0)})
        {
            params.maskRatio = ratio;
            params.seed = seed;
            const VisibleScores first = scorer->score(image, params);
            const VisibleScores second = Scorer::create(maePath)->score(image, params);
            BOOST_TEST(first.patches == second.patches, boost::test_tools::per_element());
            BOOST_TEST(first.scores == second.scores, boost::test_tools::per_element());
            // int(36 * (1 - ratio)), never fewer than 2 visible, never fewer than 1 hidden
            const size_t visible = std::min(35, std::max(2, int(36 * (1 - ratio))));
            BOOST_TEST(first.patches.size() == visible);
            BOOST_TEST(first.scores.size() == visible);
            BOOST_TEST(first.patches.front() >= 0);
            BOOST_TEST(first.patches.back() < 36);
            BOOST_TEST((std::adjacent_find(first.patches.begin(), first.patches.end(), std::greater_equal<int>()) ==
                        first.patches.end()));
            if (ratio >= 0.5 && ratio <= 0.9)   // the others have too few masks to be all different
                BOOST_TEST(masks.insert(first.patches).second);
        }
}

BOOST_AUTO_TEST_CASE(score_maps_are_means_over_masks)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 3);
    OneMaskAtATime oneMask(*this, image);
    ScoreParams params;
    params.seed = 7;
    params.maskRatio = 0.8;
    for (int masks : {1, 70})   // more than go through the network at once
        for (int metric : {int(METRIC_L1), int(METRIC_PSNR)})
            for (int average : {int(AVERAGE_SCORE), int(AVERAGE_RANK)})
                BOOST_TEST_CONTEXT("masks " << masks << " metric " << metric << " average " << average)
                {
                    params.masks = masks;
                    params.metric = metric;
                    params.average = average;

                    std::vector<double> sums(36, 0), counts(36, 0);
                    int total = 0;
                    while (total < masks || *std::min_element(counts.begin(), counts.end()) == 0)
                    {
                        const VisibleScores one = oneMask(params, total++, 7);
                        const std::vector<float> values =
                            average == AVERAGE_RANK ? ranksByCounting(one.scores) : one.scores;
                        for (size_t i = 0; i < values.size(); i++)
                        {
                            sums[one.patches[i]] += values[i];
                            counts[one.patches[i]]++;
                        }
                    }
                    std::vector<float> expected;
                    for (int i = 0; i < 36; i++)
                        expected.push_back(float(sums[i] / counts[i]));

                    int calls = 0, last = 0;
                    const PatchRanking map = scorer->scoreMap(image, params, [&](int done, int all)
                    {
                        calls++;
                        BOOST_TEST(done == calls);
                        BOOST_TEST(all == total);
                        last = done;
                        return true;
                    });
                    BOOST_TEST(calls == total);
                    BOOST_TEST(last == total);
                    BOOST_TEST((map.imageSize == image.size() && map.grid() == Size(6, 6)));
                    const std::vector<float> got(map.scores.begin<float>(), map.scores.end<float>());
                    BOOST_TEST(distance(got, expected) < splitTolerance);
                    BOOST_TEST(norm(scorer->scoreMap(image, params).scores, map.scores, NORM_INF) == 0);
                }
}

BOOST_AUTO_TEST_CASE(equal_scores_share_their_rank)
{
    // A decoder whose output does not depend on its input: every score is 0, every rank the middle.
    io::Model constant = mae;
    const vit::ParamInfo& tensor = constant.params.layout.at("decoder_pred.weight");
    std::fill_n(constant.params.data() + tensor.offset, tensor.count, 0.f);
    const std::string path = (folder / "constant.safetensors").string();
    io::saveModel(path, constant);
    ScoreParams params;
    params.average = AVERAGE_RANK;
    const Mat ranks = Scorer::create(path)->scoreMap(photo(Size(60, 60), 1), params).scores;
    BOOST_TEST(norm(ranks, Mat(6, 6, CV_32F, Scalar(0.5)), NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(score_maps_can_be_cancelled)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 4);
    ScoreParams params;
    params.masks = 100;
    const Mat expected = scorer->scoreMap(image, params).scores;
    int calls = 0;
    BOOST_CHECK_EXCEPTION(scorer->scoreMap(image, params, [&](int, int) { return ++calls < 3; }), cv::Exception,
                          [](const cv::Exception& e)
                          {
                              return e.code == Error::StsNoConv &&
                                     e.err.find("cancelled after 3 of 100") != String::npos;
                          });
    BOOST_TEST(calls == 3);
    BOOST_TEST(norm(scorer->scoreMap(image, params).scores, expected, NORM_INF) == 0);

    struct Own {};
    BOOST_CHECK_THROW(scorer->scoreMap(image, params, [](int, int) -> bool { throw Own(); }), Own);
    BOOST_TEST(norm(scorer->scoreMap(image, params).scores, expected, NORM_INF) == 0);

    // The callback may use the scorer itself.
    Mat inner;
    scorer->scoreMap(image, params, [&](int done, int)
    {
        if (done == 1)
            inner = scorer->scoreMap(image, params).scores;
        return true;
    });
    BOOST_TEST(norm(inner, expected, NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(scorer_names_wrong_parameters)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 5);
    const auto refuse = [&](const ScoreParams& params, const std::string& name, const std::string& found, bool mapOnly)
    {
        const auto named = [&](const cv::Exception& e)
        {
            return e.code == Error::StsOutOfRange && e.err.find(name + ":") != String::npos &&
                   e.err.find("found " + found) != String::npos;
        };
        BOOST_CHECK_EXCEPTION(scorer->scoreMap(image, params), cv::Exception, named);
        if (mapOnly)
            BOOST_TEST(scorer->score(image, params).scores.size() == 3u);
        else
            BOOST_CHECK_EXCEPTION(scorer->score(image, params), cv::Exception, named);
    };
    for (double ratio : {0.0, 1.0, -0.5, 2.0, std::nan("")})
    {
        ScoreParams params;
        params.maskRatio = ratio;
        std::ostringstream found;
        found << ratio;
        refuse(params, "maskRatio", found.str(), false);
    }
    const auto refuseValue = [&](int ScoreParams::*member, const std::string& name, std::vector<int> values,
                                 bool mapOnly)
    {
        for (int value : values)
        {
            ScoreParams params;
            params.*member = value;
            refuse(params, name, std::to_string(value), mapOnly);
        }
    };
    refuseValue(&ScoreParams::removal, "removal", {-1, 2}, false);
    refuseValue(&ScoreParams::metric, "metric", {-1, 4}, false);
    refuseValue(&ScoreParams::space, "space", {-1, 2}, false);
    refuseValue(&ScoreParams::average, "average", {-1, 2}, true);
    refuseValue(&ScoreParams::masks, "masks", {0, -7, std::numeric_limits<int>::max()}, true);
}

BOOST_AUTO_TEST_CASE(scorer_refuses_bad_images_and_stays_usable)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 6);
    const std::vector<float> expected = scorer->score(image).scores;
    for (const Mat& bad : {Mat(), Mat(4, 4, CV_32FC3, Scalar::all(std::nan(""))), Mat(4, 4, CV_8UC2, Scalar())})
    {
        BOOST_CHECK_THROW(scorer->score(bad), cv::Exception);
        BOOST_CHECK_THROW(scorer->scoreMap(bad), cv::Exception);
        BOOST_TEST(scorer->score(image).scores == expected, boost::test_tools::per_element());
    }
    for (const Size size : {Size(1, 1), Size(20000, 30)})
        BOOST_TEST((scorer->scoreMap(photo(size, 1)).imageSize == size));
}

BOOST_AUTO_TEST_CASE(scorer_serves_many_threads_at_once)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    std::vector<Mat> images, expected;
    ScoreParams params;
    params.masks = 12;
    for (int i = 0; i < 6; i++)
    {
        images.push_back(photo(Size(40 + 9 * i, 77), i));
        expected.push_back(scorer->scoreMap(images[i], params).scores);
    }
    std::atomic<int> wrong(0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([&, t]()
        {
            for (int i = 0; i < 6; i++)
            {
                const int k = (i + t) % 6;
                const Mat scores = scorer->scoreMap(images[k], params).scores;
                if (norm(scores, expected[k], NORM_INF) > splitTolerance * norm(expected[k], NORM_INF))
                    wrong++;
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(scorer_does_not_depend_on_the_number_of_threads)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 7);
    const int threads = getNumThreads();
    setNumThreads(1);
    const Mat one = scorer->scoreMap(image).scores;
    setNumThreads(2);
    const Mat two = scorer->scoreMap(image).scores;
    setNumThreads(threads);
    BOOST_TEST(norm(one, two, NORM_INF) < splitTolerance * norm(one, NORM_INF));
}

BOOST_AUTO_TEST_SUITE_END()
