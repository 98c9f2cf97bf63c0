// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_FILE_BYTES_HPP
#define OPENCV_LTRP_IO_FILE_BYTES_HPP

#include "../precomp.hpp"
#include <cstring>
#include <string_view>

namespace cv { namespace ltrp { namespace io {

/// The bytes of one file, read-only. Mapped: another process that shortens the file meanwhile ends this one
/// with SIGBUS, as with every memory-mapped file; AtomicFile never does that, it replaces files whole.
class FileBytes
{
public:
    /// Maps a regular file. @throws cv::Exception with the path and the system's reason; empty files are refused.
    static std::shared_ptr<const FileBytes> map(const std::string& path);
    /// A private copy of bytes in memory, exactly as long as they are (memory checkers see every read beyond).
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

/// Text from a file as it may appear in a message: quoted, shortened, anything but plain ASCII escaped.
std::string printable(std::string_view text);
/// Text from a file as it may reach a terminal: valid UTF-8 stays, but control characters (ESC, C1), marks that change the
/// direction of writing, and bytes that are no UTF-8 become \xNN.
std::string harmless(std::string_view text);
/// Bytes of the UTF-8 character at the beginning of a text, 0 where there is none.
size_t utf8Length(std::string_view text);
/// "[2, 3]"
std::string shapeText(const std::vector<int64_t>& shape);

/// a * b; false when it does not fit.
inline bool checkedMultiply(uint64_t a, uint64_t b, uint64_t& product)
{
    product = a * b;
    return a == 0 || product / a == b;
}

/// Values of a tensor of this shape. False for negative sizes, and when the product of the sizes (zeros counted as
/// ones, so that no order of multiplication overflows) times bytesPerValue exceeds what an int64 holds.
bool countValues(const std::vector<int64_t>& shape, size_t bytesPerValue, uint64_t& count);

/// Little-endian numbers at any alignment.
inline uint64_t readLittleEndian(const uint8_t* at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i)
        value = value << 8 | at[i];
    return value;
}

constexpr size_t maxTensorRank = 32;   ///< cv::Mat's own limit

}}}  // namespace

#endif
