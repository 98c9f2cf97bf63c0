// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_ONNX_BYTES_HPP
#define LTRP_TESTS_ONNX_BYTES_HPP

#include <cstdint>
#include <string>
#include <vector>

/// Small ONNX files byte by byte, valid ones and ones that no exporter writes.
namespace onnx_bytes
{

inline std::string varint(uint64_t value)
{
    std::string bytes;
    for (; value > 127; value >>= 7)
        bytes += static_cast<char>(value | 128);
    return bytes + static_cast<char>(value);
}

inline std::string number(uint64_t field, uint64_t value) { return varint(field << 3) + varint(value); }
inline std::string number32(uint64_t field, const std::string& fourBytes) { return varint(field << 3 | 5) + fourBytes; }
/// A text, or a message, or a packed list.
inline std::string text(uint64_t field, const std::string& content)
{
    return varint(field << 3 | 2) + varint(content.size()) + content;
}

/// An input or output of floats; 0: any extent.
inline std::string value(const std::string& name, const std::vector<int>& shape)
{
    std::string dims;
    for (const int size : shape)
        dims += text(1, size > 0 ? number(1, static_cast<uint64_t>(size)) : text(2, "N"));
    return text(1, name) + text(2, text(1, number(1, 1) + text(2, dims)));
}

/// A node Constant with this tensor, or with several tensors in one field.
inline std::string constant(const std::string& tensor, const std::string& second = "")
{
    return text(2, "c") + text(4, "Constant") +
           text(5, text(1, "value") + text(5, tensor) + (second.empty() ? "" : text(5, second)) + number(20, 4));
}

/// A file whose metadata describe a ranker of 2 x 2 patches of 2 x 2 pixels; `parts` are added to its graph.
inline std::string ranker(const std::string& parts, const std::string& output = "c")
{
    const std::string graph = parts + text(11, value("image", {0, 3, 4, 4})) + text(12, value(output, {0, 4}));
    return number(1, 7) + text(7, graph) + text(8, text(1, "") + number(2, 11)) +
           text(14, text(1, "ltrp") + text(2, R"({"format":1,"kind":"ranker","image_size":4,"patch_size":2,)"
                                              R"("mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]})"));
}

}  // namespace onnx_bytes

#endif
