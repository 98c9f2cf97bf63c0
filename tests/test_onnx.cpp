// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "core/random.hpp"
#include "io/model_file.hpp"
#include "process.hpp"
#include "vit/ranker_net.hpp"

#include <opencv2/dnn.hpp>

#include <boost/test/unit_test.hpp>
#include <cmath>

using namespace cv::ltrp;
using testing_tools::TemporaryFolder;

namespace
{

const std::string golden = LTRP_SOURCE_DIR "/tests/data/golden/";
const float tolerance = 1e-4f;

std::vector<float> readTensor(const std::string& file, const std::string& name)
{
    const auto tensors = io::TensorFile::open(golden + file);
    std::vector<float> values(tensors->at(name).count());
    io::toFloat(tensors->at(name), values.data());
    return values;
}

std::vector<float> randomPixels(int batch, int size)
{
    RandomStream random(9, RandomPurpose::Mask);
    std::vector<float> pixels(static_cast<size_t>(batch) * 3 * size * size);
    for (float& value : pixels)
        value = static_cast<float>(random.normal());
    return pixels;
}

std::vector<float> runDnn(cv::dnn::Net& net, std::vector<float>& pixels, int batch, int size)
{
    const int shape[] = {batch, 3, size, size};
    net.setInput(cv::Mat(4, shape, CV_32F, pixels.data()), "image");
    const cv::Mat scores = net.forward("scores");
    BOOST_REQUIRE(scores.type() == CV_32F);
    BOOST_REQUIRE(scores.dims == 2);
    BOOST_REQUIRE(scores.size[0] == batch);
    const cv::Mat flat = scores.reshape(1, 1).clone();
    return std::vector<float>(flat.ptr<float>(), flat.ptr<float>() + flat.total());
}

float largestDifference(const std::vector<float>& a, const std::vector<float>& b, size_t count)
{
    BOOST_REQUIRE(a.size() >= count);
    BOOST_REQUIRE(b.size() >= count);
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = std::isfinite(a[i]) ? std::max(largest, std::abs(a[i] - b[i])) : HUGE_VALF;
    return largest;
}

/// Exports, reads back with cv::dnn and compares with the module's own forward pass at several batch sizes.
void checkAgainstOwn(const io::Model& model)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("ranker.onnx");
    io::exportOnnx(path, model);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(cv::String(path));
    const int size = model.ranker.input.imageSize, patches = model.ranker.input.numPatches();
    std::vector<float> pixels = randomPixels(3, size), own(static_cast<size_t>(3 * patches));
    vit::Workspace workspace;
    vit::RankerNet(model.ranker, model.params)
        .forward(pixels.data(), 3, nullptr, patches, own.data(), nullptr, workspace);
    float spread = 0;
    for (const float value : own)
        spread = std::max(spread, std::abs(value - own[0]));
    BOOST_TEST(spread > 0.1f); // scores that are all alike would agree with anything
    for (const int batch : {1, 3, 2})
    {
        const std::vector<float> scores = runDnn(net, pixels, batch, size);
        BOOST_TEST(scores.size() == static_cast<size_t>(batch * patches));
        BOOST_TEST(largestDifference(scores, own, scores.size()) <= tolerance, "batch " << batch);
    }
}

io::Model makeModel(int imageSize, int patchSize, const vit::StackConfig& stack)
{
    io::Model model;
    model.kind = io::ModelKind::Ranker;
    model.ranker.input.imageSize = imageSize;
    model.ranker.input.patchSize = patchSize;
    model.ranker.encoder = stack;
    vit::initialiseParams(model.ranker, 21, model.params);
    return model;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(onnx)

BOOST_AUTO_TEST_CASE(golden_ranker_through_dnn)
{
    io::LoadHints hints;
    hints.heads = 3;
    const io::Model model = io::loadModel(golden + "ranker_tiny/ranker_timm.safetensors", hints);
    const TemporaryFolder folder;
    io::exportOnnx(folder.file("r.onnx"), model);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(cv::String(folder.file("r.onnx")));
    std::vector<float> pixels = readTensor("mae_tiny/input.safetensors", "pixel_values");
    const std::vector<float> want = readTensor("ranker_tiny/out_full.safetensors", "scores_full");
    const int batch = static_cast<int>(pixels.size() / (3 * 224 * 224));
    const std::vector<float> got = runDnn(net, pixels, batch, 224);
    BOOST_TEST(got.size() == want.size());
    BOOST_TEST(largestDifference(got, want, want.size()) <= tolerance);
}

BOOST_AUTO_TEST_CASE(untrained_ranker_with_equal_tensors)
{
    // All biases zero and all norms alike: graph optimisers merge such tensors.
    checkAgainstOwn(makeModel(64, 16, {96, 3, 3, 384}));
}

BOOST_AUTO_TEST_CASE(every_tensor_different)
{
    io::Model model = makeModel(56, 8, {80, 2, 5, 112});
    model.ranker.layerNormEps = 1e-3f; // large enough to be seen when it is lost
    RandomStream random(3, RandomPurpose::Init, 9);
    for (const vit::ParamInfo& info : model.params.layout.tensors())
        for (size_t i = 0; i < info.count; i++)
            model.params.at(info.name)[i] += static_cast<float>(0.05 * random.normal());
    checkAgainstOwn(model);
}

BOOST_AUTO_TEST_CASE(default_geometry)
{
    checkAgainstOwn(makeModel(224, 16, vit::RankerConfig().encoder));
}

BOOST_AUTO_TEST_CASE(autoencoders_are_not_exported)
{
    io::Model model;
    model.kind = io::ModelKind::Mae;
    const TemporaryFolder folder;
    BOOST_CHECK_EXCEPTION(
        io::exportOnnx(folder.file("m.onnx"), model), cv::Exception, [](const cv::Exception& e)
        { return e.err.find("m.onnx") != std::string::npos && e.err.find("autoencoder") != std::string::npos; });
    BOOST_TEST(!std::filesystem::exists(folder.file("m.onnx")));
}

BOOST_AUTO_TEST_SUITE_END()
