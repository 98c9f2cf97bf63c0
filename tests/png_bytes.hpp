// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_PNG_BYTES_HPP
#define LTRP_TESTS_PNG_BYTES_HPP

#include <cstdint>
#include <string>

/// Small PNG files byte by byte: OpenCV writes none with a palette or with few bits.
namespace png_bytes
{

inline std::string bigEndian(uint32_t value)
{
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>(value >> shift);
    return bytes;
}

inline std::string chunk(const std::string& type, const std::string& data)
{
    uint32_t crc = 0xffffffffu;
    for (const char byte : type + data)
    {
        crc ^= static_cast<unsigned char>(byte);
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return bigEndian(static_cast<uint32_t>(data.size())) + type + data + bigEndian(~crc);
}

/// side x side pixels. depth: bits of a value; colour: 0 grey, 3 a palette of four colours; rows: each begins with its filter
inline std::string square(int side, int depth, int colour, const std::string& rows)
{
    const std::string size = bigEndian(static_cast<uint32_t>(side));
    std::string bytes = "\x89PNG\r\n\x1a\n" + chunk("IHDR", size + size + static_cast<char>(depth) + static_cast<char>(colour) + std::string(3, '\0'));
    if (colour == 3)
        bytes += chunk("PLTE", std::string("\x9\x8\x7\xc8\0\0\0\xc8\0\x1\x2\x3", 12));
    uint32_t a = 1, b = 0;   // Adler-32
    for (const char byte : rows)
    {
        a = (a + static_cast<unsigned char>(byte)) % 65521;
        b = (b + a) % 65521;
    }
    const char length = static_cast<char>(rows.size());   // zlib's stored block, of at most 255 bytes
    const std::string data = std::string("\x78\x1\x1", 3) + length + '\0' + static_cast<char>(~length) + '\xff' + rows + bigEndian(b << 16 | a);
    return bytes + chunk("IDAT", data) + chunk("IEND", "");
}

}  // namespace png_bytes

#endif
