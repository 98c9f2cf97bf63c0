// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "claims.hpp"

#include "../../modules/ltrp/src/io/checksum.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>

namespace tool
{

Claims::Claims(const std::string& folder) : file_(::open((folder + "/.claims").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666))
{
    if (file_.fd < 0)
        throw std::runtime_error(folder + "/.claims: cannot be opened: " + std::strerror(errno));
}

bool Claims::take(const std::string& name) { return lock(name, F_WRLCK); }
void Claims::release(const std::string& name) { lock(name, F_UNLCK); }

/// A name is a byte of the file, which need not exist. Two names with the same byte only wait for each other.
bool Claims::lock(const std::string& name, short kind)
{
    struct flock range = {};
    range.l_type = kind;
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(cv::ltrp::io::crc32(name) & 0x7fffffff);
    range.l_len = 1;
    return ::fcntl(file_.fd, F_SETLK, &range) == 0 || (errno != EACCES && errno != EAGAIN);
}

}  // namespace tool
