// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../onnx_bytes.hpp"
#include "fuzz.hpp"
#include "fuzz_folder.hpp"
#include "io/model_file.hpp"
#include "io/onnx_file.hpp"

#include <opencv2/dnn.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace cv::ltrp;
using namespace cv::ltrp::io;

namespace
{

/// An independent parser of accepted files, because importers trust them. Protocol buffers merge repeated messages,
/// which is equivalent to concatenating their bytes.
namespace importer
{

struct Field
{
    uint32_t number, wire;
    uint64_t value;
    std::string bytes;
};

uint64_t varint(const std::string& bytes, size_t& at)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7)
    {
        const uint64_t byte = static_cast<uint8_t>(bytes.at(at++));
        value |= shift < 64 ? (byte & 0x7f) << shift : 0;
        if (byte < 0x80)
            return value;
    }
    std::abort();
}

std::vector<Field> parse(const std::string& bytes)
{
    std::vector<Field> fields;
    for (size_t at = 0; at < bytes.size();)
    {
        const uint32_t tag = static_cast<uint32_t>(varint(bytes, at));
        Field field{tag >> 3, tag & 7, 0, {}};
        if (field.wire == 0)
            field.value = varint(bytes, at);
        else
        {
            const uint64_t size = field.wire == 1 ? 8 : field.wire == 5 ? 4 : varint(bytes, at);
            if (field.wire == 3 || field.wire == 4 || field.wire > 5 || size > bytes.size() - at)
                std::abort();
            field.bytes = bytes.substr(at, size);
            at += size;
        }
        fields.push_back(std::move(field));
    }
    return fields;
}

std::vector<std::string> repeated(const std::vector<Field>& fields, uint32_t number)
{
    std::vector<std::string> found;
    for (const Field& field : fields)
        if (field.number == number && field.wire == 2)
            found.push_back(field.bytes);
    return found;
}

std::string merged(const std::vector<Field>& fields, uint32_t number)
{
    std::string all;
    for (const std::string& bytes : repeated(fields, number))
        all += bytes;
    return all;
}

std::vector<uint64_t> integers(const std::vector<Field>& fields, uint32_t number)
{
    std::vector<uint64_t> found;
    for (const Field& field : fields)
    {
        if (field.number == number && field.wire == 0)
            found.push_back(field.value);
        else if (field.number == number && field.wire == 2)
            for (size_t at = 0; at < field.bytes.size();)
                found.push_back(varint(field.bytes, at));
    }
    return found;
}

size_t numbersOf(const std::vector<Field>& fields, uint32_t number, size_t width)
{
    size_t bytes = 0;
    for (const Field& field : fields)
        if (field.number == number && (field.wire == 2 || field.wire == (width == 4 ? 5u : 1u)))
            bytes += field.bytes.size();
    return bytes / width;
}

/// Checks that a tensor has as many values as its shape states, in the list of its type or as raw bytes in this file.
void checkTensor(const std::string& bytes)
{
    const std::vector<Field> fields = parse(bytes);
    size_t count = 1, width = 0, listed = 0, raw = 0;
    for (const uint64_t size : integers(fields, 1))
        count *= size;
    const std::vector<uint64_t> types = integers(fields, 2);
    switch (types.empty() ? 0 : types.back())
    {
    case 1: width = 4, listed = numbersOf(fields, 4, 4); break;
    case 11: width = 8, listed = numbersOf(fields, 10, 8); break;
    case 7: width = 8, listed = integers(fields, 7).size(); break;
    case 2: case 3: case 9: width = 1, listed = integers(fields, 5).size(); break;
    case 10: case 16: width = 2, listed = integers(fields, 5).size(); break;
    case 6: width = 4, listed = integers(fields, 5).size(); break;
    default: std::abort();
    }
    for (const Field& field : fields)
    {
        if (field.number == 9 && field.wire == 2)
            raw = field.bytes.size();
        if (field.number == 13 || (field.number == 14 && field.value != 0))
            std::abort();
    }
    if (listed != 0 ? listed != count : raw != count * width)
        std::abort();
}

void checkModel(const std::string& bytes)
{
    const std::vector<Field> graph = parse(merged(parse(bytes), 7));
    for (const std::string& tensor : repeated(graph, 5))
        checkTensor(tensor);
    for (const std::string& node : repeated(graph, 1))
        for (const std::string& attribute : repeated(parse(node), 5))
        {
            const std::vector<Field> fields = parse(attribute);
            if (!repeated(fields, 5).empty())
                checkTensor(merged(fields, 5));
            for (const std::string& tensor : repeated(fields, 10))
                checkTensor(tensor);
            if (!repeated(fields, 6).empty() || !repeated(fields, 11).empty())
                std::abort();
        }
}

}  // namespace importer

/// Forms written by other exporters: values in lists, packed and one by one, a constant as an attribute and among the
/// inputs.
std::string foreign()
{
    using namespace onnx_bytes;
    const std::string four(4, '\x3f');
    const std::string floats = number(1, 2) + number(2, 1) + text(4, four + four) + text(8, "bias");
    const std::string single = number(1, 1) + number(2, 1) + number32(4, four);
    const std::string halves = text(1, std::string("\x02\x01", 2)) + number(2, 10) + text(5, "\x40\x41") + text(8, "h");
    const std::string shape = number(1, 2) + number(2, 7) + number(7, 1) + number(7, 4) + text(8, "shape");
    return ranker(text(1, constant(single)) + text(5, floats) + text(5, halves) + text(5, shape) +
                  text(11, value("bias", {2})));
}

/// Files accepted without `trusted` must run, whatever their weights.
void runOwn(const OnnxRankerFile& file)
{
    const int images = file.anyBatch ? 2 : 1, size[] = {images, 3, file.input.size().height, file.input.size().width};
    cv::dnn::Net net = cv::dnn::readNetFromONNX(reinterpret_cast<const char*>(file.bytes->data()), file.bytes->size());
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    net.setInput(cv::Mat(4, size, CV_32F, cv::Scalar(0.5)), file.image);
    const cv::Mat scores = net.forward(file.scores);
    if (scores.type() != CV_32F || scores.dims != 2 || scores.rows != images || scores.cols != file.input.numPatches())
        std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    std::shared_ptr<const OnnxRankerFile> file;
    try
    {
        file = readOnnxRanker(FileBytes::copy("input.onnx", data, size));
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
    if (describeOnnx(*file).empty() || file->input.numPatches() < 1 || file->weights > size)
        std::abort();
    importer::checkModel(std::string(reinterpret_cast<const char*>(data), size));
    if (file->foreign.empty())
        runOwn(*file);
    return 0;
}

std::vector<std::string> fuzzSeeds()
{
    const std::string path = folder().file("seed.onnx");
    std::vector<std::string> seeds;
    Model model;
    model.kind = ModelKind::Ranker;
    model.ranker.input.imageSize = 4;
    model.ranker.input.patchSize = 2;
    for (const int depth : {1, 2})
    {
        model.ranker.encoder = {4, depth, 2, 4};
        vit::initialiseParams(model.ranker, 1, model.params);
        exportOnnx(path, model);
        std::ifstream file(path, std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    seeds.push_back(foreign());
    return seeds;
}
