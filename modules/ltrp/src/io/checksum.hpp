// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_CHECKSUM_HPP
#define OPENCV_LTRP_IO_CHECKSUM_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace io {

/// Incremental CRC-32 with the polynomial of zip and PNG.
class Crc32
{
public:
    void add(const void* data, size_t bytes);
    void add(const std::string& text) { add(text.data(), text.size()); }
    uint32_t value() const { return ~state_; }
    std::string text() const;   ///< eight hexadecimal digits

private:
    uint32_t state_ = 0xffffffffu;
};

/// CRC-32 of a text.
uint32_t crc32(const std::string& text);

}}}  // namespace

#endif
