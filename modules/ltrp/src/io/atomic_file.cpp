// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "atomic_file.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cv { namespace ltrp { namespace io {

namespace
{

/// The folder of a file, with a slash at its end; empty for the working folder.
std::string folderOf(const std::string& path)
{
    return path.substr(0, path.rfind('/') + 1);
}

/// The actual target of a write to `path`: symbolic links are followed, and only regular files are replaced (never a
/// device such as /dev/stdout, which a rename would destroy).
std::string resolveTarget(const std::string& path)
{
    LTRP_REQUIRE(!path.empty(), Error::StsBadArg, "cannot write a file without a name");
    struct stat info;
    if (::stat(path.c_str(), &info) != 0)
    {
        LTRP_REQUIRE(path.back() != '/', Error::StsBadArg, path << ": cannot write, this names a folder");
        return path;
    }
    LTRP_REQUIRE(!S_ISDIR(info.st_mode), Error::StsBadArg, path << ": cannot write, this is a folder");
    LTRP_REQUIRE(S_ISREG(info.st_mode), Error::StsBadArg, path << ": cannot write, this is not a regular file");
    return std::filesystem::canonical(path).string();
}

/// A name in the target's folder whose length does not depend on the target's name (names have a length limit).
std::string temporaryName(const std::string& folder)
{
    static std::atomic<unsigned> counter{0};
    return folder + ".ltrp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
}

[[noreturn]] void throwSystemError(const std::string& path, const char* what, int error)
{
    LTRP_ERROR(Error::StsError, path << ": cannot " << what << ": " << std::strerror(error));
}

#ifdef O_TMPFILE
std::string descriptorPath(int fd)
{
    return "/proc/self/fd/" + std::to_string(fd);
}

/// Opens an unnamed file: a killed process leaves nothing behind. -1 if the file system does not support it, or if
/// /proc, needed to name it later, is missing.
int openNameless(const std::string& folder)
{
    const int fd = ::open((folder + ".").c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (fd >= 0 && ::access(descriptorPath(fd).c_str(), F_OK) != 0)
    {
        ::close(fd);
        return -1;
    }
    return fd;
}
#endif

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(resolveTarget(path))
{
    const std::string folder = folderOf(path_);
#ifdef O_TMPFILE
    fd_ = openNameless(folder);
    if (fd_ >= 0)
    {
        keepOwner();
        return;
    }
#endif
    do
    {
        temporary_ = temporaryName(folder);
        fd_ = ::open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0)
    {
        const int error = errno;
        temporary_.clear();
        throwSystemError(path_, "write", error);
    }
    keepOwner();
}

/// A file that replaces another keeps its mode and, if the system allows it, its owner.
void AtomicFile::keepOwner() const
{
    struct stat info;
    if (::stat(path_.c_str(), &info) != 0)
        return;
    // Only root and group members can change the owner, and some file systems have no modes: errors are ignored.
    static_cast<void>(!::fchown(fd_, info.st_uid, info.st_gid));
    static_cast<void>(!::fchmod(fd_, info.st_mode & 07777));
}

AtomicFile::~AtomicFile()
{
    if (fd_ >= 0)
        ::close(fd_);
    if (!temporary_.empty())
        ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes)
{
    LTRP_REQUIRE(fd_ >= 0, Error::StsInternal, path_ << ": written to after it was completed");
    const char* from = static_cast<const char*>(data);
    while (bytes > 0)
    {
        const size_t chunk = std::min(bytes, static_cast<size_t>(1) << 30);   // the system's limit is near 2^31
        const ssize_t written = ::write(fd_, from, chunk);
        if (written < 0)
        {
            if (errno == EINTR)
                continue;
            throwSystemError(path_, "write", errno);
        }
        from += written;
        bytes -= static_cast<size_t>(written);
    }
}

void AtomicFile::commit()
{
    LTRP_REQUIRE(fd_ >= 0, Error::StsInternal, path_ << ": completed twice");
    const std::string folder = folderOf(path_);
    if (::fsync(fd_) != 0)
        throwSystemError(path_, "write to the disk", errno);
#ifdef O_TMPFILE
    if (temporary_.empty())
    {
        std::string name;
        int failed;
        do
        {
            name = temporaryName(folder);
            failed = ::linkat(AT_FDCWD, descriptorPath(fd_).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
        } while (failed != 0 && errno == EEXIST);
        if (failed != 0)
            throwSystemError(path_, "name the finished file", errno);
        temporary_ = name;
    }
#endif
    const int closed = ::close(fd_);
    fd_ = -1;
    if (closed != 0)
        throwSystemError(path_, "close", errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0)
        throwSystemError(path_, "replace", errno);
    temporary_.clear();

    // Without this a power failure may undo the rename.
    const int folderFd = ::open((folder + ".").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folderFd < 0)
        return;   // a folder that is writable but not readable
    const int failed = ::fsync(folderFd) != 0 ? errno : 0;
    ::close(folderFd);
    static const std::set<int> harmless{0, EINVAL, ENOTSUP, EROFS};   // some file systems have no fsync for folders
    if (!harmless.count(failed))
        throwSystemError(path_, "write its folder to the disk", failed);
}

void writeTextFile(const std::string& path, const std::string& text)
{
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

}}}  // namespace
