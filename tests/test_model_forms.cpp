// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Rare forms of weight files: in parts, with training state, with hints.

#include "checkpoint_builder.hpp"
#include "io/model_metadata.hpp"
#include "io/tensor_readers.hpp"
#include "model_fixture.hpp"

#include <boost/test/unit_test.hpp>

using namespace model_fixture;
namespace fs = std::filesystem;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

namespace
{

const std::string maePath = golden + "mae_tiny/mae_fb.safetensors", rankerPath = golden + "ranker_tiny/ranker_timm.safetensors";

std::string pickled(const std::string& opcodes)
{
    const std::string bytes = checkpoints::checkpoint(checkpoints::pickle::program(opcodes), {"012345678901234567890123"});
    return messageOf([&] { io::readTensorFile(io::FileBytes::copy("c.pth", bytes.data(), bytes.size())); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_forms)

BOOST_AUTO_TEST_CASE(weights_in_several_files)
{
    const TemporaryFolder folder;
    const TensorBag whole(rankerPath);
    TensorBag one, two;
    for (size_t i = 0; i < whole.items.size(); i++)
        (i % 2 ? one : two).items.push_back(whole.items[i]);
    one.save(folder.file("one.safetensors"));
    two.save(folder.file("two.safetensors"));
    const std::string index = folder.file("model.safetensors.index.json");
    const auto map = [&](const std::string& entries) { writeText(index, "{\"weight_map\":" + entries + "}"); };
    map(R"({"a":"one.safetensors","b":"two.safetensors","c":"one.safetensors"})");
    const io::Model expected = io::loadModel(rankerPath, tinyHeads());
    BOOST_TEST(sameArena(io::loadModel(index, tinyHeads()).params, expected.params));
    BOOST_TEST(sameArena(io::loadModel(folder.path().string(), tinyHeads()).params, expected.params));
    for (const char* entries : {"[]", "{}", "7"})
    {
        map(entries);
        checkMentions(loadMessage(index), {index, "'weight_map' is not a JSON object with entries"});
    }
    map(R"({"a":7})");
    checkMentions(loadMessage(index), {index, "the file of tensor 'a' is 7, expected a text"});
    for (const std::string name : {"", ".hidden", "../one.safetensors", "a/one.safetensors", "a\\\\one.safetensors"})
    {
        map("{\"a\":\"" + name + "\"}");
        checkMentions(loadMessage(index), {index, "names the file", "expected one beside it"});
    }
    std::string many = "{";
    for (int i = 0; i <= 1000; i++)
        many += std::string(i ? "," : "") + "\"" + std::to_string(i) + "\":\"" + std::to_string(i) + ".safetensors\"";
    map(many + "}");
    checkMentions(loadMessage(index), {index, "names more than 1000 files"});
    two.items.push_back(one.items.front());
    two.save(folder.file("two.safetensors"));
    map(R"({"a":"one.safetensors","b":"two.safetensors"})");
    checkMentions(loadMessage(index), {"two.safetensors", "lies in another file of", "too"});
    writeText(index, "{}");
    checkMentions(loadMessage(index), {index, "'weight_map' is missing"});
    fs::create_directory(folder.file("empty"));
    checkMentions(loadMessage(folder.file("empty")), {"the folder holds none of model.safetensors"});
}

BOOST_AUTO_TEST_CASE(what_the_decoder_predicts_is_guessed_by_name_and_weights)
{
    const TemporaryFolder folder;
    TensorBag bag(maePath);
    bag.metadata.clear();
    const auto load = [&](const std::string& name)
    {
        const io::Model model = io::loadModel(bag.save(folder.file(name)), tinyHeads());
        return std::make_pair(model.mae.normPixLoss, model.warnings.empty() ? std::string() : model.warnings.back());
    };
    const auto plain = load("mae.safetensors"), named = load("mae_visualize.safetensors");
    BOOST_TEST(plain.first);
    checkMentions(plain.second, {"taken as yes, by its weights", "--norm-pix-loss"});
    BOOST_TEST(!named.first);
    checkMentions(named.second, {"taken as no, by its name"});
    TensorBag::Item& last = bag.at("decoder_pred.weight");
    for (size_t i = 0; i < last.bytes.size() / 4; i++)
        bag.set("decoder_pred.weight", i, 0.1f);   // the same for all pixels of a patch
    const auto alike = load("mae.safetensors");
    BOOST_TEST(!alike.first);
    checkMentions(alike.second, {"taken as no, by its weights"});
    for (size_t i = 0; i < last.bytes.size() / 4; i++)
        bag.set("decoder_pred.weight", i, 0);
    BOOST_TEST(load("mae.safetensors").first);
    for (const auto& said : {std::make_pair("1", true), std::make_pair("0", false), std::make_pair("True", true), std::make_pair("False", false)})
    {
        bag.metadata["args.norm_pix_loss"] = said.first;
        BOOST_TEST(load("mae.safetensors").first == said.second);
        BOOST_TEST(load("mae.safetensors").second == "");
    }
    bag.metadata["args.norm_pix_loss"] = "maybe";
    checkMentions(loadMessage(bag.save(folder.file("mae.safetensors"))), {"'args.norm_pix_loss' is 'maybe'"});
}

BOOST_AUTO_TEST_CASE(classifiers_are_known_by_the_config_beside_them)
{
    const TemporaryFolder folder;
    const std::string path = TensorBag(rankerPath).save(folder.file("model.safetensors"));
    for (const char* config : {R"({"label_names":["cat"]})", R"({"label_descriptions":{}})", R"({"pretrained_cfg":{"label_names":[]}})",
                               R"({"pretrained_cfg":{"label_descriptions":{}}})", R"({"id2label":{}})"})
    {
        writeText(folder.file("config.json"), config);
        checkMentions(loadMessage(path), {path, "is a classifier", "config.json"});
    }
    for (const char* config : {"{}", R"({"pretrained_cfg":7})", R"({"pretrained_cfg":{"std":[0.1,0.2,0.3]}})", R"({"pretrained_cfg":{"mean":[0.1,0.2,0.3]}})"})
    {
        writeText(folder.file("config.json"), config);
        BOOST_TEST(loadMessage(path) == "");
    }
    writeText(folder.file("config.json"), std::string((1 << 20) + 1, ' '));
    checkMentions(loadMessage(path), {"config.json: 1048577 bytes, expected at most 1048576"});
    fs::remove(folder.file("config.json"));
    io::LoadHints hints;
    hints.heads = -1;
    checkMentions(messageOf([&] { io::loadModel(path, hints); }), {path, "-1 attention heads were asked for"});
}

BOOST_AUTO_TEST_CASE(what_a_training_left_beside_the_weights_is_no_network)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("m.safetensors");
    TensorBag bag(rankerPath);
    for (const char* name : {"optimizer", "optimizer.state", "scaler/scale", "ema_decay", "epoch", "mask_token"})
        bag.add(name, {1});
    for (const char* name : {"model_ema.cls_token", "model_ema.patch_embed.proj.weight", "model_ema.head.weight"})
        bag.add(name, {1, 1});
    BOOST_TEST(loadMessage(bag.save(path)) == "");
    bag.add("stepping", {1});
    checkMentions(loadMessage(bag.save(path)), {path, "unknown tensor 'stepping'"});

    TensorBag many;
    for (int i = 0; i < 65; i++)
        for (const char* name : {".cls_token", ".patch_embed.proj.weight"})
            many.add("n" + std::to_string(i) + name, {1});
    checkMentions(loadMessage(many.save(path)), {path, "holds more than 64 networks"});
    TensorBag none;
    checkMentions(loadMessage(none.save(path)), {path, "no known network: none of its 0 tensors"});
    for (const char* name : {"x", "a_cls_token", "cls_token"})
    {
        none = TensorBag();
        none.add(name, {1});
        checkMentions(loadMessage(none.save(path)), {path, "no known network", std::string("the first is '") + name + "'"});
    }
    TensorBag half(rankerPath);
    half.at("cls_token").dtype = io::DType::I32;
    checkMentions(loadMessage(half.save(path)), {path, "'cls_token' is I32, expected F16, BF16, F32 or F64"});
}

BOOST_AUTO_TEST_CASE(sizes_of_images_in_metadata_are_two_numbers)
{
    const std::string start = R"({"format":1,"kind":"ranker","image_size":4,"patch_size":2,"mean":[0,0,0],"std":[1,1,1])";
    io::ModelKind kind;
    vit::InputConfig input;
    io::parseInputMetadata(start + R"(,"input_size":[6,8]})", "m", kind, input);
    BOOST_TEST((input.otherSize == cv::Size(6, 8)));
    for (const char* size : {"7", "[6]", "[6,8,10]"})
        checkMentions(messageOf([&] { io::parseInputMetadata(start + ",\"input_size\":" + size + "}", "m", kind, input); }),
                      {"'input_size' is ", "expected [width, height]"});
    checkMentions(messageOf([&] { io::parseInputMetadata(start + R"(,"input_size":[6,0]})", "m", kind, input); }),
                  {"'input_size' is [6,0], expected sides of 1 pixel or more"});
    checkMentions(messageOf([&] { io::parseInputMetadata(start + R"(,"input_size":[6,"8"]})", "m", kind, input); }), {"'height' is \"8\""});
}

BOOST_AUTO_TEST_CASE(kinds_of_pickled_things_are_named)
{
    using namespace checkpoints::pickle;
    const std::string zero(1, '\0'), rebuild = global("torch._utils", "_rebuild_tensor_v2"), type = global("torch", "FloatStorage");
    const std::string four = "\x04" + std::string(3, '\0');
    for (const auto& thing : std::vector<std::pair<std::string, std::string>>{
             {"\x88", "a bool"}, {"G?\xe8" + std::string(6, '\0'), "a float"}, {text("x"), "text"}, {"U\x01x", "text"}, {"C\x01x", "bytes"},
             {"B\x01" + std::string(3, '\0') + "x", "bytes"}, {"\x8e\x01" + std::string(7, '\0') + "x", "bytes"}, {"\x8f", "an object"},
             {"(\x91", "an object"}, {"J" + four, "an int"}, {"\x8a\x01\xff", "an int"}, {"\x8a" + zero, "an int"}, {"]", "a list"},
             {")", "a tuple"}, {"}", "a dict"}, {"N", "None"}, {type, "a class or function"}})
        checkMentions(pickled(call(rebuild, tuple({thing.first, "K\x01", ")", ")"}))), {"c.pth", "makes a tensor from " + thing.second + " where a storage is expected"});
    checkMentions(pickled(call(rebuild, tuple({tuple({text("storage"), type, text("0"), text("cpu"), "\x8a\x01\xff"}) + "Q", "K\x01", ")", ")"}))),
                  {"a storage with a negative size"});
    const std::string role = global("collections", "OrderedDict");
    checkMentions(pickled(tuple({text("storage"), role, text("0"), text("cpu"), "K\x06"}) + "Q"), {"a storage that is none"});
    for (const std::string pairs : {"]K\x01" "a\x85", "])a\x85", "]]a\x85"})
        checkMentions(pickled(call(role, pairs)), {"things that are no pairs"});
    checkMentions(pickled("(Nd"), {"a dict a key without a value"});
    checkMentions(pickled("K\x01" "K\x01\x93"), {"names a class by no text"});
    checkMentions(pickled(text("os") + "K\x01\x93"), {"names a class by no text"});
    checkMentions(pickled("K\x01" + text("os") + "\x93"), {"names a class by no text"});
    // A view that leaves its storage in its first dimension and does not return in another one.
    const std::string storage = tuple({text("storage"), type, text("0"), text("cpu"), "K\x06"}) + "Q";
    checkMentions(pickled(call(rebuild, tuple({storage, "K" + zero, "K\x02K\x03\x86", "K\x09K\x01\x86", "\x89", "}"}))), {"reaches beyond its storage"});
}

BOOST_AUTO_TEST_SUITE_END()
