// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Writes small ONNX files that contain the module's own operations.

#ifndef OPENCV_TEST_LTRP_ONNX_FILE_HPP
#define OPENCV_TEST_LTRP_ONNX_FILE_HPP

#include "test_precomp.hpp"

#include <map>

namespace opencv_test { namespace onnx {

/// A message of the protocol buffers' wire format: fields are appended in the order of the calls.
class Message
{
public:
    Message& number(int field, uint64 value);
    Message& text(int field, const std::string& value);
    Message& message(int field, const Message& value) { return text(field, value.bytes_); }
    std::vector<uchar> bytes() const { return std::vector<uchar>(bytes_.begin(), bytes_.end()); }

private:
    void varint(uint64 value);
    std::string bytes_;
};

enum ElementType { FLOAT = 1, INT64 = 7 };   // of onnx.TensorProto

/// A graph input or output; an extent of 0 is free.
Message value(const std::string& name, ElementType type, const std::vector<int>& shape);

/// One operation; `attributes` in order of names, texts and integers.
Message node(const std::string& domain, const std::string& type, const std::vector<std::string>& inputs,
             const std::string& output, const std::map<std::string, std::string>& texts = {},
             const std::map<std::string, int>& numbers = {});

/// The whole file.
std::vector<uchar> model(const std::vector<Message>& nodes, const std::vector<Message>& inputs,
                         const std::vector<Message>& outputs);

}}  // namespace

#endif
