// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "atomic_file.hpp"
#include "onnx_writer.hpp"

#include <cstring>
#include <limits>

namespace cv { namespace ltrp { namespace io {

namespace
{

// Field numbers from onnx.proto.
enum ModelField
{
    ModelIrVersion = 1,
    ModelProducer = 2,
    ModelGraph = 7,
    ModelOpset = 8,
    ModelMetadata = 14
};
enum GraphField
{
    GraphNode = 1,
    GraphName = 2,
    GraphInitializer = 5,
    GraphInput = 11,
    GraphOutput = 12
};
enum NodeField
{
    NodeInput = 1,
    NodeOutput = 2,
    NodeName = 3,
    NodeOpType = 4,
    NodeAttribute = 5
};
enum AttributeField
{
    AttributeName = 1,
    AttributeFloat = 2,
    AttributeInt = 3,
    AttributeString = 4,
    AttributeInts = 8,
    AttributeKind = 20
};
enum AttributeType
{
    TypeFloat = 1,
    TypeInt = 2,
    TypeString = 3,
    TypeInts = 7
};
enum TensorField
{
    TensorDims = 1,
    TensorType = 2,
    TensorName = 8,
    TensorRawData = 9
};
enum ElementType
{
    ElementFloat = 1,
    ElementInt64 = 7
};

const int64_t irVersion = 6; // of ONNX 1.6, which brought opset 11

void putVarint(std::string& out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
}

void putTag(std::string& out, int field, int wireType)
{
    putVarint(out, static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wireType));
}

void putInt(std::string& out, int field, int64_t value)
{
    putTag(out, field, 0);
    putVarint(out, static_cast<uint64_t>(value));
}

void putFloat(std::string& out, int field, float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    putTag(out, field, 5);
    for (int i = 0; i < 4; i++)
        out += static_cast<char>(bits >> (8 * i));
}

void putBytes(std::string& out, int field, const void* data, size_t size)
{
    putTag(out, field, 2);
    putVarint(out, size);
    out.append(static_cast<const char*>(data), size);
}

void putBytes(std::string& out, int field, const std::string& bytes)
{
    putBytes(out, field, bytes.data(), bytes.size());
}

/// ValueInfoProto of a tensor.
std::string valueInfo(const std::string& name, const std::vector<OnnxWriter::Dim>& shape, ElementType element)
{
    std::string dims, tensor, type, info;
    for (const OnnxWriter::Dim& dim : shape)
    {
        std::string one;
        if (dim.name.empty())
            putInt(one, 1, dim.value);
        else
            putBytes(one, 2, dim.name);
        putBytes(dims, 1, one);
    }
    putInt(tensor, 1, element);
    putBytes(tensor, 2, dims);
    putBytes(type, 1, tensor);
    putBytes(info, 1, name);
    putBytes(info, 2, type);
    return info;
}

/// Appends a TensorProto to the graph; weights are copied only once.
void putTensor(std::string& graph, const std::string& name, const std::vector<int64_t>& shape, ElementType type,
               const void* data, size_t size)
{
    std::string head;
    for (int64_t extent : shape)
        putInt(head, TensorDims, extent);
    putInt(head, TensorType, type);
    putBytes(head, TensorName, name);
    putTag(head, TensorRawData, 2);
    putVarint(head, size);
    putTag(graph, GraphInitializer, 2);
    putVarint(graph, head.size() + size);
    graph += head;
    graph.append(static_cast<const char*>(data), size);
}

}  // namespace

void OnnxWriter::Attributes::append(std::string attribute, int type)
{
    putInt(attribute, AttributeKind, type);
    putBytes(bytes_, NodeAttribute, attribute);
}

OnnxWriter::Attributes& OnnxWriter::Attributes::add(const std::string& name, float value)
{
    std::string attribute;
    putBytes(attribute, AttributeName, name);
    putFloat(attribute, AttributeFloat, value);
    append(std::move(attribute), TypeFloat);
    return *this;
}

OnnxWriter::Attributes& OnnxWriter::Attributes::add(const std::string& name, int64_t value)
{
    std::string attribute;
    putBytes(attribute, AttributeName, name);
    putInt(attribute, AttributeInt, value);
    append(std::move(attribute), TypeInt);
    return *this;
}

OnnxWriter::Attributes& OnnxWriter::Attributes::add(const std::string& name, const std::string& value)
{
    std::string attribute;
    putBytes(attribute, AttributeName, name);
    putBytes(attribute, AttributeString, value);
    append(std::move(attribute), TypeString);
    return *this;
}

OnnxWriter::Attributes& OnnxWriter::Attributes::add(const std::string& name, const std::vector<int64_t>& values)
{
    std::string attribute;
    putBytes(attribute, AttributeName, name);
    for (int64_t value : values)
        putInt(attribute, AttributeInts, value);
    append(std::move(attribute), TypeInts);
    return *this;
}

void OnnxWriter::addInput(const std::string& name, const std::vector<Dim>& shape)
{
    putBytes(graph_, GraphInput, valueInfo(name, shape, ElementFloat));
}

void OnnxWriter::addIntegerInput(const std::string& name, const std::vector<Dim>& shape)
{
    putBytes(graph_, GraphInput, valueInfo(name, shape, ElementInt64));
}

void OnnxWriter::addOutput(const std::string& name, const std::vector<Dim>& shape)
{
    putBytes(graph_, GraphOutput, valueInfo(name, shape, ElementFloat));
}

void OnnxWriter::addInitializer(const std::string& name, const std::vector<int64_t>& shape, const float* values)
{
    size_t count = 1;
    for (int64_t extent : shape)
        count *= static_cast<size_t>(extent);
    putTensor(graph_, name, shape, ElementFloat, values, count * sizeof(float));
}

void OnnxWriter::addInitializer(const std::string& name, const std::vector<int64_t>& values)
{
    putTensor(graph_, name, {static_cast<int64_t>(values.size())}, ElementInt64, values.data(),
              values.size() * sizeof(int64_t));
}

std::string OnnxWriter::addNode(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                                const Attributes& attributes)
{
    std::string node;
    for (const std::string& input : inputs)
        putBytes(node, NodeInput, input);
    putBytes(node, NodeOutput, name);
    putBytes(node, NodeName, name);
    putBytes(node, NodeOpType, op);
    node += attributes.bytes();
    putBytes(graph_, GraphNode, node);
    return name;
}

void OnnxWriter::write(AtomicFile& file, const std::string& path, const std::string& graphName, int64_t opset,
                       const std::map<std::string, std::string>& metadata) const
{
    std::string head, tail, set;
    putInt(head, ModelIrVersion, irVersion);
    putBytes(head, ModelProducer, "ltrp");
    putBytes(set, 1, "");
    putInt(set, 2, opset);
    putBytes(head, ModelOpset, set);
    for (const auto& item : metadata)
    {
        std::string entry;
        putBytes(entry, 1, item.first);
        putBytes(entry, 2, item.second);
        putBytes(head, ModelMetadata, entry);
    }
    putBytes(tail, GraphName, graphName);
    const size_t graphBytes = graph_.size() + tail.size();
    putTag(head, ModelGraph, 2);
    putVarint(head, graphBytes);

    // Protobuf readers reject larger messages.
    LTRP_REQUIRE(head.size() + graphBytes <= static_cast<size_t>(std::numeric_limits<int>::max()), Error::StsOutOfRange,
                 path << ": a model of " << graphBytes << " bytes does not fit into one ONNX file (2 GB)");
    file.write(head);
    file.write(graph_);
    file.write(tail);
}

}}}  // namespace
