// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The reader of ONNX files, message by message, without running anything.

#include "io/onnx_file.hpp"
#include "model_fixture.hpp"
#include "onnx_bytes.hpp"
#include "onnx_cases.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <unistd.h>

using namespace onnx_bytes;
using cv::ltrp::io::FileBytes;
using cv::ltrp::io::OnnxRankerFile;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

namespace
{

std::shared_ptr<const OnnxRankerFile> read(const std::string& bytes)
{
    return cv::ltrp::io::readOnnxRanker(FileBytes::copy("r.onnx", bytes.data(), bytes.size()));
}

void refused(const std::string& bytes, const std::string& reason)
{
    checkMentions(messageOf([&] { read(bytes); }), {"r.onnx", reason});
}

/// A constant of a graph with `count` values; `data` is their list or raw bytes.
std::string tensor(uint64_t type, uint64_t count, const std::string& data)
{
    return number(1, count) + number(2, type) + text(8, "k") + data;
}

const std::string ends = text(11, value("image", {0, 3, 4, 4})) + text(12, value("c", {0, 4}));
const std::string geometry = R"({"format":1,"kind":"ranker","image_size":4,"patch_size":2,"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]})";

std::string metadata(const std::string& key, const std::string& content)
{
    return text(14, text(1, key) + text(2, content));
}

std::string model(const std::string& graph, const std::string& json = geometry)
{
    return number(1, 7) + text(7, graph) + text(8, text(1, "") + number(2, 11)) + metadata("ltrp", json);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(onnx_file)

BOOST_AUTO_TEST_CASE(files_are_told_by_name_or_first_bytes)
{
    using cv::ltrp::io::isOnnx;
    const TemporaryFolder folder;
    const auto with = [&](const std::string& name, const std::string& content)
    {
        writeText(folder.file(name), content);
        return isOnnx(folder.file(name));
    };
    BOOST_TEST(!isOnnx(folder.file("absent.onnx")));
    BOOST_TEST(!isOnnx(folder.path().string()));
    BOOST_TEST(with("a.onnx", ""));
    BOOST_TEST(with("a.ONNX", "x"));
    const std::string rest = "......";
    for (const char second : {'\x12', '\x1a', '\x3a', '\x42', '\x72'})
        BOOST_TEST(with("a.bin", std::string("\x08\x07") + second + rest));
    for (const std::string& other : {std::string("\x08\x07\x12....."), "\x09\x07\x12" + rest, std::string("\x08\0\x12", 3) + rest,
                                     "\x08\x40\x12" + rest, "\x08\x07\x13" + rest, std::string("\x08\x07\x12.....{")})
        BOOST_TEST(!with("a.bin", other));
}

BOOST_AUTO_TEST_CASE(what_no_ranker_needs_is_named)
{
    refused(number(1, 7), "holds no graph");
    refused(model(ends) + text(7, ends), "two graphs");
    refused(model(ends) + text(25, ""), "functions of its own");
    refused(model(ends + text(15, "")), "sparse constants");
    for (const auto& field : {std::make_pair(6, "graphs within operations"), std::make_pair(11, "graphs within operations"),
                              std::make_pair(22, "sparse constants"), std::make_pair(23, "sparse constants")})
        refused(model(text(1, text(4, "If") + text(5, text(1, "a") + text(static_cast<uint64_t>(field.first), ""))) + ends), field.second);
    const std::string one = tensor(1, 1, number32(4, "1234"));
    refused(model(text(1, constant(one, one)) + ends), "an attribute's value twice");
    BOOST_TEST(read(model(text(1, text(4, "X") + text(5, text(10, one) + text(10, one))) + ends))->weights == 2u);
    refused(model(text(5, one + text(13, "")) + ends), "constants in other files");
    refused(model(text(5, one + number(14, 1)) + ends), "constants in other files");
    BOOST_TEST(read(model(text(5, one + number(14, 0) + text(12, "a comment")) + ends))->weights == 1u);
    // Files of 2 GB or more are rejected before anything is read.
    const TemporaryFolder folder;
    const std::string large = folder.file("large.onnx");
    writeText(large, "");
    BOOST_REQUIRE(truncate(large.c_str(), (1LL << 31) + 1) == 0);
    checkMentions(messageOf([&] { cv::ltrp::io::readOnnxRanker(FileBytes::map(large)); }), {large, "an ONNX file has at most 2 GB"});
}

BOOST_AUTO_TEST_CASE(constants_hold_what_type_and_shape_say)
{
    const auto graph = [](const std::string& constant) { return model(text(5, constant) + ends); };
    const std::string four = "1234", eight = "12345678";
    // In raw bytes, in the list of the type, packed and one at a time: floats and doubles count as weights.
    const std::vector<std::pair<std::string, size_t>> good = {
        {tensor(1, 2, text(9, eight)), 2}, {tensor(1, 2, text(4, eight)), 2}, {tensor(1, 1, number32(4, four)), 1},
        {tensor(10, 2, text(9, four)), 2}, {tensor(16, 2, text(5, "\x01\x02")), 2}, {tensor(10, 1, number(5, 300)), 1},
        {tensor(11, 1, text(10, eight)), 1}, {tensor(11, 1, varint(10 << 3 | 1) + eight), 1}, {tensor(11, 1, text(9, eight)), 1},
        {tensor(2, 4, text(9, four)), 0}, {tensor(3, 4, text(9, four)), 0}, {tensor(9, 4, text(9, four)), 0},
        {tensor(6, 2, text(9, eight)), 0}, {tensor(6, 2, text(5, "\x01\x02")), 0},
        {tensor(7, 1, text(9, eight)), 0}, {tensor(7, 3, text(7, "\x01\x82\x01\x03")), 0}, {tensor(7, 1, number(7, 5)), 0},
        {text(1, "\x02\x01") + tensor(1, 1, text(9, eight)), 2},                         // a packed shape, and one number more
        {tensor(1, 1, text(9, eight) + text(9, four)), 1}};                              // if there are two, the last
    for (const auto& constant : good)
        BOOST_TEST(read(graph(constant.first))->weights == constant.second);
    refused(graph(tensor(8, 1, text(6, "text"))), "has the type 8");
    refused(graph(tensor(0, 1, text(9, four))), "has the type 0");
    refused(graph(tensor(1, UINT64_MAX, text(9, four))), "impossible shape [-1]");
    refused(graph(tensor(1, 2, text(9, four))), "holds 4 bytes, expected 8");
    refused(graph(tensor(1, 2, number32(4, four))), "holds 1 values, expected 2");
    refused(graph(tensor(1, 1, text(9, four) + text(4, four))), "holds 4 bytes, expected 4");   // one of the two is enough
    refused(graph(tensor(11, 1, text(4, eight))), "holds 0 values, expected 1");                // the list of another type
    refused(graph(tensor(1, 1, number(4, 5))), "holds 0 values, expected 1");                   // numbers of another form
    refused(graph(tensor(11, 1, number32(10, four))), "holds 0 values, expected 1");
    refused(graph(tensor(7, 1, number32(7, four))), "holds 0 values, expected 1");
    refused(graph(tensor(1, 1, text(4, "12345"))), "a list of values ends within a value");
    refused(graph(tensor(7, 1, text(7, "\x80"))), "damaged");
    std::string dimensions;
    for (int i = 0; i < 33; i++)
        dimensions += number(1, 1);
    refused(graph(dimensions + tensor(1, 1, text(9, four))), "more than 32 dimensions");
}

BOOST_AUTO_TEST_CASE(inputs_and_outputs_are_images_and_scores)
{
    const std::string image = text(11, value("image", {0, 3, 4, 4})), scores = text(12, value("c", {0, 4}));
    BOOST_TEST(read(model(image + scores))->anyBatch);
    BOOST_TEST(!read(model(text(11, value("image", {1, 3, 4, 4})) + scores))->anyBatch);
    BOOST_TEST(!read(model(image + text(12, value("c", {1, 4}))))->anyBatch);
    refused(model(scores), "has 0 inputs and 1 outputs");
    refused(model(image), "has 1 inputs and 0 outputs");
    refused(model(image + scores + text(11, value("more", {1}))), "has 2 inputs");
    // Older files list their constants among the inputs.
    BOOST_TEST(read(model(text(5, tensor(1, 1, number32(4, "1234"))) + text(11, value("k", {1})) + image + scores))->image == "image");
    refused(model(text(11, value("image", {0, 3, 4, 5})) + scores), "input 'image' has the type 1 and the shape [-1, 3, 4, 5]");
    refused(model(text(11, value("image", {0, 3, 4})) + scores), "expected 1 (float) and [1, 3, 4, 4]");
    refused(model(image + text(12, value("c", {0, 5}))), "output 'c' has the type 1 and the shape [-1, 5]");
    const auto info = [](const std::string& type) { return text(12, text(1, "c") + text(3, "a comment") + type); };
    const std::string shape = text(1, number(1, 2)) + text(1, number(1, 4)), floats = number(1, 1);
    refused(model(image + info(text(2, text(1, number(1, 7) + text(2, shape))))), "output 'c' has the type 7");
    refused(model(image + info("")), "output 'c' has the type 0 and the shape []");
    refused(model(image + info(text(2, text(4, "a sequence")))), "output 'c' has the type 0");
    const std::string right = text(1, floats + text(2, text(1, number(1, 0)) + text(3, "") + text(1, number(3, 1) + number(1, 4))) + number(9, 1));
    BOOST_TEST(read(model(image + info(text(2, right))))->anyBatch);   // an extent of 0, and ignored fields
    refused(model(image + info(text(2, right) + text(2, right))), "the type of a value twice");
    refused(model(image + info(text(2, right + right))), "the type of a value twice");
    refused(model(image + info(text(2, text(1, floats + text(2, shape) + text(2, shape))))), "the shape of a value twice");
}

BOOST_AUTO_TEST_CASE(metadata_are_of_a_ranker)
{
    refused(number(1, 7) + text(7, ends) + text(8, number(2, 11)), "lacks the entry 'ltrp'");
    refused(number(1, 7) + text(7, ends) + metadata("other", geometry), "lacks the entry 'ltrp'");
    refused(number(1, 7) + text(7, ends) + metadata("ltrp", std::string((1 << 20) + 1, ' ')), "metadata of 1048577 bytes");
    refused(number(1, 7) + text(7, ends) + text(14, text(1, "ltrp") + number(2, 1)), "damaged");
    const std::string mae = R"({"format":1,"kind":"mae")" + geometry.substr(geometry.find(",\"image_size\""));
    refused(model(ends, mae), "this is a masked autoencoder's network, a ranker is needed");
    refused(model(ends, mae) + metadata("ltrp.part", "decoder\n"), "this is a masked autoencoder's 'decoder\\x0a', a ranker");
    refused(model(ends, geometry.substr(0, 20)), "not a JSON object");
    // Other fields of an entry, and operator sets of other domains, are ignored.
    const auto file = read(number(1, 7) + text(7, ends) + text(8, text(1, "com.other") + number(2, 99)) + text(8, text(1, "ai.onnx") + number(2, 13) + number(3, 1)) +
                           text(14, text(1, "ltrp") + text(2, geometry) + text(3, "more") + number(4, 1)));
    BOOST_TEST(file->opset == 13);
    BOOST_TEST(cv::ltrp::io::describeOnnx(*file).find("opset 13") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(graphs_that_convert_did_not_write_are_foreign)
{
    const auto foreign = [](const std::string& bytes, const std::string& reason)
    {
        const auto file = read(bytes);
        BOOST_TEST(file->foreign.find(reason) != std::string::npos, file->foreign);
        checkMentions(messageOf([&] { cv::ltrp::io::requireOwnGraph(*file); }), {"r.onnx", reason, "--trusted"});
    };
    foreign(model(text(1, text(1, "image") + text(2, "c") + text(4, "LtrpRank") + number(9, 1)) + ends), "it holds the operation 'LtrpRank'");
    foreign(model(ends), "its metadata do not say the whole geometry");

    cv::ltrp::vit::StackConfig stack;
    stack.dim = 16;
    stack.depth = 1;
    stack.heads = 2;
    stack.hidden = 32;
    const cv::ltrp::io::Model own = perturbed(untrainedRanker(16, 8, stack));
    const TemporaryFolder folder;
    const std::string path = folder.file("own.onnx"), weights = folder.file("own.safetensors");
    cv::ltrp::io::exportOnnx(path, own);
    const std::string bytes = testing_tools::readText(path);
    BOOST_TEST(read(bytes)->foreign == "");
    BOOST_TEST(messageOf([&] { cv::ltrp::io::requireOwnGraph(*read(bytes)); }) == "");
    BOOST_TEST(cv::ltrp::io::describeOnnx(*read(bytes)).find("MatMul") != std::string::npos);
    // Other weights do not make another graph; another operation, shape or operator set does.
    cv::ltrp::io::exportOnnx(path, untrainedRanker(16, 8, stack));
    BOOST_TEST((testing_tools::readText(path) != bytes));
    BOOST_TEST(read(testing_tools::readText(path))->foreign == "");
    std::string changed = bytes;
    BOOST_REQUIRE(bytes.find("Erf") != std::string::npos);
    changed.replace(bytes.find("Erf"), 3, "Div");
    foreign(changed, "its operations, attributes or shapes are not those of the geometry");
    foreign(bytes + text(8, number(2, 12)), "it is of opset 12");

    // Geometry of another network than the graph's, an invalid one, and one with another image size.
    cv::ltrp::io::saveModel(weights, own);
    const std::string json = TensorBag(weights).metadata.at("ltrp"), ends16 = text(11, value("image", {0, 3, 16, 16})) + text(12, value("c", {0, 4}));
    foreign(model(ends16, json), "its operations, attributes or shapes");
    const auto with = [&](const std::string& from, const std::string& to)
    {
        std::string other = json;
        BOOST_REQUIRE(other.find(from) != std::string::npos);
        return other.replace(other.find(from), from.size(), to);
    };
    foreign(model(ends16, with("\"heads\":2", "\"heads\":3")), "do not say the whole geometry");
    foreign(model(ends16, with("\"head\":", "\"hood\":")), "its operations, attributes or shapes");
    const std::string wide = text(11, value("image", {0, 3, 16, 24})) + text(12, value("c", {0, 6}));
    foreign(model(wide, with("\"format\":", "\"input_size\":[24,16],\"format\":")), "do not say the whole geometry");
}

BOOST_AUTO_TEST_SUITE_END()
