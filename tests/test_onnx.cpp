// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "onnx_bytes.hpp"
#include "onnx_cases.hpp"
#include "io/onnx_file.hpp"
#include "process.hpp"
#include "reference_vit.hpp"

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
const float tolerance = 1e-4f;   // relative to the range of the expected values

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
    BOOST_REQUIRE(spread > 0.1f);   // constant outputs would always agree
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

/// Scores of a convolution over 2 x 2 patches, after further nodes; the graph claims to take any number of images.
std::string convolution(const std::vector<std::pair<std::string, std::vector<int>>>& nodes)
{
    using namespace onnx_bytes;
    const auto ints = [](const std::string& name, const std::string& packed)
    { return text(5, text(1, name) + text(8, packed) + number(20, 7)); };
    std::string weight = number(1, 1) + number(1, 3) + number(1, 2) + number(1, 2) + number(2, 1) + text(8, "weight");
    for (int i = 0; i < 12; i++)
    {
        const float value = static_cast<float>(i % 5) - 1.7f;
        weight += number32(4, std::string(reinterpret_cast<const char*>(&value), 4));
    }
    const std::string conv = text(1, "image") + text(1, "weight") + text(2, "n0") + text(4, "Conv") +
                             ints("kernel_shape", "\x02\x02") + ints("strides", "\x02\x02");
    std::string parts = text(5, weight) + text(1, conv);
    for (size_t i = 0; i < nodes.size(); i++)
    {
        const std::string from = "n" + std::to_string(i), shape = "s" + std::to_string(i);
        std::string node = text(1, from) + text(2, "n" + std::to_string(i + 1)) + text(4, nodes[i].first);
        if (nodes[i].first == "Reshape")
        {
            std::string sizes;
            for (const int size : nodes[i].second)
                sizes += number(7, static_cast<uint64_t>(int64_t(size)));
            parts += text(5, number(1, nodes[i].second.size()) + number(2, 7) + sizes + text(8, shape));
            node += text(1, shape);
        }
        parts += text(1, node);
    }
    return ranker(parts, "n" + std::to_string(nodes.size()));
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
        // One net for all batches: the classic engine of OpenCV 5.0 may fail if they change.
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

/// Encoder and decoder in sequence give the results of the paper's code.
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
    double loss = 0;
    for (int b = 0; b < batch; b++)
    {
        reference::Matrix predicted;
        for (int p = 0; p < model.mae.input.numPatches(); p++)
            predicted.emplace_back(pred.ptr<float>(b, p), pred.ptr<float>(b, p) + model.mae.input.patchValues());
        const std::vector<int> kept(ids.begin() + b * visible, ids.begin() + (b + 1) * visible);
        const std::vector<float>& pixels = cases[0].inputs[0].floats;
        loss += reference::maeLoss(model.mae, &pixels[pixels.size() / batch * b], kept, predicted) / batch;
    }
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
    // Also detected by content; weights cannot be read from it.
    std::filesystem::rename(file, folder.file("rank.dat"));
    BOOST_CHECK_NO_THROW(Ranker::create(folder.file("rank.dat")));
    BOOST_CHECK_EXCEPTION(io::loadModel(folder.file("rank.dat")), cv::Exception,
                          [](const cv::Exception& e) { return mentions(e, {"rank.dat", "ONNX"}); });
}

BOOST_AUTO_TEST_CASE(batches_give_what_each_image_gets_alone)
{
    const TemporaryFolder folder;
    const auto check = [](const std::string& file, double allowed, bool trusted)
    {
        const cv::Ptr<Ranker> ranker = Ranker::create(file, trusted);
        std::vector<cv::Mat> images;
        for (int i = 0; i < 7; i++)
        {
            images.emplace_back(20 + i, 30, CV_8UC3);
            cv::RNG(static_cast<uint64_t>(i)).fill(images.back(), cv::RNG::UNIFORM, 0, 256);
        }
        const std::vector<PatchRanking> rankings = ranker->rankBatch(images);
        BOOST_REQUIRE(rankings.size() == images.size());
        for (size_t i = 0; i < images.size(); i++)
        {
            const cv::Mat alone = ranker->rank(images[i]).scores;
            BOOST_TEST((rankings[i].imageSize == images[i].size()));
            BOOST_TEST(cv::norm(alone, rankings[i].scores, cv::NORM_INF) <= allowed * cv::norm(alone, cv::NORM_INF));
            if (i > 0)
                BOOST_TEST(cv::norm(rankings[i].scores, rankings[i - 1].scores, cv::NORM_INF) > 0);
        }
        BOOST_TEST(ranker->rankBatch(std::vector<cv::Mat>()).empty());
        images[5] = cv::Mat();
        BOOST_CHECK_EXCEPTION(ranker->rankBatch(images), cv::Exception,
                              [](const cv::Exception& e) { return mentions(e, {"rankBatch: image 5"}); });
    };
    const std::string file = folder.file("r.onnx");
    io::exportOnnx(file, untrainedRanker(32, 8, {24, 2, 3, 48}));
    check(file, tolerance, false);
    // Any number; the number one in a constant; a number that changes the results of each image.
    for (const auto& nodes : std::vector<std::vector<std::pair<std::string, std::vector<int>>>>{
             {{"Reshape", {-1, 4}}},
             {{"Reshape", {1, 4}}},
             {{"Reshape", {1, -1}}, {"Softmax", {}}, {"Reshape", {-1, 4}}}})
    {
        testing_tools::writeText(file, convolution(nodes));
        check(file, 1e-6, true);
        BOOST_CHECK_EXCEPTION(Ranker::create(file), cv::Exception,
                              [](const cv::Exception& e) { return mentions(e, {"r.onnx", "ltrp convert", "--trusted"}); });
    }
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
    // A constant that claims more values than it has: the head's bias, 4 values, becomes 5.
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

// Constants that a reader of single fields could accept, and that an importer would read out of bounds.
BOOST_AUTO_TEST_CASE(constants_that_hold_less_than_their_shape_says)
{
    using namespace onnx_bytes;
    const auto read = [](const std::string& parts)
    {
        const std::string bytes = ranker(parts);
        return io::readOnnxRanker(io::FileBytes::copy("r.onnx", bytes.data(), bytes.size()))->weights;
    };
    const auto refuses = [&](const std::string& parts, const char* what)
    {
        BOOST_CHECK_EXCEPTION(read(parts), cv::Exception,
                              [&](const cv::Exception& e) { return mentions(e, {"r.onnx", what}); });
    };
    const std::string four(4, '\x3f'), shape2 = number(1, 2), isFloat = number(2, 1);
    const std::string sound = shape2 + isFloat + text(9, four + four);
    BOOST_TEST(read(text(5, sound)) == 2u);
    BOOST_TEST(read(text(5, shape2 + isFloat + text(4, four + four))) == 2u);
    BOOST_TEST(read(text(5, shape2 + isFloat + number32(4, four) + number32(4, four))) == 2u);
    BOOST_TEST(read(text(5, shape2 + number(2, 7) + text(7, "\x01\x02"))) == 0u);
    BOOST_TEST(read(text(1, constant(sound))) == 2u);

    // Raw bytes twice, half of them each; the last field counts.
    refuses(text(5, shape2 + isFloat + text(9, four) + text(9, four)), "4 bytes, expected 8");
    // The right number of values, but in the list of another type, or in a form that importers ignore.
    refuses(text(5, shape2 + isFloat + text(7, "\x01\x02")), "0 values, expected 2");
    refuses(text(5, shape2 + isFloat + number(4, 1) + number(4, 2)), "0 values, expected 2");
    refuses(text(5, shape2 + number(2, 7) + number32(7, four) + number32(7, four)), "0 values, expected 2");
    // Two tensors in one field: merged, they have the shape of both and the bytes of the last.
    refuses(text(1, constant(sound, number(1, 1) + isFloat + text(9, four))), "value twice");
    refuses(text(1, constant(sound, sound)), "value twice");
    // A further dimension, or shorter content, with field numbers of which importers use only the lower bits.
    const uint64_t high = uint64_t(1) << 29;
    refuses(text(5, sound + number(high + 1, 9)), "damaged");
    refuses(text(5, sound + text(high + 9, four)), "damaged");
    refuses(text(11, value("x", {2}) + text(2, text(1, number(1, 1)))), "type of a value twice");
}

BOOST_AUTO_TEST_SUITE_END()
