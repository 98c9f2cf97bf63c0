// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "io/tensor_file.hpp"
#include "io/tensor_readers.hpp"
#include "process.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>

#include <sys/stat.h>

using namespace cv::ltrp::io;
using testing_tools::readText;
using testing_tools::TemporaryFolder;
using testing_tools::writeText;

namespace
{

const std::string fileName = "weights.safetensors";

std::shared_ptr<const TensorFile> parse(const std::string& bytes)
{
    return readTensorFile(FileBytes::copy(fileName, bytes.data(), bytes.size()));
}

/// A file with this header and data, valid or not.
std::string withHeader(const std::string& header, const std::string& data)
{
    std::string bytes;
    for (int i = 0; i < 8; ++i)
        bytes += static_cast<char>(header.size() >> (8 * i));
    return bytes + header + data;
}

std::string errorOf(const std::string& bytes)
{
    try
    {
        parse(bytes);
    }
    catch (const cv::Exception& error)
    {
        return error.err;
    }
    return "it was read without an error";
}

/// Expects an error whose message begins with the file's name and contains `reason`.
void expectRefused(const std::string& bytes, const std::string& reason)
{
    const std::string message = errorOf(bytes);
    BOOST_TEST(message.compare(0, fileName.size() + 1, fileName + ":") == 0, "message: " << message);
    BOOST_TEST(message.find(reason) != std::string::npos, "message: " << message << "; expected in it: " << reason);
}

void expectRefused(const std::string& header, const std::string& data, const std::string& reason)
{
    expectRefused(withHeader(header, data), reason);
}

const std::string twoTensors = R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
                               R"("b":{"dtype":"I16","shape":[2,5],"data_offsets":[12,32]}})";
const std::string twoTensorsData = "abcdefghijklmnopqrstuvwxyz012345";

template <typename T>
TensorView viewOf(DType dtype, const std::vector<T>& values)
{
    TensorView view;
    view.name = "x";
    view.dtype = dtype;
    view.shape = {static_cast<int64_t>(values.size())};
    view.data = reinterpret_cast<const uint8_t*>(values.data());
    view.bytes = values.size() * sizeof(T);
    return view;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(TensorConversions)

BOOST_AUTO_TEST_CASE(everyHalfGoesThroughFloatUnchanged)
{
    for (uint32_t bits = 0; bits < 65536; ++bits)
    {
        const uint16_t half = static_cast<uint16_t>(bits);
        const float value = halfToFloat(half);
        const bool nan = (half & 0x7c00u) == 0x7c00u && (half & 0x3ffu) != 0;
        BOOST_REQUIRE(std::isnan(value) == nan);
        if (!nan)
            BOOST_REQUIRE(floatToHalf(value) == half);
        const float wide = bfloat16ToFloat(half);
        if (std::isnan(wide))
            BOOST_REQUIRE(std::isnan(bfloat16ToFloat(floatToBfloat16(wide))));
        else
            BOOST_REQUIRE(floatToBfloat16(wide) == half);
    }
}

// Half-way between two neighbours rounds to the even one, everything else to the nearer one.
BOOST_AUTO_TEST_CASE(roundingIsToNearestEven)
{
    for (uint32_t bits = 0; bits < 0x7bffu; ++bits)
    {
        const float low = halfToFloat(static_cast<uint16_t>(bits)), high = halfToFloat(static_cast<uint16_t>(bits + 1));
        const float middle = (low + high) / 2;
        BOOST_REQUIRE(floatToHalf(middle) == (bits % 2 ? bits + 1 : bits));
        BOOST_REQUIRE(floatToHalf(std::nextafter(middle, 0.f)) == bits);
        BOOST_REQUIRE(floatToHalf(-std::nextafter(middle, high)) == (0x8000u | (bits + 1)));
    }
    for (uint32_t bits = 0; bits < 0x7f7fu; ++bits)
    {
        const float low = bfloat16ToFloat(static_cast<uint16_t>(bits));
        const float middle = low + (bfloat16ToFloat(static_cast<uint16_t>(bits + 1)) - low) / 2;
        BOOST_REQUIRE(floatToBfloat16(middle) == (bits % 2 ? bits + 1 : bits));
        BOOST_REQUIRE(floatToBfloat16(-std::nextafter(middle, INFINITY)) == (0x8000u | (bits + 1)));
    }
}

BOOST_AUTO_TEST_CASE(halfHandlesTheEndsOfItsRange)
{
    BOOST_TEST(floatToHalf(65504.f) == 0x7bff);
    BOOST_TEST(floatToHalf(65519.f) == 0x7bff);
    BOOST_TEST(floatToHalf(65520.f) == 0x7c00);
    BOOST_TEST(floatToHalf(-1e30f) == 0xfc00);
    BOOST_TEST(floatToHalf(INFINITY) == 0x7c00);
    BOOST_TEST(floatToHalf(-0.f) == 0x8000);
    BOOST_TEST(floatToHalf(std::ldexp(1.f, -25)) == 0);
    BOOST_TEST(floatToHalf(std::ldexp(1.1f, -25)) == 1);
    BOOST_TEST(std::isnan(halfToFloat(floatToHalf(NAN))));
    BOOST_TEST(floatToBfloat16(std::numeric_limits<float>::max()) == 0x7f80);
    BOOST_TEST(std::isnan(bfloat16ToFloat(floatToBfloat16(NAN))));
}

BOOST_AUTO_TEST_CASE(toFloatTakesEveryFloatingType)
{
    const std::vector<float> wanted{-2.5f, 0.f, 1024.f};
    std::vector<float> got(3);
    toFloat(viewOf<float>(DType::F32, wanted), got.data());
    BOOST_TEST(got == wanted);
    toFloat(viewOf<double>(DType::F64, {-2.5, 0., 1024.}), got.data());
    BOOST_TEST(got == wanted);
    toFloat(viewOf<uint16_t>(DType::F16, {0xc100, 0, 0x6400}), got.data());
    BOOST_TEST(got == wanted);
    toFloat(viewOf<uint16_t>(DType::BF16, {0xc020, 0, 0x4480}), got.data());
    BOOST_TEST(got == wanted);
    BOOST_CHECK_THROW(toFloat(viewOf<int32_t>(DType::I32, {1, 2, 3}), got.data()), cv::Exception);
}

BOOST_AUTO_TEST_CASE(toInt64TakesEveryIntegerType)
{
    std::vector<int64_t> got(2);
    toInt64(viewOf<int8_t>(DType::I8, {-3, 100}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{-3, 100}));
    toInt64(viewOf<uint8_t>(DType::U8, {253, 100}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{253, 100}));
    toInt64(viewOf<uint8_t>(DType::Bool, {0, 7}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{0, 1}));
    toInt64(viewOf<int16_t>(DType::I16, {-300, 300}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{-300, 300}));
    toInt64(viewOf<int32_t>(DType::I32, {-70000, 70000}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{-70000, 70000}));
    toInt64(viewOf<int64_t>(DType::I64, {INT64_MIN, INT64_MAX}), got.data());
    BOOST_TEST(got == (std::vector<int64_t>{INT64_MIN, INT64_MAX}));
    BOOST_CHECK_THROW(toInt64(viewOf<float>(DType::F32, {1.f, 2.f}), got.data()), cv::Exception);
}

BOOST_AUTO_TEST_CASE(unalignedTensorsAreConverted)
{
    std::vector<uint8_t> bytes(1 + 2 * sizeof(double));
    const double values[2] = {0.5, -8};
    std::memcpy(bytes.data() + 1, values, sizeof(values));
    TensorView view = viewOf<uint8_t>(DType::F64, bytes);
    ++view.data;
    --view.bytes;
    std::vector<float> got(2);
    toFloat(view, got.data());
    BOOST_TEST(got == (std::vector<float>{0.5f, -8.f}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(Safetensors)

BOOST_AUTO_TEST_CASE(roundTripKeepsEverything)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("all.safetensors");
    std::vector<uint8_t> data(48);
    for (size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<uint8_t>(i * 37);
    std::vector<TensorOut> out;
    for (const DType type : {DType::F64, DType::I64, DType::F32, DType::I32, DType::F16, DType::BF16, DType::I16,
                             DType::Bool, DType::U8, DType::I8})
        out.push_back({std::string("z.") + dtypeName(type), type, {2, 3}, data.data()});
    out.push_back({"scalar", DType::F32, {}, data.data()});
    out.push_back({"empty", DType::F32, {4, 0}, nullptr});
    out.push_back({"\xc3\xbc \"quoted\"\n", DType::U8, {1}, data.data()});
    const std::map<std::string, std::string> metadata{{"ltrp", "{\"a\": 1}"}, {"\xe2\x82\xac", "line\nline"}, {"", ""}};
    writeSafetensors(path, out, metadata);

    const auto file = TensorFile::open(path);
    BOOST_TEST(file->format() == "safetensors");
    BOOST_TEST(file->path() == path);
    BOOST_TEST((file->metadata() == metadata));
    BOOST_REQUIRE(file->tensors().size() == out.size());
    for (size_t i = 0; i < out.size(); ++i)
    {
        const TensorView& view = file->tensors()[i];
        BOOST_TEST(view.name == out[i].name);
        BOOST_TEST((view.dtype == out[i].dtype));
        BOOST_TEST(view.shape == out[i].shape);
        BOOST_TEST(file->find(out[i].name) == &view);
        BOOST_TEST(&file->at(out[i].name) == &view);
        if (view.bytes > 0)
            BOOST_TEST(std::memcmp(view.data, out[i].data, view.bytes) == 0);
    }
    BOOST_TEST(file->at("z.F64").bytes == 48u);
    BOOST_TEST(file->at("scalar").count() == 1u);
    BOOST_TEST(file->at("empty").count() == 0u);
    BOOST_TEST(file->find("missing") == nullptr);
    const uint64_t headerBytes = readLittleEndian(reinterpret_cast<const uint8_t*>(readText(path).data()), 8);
    BOOST_TEST((headerBytes + 8) % 64 == 0u);
}

BOOST_AUTO_TEST_CASE(missingTensorIsNamed)
{
    const auto file = parse(withHeader(twoTensors, twoTensorsData));
    try
    {
        file->at("blocks.0");
        BOOST_ERROR("nothing was thrown");
    }
    catch (const cv::Exception& error)
    {
        BOOST_TEST(error.err == fileName + ": has no tensor 'blocks.0' (it holds 2 others)");
    }
}

BOOST_AUTO_TEST_CASE(tensorsComeInTheOrderOfTheirData)
{
    const auto file = parse(withHeader(R"({"late":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                                       R"("early":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "abc"));
    BOOST_TEST(file->tensors()[0].name == "early");
    BOOST_TEST(*file->tensors()[0].data == 'a');
    BOOST_TEST(*file->at("late").data == 'b');
}

BOOST_AUTO_TEST_CASE(fileWithoutTensorsIsValid)
{
    BOOST_TEST(parse(withHeader("{}", ""))->tensors().empty());
    BOOST_TEST(parse(withHeader("{\"__metadata__\":{\"k\":\"v\"}}  ", ""))->metadata().at("k") == "v");
}

BOOST_AUTO_TEST_CASE(lengthThatLooksLikeAZipFileIsStillSafetensors)
{
    std::string header = "{}";
    header.resize(0x04034b50, ' ');   // the length's bytes read "PK\3\4"
    BOOST_TEST(parse(withHeader(header, ""))->format() == "safetensors");
}

BOOST_AUTO_TEST_CASE(truncatedAtEveryByteIsRefused)
{
    const std::string bytes = withHeader(twoTensors, twoTensorsData);
    BOOST_TEST(parse(bytes)->tensors().size() == 2u);
    for (size_t n = 0; n < bytes.size(); ++n)
        BOOST_CHECK_THROW(parse(bytes.substr(0, n)), cv::Exception);
}

// Every bit pattern in every byte of length and header. Names and types are free text in the format, so changing one
// gives a valid file; everything else must be rejected, or be equal.
BOOST_AUTO_TEST_CASE(everyHeaderByteChangedIsRefusedOrHarmless)
{
    const std::string bytes = withHeader(twoTensors, twoTensorsData);
    size_t refused = 0, read = 0;
    for (size_t at = 0; at < 8 + twoTensors.size(); ++at)
    {
        for (int change = 1; change < 256; ++change)
        {
            std::string changed = bytes;
            changed[at] = static_cast<char>(changed[at] ^ change);
            try
            {
                const auto file = parse(changed);
                ++read;
                BOOST_REQUIRE(file->tensors().size() == 2u);
                const TensorView &first = file->tensors()[0], &second = file->tensors()[1];
                BOOST_REQUIRE(first.shape == (std::vector<int64_t>{3}));
                BOOST_REQUIRE(second.shape == (std::vector<int64_t>{2, 5}));
                BOOST_REQUIRE(std::memcmp(first.data, twoTensorsData.data(), first.bytes) == 0);
                BOOST_REQUIRE(std::memcmp(second.data, twoTensorsData.data() + 12, second.bytes) == 0);
                BOOST_REQUIRE(first.bytes + second.bytes == twoTensorsData.size());
            }
            catch (const cv::Exception&)
            {
                ++refused;
            }
        }
    }
    BOOST_TEST(refused > 50 * read);
    BOOST_TEST(read > 0u);
}

BOOST_AUTO_TEST_CASE(hugeHeaderIsRefusedBeforeAnyMemoryIsTaken)
{
    expectRefused(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "more than the format's 100000000");
    expectRefused(std::string("\x00\xe1\xf5\x05\x00\x00\x00\x00{}", 10), "but only 2 follow");   // 100 000 000
    expectRefused(std::string("\x01\xe1\xf5\x05\x00\x00\x00\x00{}", 10), "claims 100000001 bytes, more than");
}

BOOST_AUTO_TEST_CASE(headerThatIsNotJsonIsRefused)
{
    expectRefused("{\"a\":", "", "not valid JSON");
    expectRefused("{} {}", "", "not valid JSON");
    expectRefused("{}x", "", "not valid JSON");
    expectRefused(std::string("{}\0{}", 5), "", "zero byte");
    expectRefused("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "a", "not valid JSON");
    expectRefused(" {}", "", "neither a safetensors file nor a PyTorch zip checkpoint");
    expectRefused("[]", "", "neither a safetensors file nor a PyTorch zip checkpoint");
    expectRefused(std::string(8, '\0'), "does not begin with '{'");
    expectRefused("PNG or the like", "neither a safetensors file nor a PyTorch zip checkpoint");
}

BOOST_AUTO_TEST_CASE(deepJsonIsRefusedAtItsFirstStepTooDeep)
{
    std::string deep = "{\"a\":{\"shape\":";
    deep.append(20000000, '[');
    expectRefused(deep, "", "the header holds a list here, expected a whole number");
    std::string objects = "{\"a\":";
    for (int i = 0; i < 1000000; ++i)
        objects += "{\"shape\":";
    expectRefused(objects, "", "the header holds an object here, expected a list of whole numbers");
}

BOOST_AUTO_TEST_CASE(duplicateKeysAreRefused)
{
    const std::string info = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
    expectRefused("{\"a\":" + info + ",\"a\":" + info + "}", "a", "'a' appears twice");
    expectRefused("{\"a\":" + info + ",\"\\u0061\":" + info + "}", "a", "'a' appears twice");
    expectRefused(R"({"__metadata__":{},"__metadata__":{}})", "", "'__metadata__' appears twice");
    expectRefused(R"({"__metadata__":{"k":"1","k":"2"}})", "", "metadata entry 'k' appears twice");
    expectRefused(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a", "two entries 'dtype'");
    expectRefused(R"({"a":{"dtype":"U8","shape":[1],"shape":[],"data_offsets":[0,1]}})", "a", "two entries 'shape'");
    expectRefused(R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"data_offsets":[]}})", "a", "two entries 'd");
}

BOOST_AUTO_TEST_CASE(overlapIsRefused)
{
    expectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})", "1234567", "overlaps the one before");
    expectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234", "overlaps the one before");
}

BOOST_AUTO_TEST_CASE(holeIsRefused)
{
    expectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", "12345", "expected 0");
    expectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                  R"("b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}})", "1234567", "there must be no holes");
}

BOOST_AUTO_TEST_CASE(trailingBytesAreRefused)
{
    expectRefused(twoTensors, twoTensorsData + "x", "1 bytes follow the last tensor");
    expectRefused("{}", "x", "1 bytes follow the last tensor");
}

BOOST_AUTO_TEST_CASE(lyingOffsetsAreRefused)
{
    const std::string start = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)";
    expectRefused(start + "[0,5]}}", "1234", "ends at byte 5 of the data, but the file holds 4");
    expectRefused(start + "[4,0]}}", "1234", "end before they begin");
    expectRefused(start + "[0,18446744073709551615]}}", "1234", "but the file holds 4");
    expectRefused(start + "[0]}}", "1234", "has 1 data_offsets, expected 2");
    expectRefused(start + "[0,4,4]}}", "1234", "more than two data_offsets");
    expectRefused(start + "[0,-4]}}", "1234", "holds a negative number");
    expectRefused(start + "[0,4.0]}}", "1234", "holds the number '4.0'");
    expectRefused(start + "[0,1e400]}}", "1234", "JSON");
    expectRefused(start + "[0,\"4\"]}}", "1234", "holds the text '4'");
    expectRefused(start + "[0,null]}}", "1234", "holds null");
    expectRefused(start + "[0,true]}}", "1234", "holds a truth value");
}

BOOST_AUTO_TEST_CASE(lyingShapeIsRefused)
{
    const auto header = [](const std::string& shape) {
        return "{\"a\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,16]}}";
    };
    const std::string data(16, 'x');
    BOOST_TEST(parse(withHeader(header("[4]"), data))->tensors().size() == 1u);
    expectRefused(header("[5]"), data, "occupies 16 bytes, expected 20");
    expectRefused(header("[]"), data, "occupies 16 bytes, expected 4");
    expectRefused(header("[4,0]"), data, "occupies 16 bytes, expected 0");
    expectRefused(header("[-4]"), data, "holds a negative number");
    expectRefused(header("[4611686018427387905,4]"), data, "too large");   // 2^62 + 1: the product wraps around to 4
    expectRefused(header("[4611686018427387904,4611686018427387904,0]"), data, "too large");
    expectRefused(header("[9223372036854775808]"), data, "dimension of 9223372036854775808");
    expectRefused(header("[99999999999999999999]"), data, "holds the number");
    expectRefused(header("4"), data, "holds the number 4");
}

BOOST_AUTO_TEST_CASE(tooManyDimensionsAreRefused)
{
    std::string shape = "1";
    for (int i = 0; i < 32; ++i)
        shape += ",1";
    expectRefused("{\"a\":{\"dtype\":\"U8\",\"shape\":[" + shape + "],\"data_offsets\":[0,1]}}", "x", "more than 32");
}

BOOST_AUTO_TEST_CASE(wrongDtypeIsRefused)
{
    for (const std::string type : {"F31", "f32", "", "F32 ", "C64", "F8_E4M3"})
        expectRefused("{\"a\":{\"dtype\":\"" + type + "\",\"shape\":[1],\"data_offsets\":[0,4]}}", "1234",
                      "tensor 'a' has dtype '" + type + "'");
    expectRefused(R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", "1234", "expected text");
}

BOOST_AUTO_TEST_CASE(missingAndUnknownFieldsAreRefused)
{
    expectRefused(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", "1234", "tensor 'a' has no dtype");
    expectRefused(R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", "1234", "tensor 'a' has no shape");
    expectRefused(R"({"a":{"dtype":"U8","shape":[4]}})", "1234", "tensor 'a' has no data_offsets");
    expectRefused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"more":1}})", "1234", "the entry 'more'");
    expectRefused(R"({"a":4})", "", "expected an object");
    expectRefused(R"({"a":[]})", "", "expected an object");
}

BOOST_AUTO_TEST_CASE(metadataMustBeText)
{
    expectRefused(R"({"__metadata__":{"k":1}})", "", "expected text");
    expectRefused(R"({"__metadata__":{"k":{}}})", "", "expected text");
    expectRefused(R"({"__metadata__":{"k":["v"]}})", "", "expected text");
    expectRefused(R"({"__metadata__":"k"})", "", "expected an object");
}

BOOST_AUTO_TEST_CASE(hostileNamesAreEscapedInMessages)
{
    expectRefused("{\"\\u001b[2J\\n\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,1]}}", "x",
                  "tensor '\\x1b[2J\\x0a'");
    expectRefused("{\"" + std::string(5000, 'n') + "\":4}", "", std::string(100, 'n') + "...'");
}

BOOST_AUTO_TEST_CASE(unreadableFilesAreNamedWithTheReason)
{
    const TemporaryFolder folder;
    const auto message = [](const std::string& path) {
        try
        {
            TensorFile::open(path);
        }
        catch (const cv::Exception& error)
        {
            return error.err;
        }
        return std::string("nothing was thrown");
    };
    const std::string missing = folder.file("missing.safetensors"), empty = folder.file("empty.safetensors");
    const std::string pipe = folder.file("pipe"), secret = folder.file("secret.safetensors");
    BOOST_TEST(message(missing) == missing + ": cannot open: No such file or directory");
    BOOST_TEST(message(folder.path().string()) == folder.path().string() + ": is a folder, expected a file");
    writeText(empty, "");
    BOOST_TEST(message(empty) == empty + ": the file is empty");
    BOOST_REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    BOOST_TEST(message(pipe) == pipe + ": is not a regular file");
    writeText(secret, withHeader("{}", ""));
    BOOST_REQUIRE(chmod(secret.c_str(), 0) == 0);
    if (geteuid() == 0)
        BOOST_TEST(message(secret) == "nothing was thrown");   // root can read everything
    else
        BOOST_TEST(message(secret) == secret + ": cannot open: Permission denied");
}

BOOST_AUTO_TEST_CASE(writerRefusesWhatItsReaderWould)
{
    const TemporaryFolder folder;
    const std::string path = folder.file("bad.safetensors");
    const float value = 1;
    using Metadata = std::map<std::string, std::string>;
    const auto refused = [&](const std::vector<TensorOut>& tensors, const Metadata& metadata) {
        BOOST_CHECK_THROW(writeSafetensors(path, tensors, metadata), cv::Exception);
        BOOST_TEST(!std::filesystem::exists(path));
    };
    refused({{"a", DType::F32, {1}, &value}, {"a", DType::F32, {1}, &value}}, {});
    refused({{"__metadata__", DType::F32, {1}, &value}}, {});
    refused({{"a", DType::F32, {-1}, &value}}, {});
    refused({{"a", DType::F32, {INT64_MAX, 4}, &value}}, {});
    refused({{"a", DType::F32, {1}, nullptr}}, {});
    refused({{"a", DType::F32, std::vector<int64_t>(33, 1), &value}}, {});
    refused({{"\xff", DType::F32, {1}, &value}}, {});
    refused({}, {{"k", "\xff"}});
}

BOOST_AUTO_TEST_SUITE_END()
