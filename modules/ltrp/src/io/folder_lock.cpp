// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "folder_lock.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>

namespace cv { namespace ltrp { namespace io {

namespace
{

int openFolder(const std::string& path)
{
    std::error_code error;
    std::filesystem::create_directories(path, error);
    LTRP_REQUIRE(!error, Error::StsError, path << ": cannot make the folder: " << error.message());
    return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

}  // namespace

FolderLock::FolderLock(const std::string& path, const std::string& busy) : folder_(openFolder(path))
{
    LTRP_REQUIRE(folder_.fd >= 0, Error::StsError, path << ": cannot be opened: " << std::strerror(errno));
    LTRP_REQUIRE(::flock(folder_.fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, Error::StsError, path
                 << ": another process " << busy);
}

}}}  // namespace
