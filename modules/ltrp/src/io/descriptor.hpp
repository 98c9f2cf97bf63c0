// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_DESCRIPTOR_HPP
#define OPENCV_LTRP_IO_DESCRIPTOR_HPP

#include <unistd.h>

namespace cv { namespace ltrp { namespace io {

/// An open file or folder; negative: none.
struct Descriptor
{
    int fd;
    explicit Descriptor(int f) : fd(f) {}
    ~Descriptor()
    {
        if (fd >= 0)
            ::close(fd);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

}}}  // namespace

#endif
