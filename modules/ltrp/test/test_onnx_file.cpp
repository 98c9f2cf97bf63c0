// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_onnx_file.hpp"

namespace opencv_test { namespace onnx {

// Field numbers are from onnx.proto.

void Message::varint(uint64 value)
{
    for (; value >= 128; value >>= 7)
        bytes_ += char(uchar(value | 128));
    bytes_ += char(uchar(value));
}

Message& Message::number(int field, uint64 value)
{
    varint(uint64(field) << 3);
    varint(value);
    return *this;
}

Message& Message::text(int field, const std::string& value)
{
    varint(uint64(field) << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
}

Message value(const std::string& name, ElementType type, const std::vector<int>& shape)
{
    Message dimensions;
    for (int extent : shape)
        dimensions.message(1, extent > 0 ? Message().number(1, extent) : Message().text(2, "N"));
    const Message tensor = Message().number(1, type).message(2, dimensions);
    return Message().text(1, name).message(2, Message().message(1, tensor));
}

Message node(const std::string& domain, const std::string& type, const std::vector<std::string>& inputs,
             const std::string& output, const std::map<std::string, std::string>& texts,
             const std::map<std::string, int>& numbers)
{
    const int typeNumber = 2, typeText = 3;
    Message result;
    for (const std::string& input : inputs)
        result.text(1, input);
    result.text(2, output).text(3, output + "_node").text(4, type);
    for (const auto& attribute : texts)
        result.message(5, Message().text(1, attribute.first).text(4, attribute.second).number(20, typeText));
    for (const auto& attribute : numbers)
        result.message(5, Message().text(1, attribute.first).number(3, attribute.second).number(20, typeNumber));
    if (!domain.empty())
        result.text(7, domain);
    return result;
}

std::vector<uchar> model(const std::vector<Message>& nodes, const std::vector<Message>& inputs,
                         const std::vector<Message>& outputs)
{
    Message graph;
    for (const Message& one : nodes)
        graph.message(1, one);
    graph.text(2, "graph");
    for (const Message& one : inputs)
        graph.message(11, one);
    for (const Message& one : outputs)
        graph.message(12, one);
    return Message().number(1, 7).text(2, "ltrp tests").message(7, graph)
        .message(8, Message().text(1, "").number(2, 13)).message(8, Message().text(1, "ltrp").number(2, 1)).bytes();
}

}}  // namespace
