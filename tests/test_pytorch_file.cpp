// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "checkpoint_builder.hpp"
#include "io/tensor_file.hpp"
#include "io/tensor_readers.hpp"

#include <boost/test/unit_test.hpp>

using namespace checkpoints;
using namespace cv::ltrp::io;

namespace
{

const std::string fileName = "checkpoint.pth";

std::shared_ptr<const TensorFile> parse(const std::string& bytes)
{
    return readTensorFile(FileBytes::copy(fileName, bytes.data(), bytes.size()));
}

void expectRefused(const std::string& bytes, const std::string& reason)
{
    std::string message = "it was read without an error";
    try
    {
        parse(bytes);
    }
    catch (const cv::Exception& error)
    {
        message = error.err;
    }
    BOOST_TEST(message.compare(0, fileName.size() + 1, fileName + ":") == 0, "message: " << message);
    BOOST_TEST(message.find(reason) != std::string::npos, "message: " << message << "; expected in it: " << reason);
}

std::string bytesOf(const std::vector<float>& values)
{
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const std::string sixFloats = bytesOf({0, 1, 2, 3, 4, 5});

/// A dictionary with one tensor "w" created by these opcodes, on one storage of six floats.
std::string withTensor(const std::string& tensorOpcodes)
{
    return checkpoint(pickle::program(pickle::dict({{"w", tensorOpcodes}})), {sixFloats});
}

std::string sixFloatStorage() { return pickle::storage("FloatStorage", "0", 6); }

/// A pickle with this program in an otherwise valid checkpoint.
std::string withProgram(const std::string& opcodes) { return checkpoint(pickle::program(opcodes), {sixFloats}); }

std::vector<float> floatsOf(const TensorFile& file, const std::string& name)
{
    std::vector<float> values(file.at(name).count());
    toFloat(file.at(name), values.data());
    return values;
}

std::vector<std::string> namesOf(const TensorFile& file)
{
    std::vector<std::string> names;
    for (const TensorView& view : file.tensors())
        names.push_back(view.name);
    return names;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(PytorchTensors)

BOOST_AUTO_TEST_CASE(readsTensorsOfADictionary)
{
    const auto file = parse(checkpoint(
        pickle::program(pickle::dict({{"w", pickle::floats("0", {2, 3})}, {"b", pickle::floats("1", {2})},
                                      {"scalar", pickle::tensor(pickle::storage("FloatStorage", "1", 2), 1, {}, {})},
                                      {"none", pickle::floats("2", {0, 4})}})),
        {sixFloats, bytesOf({-1, -2}), ""}));
    BOOST_TEST(file->format() == "pytorch");
    BOOST_TEST(namesOf(*file) == (std::vector<std::string>{"w", "b", "scalar", "none"}));
    BOOST_TEST(file->at("w").shape == (std::vector<int64_t>{2, 3}));
    BOOST_TEST(floatsOf(*file, "w") == (std::vector<float>{0, 1, 2, 3, 4, 5}));
    BOOST_TEST(floatsOf(*file, "b") == (std::vector<float>{-1, -2}));
    BOOST_TEST(floatsOf(*file, "scalar") == (std::vector<float>{-2}));
    BOOST_TEST(file->at("none").count() == 0u);
}

BOOST_AUTO_TEST_CASE(readsEveryStorageType)
{
    const std::vector<std::pair<std::string, DType>> types{
        {"BoolStorage", DType::Bool}, {"ByteStorage", DType::U8}, {"CharStorage", DType::I8},
        {"ShortStorage", DType::I16}, {"IntStorage", DType::I32}, {"LongStorage", DType::I64},
        {"HalfStorage", DType::F16}, {"BFloat16Storage", DType::BF16}, {"FloatStorage", DType::F32},
        {"DoubleStorage", DType::F64}};
    for (const auto& type : types)
    {
        const std::string data(3 * dtypeSize(type.second), '\x41');
        const auto file = parse(checkpoint(
            pickle::program(pickle::dict({{"w", pickle::tensor(pickle::storage(type.first, "0", 3), 0, {3}, {1})}})),
            {data}));
        BOOST_TEST((file->at("w").dtype == type.second));
        BOOST_TEST(std::string(reinterpret_cast<const char*>(file->at("w").data), file->at("w").bytes) == data);
    }
}

BOOST_AUTO_TEST_CASE(viewsBecomeContiguous)
{
    const auto transposed = parse(withTensor(pickle::tensor(sixFloatStorage(), 0, {3, 2}, {1, 3})));
    BOOST_TEST(floatsOf(*transposed, "w") == (std::vector<float>{0, 3, 1, 4, 2, 5}));
    const auto column = parse(withTensor(pickle::tensor(sixFloatStorage(), 1, {2, 1}, {3, 7})));
    BOOST_TEST(floatsOf(*column, "w") == (std::vector<float>{1, 4}));
    const auto slice = parse(withTensor(pickle::tensor(sixFloatStorage(), 2, {1, 3}, {99, 1})));
    BOOST_TEST(floatsOf(*slice, "w") == (std::vector<float>{2, 3, 4}));
    const auto expanded = parse(withTensor(pickle::tensor(sixFloatStorage(), 5, {2, 3}, {0, 0})));
    BOOST_TEST(floatsOf(*expanded, "w") == (std::vector<float>{5, 5, 5, 5, 5, 5}));
    const auto cube = parse(withTensor(pickle::tensor(sixFloatStorage(), 0, {2, 1, 3}, {1, 1, 2})));
    BOOST_TEST(floatsOf(*cube, "w") == (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

BOOST_AUTO_TEST_CASE(parametersAreTheirTensors)
{
    const std::string empty = pickle::call(pickle::global("collections", "OrderedDict"), ")");
    for (const std::string name : {"_rebuild_parameter", "_rebuild_parameter_with_state"})
    {
        const auto file = parse(withTensor(pickle::call(
            pickle::global("torch._utils", name), pickle::tuple({pickle::floats("0", {6}), "\x88", empty}))));
        BOOST_TEST(floatsOf(*file, "w") == (std::vector<float>{0, 1, 2, 3, 4, 5}));
    }
}

BOOST_AUTO_TEST_CASE(wrappersAreTakenOff)
{
    const std::string w = pickle::floats("0", {6});
    const auto names = [](const pickle::Items& items) {
        return namesOf(*parse(checkpoint(pickle::program(pickle::dict(items)), {sixFloats})));
    };
    using Names = std::vector<std::string>;
    const std::string inner = pickle::dict({{"w", w}}), other = pickle::dict({{"x", w}});
    BOOST_TEST(names({{"optimizer", other}, {"state_dict", other}, {"model", inner}}) == Names{"w"});
    BOOST_TEST(names({{"optimizer", other}, {"state_dict", inner}}) == Names{"w"});
    BOOST_TEST(names({{"a", inner}, {"b", other}, {"c", w}}) == (Names{"a.w", "b.x", "c"}));
    BOOST_TEST(names({{"model", w}, {"x", w}}) == (Names{"model", "x"}));   // a tensor, not a wrapper
    BOOST_TEST(names({{"module.a", w}, {"module.b", w}}) == (Names{"a", "b"}));
    BOOST_TEST(names({{"model", pickle::dict({{"module.a", w}})}}) == Names{"a"});
    BOOST_TEST(names({{"module.a", w}, {"b", w}}) == (Names{"module.a", "b"}));
}

// A complete checkpoint of a training script: optimizer, scaler, numbers, and its command line as a Namespace.
BOOST_AUTO_TEST_CASE(settingsNextToTheWeightsAreIgnored)
{
    using namespace pickle;
    const std::string zero(1, '\0'), threeQuarters = "G?\xe8" + std::string(6, '\0');
    const std::string dtype = call(global("numpy", "dtype"), tuple({text("f8"), "\x89", "\x88"})) +
                              tuple({"K\x03", text("<"), "N", "N", "N", integer(-1), integer(-1), "K" + zero}) + "b";
    const std::string encoded = call(global("_codecs", "encode"), tuple({text("12345678"), text("latin1")}));
    const std::string scalar = call(global("numpy.core.multiarray", "scalar"), tuple({dtype, encoded}));
    const std::string folder = call(global("pathlib", "PosixPath"), tuple({text("out")}));
    const std::string args = global("argparse", "Namespace") + ")\x81" +
                             dict({{"model", text("mae_vit_base_patch16")},
                                   {"norm_pix_loss", "\x88"},
                                   {"mask_ratio", threeQuarters},
                                   {"resume", "N"},
                                   {"output_dir", folder},
                                   {"betas", threeQuarters + "K\x01\x86"}}) +
                             "b";
    const std::string seed = "\x8a\x09" + std::string(9, '\x11');   // an int of more than 64 bits
    const std::string lists = call(global("collections", "defaultdict"), tuple({global("__builtin__", "list")}));
    const std::string optimizer = dict({{"state", "}(K" + zero + dict({{"exp_avg", floats("0", {6})}}) + "u"},
                                        {"param_groups", "](" + dict({{"lr", "K\x01"}}) + "e"},
                                        {"defaults", lists}});
    const std::string model = call(global("collections", "OrderedDict"), ")") + "(" + text("w") + floats("0", {6}) +
                              "u" + dict({{"_metadata", dict({})}}) + "b";
    const std::string device = call(global("torch", "device"), tuple({text("cpu")}));
    const auto file = parse(withProgram(dict({{"model", model},
                                              {"optimizer", optimizer},
                                              {"epoch", "M\x1f\x03"},
                                              {"args", args},
                                              {"best", scalar},
                                              {"seed", seed},
                                              {"device", device}})));
    BOOST_TEST(namesOf(*file) == (std::vector<std::string>{"w"}));
    const std::map<std::string, std::string> expected{{"epoch", "799"},
                                                      {"args.model", "mae_vit_base_patch16"},
                                                      {"args.norm_pix_loss", "True"},
                                                      {"args.mask_ratio", "0.75"}};
    BOOST_TEST((file->metadata() == expected));
}

BOOST_AUTO_TEST_CASE(newerProtocolsAreRead)
{
    const auto shortText = [](const std::string& value) { return "\x8c" + littleEndian(value.size(), 1) + value; };
    const std::string type = shortText("torch") + shortText("FloatStorage") + "\x93";
    const std::string storage =
        "(" + shortText("storage") + "\x94" + type + shortText("0") + shortText("cpu") + "K\x06tQ";
    const std::string tensor = shortText("torch._utils") + shortText("_rebuild_tensor_v2") + "\x93(" + storage + "K" +
                               std::string(1, '\0') + "K\x06\x85K\x01\x85\x89" + "}tR";
    const std::string body = "}" + shortText("w") + tensor + "s.";
    const auto file = parse(checkpoint("\x80\x04\x95" + littleEndian(body.size(), 8) + body, {sixFloats}));
    BOOST_TEST(floatsOf(*file, "w") == (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

BOOST_AUTO_TEST_CASE(storageMustHaveTheSizeOfItsEntry)
{
    expectRefused(withTensor(pickle::tensor(pickle::storage("FloatStorage", "0", 7), 0, {7}, {1})),
                  "needs a storage of 7 F32 values, but its entry in the archive has 24 bytes");
    expectRefused(withTensor(pickle::tensor(pickle::storage("FloatStorage", "0", 5), 0, {5}, {1})), "has 24 bytes");
    expectRefused(withTensor(pickle::tensor(pickle::storage("DoubleStorage", "0", 6), 0, {6}, {1})), "has 24 bytes");
    expectRefused(withTensor(pickle::tensor(pickle::storage("FloatStorage", "0", int64_t(1) << 62), 0, {6}, {1})),
                  "has 24 bytes");   // times four it is 2^64, which wraps to 0
    expectRefused(withTensor(pickle::tensor(pickle::storage("FloatStorage", "0", -6), 0, {6}, {1})), "negative size");
    expectRefused(withTensor(pickle::floats("9", {6})), "tensor 'w' needs the storage '9', which is not in the");
    expectRefused(withTensor(pickle::floats("../../data.pkl", {6})), "which is not in the archive");
}

BOOST_AUTO_TEST_CASE(viewsBeyondTheirStorageAreRefused)
{
    const auto refused = [](int64_t offset, std::vector<int64_t> shape, std::vector<int64_t> strides,
                            const std::string& reason) {
        expectRefused(withTensor(pickle::tensor(sixFloatStorage(), offset, shape, strides)), reason);
    };
    const int64_t huge = INT64_MAX;
    refused(0, {7}, {1}, "from a storage of only 6 values");
    refused(1, {6}, {1}, "reaches beyond its storage of 6 values");
    refused(0, {2, 3}, {4, 1}, "reaches beyond");
    refused(0, {2}, {6}, "reaches beyond");
    refused(6, {}, {}, "reaches beyond");
    refused(7, {0}, {1}, "reaches beyond");
    refused(huge, {1}, {1}, "reaches beyond");
    refused(0, {3}, {huge}, "reaches beyond");
    refused(0, {2, 2, 2}, {huge, huge, 1}, "from a storage of only 6 values");
    refused(2, {2, 2}, {huge, 1}, "reaches beyond");
    refused(-1, {1}, {1}, "negative offset");
    refused(0, {-2, -3}, {3, 1}, "negative size or stride");
    refused(5, {2, 3}, {-3, 1}, "negative size or stride");
    refused(0, {2, 3}, {3}, "more dimensions than strides");
    refused(0, {int64_t(1) << 62, 8, 3}, {0, 0, 0}, "too large");
    refused(0, {1000000, 1000000}, {0, 0}, "from a storage of only 6 values");
    refused(0, std::vector<int64_t>(33, 1), std::vector<int64_t>(33, 1), "more than 32 dimensions");
}

BOOST_AUTO_TEST_CASE(copiesOfViewsStayWithinTheFilesSize)
{
    pickle::Items items;
    const std::string data(400000, 'x');
    const std::string storage = "h\x01";
    const std::string view = pickle::tensor(storage, 0, {1000, 100}, {1, 1000});
    std::string opcodes = pickle::storage("FloatStorage", "0", 100000) + "q\x01" + "0}(";
    for (int i = 0; i < 3; ++i)
        opcodes += pickle::text(std::to_string(i)) + view;
    expectRefused(checkpoint(pickle::program(opcodes + "u"), {data}), "take more bytes than the whole file");
}

BOOST_AUTO_TEST_CASE(bombsOfSharedDictionariesAreRefused)
{
    std::string doubling = pickle::dict({{"w", pickle::floats("0", {6})}}) + "q\x01" + "0";
    for (int i = 0; i < 30; ++i)
        doubling += "}(K\x01h\x01K\x02h\x01uq\x01" "0";
    expectRefused(withProgram(doubling + "h\x01"), "nested too deeply or hold too much");
    std::string wide = pickle::dict({{"w", "N"}}) + "q\x01" "0";
    for (int i = 0; i < 6; ++i)
    {
        wide += "}(";
        for (int k = 0; k < 20; ++k)
            wide += std::string("K") + static_cast<char>(k) + "h\x01";
        wide += "uq\x01" "0";
    }
    expectRefused(withProgram(wide + "h\x01"), "nested too deeply or hold too much");
    expectRefused(withProgram("}q\x01" + pickle::text("self") + "h\x01s"), "nested too deeply or hold too much");
}

BOOST_AUTO_TEST_CASE(ambiguousOrNamelessTensorsAreRefused)
{
    const std::string w = pickle::floats("0", {6});
    expectRefused(withProgram(pickle::dict({{"a.b", w}, {"a", pickle::dict({{"b", w}})}})), "two tensors have");
    expectRefused(withProgram(pickle::dict({{"w", w}, {"w", w}})), "two tensors have the name 'w'");
    expectRefused(withProgram("}(N" + w + "u"), "whose key is no text");
    expectRefused(withProgram(pickle::dict({{std::string(2000, 'n'), w}})), "is longer than 1024");
    expectRefused(withProgram(w), "the checkpoint is not a dictionary");
    expectRefused(withProgram("]"), "the checkpoint is not a dictionary");
}

BOOST_AUTO_TEST_SUITE_END()
