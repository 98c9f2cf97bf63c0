// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_PROTOBUF_FIELDS_HPP
#define OPENCV_LTRP_IO_PROTOBUF_FIELDS_HPP

#include "file_bytes.hpp"

namespace cv { namespace ltrp { namespace io {

/// A message of the protocol buffers' wire format, field by field.
class ProtobufFields
{
public:
    ProtobufFields(const uint8_t* begin, size_t length, const FileBytes& file)
        : at_(begin), end_(begin + length), file_(file)
    {
    }

    int field = 0, wire = 0;
    uint64_t number = 0;              ///< value for wire type 0
    const uint8_t* data = nullptr;    ///< for other wire types
    size_t size = 0;

    bool next()
    {
        if (at_ == end_)
            return false;
        const uint64_t tag = varint();
        wire = static_cast<int>(tag & 7);
        field = static_cast<int>(std::min<uint64_t>(tag >> 3, 1 << 29));
        // Importers use only the lower 32 bits.
        require(field > 0 && tag >> 32 == 0 && (wire == 0 || wire == 1 || wire == 2 || wire == 5));
        if (wire == 0)
            number = varint();
        else
        {
            const uint64_t bytes = wire == 2 ? varint() : wire == 1 ? 8 : 4;
            require(bytes <= static_cast<uint64_t>(end_ - at_));
            data = at_;
            size = static_cast<size_t>(bytes);
            at_ += size;
        }
        return true;
    }

    std::string text() const
    {
        require(wire == 2);
        return std::string(reinterpret_cast<const char*>(data), size);
    }
    ProtobufFields message() const
    {
        require(wire == 2);
        return ProtobufFields(data, size, file_);
    }
    int64_t integer() const
    {
        require(wire == 0);
        return static_cast<int64_t>(number);
    }
    bool atEnd() const { return at_ == end_; }
    uint64_t varint()
    {
        uint64_t value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            require(at_ < end_);
            const uint8_t byte = *at_++;
            require(shift < 63 || byte < 2);
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80)
                return value;
        }
        require(false);
        return 0;
    }

private:
    void require(bool good) const
    {
        LTRP_REQUIRE(good, Error::StsParseError, file_.path() << ": is no ONNX file, or is damaged near byte "
                                                              << (at_ - file_.data()));
    }

    const uint8_t *at_, *end_;
    const FileBytes& file_;
};

}}}  // namespace

#endif
