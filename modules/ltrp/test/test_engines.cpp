// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The module's layers within the caller's networks, built by code and read from ONNX, in every engine of this OpenCV:
// all results equal the reference.

#include "test_onnx_file.hpp"
#include "test_reference.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

const Stack encoder = {24, 2, 3, 48}, decoder = {16, 2, 2, 40};

struct Engine
{
    const char* name;
    int id;
};

std::vector<Engine> engines()
{
#if CV_VERSION_MAJOR >= 5
    return {{"classic", dnn::ENGINE_CLASSIC}, {"new", dnn::ENGINE_NEW}, {"auto", dnn::ENGINE_AUTO}};
#else
    return {{"the only one", 0}};
#endif
}

dnn::Net read(const std::vector<uchar>& onnxFile, const Engine& engine)
{
    registerLayers();
#if CV_VERSION_MAJOR >= 5
    return dnn::readNetFromONNX(onnxFile, engine.id);
#else
    (void)engine;
    return dnn::readNetFromONNX(onnxFile);
#endif
}

Mat integers(const std::vector<int>& values)
{
    Mat row(1, int(values.size()), CV_32S);
    std::copy(values.begin(), values.end(), row.ptr<int>());
#if CV_VERSION_MAJOR < 5
    row.convertTo(row, CV_32F);   // the only type in this version's networks
#endif
    return row;
}

Mat rowOf(const Mat& scores, int row)
{
    return Mat(1, scores.size[1], CV_32F, const_cast<float*>(scores.ptr<float>(row)));
}

TEST(Ltrp_Engines, net_made_by_hand)
{
    const Network network(32, 8, encoder, noDecoder, 1e-5, 1);
    const std::vector<Mat> images = {photo(Size(32, 32), 1), photo(Size(32, 32), 2), photo(Size(32, 32), 3)};
    registerLayerModel("ranker", network.path);
    for (const char* type : {"LtrpRank", "ltrp.LtrpRank"})
    {
        dnn::LayerParams params;
        params.set("model", "ranker");
        dnn::Net net;
        net.addLayerToPrev("scores", type, params);
        net.setPreferableBackend(dnn::DNN_BACKEND_OPENCV);
        for (size_t batch : {1, 3, 2})
        {
            net.setInput(pixels(std::vector<Mat>(images.begin(), images.begin() + batch)));
            const Mat scores = net.forward();
            ASSERT_EQ(int(batch), scores.size[0]);
            for (size_t i = 0; i < batch; i++)
                EXPECT_LE(relativeError(rowOf(scores, int(i)), network.rank(images[i])), 1e-5) << type << " " << i;
        }
    }
}

TEST(Ltrp_Engines, net_from_onnx)
{
    const Network network(32, 8, encoder, noDecoder, 1e-5, 1);
    const std::vector<Mat> images = {photo(Size(32, 32), 1), photo(Size(32, 32), 2), photo(Size(32, 32), 3)};
    registerLayerModel("ranker", network.path);
    for (const char* domain : {"", "ltrp"})
    {
        // An operation of the engine's own after the layer: the engine must know the type and shape of the layer's
        // output.
        const std::vector<uchar> file = onnx::model(
            {onnx::node(domain, "LtrpRank", {"pixels"}, "scores", {{"model", "ranker"}}),
             onnx::node("", "Neg", {"scores"}, "negative")},
            {onnx::value("pixels", onnx::FLOAT, {0, 3, 32, 32})}, {onnx::value("negative", onnx::FLOAT, {0, 16})});
        for (const Engine& engine : engines())
        {
            const String where = String("domain '") + domain + "', engine " + engine.name;
            dnn::Net net = read(file, engine);
            ASSERT_FALSE(net.empty()) << where;
            for (size_t batch : {1, 3, 2})
            {
                net.setInput(pixels(std::vector<Mat>(images.begin(), images.begin() + batch)), "pixels");
                const Mat negative = net.forward("negative");
                ASSERT_EQ(int(batch), negative.size[0]) << where;
                for (size_t i = 0; i < batch; i++)
                    EXPECT_LE(relativeError(-rowOf(negative, int(i)), network.rank(images[i])), 1e-5)
                        << where << ", image " << i << " of " << batch;
            }
        }
    }
}

TEST(Ltrp_Engines, pseudo_scores_from_onnx)
{
    const Network network(32, 8, encoder, decoder, 1e-6, 1);
    const Mat image = photo(Size(32, 32), 1);
    const std::vector<int> visible = {1, 6, 7, 12};
    registerLayerModel("autoencoder", network.path);
    for (const char* domain : {"", "ltrp"})
        for (int removal : {int(REMOVAL_DECODER), int(REMOVAL_ENCODER)})
        {
            const std::vector<uchar> file = onnx::model(
                {onnx::node(domain, "LtrpPseudoScore", {"pixels", "visible"}, "scores", {{"model", "autoencoder"}},
                            {{"removal", removal}, {"metric", METRIC_L2}})},
                {onnx::value("pixels", onnx::FLOAT, {0, 3, 32, 32}), onnx::value("visible", onnx::INT64, {0, 4})},
                {onnx::value("scores", onnx::FLOAT, {0, 4})});
            const std::vector<double> expected =
                network.score(image, visible, removal == REMOVAL_ENCODER, true);
            for (const Engine& engine : engines())
            {
                const String where = String("domain '") + domain + "', engine " + engine.name;
                dnn::Net net = read(file, engine);
                ASSERT_FALSE(net.empty()) << where;
                net.setInput(pixels({image}), "pixels");
                net.setInput(integers(visible), "visible");
                EXPECT_LE(relativeError(rowOf(net.forward("scores"), 0), expected), 1e-4) << where;
            }
        }
}

TEST(Ltrp_Engines, errors_of_layers_are_clear)
{
    const Network ranker(32, 8, encoder, noDecoder, 1e-5, 1), mae(32, 8, encoder, decoder, 1e-5, 1);
    registerLayerModel("ranker", ranker.path);
    registerLayerModel("autoencoder", mae.path);
    const auto failure = [](dnn::LayerParams given, const Mat& input)
    {
        return errorOf(0, [&]()
        {
            dnn::Net net;
            net.addLayerToPrev("scores", "LtrpRank", given);
            net.setPreferableBackend(dnn::DNN_BACKEND_OPENCV);
            net.setInput(input);
            net.forward();
        });
    };
    const Mat good = pixels({photo(Size(32, 32), 1)}), wrong = pixels({photo(Size(40, 40), 1)});
    dnn::LayerParams params;
    EXPECT_NE(String::npos, failure(params, good).find("no model"));
    params.set("model", ranker.path);   // the parameter is not used as a file name
    EXPECT_NE(String::npos, failure(params, good).find("registerLayerModel() with this name"));
    params.set("model", String("autoencoder"));
    EXPECT_NE(String::npos, failure(params, good).find(mae.path));
    EXPECT_ANY_THROW(registerLayerModel("", ranker.path));
    EXPECT_ANY_THROW(registerLayerModel("ranker", "nowhere.safetensors"));   // and the name keeps its weights
    params.set("model", String("ranker"));
    EXPECT_NE(String::npos, failure(params, wrong).find("[1,3,40,40]"));
    EXPECT_EQ(String(), failure(params, good));
}

template <class Object>
void expectRefusals(Object& object)
{
    const auto expectNamed = [](const String& what, int id, const String& error)
    {
        EXPECT_NE(String::npos, error.find(std::to_string(id))) << what << id << ": " << error;
        EXPECT_NE(String::npos, error.find("expected")) << what << id << ": " << error;
    };
    const int code = Error::StsNotImplemented;
    for (int backend = -1; backend < 12; backend++)
        if (backend != dnn::DNN_BACKEND_DEFAULT && backend != dnn::DNN_BACKEND_OPENCV && backend != dnn::DNN_BACKEND_CUDA)
            expectNamed("backend ", backend, errorOf(code, [&]() { object.setPreferableBackend(backend); }));
    // By number, because not every version has names for all: OpenCL in two precisions, devices of other backends.
    for (int target : {1, 2, 3, 4, 5, 8, 9, 99, 1000})
        expectNamed("target ", target, errorOf(code, [&]() { object.setPreferableTarget(target); }));
}

TEST(Ltrp_Engines, absent_backends_are_refused)
{
    // cv::dnn itself would, depending on version and engine, warn and compute elsewhere, or fail at the first forward
    // pass.
    const Network ranking(32, 8, encoder, noDecoder, 1e-5, 1), scoring(32, 8, encoder, decoder, 1e-5, 1);
    const Ptr<Ranker> ranker = Ranker::create(ranking.path);
    const Ptr<Scorer> scorer = Scorer::create(scoring.path);
    const Mat image = photo(Size(50, 50), 1);
    const Mat ranks = ranker->rank(image).scores, scores = scorer->scoreMap(image).scores;
    expectRefusals(*ranker);
    expectRefusals(*scorer);
    EXPECT_EQ(0, cvtest::norm(ranker->rank(image).scores, ranks, NORM_INF));
    EXPECT_EQ(0, cvtest::norm(scorer->scoreMap(image).scores, scores, NORM_INF));
    for (int backend : {int(dnn::DNN_BACKEND_DEFAULT), int(dnn::DNN_BACKEND_OPENCV)})
    {
        ranker->setPreferableBackend(backend);
        ranker->setPreferableTarget(dnn::DNN_TARGET_CPU);
        EXPECT_EQ(0, cvtest::norm(ranker->rank(image).scores, ranks, NORM_INF)) << "backend " << backend;
    }
}

template <class Object>
String namedPrecision(const Object& object)
{
    const String info = object.info();
    const size_t place = info.find("precision: ");
    return info.substr(place, info.find('\n', place) - place);
}

TEST(Ltrp_Engines, reduced_precision_is_chosen_by_target_and_named)
{
    const Network ranking(48, 8, {48, 2, 3, 96}, noDecoder, 1e-5, 1);
    const Network scoring(48, 8, {48, 2, 3, 96}, {32, 2, 2, 64}, 1e-6, 2);
    const Ptr<Ranker> ranker = Ranker::create(ranking.path);
    const Ptr<Scorer> scorer = Scorer::create(scoring.path);
    const Mat image = photo(Size(61, 47), 9), ranks = ranker->rank(image).scores;
    const Mat scores(scorer->score(image).scores, true);
    EXPECT_EQ("precision: FP32", namedPrecision(*ranker));
    const auto nearButNotEqual = [](const Mat& got, const Mat& want, double share)
    {
        const double difference = cvtest::norm(got, want, NORM_L2) / cvtest::norm(want, NORM_L2);
        EXPECT_GT(difference, 0);
        EXPECT_LT(difference, share);
    };
    struct Target { int id; String name; };
    for (const Target& target : {Target{TARGET_CPU_BF16, "BF16"}, Target{TARGET_CPU_INT8, "INT8"}})
    {
        const String missing = missingForTarget(target.id);
        if (!missing.empty())
        {
            const int code = Error::StsNotImplemented;
            EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->setPreferableTarget(target.id); }).find(missing));
            EXPECT_NE(String::npos, errorOf(code, [&]() { scorer->setPreferableTarget(target.id); }).find(missing));
            continue;
        }
        ranker->setPreferableTarget(target.id);
        scorer->setPreferableTarget(target.id);
        EXPECT_EQ("precision: " + target.name, namedPrecision(*ranker));
        EXPECT_EQ("precision: " + target.name, namedPrecision(*scorer));
        nearButNotEqual(ranker->rank(image).scores, ranks, 0.05);
        nearButNotEqual(Mat(scorer->score(image).scores), scores, 0.1);   // small differences of large values
    }
    ranker->setPreferableTarget(TARGET_CPU);
    scorer->setPreferableTarget(TARGET_CPU);
    EXPECT_EQ(0, cvtest::norm(ranker->rank(image).scores, ranks, NORM_INF));
    EXPECT_EQ(0, cvtest::norm(Mat(scorer->score(image).scores), scores, NORM_INF));
    EXPECT_THROW(missingForTarget(-1), cv::Exception);
}

}}  // namespace
