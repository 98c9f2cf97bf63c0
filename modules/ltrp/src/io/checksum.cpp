// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "checksum.hpp"

#include <array>
#include <cstdio>

namespace cv { namespace ltrp { namespace io {

namespace
{

/// tables[k][b]: the remainder of byte b followed by k zero bytes, to process eight bytes at once.
std::array<std::array<uint32_t, 256>, 8> makeTables()
{
    std::array<std::array<uint32_t, 256>, 8> tables;
    for (uint32_t b = 0; b < 256; b++)
    {
        uint32_t r = b;
        for (int bit = 0; bit < 8; bit++)
            r = (r >> 1) ^ ((r & 1u) ? 0xedb88320u : 0u);
        tables[0][b] = r;
    }
    for (size_t k = 1; k < tables.size(); k++)
        for (size_t b = 0; b < 256; b++)
            tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xffu];
    return tables;
}

}  // namespace

void Crc32::add(const void* data, size_t bytes)
{
    static const std::array<std::array<uint32_t, 256>, 8> t = makeTables();
    const uint8_t* p = static_cast<const uint8_t*>(data);
    uint32_t r = state_;
    for (; bytes >= 8; bytes -= 8, p += 8)
    {
        r ^= static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
             static_cast<uint32_t>(p[3]) << 24;
        r = t[7][r & 0xffu] ^ t[6][(r >> 8) & 0xffu] ^ t[5][(r >> 16) & 0xffu] ^ t[4][r >> 24] ^ t[3][p[4]] ^
            t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
    }
    for (; bytes > 0; bytes--, p++)
        r = (r >> 8) ^ t[0][(r ^ *p) & 0xffu];
    state_ = r;
}

std::string Crc32::text() const
{
    char digits[9];
    std::snprintf(digits, sizeof(digits), "%08x", value());
    return digits;
}

uint32_t crc32(const std::string& text)
{
    Crc32 crc;
    crc.add(text);
    return crc.value();
}

}}}  // namespace
