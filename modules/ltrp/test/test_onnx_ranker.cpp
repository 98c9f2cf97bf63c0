// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Rankers from ONNX files, run by this OpenCV's default engine.

#include "test_onnx_file.hpp"
#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>
#include <cstdio>
#include <fstream>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

/// A file that is removed with this object.
struct OnnxOnDisk
{
    OnnxOnDisk(const std::vector<uchar>& bytes, const std::string& metadata) : path(cv::tempfile(".onnx"))
    {
        std::vector<uchar> all = bytes;
        if (!metadata.empty())
        {
            // Fields of a message may be in any order: here the metadata come last.
            const std::vector<uchar> more =
                onnx::Message().message(14, onnx::Message().text(1, "ltrp").text(2, metadata)).bytes();
            all.insert(all.end(), more.begin(), more.end());
        }
        std::ofstream(path.c_str(), std::ios::binary)
            .write(reinterpret_cast<const char*>(all.data()), std::streamsize(all.size()));
    }
    ~OnnxOnDisk() { std::remove(path.c_str()); }
    OnnxOnDisk(const OnnxOnDisk&) = delete;
    OnnxOnDisk& operator=(const OnnxOnDisk&) = delete;
    const std::string path;
};

std::string geometry(int size, int patch, const std::string& kind = "ranker")
{
    return "{\"format\":1,\"kind\":\"" + kind + "\",\"image_size\":" + std::to_string(size) + ",\"patch_size\":" +
           std::to_string(patch) + ",\"mean\":[0.5,0.45,0.4],\"std\":[0.25,0.22,0.2]}";
}

/// A graph with a single operation, the module's own layer with the network's weights.
std::vector<uchar> graphOf(const Network& network, int outputs)
{
    registerLayerModel("of a test", network.path);
    const int side = network.config.input.side;
    return onnx::model({onnx::node("ltrp", "LtrpRank", {"image"}, "scores", {{"model", "of a test"}})},
                       {onnx::value("image", onnx::FLOAT, {0, 3, side, side})},
                       {onnx::value("scores", onnx::FLOAT, {0, outputs})});
}

void expectRefused(const std::string& path, const std::string& what)
{
    const String error = errorOf(0, [&]() { Ranker::create(path, true); });
    EXPECT_NE(String::npos, error.find(path)) << error;
    EXPECT_NE(String::npos, error.find(what)) << what << ": " << error;
}

TEST(Ltrp_OnnxRanker, same_scores_as_the_weights)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const OnnxOnDisk file(graphOf(network, 16), geometry(32, 8));
    const Ptr<Ranker> ranker = Ranker::create(file.path, true), own = Ranker::create(network.path);
    EXPECT_EQ(Size(32, 32), ranker->getInputSize());
    EXPECT_EQ(Size(4, 4), ranker->getGrid());
    EXPECT_EQ(Scalar(0.5, 0.45, 0.4), ranker->getInputMean());
    EXPECT_EQ(Scalar(0.25, 0.22, 0.2), ranker->getInputStd());
    EXPECT_NE(std::string::npos, ranker->info().find(file.path));
    std::vector<Mat> images;
    for (int i = 0; i < 6; i++)
        images.push_back(photo(Size(60 + 20 * i, 50), i));
    const std::vector<PatchRanking> rankings = ranker->rankBatch(images), wanted = own->rankBatch(images);
    ASSERT_EQ(size_t(6), rankings.size());
    for (size_t i = 0; i < 6; i++)
    {
        EXPECT_EQ(images[i].size(), rankings[i].imageSize);
        EXPECT_LE(relativeError(rankings[i].scores, wanted[i].scores), 1e-5);
    }
    EXPECT_THROW(ranker->setPreferableTarget(TARGET_CPU_INT8), cv::Exception);
    EXPECT_THROW(ranker->setPreferableBackend(dnn::DNN_BACKEND_CUDA), cv::Exception);
    EXPECT_NO_THROW(ranker->setPreferableBackend(dnn::DNN_BACKEND_OPENCV));
    EXPECT_NO_THROW(ranker->setPreferableTarget(TARGET_CPU));
    EXPECT_THROW(ranker->rank(Mat()), cv::Exception);
    const std::vector<cuda::GpuMat> there(2, cuda::GpuMat(50, 60, CV_8UC3, images[0].data, images[0].step));
    const int code = Error::StsNotImplemented;
    EXPECT_NE(String::npos, errorOf(code, [&]() { ranker->rankBatch(there); }).find("rankBatch: an ONNX file computes on the CPU"));
}

TEST(Ltrp_OnnxRanker, only_own_graphs_without_trust)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const OnnxOnDisk file(graphOf(network, 16), geometry(32, 8));
    const String text = errorOf(Error::StsUnsupportedFormat, [&]() { Ranker::create(file.path); });
    EXPECT_NE(String::npos, text.find("LtrpRank")) << text;
    EXPECT_NE(String::npos, text.find("Ranker::create(model, true)")) << text;
}

TEST(Ltrp_OnnxRanker, graphs_never_name_files)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 1);
    const OnnxOnDisk file(onnx::model({onnx::node("ltrp", "LtrpRank", {"image"}, "scores", {{"model", network.path}})},
                                      {onnx::value("image", onnx::FLOAT, {0, 3, 32, 32})},
                                      {onnx::value("scores", onnx::FLOAT, {0, 16})}), geometry(32, 8));
    expectRefused(file.path, "no model is registered under the name");
    registerLayerModel(network.path, network.path);
    EXPECT_NO_THROW(Ranker::create(file.path, true));
    registerLayerModel(network.path, "");
    expectRefused(file.path, "no model is registered under the name");
}

TEST(Ltrp_OnnxRanker, many_threads)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 2);
    const OnnxOnDisk file(graphOf(network, 16), geometry(32, 8));
    const Ptr<Ranker> ranker = Ranker::create(file.path, true);
    std::vector<Mat> images, wanted, got(24);
    for (int i = 0; i < 24; i++)
    {
        images.push_back(photo(Size(40, 40), i));
        wanted.push_back(ranker->rank(images.back()).scores);
    }
    parallel_for_(Range(0, 24), [&](const Range& range)
    {
        for (int i = range.start; i < range.end; i++)
            got[i] = ranker->rank(images[i]).scores;
    });
    for (int i = 0; i < 24; i++)
        EXPECT_LE(relativeError(got[i], wanted[i]), 1e-5) << i;
}

TEST(Ltrp_OnnxRanker, says_what_is_wrong_with_a_file)
{
    const Network network(32, 8, {24, 2, 3, 48}, noDecoder, 1e-5, 3);
    const std::vector<uchar> graph = graphOf(network, 16);
    {
        const OnnxOnDisk file(graph, "");
        expectRefused(file.path, "lacks the entry 'ltrp'");
    }
    {
        const OnnxOnDisk file(graph, geometry(32, 8, "mae"));
        expectRefused(file.path, "masked autoencoder");
    }
    {
        const OnnxOnDisk file(graph, geometry(64, 8));
        expectRefused(file.path, "[1, 3, 64, 64]");
    }
    {
        const OnnxOnDisk file(graph, geometry(32, 4));
        expectRefused(file.path, "[1, 64]");
    }
    {
        const OnnxOnDisk file(graph, "{\"format\":1}");
        expectRefused(file.path, "'kind' is missing");
    }
    {
        const OnnxOnDisk file(std::vector<uchar>(100, 0xff), "");
        expectRefused(file.path, "no ONNX file");
    }
    {
        std::vector<onnx::Message> nodes = {onnx::node("nowhere", "NoSuchThing", {"image"}, "scores")};
        const OnnxOnDisk file(onnx::model(nodes, {onnx::value("image", onnx::FLOAT, {0, 3, 32, 32})},
                                          {onnx::value("scores", onnx::FLOAT, {0, 16})}), geometry(32, 8));
        expectRefused(file.path, "cannot run this ONNX graph");
    }
}

}}  // namespace
