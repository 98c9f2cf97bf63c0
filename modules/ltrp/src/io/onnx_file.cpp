// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "model_metadata.hpp"
#include "onnx_file.hpp"
#include "protobuf_fields.hpp"

#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <unordered_set>

namespace cv { namespace ltrp { namespace io {

namespace
{

const size_t maxMetadataBytes = 1 << 20;

/// Bytes per value of an onnx.TensorProto.DataType; 0 for those that a vision network does not use.
size_t valueBytes(int64_t type)
{
    switch (type)
    {
    case 2: case 3: case 9: return 1;             // uint8, int8, bool
    case 10: case 16: return 2;                   // float16, bfloat16
    case 1: case 6: return 4;                     // float, int32
    case 7: case 11: return 8;                    // int64, double
    default: return 0;
    }
}

/// The field of an onnx.TensorProto that lists values of this type if they are not in raw_data.
int listField(int64_t type)
{
    return type == 1 ? 4 : type == 11 ? 10 : type == 7 ? 7 : 5;
}

struct Value
{
    std::string name;
    int64_t type = 0;
    std::vector<int64_t> shape;   ///< -1: free
};

class Reader
{
public:
    explicit Reader(std::shared_ptr<const FileBytes> bytes) : file_(std::make_shared<OnnxRankerFile>())
    {
        file_->bytes = std::move(bytes);
        // Size limit of protocol buffers.
        LTRP_REQUIRE(this->bytes().size() <= static_cast<size_t>(std::numeric_limits<int>::max()),
                     Error::StsOutOfRange, path() << ": " << this->bytes().size()
                                                  << " bytes, an ONNX file has at most 2 GB");
    }

    std::shared_ptr<const OnnxRankerFile> read()
    {
        ProtobufFields model(bytes().data(), bytes().size(), bytes());
        bool graphSeen = false;
        while (model.next())
            if (model.field == 7)
            {
                LTRP_REQUIRE(!graphSeen, Error::StsParseError, path() << ": holds two graphs");
                graphSeen = true;
                graph_ = model.text();
                readGraph(model.message());
            }
            else if (model.field == 8)
                readOpset(model.message());
            else if (model.field == 14)
                readMetadata(model.message());
            else
                refuse(model.field == 25, "functions of its own");
        LTRP_REQUIRE(graphSeen, Error::StsParseError, path() << ": is no ONNX file: it holds no graph");
        checkMetadata();
        checkEnds();
        file_->foreign = difference();
        return file_;
    }

private:
    const FileBytes& bytes() const { return *file_->bytes; }
    const std::string& path() const { return file_->path(); }

    void refuse(bool found, const char* what) const
    {
        LTRP_REQUIRE(!found, Error::StsUnsupportedFormat, path() << ": holds " << what << ", which no ranker needs");
    }

    void readOpset(ProtobufFields set)
    {
        std::string domain;
        int64_t version = 0;
        while (set.next())
            if (set.field == 1)
                domain = set.text();
            else if (set.field == 2)
                version = set.integer();
        if (domain.empty() || domain == "ai.onnx")
            file_->opset = version;
    }

    void readMetadata(ProtobufFields entry)
    {
        std::string key, value;
        while (entry.next())
        {
            LTRP_REQUIRE(entry.wire != 2 || entry.size <= maxMetadataBytes, Error::StsOutOfRange,
                         path() << ": metadata of " << entry.size << " bytes, expected at most " << maxMetadataBytes);
            if (entry.field == 1)
                key = entry.text();
            else if (entry.field == 2)
                value = entry.text();
        }
        if (key == "ltrp" || key == "ltrp.part")
            metadata_[key] = value;
    }

    void readGraph(ProtobufFields graph)
    {
        while (graph.next())
            if (graph.field == 1)
                readNode(graph.message());
            else if (graph.field == 5)
                constants_.insert(readTensor(graph.message()));
            else if (graph.field == 11)
                inputs_.push_back(readValue(graph.message()));
            else if (graph.field == 12)
                outputs_.push_back(readValue(graph.message()));
            else
                refuse(graph.field == 15, "sparse constants");
    }

    void readNode(ProtobufFields node)
    {
        std::string operation;
        while (node.next())
            if (node.field == 4)
                operation = node.text();
            else if (node.field == 5)
                readAttribute(node.message());
        file_->operations[operation]++;
    }

    /// Throws for repeated fields: protocol buffers would merge two messages, combining the sizes of one with the bytes
    /// of the other.
    void once(bool& seen, const char* what) const
    {
        LTRP_REQUIRE(!seen, Error::StsParseError, path() << ": is damaged: it holds " << what << " twice");
        seen = true;
    }

    void readAttribute(ProtobufFields attribute)
    {
        bool tensorSeen = false;
        while (attribute.next())
        {
            if (attribute.field == 5)
                once(tensorSeen, "an attribute's value");
            refuse(attribute.field == 6 || attribute.field == 11, "graphs within operations");
            refuse(attribute.field == 22 || attribute.field == 23, "sparse constants");
            if (attribute.field == 5 || attribute.field == 10)
                readTensor(attribute.message());
        }
    }

    /// Number of values in a repeated field, packed or single, of `width` bytes each; 0: variable length.
    static uint64_t repeated(const ProtobufFields& tensor, size_t width)
    {
        if (tensor.wire != 2)
            return tensor.wire == (width == 0 ? 0 : width == 4 ? 5 : 1) ? 1 : 0;   // importers ignore others
        if (width != 0)
            return tensor.size % width == 0 ? tensor.size / width : std::numeric_limits<uint64_t>::max();
        uint64_t count = 0;
        for (ProtobufFields packed = tensor.message(); !packed.atEnd(); count++)
            packed.varint();
        return count;
    }

    /// Checks a tensor, because importers trust its shape and read that many bytes. Returns its name.
    std::string readTensor(ProtobufFields tensor)
    {
        Value value;
        uint64_t raw = 0;
        std::map<int, uint64_t> listed;   // by field
        bool hasRaw = false;
        while (tensor.next())
            switch (tensor.field)
            {
            case 1:
                if (tensor.wire == 0)
                    value.shape.push_back(tensor.integer());
                else
                    for (ProtobufFields packed = tensor.message(); !packed.atEnd();)
                        value.shape.push_back(static_cast<int64_t>(packed.varint()));
                LTRP_REQUIRE(value.shape.size() <= maxTensorRank, Error::StsOutOfRange,
                             path() << ": a constant has more than " << maxTensorRank << " dimensions");
                break;
            case 2: value.type = tensor.integer(); break;
            case 8: value.name = tensor.text(); break;
            case 9:
                hasRaw = true;
                raw = tensor.text().size();   // if repeated, the last one counts
                break;
            case 4: case 5: case 7: case 10: case 11:
            {
                const uint64_t more = repeated(tensor, tensor.field == 4 ? 4 : tensor.field == 10 ? 8 : 0);
                LTRP_REQUIRE(more <= bytes().size(), Error::StsParseError,
                             path() << ": is damaged: a list of values ends within a value");
                listed[tensor.field] += more;
                break;
            }
            default:
                refuse(tensor.field == 13 || (tensor.field == 14 && tensor.number != 0), "constants in other files (save it anew as one file: onnx.save_model(onnx.load(path), path, "
                       "save_as_external_data=False))");
            }
        const std::string what = path() + ": constant " + printable(value.name);
        const size_t width = valueBytes(value.type);
        LTRP_REQUIRE(width != 0, Error::StsUnsupportedFormat, what << " has the type " << value.type
                                                                   << ", which rankers do not need");
        uint64_t count = 0;
        LTRP_REQUIRE(countValues(value.shape, width, count), Error::StsOutOfRange,
                     what << " has the impossible shape " << shapeText(value.shape));
        // Importers use the list in the type's own field, and raw_data if that is empty.
        const uint64_t own = listed[listField(value.type)];
        const bool good = hasRaw ? own == 0 && raw == count * width : own == count;
        LTRP_REQUIRE(good, Error::StsUnmatchedSizes,
                     what << " of shape " << shapeText(value.shape) << " holds "
                          << (hasRaw ? std::to_string(raw) + " bytes, expected " + std::to_string(count * width)
                                     : std::to_string(own) + " values, expected " + std::to_string(count)));
        if (value.type == 1 || value.type == 10 || value.type == 11 || value.type == 16)
            file_->weights += count;
        return value.name;
    }

    Value readValue(ProtobufFields info) const
    {
        Value value;
        bool typeSeen = false, tensorSeen = false, shapeSeen = false;
        while (info.next())
        {
            if (info.field == 1)
                value.name = info.text();
            if (info.field != 2)
                continue;
            once(typeSeen, "the type of a value");
            for (ProtobufFields type = info.message(); type.next();)
            {
                if (type.field != 1)
                    continue;
                once(tensorSeen, "the type of a value");
                for (ProtobufFields tensor = type.message(); tensor.next();)
                    if (tensor.field == 1)
                        value.type = tensor.integer();
                    else if (tensor.field == 2)
                    {
                        once(shapeSeen, "the shape of a value");
                        value.shape = readShape(tensor.message());
                    }
            }
        }
        return value;
    }

    static std::vector<int64_t> readShape(ProtobufFields dims)
    {
        std::vector<int64_t> shape;
        while (dims.next())
        {
            if (dims.field != 1)
                continue;
            int64_t extent = -1;
            for (ProtobufFields dim = dims.message(); dim.next();)
                if (dim.field == 1 && dim.integer() > 0)
                    extent = dim.integer();
            shape.push_back(extent);
        }
        return shape;
    }

    void checkMetadata()
    {
        const auto text = metadata_.find("ltrp");
        LTRP_REQUIRE(text != metadata_.end(), Error::StsObjectNotFound,
                     path() << ": the ONNX metadata lacks the entry 'ltrp', a JSON text with the ranker's geometry, as "
                               "{\"format\":1,\"kind\":\"ranker\",\"image_size\":224,\"patch_size\":16,"
                               "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]}; 'ltrp convert' writes it");
        ModelKind kind = ModelKind::Ranker;
        parseInputMetadata(text->second, path(), kind, file_->input);
        const auto part = metadata_.find("ltrp.part");
        LTRP_REQUIRE(kind != ModelKind::Classifier, Error::StsBadArg, path() << ": this is a classifier, a ranker is needed");
        LTRP_REQUIRE(kind == ModelKind::Ranker, Error::StsBadArg,
                     path() << ": this is a masked autoencoder's "
                            << (part != metadata_.end() ? printable(part->second) : std::string("network"))
                            << ", a ranker is needed");
        vit::RankerConfig config;   // only its input is taken from the file
        config.input = file_->input;
        config.head = vit::Head::Token;   // depends on the graph
        vit::checkConfig(config, path());
    }

    void checkEnds()
    {
        std::vector<Value> inputs;
        for (const Value& input : inputs_)
            if (!constants_.count(input.name))   // older files list their constants among the inputs
                inputs.push_back(input);
        LTRP_REQUIRE(inputs.size() == 1 && outputs_.size() == 1, Error::StsBadArg,
                     path() << ": has " << inputs.size() << " inputs and " << outputs_.size()
                            << " outputs, expected one of each: images and scores");
        const Size size = file_->input.size();
        checkEnd("input", inputs[0], {1, 3, size.height, size.width});
        checkEnd("output", outputs_[0], {1, file_->input.numPatches()});
        file_->image = inputs[0].name;
        file_->scores = outputs_[0].name;
        file_->anyBatch = inputs[0].shape[0] == -1 && outputs_[0].shape[0] == -1;
    }

    void checkEnd(const char* what, const Value& value, const std::vector<int64_t>& expected) const
    {
        bool good = value.type == 1 && value.shape.size() == expected.size();
        for (size_t i = 0; good && i < expected.size(); i++)
            good = value.shape[i] == -1 || value.shape[i] == expected[i];
        LTRP_REQUIRE(good, Error::StsUnmatchedSizes,
                     path() << ": " << what << " " << printable(value.name) << " has the type " << value.type
                            << " and the shape " << shapeText(value.shape) << " (-1: free), expected 1 (float) and "
                            << shapeText(expected) << " with any number of images");
    }

    /// Everything that determines how a graph is run: the whole graph in its order, except its name and the values of
    /// its weights.
    std::string structure(const std::string& graph) const
    {
        std::string text;
        const std::shared_ptr<const FileBytes> copy = FileBytes::copy(path(), graph.data(), graph.size());
        for (ProtobufFields fields(copy->data(), copy->size(), *copy); fields.next();)
        {
            if (fields.field == 2)
                continue;
            text += "#" + std::to_string(fields.field) + ":" + std::to_string(fields.wire) + ":";
            if (fields.field != 5)
            {
                text += fields.wire == 0 ? std::to_string(fields.number)
                                         : std::to_string(fields.size) + ":" + std::string(reinterpret_cast<const char*>(fields.data), fields.size);
                continue;
            }
            bool weights = false;
            std::string raw;
            for (ProtobufFields tensor = fields.message(); tensor.next();)
            {
                if (tensor.field == 2 && tensor.wire == 0)
                    weights = tensor.number == 1;
                if (tensor.field == 9)
                    raw = tensor.text();
                else
                    text += "." + std::to_string(tensor.field) + ":" + (tensor.wire == 0 ? std::to_string(tensor.number) : tensor.text());
            }
            text += weights ? ".weights:" + std::to_string(raw.size()) : ".values:" + raw;
        }
        return text;
    }

    /// Reason why the graph differs from the one written for the geometry in the metadata; empty if it does not.
    std::string difference() const
    {
        static const std::set<std::string> own = {"Add", "Conv", "Div", "Erf", "MatMul", "Mul", "Pad", "Reshape", "Slice", "Softmax",
                                                  "Sqrt", "Transpose"};
        for (const auto& operation : file_->operations)
            if (!own.count(operation.first))
                return "it holds the operation " + printable(operation.first);
        Model model;
        try
        {
            parseMetadata(metadata_.at("ltrp"), path(), model);
            ModelKind kind;
            vit::InputConfig input;
            parseInputMetadata(metadata_.at("ltrp"), path(), kind, input);
            if (!input.otherSize.empty())
                vit::setInputSize(model.ranker, input.otherSize, path());
            vit::checkConfig(model.ranker, path());
        }
        catch (const cv::Exception&)
        {
            return "its metadata do not say the whole geometry";
        }
        if (file_->opset != 11)
            return "it is of opset " + std::to_string(file_->opset);
        // Limits the size of the graph written for the comparison by the size of the file.
        const size_t parameters = vit::rankerLayout(model.ranker).parameterCount();
        bool same = false;
        try
        {
            same = parameters / 2 <= file_->weights && structure(graph_) == structure(onnxGraph(model.ranker));
        }
        catch (const cv::Exception&)
        {
            // no graph is written for this geometry
        }
        return same ? "" : "its operations, attributes or shapes are not those of the geometry in its metadata";
    }

    std::shared_ptr<OnnxRankerFile> file_;
    std::string graph_;
    std::map<std::string, std::string> metadata_;
    std::vector<Value> inputs_, outputs_;
    std::unordered_set<std::string> constants_;
};

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

bool isOnnx(const std::string& path)
{
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
        return false;
    if (endsWith(path, ".onnx") || endsWith(path, ".ONNX"))
        return true;
    std::ifstream stream(path, std::ios::binary);
    unsigned char head[9] = {};
    stream.read(reinterpret_cast<char*>(head), sizeof(head));
    // The version, a small number, then a text or the graph. A brace as the ninth byte indicates a safetensors file.
    return stream.gcount() == sizeof(head) && head[0] == 0x08 && head[1] > 0 && head[1] < 0x40 && head[8] != '{' &&
           (head[2] == 0x12 || head[2] == 0x1a || head[2] == 0x3a || head[2] == 0x42 || head[2] == 0x72);
}

std::shared_ptr<const OnnxRankerFile> readOnnxRanker(std::shared_ptr<const FileBytes> bytes)
{
    return Reader(std::move(bytes)).read();
}

void requireOwnGraph(const OnnxRankerFile& file)
{
    LTRP_REQUIRE(file.foreign.empty(), Error::StsUnsupportedFormat,
                 file.path() << ": is no graph as 'ltrp convert' writes it: " << file.foreign << ". OpenCV takes a graph at its word, "
                 "so that a wrong one ends the process or takes all memory; where its origin is trusted, say so: "
                 "Ranker::create(model, true), or the option --trusted");
}

std::string describeOnnx(const OnnxRankerFile& file)
{
    const vit::InputConfig& input = file.input;
    std::ostringstream out;
    out << "kind        ranker\n"
        << "format      ONNX, opset " << file.opset << ", run by cv::dnn\n"
        << "input       " << input.size().width << " x " << input.size().height << " pixels, " << input.columns() << " x "
        << input.rows() << " patches of " << input.patchSize << " x " << input.patchSize << "\n"
        << "mean        " << input.mean[0] << " " << input.mean[1] << " " << input.mean[2] << "   std " << input.std[0]
        << " " << input.std[1] << " " << input.std[2] << "   (R, G, B)\n"
        << "graph       " << printable(file.image) << " -> " << printable(file.scores) << ", " << file.weights
        << " constants\n"
        << "operations ";
    for (const auto& item : file.operations)
        out << " " << printable(item.first) << " " << item.second;
    out << "\n";
    return out.str();
}

}}}  // namespace
