// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_FILE_BYTES_HPP
#define OPENCV_LTRP_IO_FILE_BYTES_HPP

#include "../precomp.hpp"
#include <cstring>
#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// The bytes of one file, read-only. If another process truncates a mapped file, this process ends with SIGBUS, as with
/// every memory-mapped file. AtomicFile replaces whole files and never truncates them.
class FileBytes
{
public:
    /// Maps a regular file. @throws cv::Exception with the path and the system's reason, also for empty files
    static std::shared_ptr<const FileBytes> map(const std::string& path);
    /// A private copy of exactly these bytes, so that memory checkers detect reads beyond them.
    static std::shared_ptr<const FileBytes> copy(const std::string& path, const void* data, size_t size);

    virtual ~FileBytes() = default;
    const std::string& path() const { return path_; }
    const uint8_t* data() const { return data_; }
    size_t size() const { return size_; }

protected:
    std::string path_;
    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

/// Makes a text from a file safe for a message: quoted, shortened, everything but printable ASCII escaped.
std::string printable(std::string_view text);
/// Makes a text from a file safe for a terminal: keeps valid UTF-8, and replaces control characters (ESC, C1),
/// characters that change the writing direction, and invalid bytes by \xNN.
std::string harmless(std::string_view text);
/// Length in bytes of the UTF-8 character at the beginning of a text, 0 if it is invalid.
size_t utf8Length(std::string_view text);
/// "[2, 3]"
std::string shapeText(const std::vector<int64_t>& shape);

/// Computes a * b; returns false on overflow.
inline bool checkedMultiply(uint64_t a, uint64_t b, uint64_t& product)
{
    product = a * b;
    return a == 0 || product / a == b;
}

/// Computes the number of values of a tensor. Returns false for negative sizes, and if the product of the sizes (zeros
/// counted as ones, so that the order of multiplication does not matter) times bytesPerValue exceeds an int64.
bool countValues(const std::vector<int64_t>& shape, size_t bytesPerValue, uint64_t& count);

/// Little-endian numbers at any alignment.
inline uint64_t readLittleEndian(const uint8_t* at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i)
        value = value << 8 | at[i];
    return value;
}

constexpr size_t maxTensorRank = 32;   ///< limit of cv::Mat

}}}  // namespace

#endif
