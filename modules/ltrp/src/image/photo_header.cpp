// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "photo_header.hpp"

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace cv { namespace ltrp { namespace image {

namespace {

/// Access to numbers at any offset in the file; 0 beyond its end.
class Bytes
{
public:
    Bytes(const uchar* data, size_t size) : data_(data), size_(size) {}

    size_t size() const { return size_; }
    bool is(size_t at, std::string_view text) const
    {
        return at <= size_ && text.size() <= size_ - at && std::memcmp(data_ + at, text.data(), text.size()) == 0;
    }
    uint32_t big(size_t at, int count) const
    {
        uint32_t value = 0;
        for (int i = 0; i < count; i++)
            value = value << 8 | byte(at + static_cast<size_t>(i));
        return value;
    }
    uint32_t little(size_t at, int count) const
    {
        uint32_t value = 0;
        for (int i = count - 1; i >= 0; i--)
            value = value << 8 | byte(at + static_cast<size_t>(i));
        return value;
    }
    uchar byte(size_t at) const { return at < size_ ? data_[at] : uchar(0); }
    /// Offset of a text, or size().
    size_t find(std::string_view text, size_t from, size_t before) const
    {
        const std::string_view all(reinterpret_cast<const char*>(data_), std::min(size_, before));
        const size_t found = all.find(text, from);
        return found == std::string_view::npos ? size_ : found;
    }
    Bytes from(size_t at) const { return at < size_ ? Bytes(data_ + at, size_ - at) : Bytes(data_, 0); }

private:
    const uchar* data_;
    size_t size_;
};

/// The first directory of TIFF data, also used by EXIF. tag(): its first value, or `otherwise` if it is absent.
class TiffDirectory
{
public:
    explicit TiffDirectory(const Bytes& bytes) : bytes_(bytes), big_(bytes.is(0, "MM"))
    {
        const uint32_t at = number(4, 4);
        count_ = at >= 8 && at < bytes.size() ? number(at, 2) : 0;
        begin_ = at + size_t(2);
    }
    uint32_t tag(uint32_t wanted, uint32_t otherwise) const
    {
        for (size_t i = 0; i < count_; i++)
        {
            const size_t at = begin_ + 12 * i;
            if (number(at, 2) == wanted)
                return number(at + 8, number(at + 2, 2) == 3 ? 2 : 4);
        }
        return otherwise;
    }

private:
    uint32_t number(size_t at, int count) const { return big_ ? bytes_.big(at, count) : bytes_.little(at, count); }

    Bytes bytes_;
    bool big_;
    size_t begin_ = 0, count_ = 0;
};

bool isTiff(const Bytes& b)
{
    return b.is(0, std::string_view("II*\0", 4)) || b.is(0, std::string_view("MM\0*", 4));
}

int exifOrientation(const Bytes& exif)
{
    const Bytes tiff = exif.is(0, std::string_view("Exif\0\0", 6)) ? exif.from(6) : exif;
    const uint32_t value = isTiff(tiff) ? TiffDirectory(tiff).tag(274, 1) : 1;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

void readJpeg(const Bytes& b, PhotoHeader& header)
{
    for (size_t at = 2; at + 9 < b.size() && b.byte(at) == 0xff;)
    {
        const uchar marker = b.byte(at + 1);
        if (marker == 0xff)
        {
            at++;
            continue;
        }
        if (marker == 0xda)
            return;
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc)
        {
            header.width = b.big(at + 7, 2);
            header.height = b.big(at + 5, 2);
        }
        at += 2 + b.big(at + 2, 2);
    }
}

void readPng(const Bytes& b, PhotoHeader& header)
{
    header.width = b.big(16, 4);
    header.height = b.big(20, 4);
    header.alpha = (b.byte(25) & 4) != 0;
    for (size_t at = 8; at + 12 <= b.size();)
    {
        const size_t length = b.big(at, 4);
        if (b.is(at + 4, "tRNS") && b.byte(25) == 3)
            header.alpha = true;
        if (b.is(at + 4, "eXIf"))
            header.orientation = exifOrientation(b.from(at + 8));
        if (length > b.size() || b.is(at + 4, "IEND"))
            break;
        at += 12 + length;
    }
}

void readWebP(const Bytes& b, PhotoHeader& header)
{
    if (b.is(12, "VP8X"))
    {
        header.alpha = (b.byte(20) & 0x10) != 0;
        header.animated = (b.byte(20) & 2) != 0;
        header.width = b.little(24, 3) + int64_t(1);
        header.height = b.little(27, 3) + int64_t(1);
        for (size_t at = 12; at + 8 <= b.size();)
        {
            const size_t length = b.little(at + 4, 4);
            if (b.is(at, "EXIF"))
                header.orientation = exifOrientation(b.from(at + 8));
            if (length > b.size())
                break;
            at += 8 + length + length % 2;
        }
    }
    else if (b.is(12, "VP8L"))
    {
        const uint32_t bits = b.little(21, 4);
        header.width = (bits & 0x3fff) + int64_t(1);
        header.height = (bits >> 14 & 0x3fff) + int64_t(1);
        header.alpha = (bits >> 28 & 1) != 0;
    }
    else
    {
        header.width = b.little(26, 2) & 0x3fff;
        header.height = b.little(28, 2) & 0x3fff;
    }
}

void readTiff(const Bytes& b, PhotoHeader& header)
{
    const TiffDirectory tags(b);
    header.width = tags.tag(256, 0);
    header.height = tags.tag(257, 0);
    header.alpha = tags.tag(262, 2) == 2 && tags.tag(277, 1) == 4;
}

void readBmp(const Bytes& b, PhotoHeader& header)
{
    const bool old = b.little(14, 4) == 12;
    header.width = old ? b.little(18, 2) : static_cast<int32_t>(b.little(18, 4));
    header.height = old ? b.little(20, 2) : std::llabs(static_cast<int32_t>(b.little(22, 4)));
}

/// Boxes of AVIF and HEIC: the largest image in them is the one displayed.
void readBoxes(const Bytes& b, PhotoHeader& header)
{
    for (size_t at = b.find("ispe", 0, 65536); at < b.size(); at = b.find("ispe", at + 4, 65536))
        if (int64_t(b.big(at + 8, 4)) * b.big(at + 12, 4) > header.width * header.height)
        {
            header.width = b.big(at + 8, 4);
            header.height = b.big(at + 12, 4);
        }
}

void readJpeg2000(const Bytes& b, PhotoHeader& header)
{
    const size_t box = b.find("ihdr", 0, 4096);
    if (box < b.size())
    {
        header.height = b.big(box + 4, 4);
        header.width = b.big(box + 8, 4);
        return;
    }
    header.width = int64_t(b.big(8, 4)) - b.big(16, 4);
    header.height = int64_t(b.big(12, 4)) - b.big(20, 4);
}

/// The next number of a PNM header, after comments.
int64_t pnmNumber(const Bytes& b, size_t& at)
{
    while (at < b.size() && at < 65536 && !std::isdigit(b.byte(at)))
        if (b.byte(at) == '#')
            at = b.find("\n", at, b.size());
        else
            at++;
    int64_t value = 0;
    for (; at < b.size() && std::isdigit(b.byte(at)) && value < INT32_MAX; at++)
        value = value * 10 + b.byte(at) - '0';
    return value;
}

void readPnm(const Bytes& b, PhotoHeader& header)
{
    size_t at = 2;
    header.width = pnmNumber(b, at);
    header.height = pnmNumber(b, at);
}

void readHdr(const Bytes& b, PhotoHeader& header)
{
    size_t at = b.find("\n-Y ", 0, 65536);
    if (at >= b.size())
        return;
    at += 4;
    header.height = pnmNumber(b, at);
    header.width = pnmNumber(b, at);
}

void readExr(const Bytes& b, PhotoHeader& header)
{
    const size_t at = b.find(std::string_view("dataWindow\0box2i\0", 17), 0, 65536);
    if (at >= b.size())
        return;
    const auto corner = [&](int i) { return static_cast<int32_t>(b.little(at + 21 + 4 * static_cast<size_t>(i), 4)); };
    header.width = int64_t(corner(2)) - corner(0) + 1;
    header.height = int64_t(corner(3)) - corner(1) + 1;
}

PhotoFormat formatOf(const Bytes& b)
{
    if (b.is(0, "\xff\xd8"))
        return PhotoFormat::Jpeg;
    if (b.is(0, "\x89PNG\r\n\x1a\n"))
        return PhotoFormat::Png;
    if (b.is(0, "GIF8"))
        return PhotoFormat::Gif;
    if (b.is(0, "BM") && b.little(14, 4) >= 12 && b.little(14, 4) <= 124)
        return PhotoFormat::Bmp;
    if (b.is(0, "RIFF") && b.is(8, "WEBP"))
        return PhotoFormat::WebP;
    if (isTiff(b) || b.is(0, std::string_view("II+\0", 4)) || b.is(0, std::string_view("MM\0+", 4)))
        return PhotoFormat::Tiff;
    if (b.is(4, "ftypavi"))
        return PhotoFormat::Avif;
    if (b.is(4, "ftyp"))
        return b.find("avif", 8, 64) < b.size() ? PhotoFormat::Avif : PhotoFormat::Heic;
    if (b.is(0, "\xff\x0a") || b.is(4, "JXL \r\n"))
        return PhotoFormat::JpegXl;
    if (b.is(4, "jP  \r\n") || b.is(0, "\xff\x4f\xff\x51"))
        return PhotoFormat::Jpeg2000;
    if (b.is(0, "\x76\x2f\x31\x01"))
        return PhotoFormat::Exr;
    if (b.is(0, "#?RADIANCE") || b.is(0, "#?RGBE"))
        return PhotoFormat::Hdr;
    if (b.byte(0) == 'P' && std::strchr("1234567Ff", b.byte(1) ? b.byte(1) : ' ') && std::isspace(b.byte(2)))
        return PhotoFormat::Pnm;
    if (b.is(0, "\x59\xa6\x6a\x95"))
        return PhotoFormat::Sun;
    return PhotoFormat::Unknown;
}

}  // namespace

PhotoHeader readPhotoHeader(const std::vector<uchar>& bytes)
{
    const Bytes b(bytes.data(), bytes.size());
    PhotoHeader header;
    header.format = formatOf(b);
    switch (header.format)
    {
    case PhotoFormat::Jpeg: readJpeg(b, header); break;
    case PhotoFormat::Png: readPng(b, header); break;
    case PhotoFormat::Gif:
        header.width = b.little(6, 2);
        header.height = b.little(8, 2);
        break;
    case PhotoFormat::Bmp: readBmp(b, header); break;
    case PhotoFormat::WebP: readWebP(b, header); break;
    case PhotoFormat::Tiff: readTiff(b, header); break;
    case PhotoFormat::Avif: case PhotoFormat::Heic: readBoxes(b, header); break;
    case PhotoFormat::Jpeg2000: readJpeg2000(b, header); break;
    case PhotoFormat::Exr: readExr(b, header); break;
    case PhotoFormat::Hdr: readHdr(b, header); break;
    case PhotoFormat::Pnm: readPnm(b, header); break;
    case PhotoFormat::Sun:
        header.width = b.big(4, 4);
        header.height = b.big(8, 4);
        break;
    case PhotoFormat::JpegXl: case PhotoFormat::Unknown: break;
    }
    return header;
}

const char* photoFormatName(PhotoFormat format)
{
    static const char* const names[] = {"unknown", "JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF", "AVIF", "HEIC", "JPEG XL",
                                        "JPEG 2000", "OpenEXR", "Radiance HDR", "PNM", "Sun raster"};
    return names[static_cast<size_t>(format)];
}

bool bmpIsTruncated(const std::vector<uchar>& bytes)
{
    const Bytes b(bytes.data(), bytes.size());
    if (b.little(14, 4) == 12)
        return false;   // the OS/2 variant: the decoder finds the end itself
    const int64_t width = static_cast<int32_t>(b.little(18, 4));
    const int64_t height = std::llabs(static_cast<int32_t>(b.little(22, 4)));
    const int64_t depth = b.little(28, 2);
    const uint32_t compression = b.little(30, 4);
    size_t at = b.little(10, 4);
    if (compression != 1 && compression != 2)
        return int64_t(bytes.size()) < int64_t(at) + (width * depth + 31) / 32 * 4 * height;
    for (int64_t row = 0; row < height;)
    {
        if (at + 2 > bytes.size())
            return true;
        const uchar count = bytes[at], value = bytes[at + 1];
        at += 2;
        if (count > 0)
            continue;
        if (value == 1)   // end of the bitmap; the last row needs no end marker
            return row + 1 < height;
        if (value == 0)
            row++;
        else if (value == 2)
        {
            row += b.byte(at + 1);
            at += 2;
        }
        else
            at += (size_t(compression == 1 ? value : (value + 1) / 2) + 1) / 2 * 2;
    }
    return false;
}

}}}  // namespace
