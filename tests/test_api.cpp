// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// cv::ltrp::Ranker and cv::ltrp::Scorer compared with the parts they consist of. Tests that need only the public
// interface are in modules/ltrp/test.

#include "api_models.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// Largest difference, relative to the largest score, between two results of the same network and input with a
/// different split into batches and threads.
const double splitTolerance = 1e-5;

std::vector<float> networkPixels(const vit::InputConfig& input, InputArray image)
{
    Mat rgb, resized;
    image::toRgb8(image, rgb);
    image::resizeAntialiasedCubic(rgb, resized, Size(input.imageSize, input.imageSize));
    std::vector<float> pixels(size_t(3) * input.imageSize * input.imageSize);
    image::normalise(resized, input, pixels.data());
    return pixels;
}

std::vector<float> networkScores(const ApiModels& models, InputArray image)
{
    const vit::InputConfig& input = models.ranker.ranker.input;
    const std::vector<float> pixels = networkPixels(input, image);
    std::vector<float> scores(input.numPatches());
    const vit::RankerNet net(models.ranker.ranker, models.ranker.params);
    vit::Workspace workspace;
    net.forward(pixels.data(), 1, nullptr, input.numPatches(), scores.data(), nullptr, workspace);
    return scores;
}

/// Scorer's documented behaviour in a simple form: one mask at a time, directly with the leave-one-out loop.
struct OneMaskAtATime
{
    OneMaskAtATime(const ApiModels& models, InputArray image)
        : net(models.mae.mae, models.mae.params), pixels(networkPixels(net.config().input, image))
    {
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

/// Rank of each score, 0 to 1, by counting; equal scores get their mean rank.
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

/// Replaces a session: counts how many are created.
struct CountedSession
{
    explicit CountedSession(int& made) { made++; }
    bool usable() const { return good; }
    bool good = true;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(api, ApiModels)

BOOST_AUTO_TEST_CASE(ranker_gives_the_scores_of_the_network)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    for (const Size size : {Size(61, 47), Size(1, 1), Size(1, 500), Size(20000, 30), Size(30, 20000), Size(48, 48),
                            Size(5, 3)})
    {
        const Mat image = photo(size, 7);
        const PatchRanking ranking = rankerObject->rank(image);
        BOOST_TEST((ranking.imageSize == size));
        BOOST_TEST(distance(std::vector<float>(ranking.scores.begin<float>(), ranking.scores.end<float>()),
                            networkScores(*this, image)) < splitTolerance, size);
    }
}

BOOST_AUTO_TEST_CASE(objects_name_what_multiplies)
{
    BOOST_TEST(Ranker::create(rankerPath)->info().find(ops::cpuLibrary()) != String::npos);
    BOOST_TEST(Scorer::create(maePath)->info().find(ops::cpuLibrary()) != String::npos);
}

BOOST_AUTO_TEST_CASE(sessions_are_used_again_unless_broken)
{
    typedef SessionPool<CountedSession> Pool;
    int made = 0;
    bool fail = false;
    Pool pool([&]()
    {
        if (fail)
            throw std::bad_alloc();
        return std::unique_ptr<CountedSession>(new CountedSession(made));
    });
    for (int i = 0; i < 3; i++)
        Pool::Lease one(pool);
    BOOST_TEST(made == 1);
    {
        Pool::Lease one(pool), two(pool), three(pool);
        BOOST_TEST(made == 3);
        two->good = false;
    }
    {
        Pool::Lease one(pool), two(pool);
        BOOST_TEST(made == 3);
        BOOST_TEST((one->good && two->good));
        Pool::Lease three(pool);
        BOOST_TEST(made == 4);   // the broken one was not returned to the pool

        fail = true;
        BOOST_CHECK_THROW(Pool::Lease four(pool), std::bad_alloc);
        fail = false;
    }
    try
    {
        Pool::Lease one(pool);
        throw 1;
    }
    catch (int)
    {
    }
    Pool::Lease one(pool), two(pool), three(pool);
    BOOST_TEST(made == 4);
}

BOOST_AUTO_TEST_CASE(cuda_says_why_there_is_none_and_changes_nothing)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const String why = missingForTarget(dnn::DNN_TARGET_CUDA);
    if (why.empty())
    {
        BOOST_TEST_MESSAGE("this machine has CUDA: tests/gpu/run compares its results");
        return;
    }
    if (ops::cudaLibrary().empty())
        BOOST_TEST(why.find("without -DLTRP_WITH_CUDA=ON") != String::npos);
    else
        BOOST_TEST((why.find("driver") != String::npos || why.find("device") != String::npos), why);
    const Mat image = photo(Size(61, 47), 9);
    const Mat expected = rankerObject->rank(image).scores.clone();
    const String before = rankerObject->info();
    const auto notThere = [&why](const cv::Exception& e)
    { return e.code == Error::GpuNotSupported && e.err.find(why) != String::npos; };
    BOOST_CHECK_EXCEPTION(rankerObject->setPreferableBackend(dnn::DNN_BACKEND_CUDA), cv::Exception, notThere);
    BOOST_CHECK_EXCEPTION(scorer->setPreferableBackend(dnn::DNN_BACKEND_CUDA), cv::Exception, notThere);
    for (int target : {int(dnn::DNN_TARGET_CUDA), int(dnn::DNN_TARGET_CUDA_FP16), int(TARGET_CUDA_BF16),
                       int(TARGET_CUDA_TF32)})
    {
        BOOST_TEST(missingForTarget(target) == why);
        BOOST_CHECK_EXCEPTION(rankerObject->setPreferableTarget(target), cv::Exception, notThere);
        BOOST_CHECK_EXCEPTION(scorer->setPreferableTarget(target), cv::Exception, notThere);
    }
    BOOST_CHECK_THROW(ops::cudaBackend(ops::Precision::FP32, true), cv::Exception);
    BOOST_TEST(rankerObject->info() == before);
    BOOST_TEST(norm(rankerObject->rank(image).scores, expected, NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(scores_that_are_not_numbers_are_an_error)
{
    // Finite weights whose products overflow.
    io::Model huge = ranker;
    const vit::ParamInfo& head = huge.params.layout.at("head.weight");
    for (size_t i = 0; i < head.count; i++)
        huge.params.data()[head.offset + i] = 3e38f;
    const std::string path = (folder / "huge.safetensors").string();
    io::saveModel(path, huge);
    const Ptr<Ranker> rankerObject = Ranker::create(path);
    BOOST_CHECK_EXCEPTION(rankerObject->rank(photo(Size(50, 50), 1)), cv::Exception,
                          [&](const cv::Exception& e) { return e.err.find(path) != String::npos; });
}

BOOST_AUTO_TEST_CASE(layers_check_what_a_net_gives_them)
{
    registerLayers();
    for (const char* name : {"LtrpRank", "ltrp.LtrpRank", "LtrpPseudoScore", "ltrp.LtrpPseudoScore"})
    {
        dnn::LayerParams params;
        const Ptr<dnn::Layer> layer = dnn::LayerFactory::createLayerInstance(name, params);
        BOOST_REQUIRE(layer);
        const std::vector<int> shape = {1, 3, 48, 48};
        Shapes out, internal;
        BOOST_CHECK_EXCEPTION(layer->getMemoryShapes(Shapes(1, Shape(shape)), 0, out, internal), cv::Exception,
                              [](const cv::Exception& e) { return e.err.find("no model") != String::npos; });
    }
    dnn::LayerParams wrong;
    wrong.set("metric", 4);
    BOOST_CHECK_EXCEPTION(PseudoScoreLayer::create(wrong), cv::Exception,
                          [](const cv::Exception& e) { return e.err.find("'metric'") != String::npos; });

    RankSession rankSession(std::make_shared<const RankerModel>(ranker));
    for (const std::vector<int>& shape : {std::vector<int>{1, 3, 48, 47}, {1, 1, 48, 48}, {1, 3, 48}, {48, 48}})
    {
        BOOST_CHECK_THROW(rankSession.forward(Mat(shape, CV_32F, Scalar(0))), cv::Exception);
        BOOST_TEST(!rankSession.usable());
    }

    PseudoScoreSession scoreSession(std::make_shared<const MaeModel>(mae));
    const std::vector<int> shape = {1, 3, 48, 48};
    const Mat pixels(shape, CV_32F, Scalar(0.1));
    const vit::LeaveOneOutOptions options;
    for (const std::vector<int>& ids : {std::vector<int>{0, 36}, {-1, 5}, {5, 4}, {7, 7}})
        BOOST_CHECK_THROW(scoreSession.forward(pixels, Mat(ids).reshape(1, 1), options), cv::Exception);
    BOOST_CHECK_THROW(scoreSession.forward(pixels, Mat(2, 3, CV_32S, Scalar(0)), options), cv::Exception);
    BOOST_CHECK_THROW(scoreSession.forward(pixels, Mat(1, 36, CV_32S, Scalar(0)), options), cv::Exception);
    const Mat good = scoreSession.forward(pixels, Mat(std::vector<int>{3, 4, 20}).reshape(1, 1), options);
    BOOST_TEST((good.size() == Size(3, 1)));
    BOOST_TEST(scoreSession.usable());
}

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
    BOOST_TEST(different.size() == 8u);   // every parameter has an effect
}

BOOST_AUTO_TEST_CASE(score_maps_are_means_over_masks)
{
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(75, 52), 3);
    OneMaskAtATime oneMask(*this, image);
    ScoreParams params;
    params.seed = 7;
    params.maskRatio = 0.8;
    for (int masks : {1, 70})   // more than one pass of the network
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

                    int calls = 0;
                    const PatchRanking map = scorer->scoreMap(image, params, [&](int done, int all)
                    {
                        calls++;
                        BOOST_TEST(done == calls);
                        BOOST_TEST(all == total);
                        return true;
                    });
                    BOOST_TEST(calls == total);
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

BOOST_AUTO_TEST_SUITE_END()
