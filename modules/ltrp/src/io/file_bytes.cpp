// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "descriptor.hpp"
#include "file_bytes.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace cv { namespace ltrp { namespace io {

namespace
{

class MappedBytes : public FileBytes
{
public:
    explicit MappedBytes(const std::string& path)
    {
        path_ = path;
        // Without O_NONBLOCK, opening a named pipe would wait for a writer.
        const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        LTRP_REQUIRE(file.fd >= 0, Error::StsObjectNotFound, path << ": cannot open: " << std::strerror(errno));
        struct stat info;
        LTRP_REQUIRE(::fstat(file.fd, &info) == 0, Error::StsError, path << ": cannot read: " << std::strerror(errno));
        LTRP_REQUIRE(!S_ISDIR(info.st_mode), Error::StsBadArg, path << ": is a folder, expected a file");
        LTRP_REQUIRE(S_ISREG(info.st_mode), Error::StsBadArg, path << ": is not a regular file");
        LTRP_REQUIRE(info.st_size > 0, Error::StsParseError, path << ": the file is empty");
        LTRP_REQUIRE(static_cast<uint64_t>(info.st_size) <= SIZE_MAX / 2, Error::StsNoMem,
                     path << ": " << info.st_size << " bytes are more than this system can map");
        const size_t size = static_cast<size_t>(info.st_size);
        void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
        LTRP_REQUIRE(mapped != MAP_FAILED, Error::StsNoMem, path << ": cannot map: " << std::strerror(errno));
        data_ = static_cast<const uint8_t*>(mapped);
        size_ = size;
    }
    ~MappedBytes() override { ::munmap(const_cast<uint8_t*>(data_), size_); }
    MappedBytes(const MappedBytes&) = delete;
    MappedBytes& operator=(const MappedBytes&) = delete;
};

class CopiedBytes : public FileBytes
{
public:
    CopiedBytes(const std::string& path, const void* data, size_t size) : copy_(new uint8_t[size])
    {
        LTRP_REQUIRE(size > 0, Error::StsParseError, path << ": the file is empty");
        std::memcpy(copy_.get(), data, size);
        path_ = path;
        data_ = copy_.get();
        size_ = size;
    }

private:
    std::unique_ptr<uint8_t[]> copy_;
};

}  // namespace

std::shared_ptr<const FileBytes> FileBytes::map(const std::string& path)
{
    return std::make_shared<const MappedBytes>(path);
}

std::shared_ptr<const FileBytes> FileBytes::copy(const std::string& path, const void* data, size_t size)
{
    return std::make_shared<const CopiedBytes>(path, data, size);
}

namespace
{

std::string escaped(std::string_view bytes)
{
    static const char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes)
        out += std::string("\\x") + digits[static_cast<unsigned char>(c) >> 4] + digits[c & 15];
    return out;
}

/// Control characters, and characters that change the writing direction or hide a line end.
bool isHarmful(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0x61c ||
           (character >= 0x200b && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff ||
           (character >= 0xe0000 && character <= 0xe0fff);
}

}  // namespace

size_t utf8Length(std::string_view text)
{
    const auto at = [&](size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
    const unsigned char first = at(0);
    if (text.empty() || first < 0x80)
        return text.empty() ? 0 : 1;
    const size_t length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((at(i) & 0xc0) != 0x80)
            return 0;
    const bool overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
    const bool outside = (first == 0xed && at(1) >= 0xa0) || (first == 0xf4 && at(1) >= 0x90);
    return overlong || outside ? 0 : length;
}

std::string harmless(std::string_view text)
{
    std::string out;
    while (!text.empty())
    {
        const size_t valid = utf8Length(text), length = std::max<size_t>(valid, 1);
        uint32_t character = static_cast<unsigned char>(text[0]);
        if (length > 1)
        {
            character &= 0x7fu >> length;
            for (size_t i = 1; i < length; i++)
                character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
        }
        const std::string_view one = text.substr(0, length);
        out += valid == 0 || isHarmful(character) ? escaped(one) : std::string(one);
        text.remove_prefix(length);
    }
    return out;
}

std::string printable(std::string_view text)
{
    const size_t longest = 100;
    std::string out = "'";
    for (const char c : text.substr(0, longest))
        out += c >= 0x20 && c < 0x7f ? std::string(1, c) : escaped({&c, 1});
    return out + (text.size() > longest ? "...'" : "'");
}

std::string shapeText(const std::vector<int64_t>& shape)
{
    std::ostringstream out;
    out << '[';
    for (size_t i = 0; i < shape.size(); ++i)
        out << (i ? ", " : "") << shape[i];
    out << ']';
    return out.str();
}

bool countValues(const std::vector<int64_t>& shape, size_t bytesPerValue, uint64_t& count)
{
    uint64_t bytes = bytesPerValue;
    bool empty = false;
    for (const int64_t size : shape)
    {
        if (size < 0)
            return false;
        empty |= size == 0;
        if (!checkedMultiply(bytes, size == 0 ? 1 : static_cast<uint64_t>(size), bytes) ||
            bytes > static_cast<uint64_t>(INT64_MAX))
            return false;
    }
    count = empty ? 0 : bytes / bytesPerValue;
    return true;
}

}}}  // namespace
