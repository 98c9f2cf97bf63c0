// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "io/model_file.hpp"
#include "model_fixture.hpp"
#include "vit/positions.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>

using namespace cv::ltrp;
using namespace model_fixture;

BOOST_AUTO_TEST_SUITE(parameters)

BOOST_AUTO_TEST_CASE(layout_is_that_of_the_published_files)
{
    // PyTorch writes a network's tensors in the order of their definition; the golden .pth is such a file.
    const io::Model mae = io::loadModel(golden + "mae_tiny/mae_fb.pth", tinyHeads());
    const auto file = io::TensorFile::open(golden + "mae_tiny/mae_fb.pth");
    BOOST_TEST(file->tensors().size() == mae.params.layout.tensors().size());
    size_t end = 0;
    for (const vit::ParamInfo& info : mae.params.layout.tensors())
    {
        BOOST_TEST(info.offset >= end);
        BOOST_TEST(info.offset % 16 == 0);
        end = info.offset + info.count;
        const bool table = info.name == "pos_embed" || info.name == "decoder_pos_embed";
        BOOST_TEST(info.trainable == !table, info.name);
        BOOST_TEST(info.decay == (!table && info.shape.size() > 1), info.name);
    }
    BOOST_TEST(mae.params.layout.total() >= end);
    // ViT-B/16 with its decoder of 8 blocks of 512, position tables included.
    BOOST_TEST(vit::maeLayout(vit::MaeConfig()).parameterCount() == 111907840u);
}

BOOST_AUTO_TEST_CASE(sine_cosine_positions)
{
    const auto file = io::TensorFile::open(golden + "mae_tiny/sincos.safetensors");
    for (const char* name : {"sincos.encoder", "sincos.decoder"})
    {
        const io::TensorView& view = file->at(name);
        std::vector<float> want(view.count()), got(view.count());
        io::toFloat(view, want.data());
        vit::sinCosPositions(14, static_cast<int>(view.shape[1]), got.data());
        for (size_t i = 0; i < want.size(); i++)
            BOOST_REQUIRE_SMALL(got[i] - want[i], 2e-6f);
    }
    float table[10];
    BOOST_CHECK_THROW(vit::sinCosPositions(1, 6, table), cv::Exception);
}

BOOST_AUTO_TEST_CASE(initial_values_follow_the_seed)
{
    vit::MaeConfig config;
    config.input.imageSize = 64;
    config.encoder = {96, 2, 3, 384};
    config.decoder = {64, 1, 2, 256};
    vit::ParamArena a, b, c;
    vit::initialiseParams(config, 5, a);
    vit::initialiseParams(config, 5, b);
    vit::initialiseParams(config, 6, c);
    BOOST_TEST(sameArena(a, b));
    BOOST_TEST(!sameArena(a, c));
    const auto bound = [&](const std::string& name, double in, double out)
    {
        const vit::ParamInfo& info = a.layout.at(name);
        double largest = 0, sum = 0, squares = 0;
        for (size_t i = 0; i < info.count; i++)
        {
            const double v = a.at(name)[i];
            largest = std::max(largest, std::abs(v));
            sum += v;
            squares += v * v;
        }
        const double limit = std::sqrt(6 / (in + out)), n = static_cast<double>(info.count);
        BOOST_TEST(largest <= limit, name);
        BOOST_TEST(largest > 0.99 * limit, name);
        BOOST_TEST(std::abs(sum / n) < 5 * limit / std::sqrt(3 * n), name);
        BOOST_CHECK_CLOSE(squares / n, limit * limit / 3, 5);
    };
    bound("blocks.1.attn.qkv.weight", 96, 288);
    bound("patch_embed.proj.weight", 768, 96);
    bound("decoder_pred.weight", 64, 768);
    double squares = 0;
    for (int i = 0; i < 96; i++)
        squares += a.at("cls_token")[i] * a.at("cls_token")[i];
    BOOST_CHECK_CLOSE(std::sqrt(squares / 96), 0.02, 30);
    BOOST_TEST(a.at("blocks.0.norm2.weight")[7] == 1.f);
    BOOST_TEST(a.at("blocks.0.norm2.bias")[7] == 0.f);
    BOOST_TEST(a.at("patch_embed.proj.bias")[7] == 0.f);
    // A tensor's values do not depend on earlier tensors: another depth does not change the first block.
    config.encoder.depth = 1;
    vit::ParamArena shallow;
    vit::initialiseParams(config, 5, shallow);
    BOOST_TEST(std::memcmp(shallow.at("blocks.0.mlp.fc2.weight"), a.at("blocks.0.mlp.fc2.weight"), 4 * 96 * 384) == 0);
}

BOOST_AUTO_TEST_CASE(visible_counts_are_truncated_in_double)
{
    BOOST_TEST(vit::visibleCount(196, 0.9) == 19);
    BOOST_TEST(vit::visibleCount(196, 0.75) == 49);
    BOOST_TEST(vit::visibleCount(100, 0.9) == 9); // 9.999999999999998
    BOOST_TEST(vit::visibleCount(256, 0.9) == 25);
    BOOST_TEST(vit::visibleCount(10, 0) == 10);
    for (const double ratio : {-0.1, 1.0, std::nan("")})
        BOOST_CHECK_THROW(vit::visibleCount(196, ratio), cv::Exception);
}

BOOST_AUTO_TEST_CASE(impossible_geometry_is_refused)
{
    const auto mae = [](const std::function<void(vit::MaeConfig&)>& change)
    {
        vit::MaeConfig config;
        change(config);
        return messageOf([&] { vit::checkConfig(config, "options"); });
    };
    BOOST_TEST(mae([](vit::MaeConfig&) {}).empty());
    checkMentions(mae([](vit::MaeConfig& c) { c.input.patchSize = 15; }), {"options", "224", "15"});
    checkMentions(mae([](vit::MaeConfig& c) { c.input.imageSize = 0; }), {"image size", "0"});
    checkMentions(mae([](vit::MaeConfig& c) { c.encoder.heads = 5; }), {"768", "5 heads"});
    checkMentions(mae([](vit::MaeConfig& c) { c.decoder.heads = 0; }), {"decoder heads"});
    checkMentions(mae([](vit::MaeConfig& c) { c.decoder.dim = 1 << 30; }), {"decoder embed dim"});
    checkMentions(mae([](vit::MaeConfig& c) { c.encoder.depth = 257; }), {"depth", "257"});
    checkMentions(mae([](vit::MaeConfig& c) { c.encoder.hidden = 0; }), {"MLP"});
    checkMentions(mae([](vit::MaeConfig& c) { c.layerNormEps = 0; }), {"epsilon"});
    checkMentions(mae([](vit::MaeConfig& c) { c.input.std[1] = 0; }), {"standard deviation"});
    checkMentions(mae([](vit::MaeConfig& c) { c.encoder = {16384, 4, 16, 65536}; }), {"parameters"});
    vit::MaeConfig huge;
    huge.input.patchSize = 14;
    huge.encoder = {1280, 32, 16, 5120};
    BOOST_TEST(messageOf([&] { vit::checkConfig(huge, "options"); }).empty());
}

BOOST_AUTO_TEST_SUITE_END()
