// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// cv::ltrp::Ranker held against the network it runs, and against bad input.

#include "api_models.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// Largest difference between two results of the same network on the same input, where only the split into batches
/// and threads differs: relative to the largest score.
const double splitTolerance = 1e-5;

std::vector<float> networkScores(const ApiModels& models, InputArray image)
{
    const vit::InputConfig& input = models.ranker.ranker.input;
    Mat rgb, resized;
    image::toRgb8(image, rgb);
    image::resizeAntialiasedCubic(rgb, resized, Size(input.imageSize, input.imageSize));
    std::vector<float> pixels(size_t(3) * input.imageSize * input.imageSize), scores(input.numPatches());
    image::normalise(resized, input, pixels.data());
    const vit::RankerNet net(models.ranker.ranker, models.ranker.params);
    vit::Workspace workspace;
    net.forward(pixels.data(), 1, nullptr, input.numPatches(), scores.data(), nullptr, workspace);
    return scores;
}

double distance(const Mat& a, const Mat& b)
{
    BOOST_REQUIRE(a.size() == b.size() && a.type() == CV_32F && b.type() == CV_32F);
    return norm(a, b, NORM_INF) / std::max(norm(b, NORM_INF), 1e-30);
}

std::vector<Mat> imagesOfManySizes(int count)
{
    std::vector<Mat> images;
    for (int i = 0; i < count; i++)
        images.push_back(photo(Size(17 + 13 * i % 90, 90 - 11 * i % 70), i));
    return images;
}

/// Stands in for a session: counts how many were made.
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
    const Mat image = photo(Size(61, 47), 3);
    const PatchRanking ranking = rankerObject->rank(image);
    const std::vector<float> expected = networkScores(*this, image);

    BOOST_TEST((ranking.imageSize == image.size()));
    BOOST_TEST((ranking.grid() == Size(6, 6)));
    BOOST_REQUIRE(ranking.scores.isContinuous());
    BOOST_TEST(distance(ranking.scores, Mat(expected).reshape(1, 6)) < splitTolerance);
    double lowest, highest;
    minMaxLoc(ranking.scores, &lowest, &highest);
    BOOST_TEST(highest - lowest > 0.1);   // else every comparison below would hold for a constant

    // The result is the caller's own: the next call must not write into it.
    const Mat before = ranking.scores.clone();
    rankerObject->rank(photo(Size(80, 80), 4));
    BOOST_TEST(norm(ranking.scores, before, NORM_INF) == 0);
    BOOST_TEST(norm(rankerObject->rank(photo(Size(80, 80), 4)).scores, before, NORM_INF) > 1e-3);
}

BOOST_AUTO_TEST_CASE(ranker_describes_itself)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const vit::InputConfig& input = ranker.ranker.input;
    BOOST_TEST((rankerObject->getInputSize() == Size(48, 48)));
    BOOST_TEST((rankerObject->getGrid() == Size(6, 6)));
    for (int c = 0; c < 3; c++)
    {
        BOOST_TEST(rankerObject->getInputMean()[c] == input.mean[c]);
        BOOST_TEST(rankerObject->getInputStd()[c] == input.std[c]);
    }
    const String info = rankerObject->info();
    for (const std::string& part : {rankerPath, std::string("grid 6 x 6"), std::string("FP32"), ops::cpuLibrary(),
                                    std::string("device: CPU"), std::string("2 blocks, 48 wide, 3 heads")})
        BOOST_TEST(info.find(part) != String::npos, "'" << part << "' is missing in:\n" << info);
}

BOOST_AUTO_TEST_CASE(ranker_batches_give_the_scores_of_single_images)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const std::vector<Mat> images = imagesOfManySizes(130);   // more than go through the network at once
    const std::vector<PatchRanking> batch = rankerObject->rankBatch(images);
    BOOST_REQUIRE(batch.size() == images.size());
    for (size_t i = 0; i < images.size(); i++)
    {
        BOOST_TEST((batch[i].imageSize == images[i].size()));
        BOOST_TEST(distance(batch[i].scores, rankerObject->rank(images[i]).scores) < splitTolerance, "image " << i);
    }
    BOOST_TEST(rankerObject->rankBatch(std::vector<Mat>()).empty());
    BOOST_TEST(rankerObject->rankBatch(noArray()).empty());

    std::vector<UMat> device(2);
    images[0].copyTo(device[0]);
    images[1].copyTo(device[1]);
    BOOST_TEST(distance(rankerObject->rankBatch(device).at(1).scores, batch[1].scores) < splitTolerance);
}

BOOST_AUTO_TEST_CASE(ranker_takes_views_and_all_pixel_types)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Mat image = photo(Size(90, 70), 5);
    const Mat expected = rankerObject->rank(image).scores;
    const auto differenceTo = [&](const Mat& other)
    { return norm(rankerObject->rank(other).scores, expected, NORM_INF); };

    Mat wide(100, 120, CV_8UC3, Scalar::all(200));
    image.copyTo(wide(Rect(13, 7, 90, 70)));
    BOOST_TEST(differenceTo(wide(Rect(13, 7, 90, 70))) == 0);
    BOOST_TEST(differenceTo(wide(Rect(12, 7, 90, 70))) > 0);

    Mat converted;
    image.convertTo(converted, CV_32F, 1 / 255.0);
    BOOST_TEST(differenceTo(converted) == 0);
    image.convertTo(converted, CV_64F, 1 / 255.0);
    BOOST_TEST(differenceTo(converted) == 0);
    image.convertTo(converted, CV_16U, 257);
    BOOST_TEST(differenceTo(converted) == 0);
    cvtColor(image, converted, COLOR_BGR2BGRA);
    BOOST_TEST(differenceTo(converted) == 0);
    cvtColor(image, converted, COLOR_BGR2RGB);
    BOOST_TEST(differenceTo(converted) > 1e-3);   // the order of the channels matters

    Mat gray, grayAsColour;
    cvtColor(image, gray, COLOR_BGR2GRAY);
    cvtColor(gray, grayAsColour, COLOR_GRAY2BGR);
    BOOST_TEST(norm(rankerObject->rank(gray).scores, rankerObject->rank(grayAsColour).scores, NORM_INF) == 0);

    UMat device;
    image.copyTo(device);
    BOOST_TEST(norm(rankerObject->rank(device).scores, expected, NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(ranker_serves_many_threads_at_once)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const std::vector<Mat> images = imagesOfManySizes(24);
    const std::vector<PatchRanking> serial = rankerObject->rankBatch(images);
    std::atomic<int> wrong(0), refused(0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([&, t]()
        {
            for (size_t i = 0; i < images.size(); i++)
            {
                const size_t k = (i + 3 * t) % images.size();
                const Mat scores = rankerObject->rank(images[k]).scores;
                if (norm(scores, serial[k].scores, NORM_INF) > splitTolerance * norm(serial[k].scores, NORM_INF))
                    wrong++;
                try
                {
                    rankerObject->rank(Mat());
                }
                catch (const cv::Exception&)
                {
                    refused++;
                }
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    BOOST_TEST(wrong == 0);
    BOOST_TEST(refused == 8 * 24);
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
        BOOST_TEST(made == 4);   // the broken one did not come back

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

BOOST_AUTO_TEST_CASE(ranker_does_not_depend_on_the_number_of_threads)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Mat image = photo(Size(300, 200), 6);
    const int threads = getNumThreads();
    setNumThreads(1);
    const Mat one = rankerObject->rank(image).scores;
    setNumThreads(2);
    const Mat two = rankerObject->rank(image).scores;
    setNumThreads(threads);
    BOOST_TEST(distance(two, one) < splitTolerance);
}

BOOST_AUTO_TEST_CASE(ranker_takes_images_of_any_shape)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    for (const Size size : {Size(1, 1), Size(1, 500), Size(20000, 30), Size(30, 20000), Size(48, 48), Size(5, 3)})
    {
        const Mat image = photo(size, 7);
        const PatchRanking ranking = rankerObject->rank(image);
        BOOST_TEST((ranking.imageSize == size));
        const std::vector<float> expected = networkScores(*this, image);
        BOOST_TEST(distance(ranking.scores, Mat(expected).reshape(1, 6)) < splitTolerance);
        const std::vector<int> order = ranking.order();
        BOOST_TEST(order.size() == 36u);
        BOOST_TEST(expected[static_cast<size_t>(order[0])] == *std::max_element(expected.begin(), expected.end()),
                   boost::test_tools::tolerance(static_cast<float>(splitTolerance)));
    }
}

BOOST_AUTO_TEST_CASE(ranker_refuses_bad_images_and_stays_usable)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Mat image = photo(Size(61, 47), 8);
    const Mat expected = rankerObject->rank(image).scores;
    const auto stillRight = [&]() { return norm(rankerObject->rank(image).scores, expected, NORM_INF) == 0; };

    Mat withNan(20, 20, CV_32FC3, Scalar::all(0.5)), withInf = withNan.clone();
    withNan.at<Vec3f>(19, 3)[1] = std::numeric_limits<float>::quiet_NaN();
    withInf.at<Vec3f>(0, 0)[2] = std::numeric_limits<float>::infinity();
    const std::vector<Mat> bad = {Mat(), Mat(0, 5, CV_8UC3), Mat::zeros(5, 5, CV_8SC3), Mat::zeros(5, 5, CV_32SC1),
                                  Mat::zeros(5, 5, CV_8UC2), Mat::zeros(5, 5, CV_8UC(5)), withNan, withInf};
    for (size_t i = 0; i < bad.size(); i++)
    {
        BOOST_TEST_CONTEXT("bad image " << i)
        {
            BOOST_CHECK_EXCEPTION(rankerObject->rank(bad[i]), cv::Exception,
                                  [](const cv::Exception& e) { return e.code == Error::StsBadArg && !e.err.empty(); });
            BOOST_CHECK(stillRight());
            BOOST_CHECK_EXCEPTION(rankerObject->rankBatch(std::vector<Mat>{image, image, bad[i]}), cv::Exception,
                                  [](const cv::Exception& e) { return e.err.find("image 2") != String::npos; });
            BOOST_CHECK(stillRight());
        }
    }
    // A single Mat would silently be taken for a list of its rows.
    BOOST_CHECK_EXCEPTION(rankerObject->rankBatch(image), cv::Exception,
                          [](const cv::Exception& e) { return e.err.find("vector of images") != String::npos; });
    BOOST_CHECK(stillRight());
}

BOOST_AUTO_TEST_CASE(ranker_never_falls_back_in_silence)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(61, 47), 9);
    const Mat expected = rankerObject->rank(image).scores;
    const auto notThere = [](const cv::Exception& e)
    { return e.code == Error::StsNotImplemented && e.err.find("expected") != String::npos; };

    for (int backend : {int(dnn::DNN_BACKEND_INFERENCE_ENGINE), -1})
    {
        BOOST_CHECK_EXCEPTION(rankerObject->setPreferableBackend(backend), cv::Exception, notThere);
        BOOST_CHECK_EXCEPTION(scorer->setPreferableBackend(backend), cv::Exception, notThere);
    }
    for (int target : {int(dnn::DNN_TARGET_OPENCL), 1000})
    {
        BOOST_CHECK_EXCEPTION(rankerObject->setPreferableTarget(target), cv::Exception, notThere);
        BOOST_CHECK_EXCEPTION(scorer->setPreferableTarget(target), cv::Exception, notThere);
    }
    for (int backend : {int(dnn::DNN_BACKEND_DEFAULT), int(dnn::DNN_BACKEND_OPENCV)})
    {
        rankerObject->setPreferableBackend(backend);
        rankerObject->setPreferableTarget(dnn::DNN_TARGET_CPU);
        BOOST_TEST(norm(rankerObject->rank(image).scores, expected, NORM_INF) == 0);
    }
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
    for (int target : {int(dnn::DNN_TARGET_CUDA), int(dnn::DNN_TARGET_CUDA_FP16), int(TARGET_CUDA_BF16), int(TARGET_CUDA_TF32)})
    {
        BOOST_TEST(missingForTarget(target) == why);
        BOOST_CHECK_EXCEPTION(rankerObject->setPreferableTarget(target), cv::Exception, notThere);
        BOOST_CHECK_EXCEPTION(scorer->setPreferableTarget(target), cv::Exception, notThere);
    }
    BOOST_CHECK_THROW(ops::cudaBackend(ops::Precision::FP32, true), cv::Exception);
    BOOST_TEST(rankerObject->info() == before);
    BOOST_TEST(norm(rankerObject->rank(image).scores, expected, NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(reduced_precision_is_chosen_by_target_and_named)
{
    const Ptr<Ranker> rankerObject = Ranker::create(rankerPath);
    const Ptr<Scorer> scorer = Scorer::create(maePath);
    const Mat image = photo(Size(61, 47), 9);
    const Mat scores = rankerObject->rank(image).scores.clone();
    const std::vector<float> pseudo = scorer->score(image).scores;
    BOOST_TEST(rankerObject->info().find("precision: FP32") != String::npos);
    const auto nearButNotEqual = [](const Mat& got, const Mat& want, double share)
    {
        const double difference = norm(got, want, NORM_L2) / norm(want, NORM_L2);
        BOOST_TEST(difference > 0);
        BOOST_TEST(difference < share);
    };
    const std::vector<std::pair<int, std::string>> targets = {{TARGET_CPU_BF16, "BF16"}, {TARGET_CPU_INT8, "INT8"}};
    for (const auto& target : targets)
    {
        const String missing = missingForTarget(target.first);
        if (!missing.empty())
        {
            const auto saysWhat = [&](const cv::Exception& e)
            { return e.code == Error::StsNotImplemented && e.err.find(missing) != String::npos; };
            BOOST_CHECK_EXCEPTION(rankerObject->setPreferableTarget(target.first), cv::Exception, saysWhat);
            BOOST_CHECK_EXCEPTION(scorer->setPreferableTarget(target.first), cv::Exception, saysWhat);
            continue;
        }
        rankerObject->setPreferableTarget(target.first);
        scorer->setPreferableTarget(target.first);
        BOOST_TEST(rankerObject->info().find("precision: " + target.second) != String::npos);
        BOOST_TEST(scorer->info().find("precision: " + target.second) != String::npos);
        nearButNotEqual(rankerObject->rank(image).scores, scores, 0.05);
        nearButNotEqual(Mat(scorer->score(image).scores), Mat(pseudo), 0.1);   // small differences of large values
    }
    rankerObject->setPreferableTarget(TARGET_CPU);
    scorer->setPreferableTarget(TARGET_CPU);
    BOOST_TEST(norm(rankerObject->rank(image).scores, scores, NORM_INF) == 0);
    BOOST_CHECK(scorer->score(image).scores == pseudo);
    BOOST_CHECK_THROW(missingForTarget(-1), cv::Exception);
}

BOOST_AUTO_TEST_CASE(models_of_the_wrong_kind_are_refused)
{
    const auto names = [](const std::string& path)
    { return [path](const cv::Exception& e) { return e.err.find(path) != String::npos; }; };
    BOOST_CHECK_EXCEPTION(Ranker::create(maePath), cv::Exception, names(maePath));
    BOOST_CHECK_EXCEPTION(Scorer::create(rankerPath), cv::Exception, names(rankerPath));
    const std::string missing = (folder / "missing.safetensors").string();
    BOOST_CHECK_EXCEPTION(Ranker::create(missing), cv::Exception, names(missing));
    BOOST_CHECK_EXCEPTION(Scorer::create(missing), cv::Exception, names(missing));
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

BOOST_AUTO_TEST_SUITE_END()
