// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "atomic_file.hpp"
#include "tensor_readers.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include <nlohmann/json.hpp>

namespace cv { namespace ltrp { namespace io {

// The format: 8 bytes little-endian length N, N bytes of JSON
// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {"key": "text"}}, then
// the data, which the tensors fill without gaps or overlaps.

namespace
{

constexpr uint64_t maxHeaderBytes = 100000000;   // limit of the format's reference reader

const DType allDTypes[] = {DType::Bool, DType::U8, DType::I8, DType::I16, DType::I32,
                           DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64};

struct HeaderEntry
{
    std::string name;
    DType dtype = DType::F32;
    std::vector<int64_t> shape;
    std::vector<uint64_t> offsets;
    bool hasDType = false, hasShape = false, hasOffsets = false;
};

/// Parses the header as a stream of events: no tree is built, nesting beyond the format's three levels ends the parse,
/// and repeated keys are detected (a tree would keep only one).
class HeaderHandler
{
public:
    explicit HeaderHandler(const std::string& path) : path_(path) {}

    std::vector<HeaderEntry> entries;
    std::map<std::string, std::string> metadata;

    bool null() { return unexpected("null"); }
    bool boolean(bool) { return unexpected("a truth value"); }
    bool number_integer(int64_t) { return unexpected("a negative number"); }
    bool number_float(double, const std::string& text) { return unexpected("the number " + printable(text)); }
    bool binary(std::vector<uint8_t>&) { return unexpected("binary data"); }

    bool number_unsigned(uint64_t value)
    {
        if (place_ == Place::Shape)
        {
            LTRP_REQUIRE(value <= static_cast<uint64_t>(INT64_MAX), Error::StsParseError,
                         where() << " has a dimension of " << value);
            entries.back().shape.push_back(static_cast<int64_t>(value));
            LTRP_REQUIRE(entries.back().shape.size() <= maxTensorRank, Error::StsParseError,
                         where() << " has more than " << maxTensorRank << " dimensions");
            return true;
        }
        if (place_ == Place::Offsets)
        {
            entries.back().offsets.push_back(value);
            LTRP_REQUIRE(entries.back().offsets.size() <= 2, Error::StsParseError,
                         where() << " has more than two data_offsets");
            return true;
        }
        return unexpected("the number " + std::to_string(value));
    }

    bool string(std::string& text)
    {
        if (place_ == Place::Metadata)
        {
            LTRP_REQUIRE(metadata.emplace(key_, std::move(text)).second, Error::StsParseError,
                         path_ << ": metadata entry " << printable(key_) << " appears twice");
            return true;
        }
        if (place_ != Place::Tensor || key_ != "dtype")
            return unexpected("the text " + printable(text));
        HeaderEntry& entry = entries.back();
        markOnce(entry.hasDType);
        for (const DType type : allDTypes)
        {
            if (text == dtypeName(type))
            {
                entry.dtype = type;
                return true;
            }
        }
        LTRP_ERROR(Error::StsParseError, where() << " has dtype " << printable(text)
                                                 << ", expected BOOL, U8, I8, I16, I32, I64, F16, BF16, F32 or F64");
    }

    bool start_object(size_t)
    {
        if (place_ == Place::Outside)
            place_ = Place::Top;
        else if (place_ == Place::Top)
        {
            LTRP_REQUIRE(names_.insert(key_).second, Error::StsParseError,
                         path_ << ": " << printable(key_) << " appears twice in the header");
            place_ = key_ == "__metadata__" ? Place::Metadata : Place::Tensor;
            if (place_ == Place::Tensor)
            {
                entries.emplace_back();
                entries.back().name = key_;
            }
        }
        else
            return unexpected("an object");
        return true;
    }

    bool key(std::string& text)
    {
        if (place_ == Place::Tensor)
            LTRP_REQUIRE(text == "dtype" || text == "shape" || text == "data_offsets", Error::StsParseError,
                         where() << " has the entry " << printable(text) << ", expected dtype, shape and data_offsets");
        key_ = std::move(text);
        return true;
    }

    bool end_object()
    {
        if (place_ == Place::Tensor)
        {
            const HeaderEntry& entry = entries.back();
            const char* const missing = !entry.hasDType ? "dtype" : !entry.hasShape ? "shape" : "data_offsets";
            LTRP_REQUIRE(entry.hasDType && entry.hasShape && entry.hasOffsets, Error::StsParseError,
                         where() << " has no " << missing);
            LTRP_REQUIRE(entry.offsets.size() == 2, Error::StsParseError,
                         where() << " has " << entry.offsets.size() << " data_offsets, expected 2");
        }
        place_ = place_ == Place::Top ? Place::Done : Place::Top;
        return true;
    }

    bool start_array(size_t)
    {
        if (place_ != Place::Tensor || key_ == "dtype")
            return unexpected("a list");
        HeaderEntry& entry = entries.back();
        const bool isShape = key_ == "shape";
        markOnce(isShape ? entry.hasShape : entry.hasOffsets);
        place_ = isShape ? Place::Shape : Place::Offsets;
        return true;
    }

    bool end_array()
    {
        place_ = Place::Tensor;
        return true;
    }

    bool parse_error(size_t position, const std::string&, const std::exception&)
    {
        LTRP_ERROR(Error::StsParseError, path_ << ": the header is not valid JSON (at its byte " << position << ")");
    }

private:
    enum class Place { Outside, Top, Metadata, Tensor, Shape, Offsets, Done };

    std::string where() const
    {
        const bool inTensor = place_ == Place::Tensor || place_ == Place::Shape || place_ == Place::Offsets;
        return path_ + ": " + (inTensor ? "tensor " + printable(entries.back().name) : printable(key_));
    }

    void markOnce(bool& seen)
    {
        LTRP_REQUIRE(!seen, Error::StsParseError, where() << " has two entries " << printable(key_));
        seen = true;
    }

    bool unexpected(const std::string& what)
    {
        const char* expected = "an object";
        if (place_ == Place::Metadata)
            expected = "text";
        else if (place_ == Place::Tensor)
            expected = key_ == "dtype" ? "text" : "a list of whole numbers";
        else if (place_ == Place::Shape || place_ == Place::Offsets)
            expected = "a whole number";
        LTRP_ERROR(Error::StsParseError, where() << ": the header holds " << what << " here, expected " << expected);
    }

    const std::string& path_;
    Place place_ = Place::Outside;
    std::string key_;
    std::unordered_set<std::string> names_;
};

/// Checks one tensor against the preceding ones and returns the end of its data.
uint64_t checkPlace(const std::string& path, const HeaderEntry& entry, uint64_t previousEnd, uint64_t dataBytes)
{
    const std::string tensor = path + ": tensor " + printable(entry.name);
    const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    uint64_t count = 0;
    LTRP_REQUIRE(countValues(entry.shape, dtypeSize(entry.dtype), count), Error::StsParseError,
                 tensor << " has shape " << shapeText(entry.shape) << ", which is too large");
    LTRP_REQUIRE(begin <= end, Error::StsParseError,
                 tensor << " has data_offsets [" << begin << ", " << end << "], which end before they begin");
    LTRP_REQUIRE(end <= dataBytes, Error::StsParseError,
                 tensor << " ends at byte " << end << " of the data, but the file holds " << dataBytes
                        << " (truncated?)");
    LTRP_REQUIRE(begin >= previousEnd, Error::StsParseError,
                 tensor << " begins at byte " << begin << " of the data and overlaps the one before, which ends at "
                        << previousEnd);
    LTRP_REQUIRE(begin == previousEnd, Error::StsParseError,
                 tensor << " begins at byte " << begin << " of the data, expected " << previousEnd
                        << " (there must be no holes)");
    LTRP_REQUIRE(end - begin == count * dtypeSize(entry.dtype), Error::StsParseError,
                 tensor << " of shape " << shapeText(entry.shape) << " and dtype " << dtypeName(entry.dtype)
                        << " occupies " << (end - begin) << " bytes, expected " << count * dtypeSize(entry.dtype));
    return end;
}

}  // namespace

TensorFileContents readSafetensors(const FileBytes& file)
{
    const std::string& path = file.path();
    LTRP_REQUIRE(file.size() >= 8, Error::StsParseError,
                 path << ": " << file.size() << " bytes are too few for a safetensors file (truncated?)");
    const uint64_t headerBytes = readLittleEndian(file.data(), 8);
    LTRP_REQUIRE(headerBytes <= maxHeaderBytes, Error::StsParseError,
                 path << ": the header claims " << headerBytes << " bytes, more than the format's " << maxHeaderBytes);
    LTRP_REQUIRE(headerBytes <= file.size() - 8, Error::StsParseError,
                 path << ": the header claims " << headerBytes << " bytes, but only " << (file.size() - 8)
                      << " follow (truncated?)");

    const char* const header = reinterpret_cast<const char*>(file.data() + 8);
    LTRP_REQUIRE(headerBytes > 0 && header[0] == '{', Error::StsParseError,
                 path << ": is not a safetensors file (its header does not begin with '{')");
    // The JSON parser treats a zero byte as the end of its input and would ignore what follows.
    LTRP_REQUIRE(std::memchr(header, 0, static_cast<size_t>(headerBytes)) == nullptr, Error::StsParseError,
                 path << ": the header is not valid JSON (it contains a zero byte)");
    HeaderHandler handler(path);
    nlohmann::json::sax_parse(header, header + headerBytes, &handler);

    const uint64_t dataBytes = file.size() - 8 - headerBytes;
    std::vector<size_t> order(handler.entries.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return handler.entries[a].offsets < handler.entries[b].offsets;
    });

    TensorFileContents contents;
    contents.format = "safetensors";
    contents.metadata = std::move(handler.metadata);
    contents.tensors.reserve(order.size());
    uint64_t end = 0;
    for (const size_t i : order)
    {
        HeaderEntry& entry = handler.entries[i];
        const uint64_t begin = end;
        end = checkPlace(path, entry, begin, dataBytes);
        TensorView view;
        view.name = std::move(entry.name);
        view.dtype = entry.dtype;
        view.shape = std::move(entry.shape);
        view.data = file.data() + 8 + headerBytes + begin;
        view.bytes = static_cast<size_t>(end - begin);
        contents.tensors.push_back(std::move(view));
    }
    LTRP_REQUIRE(end == dataBytes, Error::StsParseError,
                 path << ": " << (dataBytes - end) << " bytes follow the last tensor, expected none");
    return contents;
}

void writeSafetensors(const std::string& path, const std::vector<TensorOut>& tensors,
                      const std::map<std::string, std::string>& metadata)
{
    const auto quoted = [&path](const std::string& text) {
        try
        {
            return nlohmann::json(text).dump();
        }
        catch (const nlohmann::json::exception&)
        {
            LTRP_ERROR(Error::StsBadArg, path << ": cannot write, " << printable(text) << " is not valid UTF-8");
        }
    };

    std::string header = "{";
    if (!metadata.empty())
    {
        header += "\"__metadata__\":{";
        for (const auto& entry : metadata)
            header += (header.back() == '{' ? "" : ",") + quoted(entry.first) + ":" + quoted(entry.second);
        header += "}";
    }
    std::unordered_set<std::string> names;
    std::vector<size_t> sizes;
    uint64_t end = 0;
    for (const TensorOut& tensor : tensors)
    {
        const std::string what = path + ": cannot write tensor " + printable(tensor.name);
        LTRP_REQUIRE(tensor.name != "__metadata__", Error::StsBadArg, what << ", the name is reserved");
        LTRP_REQUIRE(names.insert(tensor.name).second, Error::StsBadArg, what << " twice");
        LTRP_REQUIRE(tensor.shape.size() <= maxTensorRank, Error::StsBadArg,
                     what << ", it has more than " << maxTensorRank << " dimensions");
        uint64_t count = 0;
        LTRP_REQUIRE(countValues(tensor.shape, dtypeSize(tensor.dtype), count), Error::StsBadArg,
                     what << " of shape " << shapeText(tensor.shape));
        const uint64_t bytes = count * dtypeSize(tensor.dtype);
        LTRP_REQUIRE(bytes == 0 || tensor.data, Error::StsNullPtr, what << ", it has no data");
        sizes.push_back(static_cast<size_t>(bytes));
        header += (header.back() == '{' ? "" : ",") + quoted(tensor.name) + ":{\"dtype\":\"" + dtypeName(tensor.dtype) +
                  "\",\"shape\":[";
        for (size_t i = 0; i < tensor.shape.size(); ++i)
            header += (i ? "," : "") + std::to_string(tensor.shape[i]);
        header += "],\"data_offsets\":[" + std::to_string(end) + "," + std::to_string(end + bytes) + "]}";
        end += bytes;
    }
    header += "}";
    while ((8 + header.size()) % 64 != 0)   // aligned tensors can be used directly from a mapping
        header += ' ';
    LTRP_REQUIRE(header.size() <= maxHeaderBytes, Error::StsOutOfRange,
                 path << ": cannot write, names and metadata take " << header.size() << " bytes, the format allows "
                      << maxHeaderBytes);

    uint8_t length[8];
    for (int i = 0; i < 8; ++i)
        length[i] = static_cast<uint8_t>(static_cast<uint64_t>(header.size()) >> (8 * i));
    AtomicFile file(path);
    file.write(length, sizeof(length));
    file.write(header);
    for (size_t i = 0; i < tensors.size(); ++i)
        file.write(tensors[i].data, sizes[i]);
    file.commit();
}

}}}  // namespace
