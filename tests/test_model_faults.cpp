// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "io/model_file.hpp"
#include "checkpoint_builder.hpp"
#include "model_fixture.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

using namespace cv::ltrp;
using namespace model_fixture;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

BOOST_AUTO_TEST_SUITE(model_faults)

BOOST_AUTO_TEST_CASE(wrong_kinds_are_named)
{
    const TemporaryFolder folder;
    const std::string mae = golden + "mae_tiny/mae_fb.safetensors",
                      ranker = golden + "ranker_tiny/ranker_timm.safetensors";
    checkMentions(messageOf([&] { io::loadModel(mae, io::ModelKind::Ranker, tinyHeads()); }),
                  {"mae_fb.safetensors", "is a masked autoencoder", "a ranker is needed"});
    checkMentions(messageOf([&] { io::loadModel(ranker, io::ModelKind::Mae, tinyHeads()); }),
                  {"ranker_timm.safetensors", "is a ranker", "a masked autoencoder is needed"});
    const std::string own = folder.file("own.safetensors");
    io::saveModel(own, smallModel(io::ModelKind::Ranker));
    checkMentions(messageOf([&] { io::loadModel(own, io::ModelKind::Mae); }), {"is a ranker"});

    TensorBag encoder(mae);
    for (size_t i = encoder.items.size(); i-- > 0;)
        if (encoder.items[i].name.compare(0, 7, "decoder") == 0)
            encoder.items.erase(encoder.items.begin() + static_cast<std::ptrdiff_t>(i));
    checkMentions(loadMessage(encoder.save(folder.file("encoder.safetensors"))), {"no decoder", "Scorer needs it"});

    TensorBag classifier(ranker);
    classifier.reshape("head.weight", {1000, 48});
    classifier.reshape("head.bias", {1000});
    checkMentions(loadMessage(classifier.save(folder.file("classifier.safetensors"))),
                  {"1000", "196", "one per patch"});

    TensorBag other;
    other.add("features.0.weight", {4, 4});
    checkMentions(loadMessage(other.save(folder.file("other.safetensors"))), {"no known network", "features.0.weight"});
    checkMentions(loadMessage(golden + "mae_tiny/input.safetensors"), {"no known network", "pixel_values"});
}

BOOST_AUTO_TEST_CASE(every_missing_tensor_is_named)
{
    const TemporaryFolder folder;
    for (const char* file : {"mae_tiny/mae_fb.safetensors", "ranker_tiny/ranker_timm.safetensors"})
    {
        const TensorBag complete(golden + file);
        for (const TensorBag::Item& item : complete.items)
        {
            TensorBag bag = complete;
            bag.erase(item.name);
            const std::string message = loadMessage(bag.save(folder.file("m.safetensors")));
            BOOST_TEST(!message.empty(), item.name);
            // Without its class token, decoder or head the kind of the file is unknown; without a block's first norm,
            // that block and the following ones are unknown tensors.
            const bool decides = item.name == "cls_token" || item.name == "patch_embed.proj.weight" ||
                                 item.name == "decoder_embed.weight" || item.name == "head.weight" ||
                                 item.name.find("norm1.weight") != std::string::npos;
            if (!decides)
                BOOST_TEST(message.find("tensor '" + item.name + "' is missing") != std::string::npos, message);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_wrong_shape_is_named)
{
    const TemporaryFolder folder;
    for (const char* file : {"mae_tiny/mae_fb.safetensors", "ranker_tiny/ranker_timm.safetensors"})
    {
        const TensorBag complete(golden + file);
        for (const TensorBag::Item& item : complete.items)
        {
            std::vector<std::vector<int64_t>> shapes(3, item.shape);
            shapes[0].back() += 1;
            shapes[1].front() += 1;
            shapes[2].push_back(1);
            for (const std::vector<int64_t>& shape : shapes)
            {
                TensorBag bag = complete;
                bag.reshape(item.name, shape);
                const std::string message = loadMessage(bag.save(folder.file("s.safetensors")));
                // Geometry is derived from some tensors: changing one may cause an error at another.
                const bool says = message.find("expected") != std::string::npos ||
                                  message.find("is not a multiple of its") != std::string::npos;
                BOOST_TEST(says, item.name << ": " << message);
                BOOST_TEST(message.find("s.safetensors") != std::string::npos, message);
            }
        }
    }
    TensorBag bag(golden + "ranker_tiny/ranker_timm.safetensors");
    bag.reshape("blocks.1.mlp.fc2.weight", {48, 191});
    checkMentions(loadMessage(bag.save(folder.file("s.safetensors"))),
                  {"'blocks.1.mlp.fc2.weight'", "[48, 191]", "[48, 192]"});
}

BOOST_AUTO_TEST_CASE(nan_and_infinite_weights_are_refused)
{
    const TemporaryFolder folder;
    const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const float bad : {nan, infinity, -infinity})
    {
        TensorBag bag(golden + "ranker_tiny/ranker_timm.safetensors");
        bag.set("blocks.2.attn.proj.weight", 100, bad);
        checkMentions(loadMessage(bag.save(folder.file("n.safetensors"))),
                      {"n.safetensors", "'blocks.2.attn.proj.weight'", "element 100"});
    }
    TensorBag bag(golden + "ranker_tiny/ranker_timm.safetensors");
    bag.at("norm.bias").dtype = io::DType::I32;
    checkMentions(loadMessage(bag.save(folder.file("n.safetensors"))), {"'norm.bias'", "I32", "F32"});
}

BOOST_AUTO_TEST_CASE(heads_that_cannot_be_known_must_be_given)
{
    checkMentions(messageOf([] { io::loadModel(golden + "mae_tiny/mae_fb.safetensors"); }),
                  {"heads", "48", "ltrp convert"});
    io::LoadHints hints;
    hints.heads = 3;
    checkMentions(messageOf([&] { io::loadModel(golden + "mae_tiny/mae_fb.safetensors", hints); }),
                  {"heads", "decoder", "32", "ltrp convert"});
    hints.decoderHeads = 5;
    checkMentions(messageOf([&] { io::loadModel(golden + "mae_tiny/mae_fb.safetensors", hints); }), {"32", "5 heads"});
}

BOOST_AUTO_TEST_CASE(weights_too_large_for_sixteen_bits_are_not_written)
{
    const TemporaryFolder folder;
    io::Model model = smallModel(io::ModelKind::Ranker);
    model.params.at("head.bias")[3] = 65519.f; // rounds to 65504, the largest half
    io::saveModel(folder.file("h.safetensors"), model, io::DType::F16);
    BOOST_TEST(io::loadModel(folder.file("h.safetensors")).params.at("head.bias")[3] == 65504.f);
    model.params.at("head.bias")[3] = 65520.f; // rounds to infinity
    checkMentions(messageOf([&] { io::saveModel(folder.file("x.safetensors"), model, io::DType::F16); }),
                  {"x.safetensors", "'head.bias'", "65520", "element 3", "F16"});
    BOOST_TEST(!std::filesystem::exists(folder.file("x.safetensors")));
    io::saveModel(folder.file("b.safetensors"), model, io::DType::BF16);
    model.params.at("head.bias")[3] = std::numeric_limits<float>::max();
    checkMentions(messageOf([&] { io::saveModel(folder.file("x.safetensors"), model, io::DType::BF16); }), {"BF16"});
    model.params.at("head.bias")[3] = std::nanf("");
    checkMentions(messageOf([&] { io::saveModel(folder.file("x.safetensors"), model); }), {"'head.bias'", "nan"});
    checkMentions(messageOf([&] { io::saveModel(folder.file("x.safetensors"), model, io::DType::I32); }), {"I32"});
    BOOST_TEST(!std::filesystem::exists(folder.file("x.safetensors")));
}

BOOST_AUTO_TEST_CASE(lying_metadata_is_refused_before_memory_is_taken)
{
    const TemporaryFolder folder;
    io::saveModel(folder.file("own.safetensors"), smallModel(io::ModelKind::Mae));
    const TensorBag good(folder.file("own.safetensors"));
    const std::string text = good.metadata.at("ltrp");
    const auto message = [&](const std::string& metadata)
    {
        TensorBag bag = good;
        bag.metadata["ltrp"] = metadata;
        const std::string path = bag.save(folder.file("lie.safetensors"));
        return messageOf([&] { io::loadModel(path); });
    };
    BOOST_TEST(message(text).empty());
    const std::pair<const char*, const char*> lies[] = {{"\"image_size\":32", "\"image_size\":64"},
                                                        {"\"image_size\":32", "\"image_size\":8192"},
                                                        {"\"image_size\":32", "\"image_size\":33"},
                                                        {"\"image_size\":32", "\"image_size\":-8"},
                                                        {"\"image_size\":32", "\"image_size\":1e30"},
                                                        {"\"image_size\":32", "\"image_size\":18446744073709551615"},
                                                        {"\"patch_size\":8", "\"patch_size\":0"},
                                                        {"\"patch_size\":8", "\"patch_size\":16"},
                                                        {"\"dim\":24", "\"dim\":12"},
                                                        {"\"dim\":24", "\"dim\":2147483647"},
                                                        {"\"depth\":2", "\"depth\":200"},
                                                        {"\"depth\":2", "\"depth\":1"},
                                                        {"\"heads\":3", "\"heads\":5"},
                                                        {"\"heads\":3", "\"heads\":0"},
                                                        {"\"hidden\":40", "\"hidden\":65536"},
                                                        {"\"hidden\":40", "\"hidden\":\"40\""},
                                                        {"\"layer_norm_eps\":3e-06", "\"layer_norm_eps\":0"},
                                                        {"\"layer_norm_eps\":3e-06", "\"layer_norm_eps\":1e300"},
                                                        {"\"norm_pix_loss\":false", "\"norm_pix_loss\":null"},
                                                        {"\"mean\":[0.485", "\"mean\":[1e999"},
                                                        {"\"mean\":[0.485,", "\"mean\":["},
                                                        {"0.229,", "0,"},
                                                        {"\"kind\":\"mae\"", "\"kind\":\"ranker\""},
                                                        {"\"kind\":\"mae\"", "\"kind\":7"},
                                                        {"\"format\":1", "\"format\":2"},
                                                        {"\"decoder\":{", "\"decodes\":{"},
                                                        {"\"training\":\"none\"", "\"training\":[]"},
                                                        {"{", "["},
                                                        {"}", ""}};
    for (const auto& lie : lies)
        checkMentions(message(replaced(text, lie.first, lie.second)), {"lie.safetensors"});
    checkMentions(message(""), {"lie.safetensors", "JSON"});
    checkMentions(message(std::string(1 << 20, '[')), {"lie.safetensors", "JSON"});

    // Own files must contain exactly the tensors of their geometry.
    TensorBag bag = good;
    bag.add("mask_token2", {1});
    checkMentions(messageOf([&] { io::loadModel(bag.save(folder.file("lie.safetensors"))); }),
                  {"unknown tensor 'mask_token2'"});
}

BOOST_AUTO_TEST_CASE(hugging_face_config_must_fit)
{
    const TemporaryFolder folder;
    huggingFaceBag().save(folder.file("model.safetensors"));
    const auto message = [&](const std::string& what, const std::string& with)
    {
        writeText(folder.file("config.json"), replaced(tinyConfig, what, with));
        return messageOf([&] { io::loadModel(folder.path().string()); });
    };
    checkMentions(message("\"hidden_size\": 48", "\"hidden_size\": 64"), {"config.json", "hidden_size", "64", "48"});
    checkMentions(message("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"), {"num_hidden_layers", "4", "3"});
    checkMentions(message("\"intermediate_size\": 192", "\"x\": 1"), {"intermediate_size", "3072", "192"});
    checkMentions(message("\"decoder_hidden_size\": 32", "\"decoder_hidden_size\": 31"), {"decoder_hidden_size"});
    checkMentions(message("\"image_size\": 224", "\"image_size\": 256"), {"image_size", "256", "224"});
    checkMentions(message("\"patch_size\": 16", "\"patch_size\": [16]"), {"patch_size", "[16]"});
    checkMentions(message("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"), {"48", "5 heads"});
    checkMentions(message("\"num_attention_heads\": 3", "\"num_attention_heads\": 99999999999"), {"99999999999"});
    checkMentions(message("\"gelu\"", "\"relu\""), {"hidden_act", "relu"});
    checkMentions(message("vit_mae", "vit"), {"model_type", "vit_mae"});
    checkMentions(message("1e-07", "-1"), {"epsilon", "-1"});
    checkMentions(message("true", "1"), {"norm_pix_loss"});
    writeText(folder.file("config.json"), "{\"hidden_size\": ");
    checkMentions(messageOf([&] { io::loadModel(folder.path().string()); }), {"config.json", "JSON"});
    writeText(folder.file("config.json"), std::string(100000, '['));
    checkMentions(messageOf([&] { io::loadModel(folder.path().string()); }), {"config.json", "JSON"});
    writeText(folder.file("config.json"), std::string((1 << 20) + 1, ' '));
    checkMentions(messageOf([&] { io::loadModel(folder.path().string()); }), {"config.json", "1048577"});
    const TemporaryFolder empty;
    checkMentions(messageOf([&] { io::loadModel(empty.path().string()); }), {"model.safetensors"});
}

BOOST_AUTO_TEST_CASE(what_one_image_takes_is_bounded)
{
    vit::RankerConfig ranker;
    ranker.input.imageSize = 8192;
    ranker.input.patchSize = 32;
    ranker.encoder = {1024, 1, 16, 16};
    vit::checkConfig(ranker, "here");
    ranker.encoder.dim = 2048;
    checkMentions(messageOf([&] { vit::checkConfig(ranker, "here"); }), {"8192 x 8192", "MiB for one image"});
    vit::MaeConfig mae;
    mae.input = ranker.input;
    mae.encoder = {16, 1, 1, 16};
    mae.decoder = {2048, 1, 1, 16};
    checkMentions(messageOf([&] { vit::checkConfig(mae, "here"); }), {"8192 x 8192", "MiB for one image"});
}

BOOST_AUTO_TEST_CASE(a_small_file_cannot_claim_a_large_network)
{
    // All tensors share one storage of 48 KiB: 60 blocks would need twelve times as much.
    const vit::ParamLayout layout = []
    {
        vit::RankerConfig config;
        config.input.imageSize = 32;
        config.encoder = {64, 60, 1, 64};
        return vit::rankerLayout(config);
    }();
    const int64_t values = 64 * 3 * 16 * 16;
    const std::string storage = checkpoints::pickle::storage("FloatStorage", "0", values);
    checkpoints::pickle::Items items;
    for (const vit::ParamInfo& info : layout.tensors())
    {
        std::vector<int64_t> shape(info.shape.begin(), info.shape.end()), strides(shape.size(), 1);
        for (size_t k = shape.size() - 1; k-- > 0;)
            strides[k] = strides[k + 1] * shape[k + 1];
        items.emplace_back(info.name, checkpoints::pickle::tensor(storage, 0, shape, strides));
    }
    const TemporaryFolder folder;
    const std::string pickle = checkpoints::pickle::program(checkpoints::pickle::dict(items));
    writeText(folder.file("lie.pth"), checkpoints::checkpoint(pickle, {std::string(4 * values, '\0')}));
    checkMentions(messageOf([&] { io::loadModel(folder.file("lie.pth")); }),
                  {"lie.pth", "cannot hold", std::to_string(layout.parameterCount())});
}

BOOST_AUTO_TEST_SUITE_END()
