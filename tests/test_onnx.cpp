// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "onnx_cases.hpp"
#include "io/onnx_file.hpp"
#include "process.hpp"
#include "vit/mae.hpp"

#include <opencv2/dnn.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp/ranker.hpp>

#include <boost/test/unit_test.hpp>
#include <algorithm>
#include <cmath>

using namespace cv::ltrp;
using testing_tools::TemporaryFolder;

namespace
{

const std::string golden = LTRP_SOURCE_DIR "/tests/data/golden/";
const std::string shipped = LTRP_SOURCE_DIR "/modules/ltrp/models";
const float tolerance = 1e-4f;   // of the range of the wanted values

std::vector<float> readTensor(const std::string& file, const std::string& name)
{
    const auto tensors = io::TensorFile::open(golden + file);
    std::vector<float> values(tensors->at(name).count());
    io::toFloat(tensors->at(name), values.data());
    return values;
}

/// The first `batch` rows of the case's inputs through the net.
cv::Mat runDnn(cv::dnn::Net& net, OnnxCase& c, int batch)
{
    for (OnnxCase::Tensor& input : c.inputs)
    {
        std::vector<int> shape = input.shape;
        shape[0] = batch;
        const int type = input.integers.empty() ? CV_32F : CV_32S;
        void* data = input.integers.empty() ? static_cast<void*>(input.floats.data()) : input.integers.data();
        net.setInput(cv::Mat(static_cast<int>(shape.size()), shape.data(), type, data), input.name);
    }
    return net.forward(c.want.name).clone();
}

void checkValues(const OnnxCase& c, int batch, const cv::Mat& got)
{
    BOOST_REQUIRE(got.type() == CV_32F);
    BOOST_REQUIRE(got.dims == static_cast<int>(c.want.shape.size()));
    BOOST_REQUIRE(got.size[0] == batch);
    for (int i = 1; i < got.dims; i++)
        BOOST_REQUIRE(got.size[i] == c.want.shape[static_cast<size_t>(i)]);
    const auto range = std::minmax_element(c.want.floats.begin(), c.want.floats.end());
    const float spread = *range.second - *range.first;
    BOOST_REQUIRE(spread > 0.1f);   // values that are all alike would agree with anything
    float largest = 0;
    for (size_t i = 0; i < got.total(); i++)
    {
        const float value = got.ptr<float>()[i];
        largest = std::isfinite(value) ? std::max(largest, std::abs(value - c.want.floats[i])) : HUGE_VALF;
    }
    BOOST_TEST(largest <= tolerance * spread, c.name << ", batch " << batch << ": off by " << largest << " of "
                                                     << spread);
}

bool mentions(const cv::Exception& error, const std::vector<std::string>& words)
{
    for (const std::string& word : words)
        if (error.err.find(word) == std::string::npos)
            return false;
    return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(onnx)

BOOST_AUTO_TEST_CASE(exported_networks_through_dnn_agree_with_our_own)
{
    const TemporaryFolder folder;
    for (OnnxCase& c : allOnnxCases(folder.path().string(), shipped))
    {
        cv::dnn::Net net = cv::dnn::readNetFromONNX(cv::String(c.file));
        BOOST_REQUIRE(!net.empty());
        // One net for all: OpenCV 5.0's classic engine trips over changing batches.
        for (const int batch : {1, c.want.shape[0], 2})
            checkValues(c, batch, runDnn(net, c, batch));
    }
}

BOOST_AUTO_TEST_CASE(golden_ranker_through_dnn)
{
    io::LoadHints hints;
    hints.heads = 3;
    const io::Model model = io::loadModel(golden + "ranker_tiny/ranker_timm.safetensors", hints);
    const TemporaryFolder folder;
    const std::vector<float> pixels = readTensor("mae_tiny/input.safetensors", "pixel_values");
    const int batch = static_cast<int>(pixels.size() / (3 * 224 * 224));
    OnnxCase c = rankerCase(folder.path().string(), "golden", model, batch);
    c.inputs[0].floats = pixels;
    c.want.floats = readTensor("ranker_tiny/out_full.safetensors", "scores_full");
    cv::dnn::Net net = cv::dnn::readNetFromONNX(cv::String(c.file));
    checkValues(c, batch, runDnn(net, c, batch));
}

/// Encoder and decoder one after the other give what the paper's code gives.
BOOST_AUTO_TEST_CASE(golden_autoencoder_through_dnn)
{
    io::LoadHints hints;
    hints.heads = 3;
    hints.decoderHeads = 4;
    const io::Model model = io::loadModel(golden + "mae_tiny/mae_fb.pth", hints);
    const auto mask = io::TensorFile::open(golden + "mae_tiny/mask_m90.safetensors");
    const io::TensorView& keep = mask->at("m90.ids_keep");
    const int batch = static_cast<int>(keep.shape.at(0)), visible = static_cast<int>(keep.shape.at(1));
    std::vector<int64_t> ids(keep.count());
    io::toInt64(keep, ids.data());

    const TemporaryFolder folder;
    std::vector<OnnxCase> cases = maeCases(folder.path().string(), "golden", model, visible, batch);
    cases[0].inputs[0].floats = readTensor("mae_tiny/input.safetensors", "pixel_values");
    cases[0].inputs[1].integers.assign(ids.begin(), ids.end());
    cv::dnn::Net encoder = cv::dnn::readNetFromONNX(cv::String(cases[0].file));
    const cv::Mat latent = runDnn(encoder, cases[0], batch);
    cases[0].want.floats = readTensor("mae_tiny/out_m90.safetensors", "m90.latent");
    checkValues(cases[0], batch, latent);

    cases[1].inputs[0].floats.assign(latent.ptr<float>(), latent.ptr<float>() + latent.total());
    cases[1].inputs[1].integers = cases[0].inputs[1].integers;
    cv::dnn::Net decoder = cv::dnn::readNetFromONNX(cv::String(cases[1].file));
    const cv::Mat pred = runDnn(decoder, cases[1], batch);
    vit::Workspace workspace;
    const double loss = vit::Mae(model.mae, model.params)
                            .loss(cases[0].inputs[0].floats.data(), batch, cases[0].inputs[1].integers.data(), visible,
                                  pred.ptr<float>(), workspace);
    const float want = readTensor("mae_tiny/out_m90.safetensors", "m90.loss")[0];
    BOOST_TEST(std::abs(loss - want) <= 1e-5 * want, loss << ", expected " << want);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_exported_leaves_no_file)
{
    const TemporaryFolder folder;
    const io::Model mae = untrainedMae(64, 16, {96, 1, 3, 384}, {64, 1, 4, 256});
    const io::Model ranker = untrainedRanker(64, 16, {96, 1, 3, 384});
    const std::string one = folder.file("m.onnx"), two = folder.file("n.onnx");
    BOOST_CHECK_EXCEPTION(io::exportOnnx(one, mae), cv::Exception,
                          [](const cv::Exception& e) { return mentions(e, {"m.onnx", "autoencoder"}); });
    BOOST_CHECK_EXCEPTION(io::exportOnnx(one, two, ranker, 4), cv::Exception,
                          [](const cv::Exception& e) { return mentions(e, {"m.onnx", "ranker"}); });
    for (const int visible : {0, 16, -1})
        BOOST_CHECK_EXCEPTION(io::exportOnnx(one, two, mae, visible), cv::Exception, [&](const cv::Exception& e)
                              { return mentions(e, {"m.onnx", std::to_string(visible) + " visible", "1 to 15"}); });
    BOOST_CHECK_THROW(io::exportOnnx(one, folder.file("no/folder.onnx"), mae, 4), cv::Exception);
    BOOST_TEST(std::filesystem::is_empty(folder.path()));
}

BOOST_AUTO_TEST_CASE(ranker_of_an_exported_file)
{
    const TemporaryFolder folder;
    const std::string weights = shipped + "/ltrp-rank-tiny.safetensors", file = folder.file("rank.onnx");
    io::exportOnnx(file, io::loadModel(weights));
    const cv::Ptr<Ranker> ranker = Ranker::create(file), own = Ranker::create(weights);
    BOOST_TEST((ranker->getGrid() == own->getGrid()));
    for (const char* name : {"cat.jpg", "rocket.jpg"})
    {
        const cv::Mat photo = cv::imread(std::string(LTRP_SOURCE_DIR "/samples/photos/") + name);
        const cv::Mat got = ranker->rank(photo).scores, want = own->rank(photo).scores;
        double low = 0, high = 0;
        cv::minMaxLoc(want, &low, &high);
        BOOST_REQUIRE(got.size() == want.size());
        BOOST_TEST(cv::norm(got, want, cv::NORM_INF) <= tolerance * (high - low));
    }
    // Found by content, too; weights are not to be had from it.
    std::filesystem::rename(file, folder.file("rank.dat"));
    BOOST_CHECK_NO_THROW(Ranker::create(folder.file("rank.dat")));
    BOOST_CHECK_EXCEPTION(io::loadModel(folder.file("rank.dat")), cv::Exception,
                          [](const cv::Exception& e) { return mentions(e, {"rank.dat", "ONNX"}); });
}

BOOST_AUTO_TEST_CASE(damaged_files_are_refused_before_anything_runs_them)
{
    const TemporaryFolder folder;
    const std::string file = folder.file("r.onnx");
    io::exportOnnx(file, untrainedRanker(32, 16, {16, 1, 2, 32}));
    const std::string good = testing_tools::readText(file);
    const auto read = [&](const std::string& bytes)
    { return io::readOnnxRanker(io::FileBytes::copy("r.onnx", bytes.data(), bytes.size())); };
    BOOST_REQUIRE(read(good)->operations.at("Softmax") == 1);
    for (size_t size = 1; size < good.size(); size += 1 + size / 200)
        BOOST_CHECK_EXCEPTION(read(good.substr(0, size)), cv::Exception,
                              [](const cv::Exception& e) { return mentions(e, {"r.onnx"}); });

    const auto refuses = [&](const std::string& bytes, const char* what)
    {
        BOOST_CHECK_EXCEPTION(read(bytes), cv::Exception,
                              [&](const cv::Exception& e) { return mentions(e, {"r.onnx", what}); });
    };
    // A constant that claims more than it holds: the head's bias, 4 values, becomes 5.
    const std::string bias("\x08\x04\x10\x01\x42\x09head.bias", 15);
    BOOST_REQUIRE(good.find(bias) != std::string::npos);
    std::string changed = good;
    changed[good.find(bias) + 1] = 5;
    refuses(changed, "16 bytes, expected 20");
    changed = good;
    changed[good.find(bias) + 3] = 8;   // strings
    refuses(changed, "has the type 8");
    // Appended fields of the model: a second graph, functions.
    refuses(good + std::string("\x3a\x00", 2), "two graphs");
    refuses(good + std::string("\xca\x01\x00", 3), "functions");
    // A field without a number, a varint that does not end.
    refuses(good + std::string("\x00\x00", 2), "damaged");
    refuses(good + std::string(12, '\xff'), "damaged");
    io::exportOnnx(folder.file("e.onnx"), folder.file("d.onnx"), untrainedMae(32, 16, {16, 1, 2, 32}, {16, 1, 2, 32}), 2);
    BOOST_CHECK_EXCEPTION(Ranker::create(folder.file("e.onnx")), cv::Exception,
                          [](const cv::Exception& e) { return mentions(e, {"e.onnx", "encoder", "ranker is needed"}); });
}

BOOST_AUTO_TEST_SUITE_END()
