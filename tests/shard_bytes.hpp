// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_SHARD_BYTES_HPP
#define LTRP_TESTS_SHARD_BYTES_HPP

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

/// Tar archives (ustar) piece by piece, valid and damaged ones.
namespace shard_bytes
{

/// type: '0' a file, '1' a hard link, '2' a link, '3' a device, '5' a folder
inline std::string header(const std::string& name, uint64_t size, char type = '0')
{
    std::string block(512, '\0');
    const auto put = [&](size_t at, const std::string& text) { block.replace(at, text.size(), text); };
    const auto octal = [](uint64_t value, int digits)
    {
        char text[32];
        std::snprintf(text, sizeof(text), "%0*llo", digits, static_cast<unsigned long long>(value));
        return std::string(text);
    };
    put(0, name.substr(0, 100));
    put(100, octal(0644, 7));
    put(108, octal(0, 7));
    put(116, octal(0, 7));
    if (size < uint64_t(1) << 33)
        put(124, octal(size, 11));
    else   // binary, big-endian
    {
        block[124] = static_cast<char>(0x80);
        for (size_t i = 0; i < 8; ++i)
            block[135 - i] = static_cast<char>(size >> (8 * i));
    }
    put(136, octal(0, 11));
    block[156] = type;
    if (type == '1' || type == '2')
        put(157, "/etc/passwd");
    put(257, std::string("ustar\00000", 8));
    put(148, "        ");
    unsigned sum = 0;
    for (const char c : block)
        sum += static_cast<unsigned char>(c);
    put(148, octal(sum, 6) + std::string(1, '\0') + " ");
    return block;
}

inline std::string member(const std::string& name, const std::string& bytes, char type = '0')
{
    return header(name, bytes.size(), type) + bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
}

inline std::string badChecksum(std::string member)
{
    member[0] = static_cast<char>(member[0] ^ 1);
    return member;
}

inline std::string ending() { return std::string(1024, '\0'); }

}  // namespace shard_bytes

#endif
