// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "common.hpp"
#include "streams.hpp"

#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tool
{

namespace
{

bool isSame(const std::string& path, int descriptor)
{
    struct stat one, other;
    return ::stat(path.c_str(), &one) == 0 && ::fstat(descriptor, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

std::map<std::string, std::unique_ptr<TextStream>>& outputStreams()
{
    static std::map<std::string, std::unique_ptr<TextStream>> streams;
    return streams;
}

}  // namespace

bool isStandardOutput(const std::string& path)
{
    return path == "-" || isSame(path, STDOUT_FILENO);
}

bool isStream(const std::string& path)
{
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());   // decoding redirects descriptor 2
    struct stat info;
    return isStandardOutput(path) || isSame(path, STDERR_FILENO) ||
           (::stat(path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode)));
}

TextStream::TextStream(const std::string& path) : name_(path)
{
    const std::lock_guard<std::recursive_mutex> lock(stderrMutex());
    if (isStandardOutput(path))
    {
        std::cout.flush();
        descriptor_ = STDOUT_FILENO;
    }
    else if (isSame(path, STDERR_FILENO))
        descriptor_ = STDERR_FILENO;
    else
    {
        // O_NONBLOCK: opening a pipe would wait for a reader, which may never come.
        const int flags = isStream(path) ? O_NONBLOCK : O_CREAT | O_TRUNC;
        descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0666);
        own_ = true;
        if (descriptor_ < 0)
            throw OutputError(path + ": cannot be written: " + (errno == ENXIO ? "no process reads it" : std::strerror(errno)));
        ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) & ~O_NONBLOCK);
    }
    if (path == "-")
        name_ = "standard output";
}

TextStream::~TextStream()
{
    if (own_ && descriptor_ >= 0)
        ::close(descriptor_);
}

void TextStream::write(const std::string& text)
{
    std::unique_lock<std::recursive_mutex> lock(stderrMutex(), std::defer_lock);
    if (descriptor_ == STDERR_FILENO)
        lock.lock();
    for (size_t done = 0; done < text.size();)
    {
        const ssize_t written = ::write(descriptor_, text.data() + done, text.size() - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            throw OutputError(name_ + ": cannot be written: " + std::strerror(errno));
        done += static_cast<size_t>(written);
    }
}

bool TextStream::hasReader() const
{
    pollfd state = {descriptor_, 0, 0};
    return ::poll(&state, 1, 0) < 0 || !(state.revents & (POLLERR | POLLHUP));
}

TextStream& outputStream(const std::string& path)
{
    std::unique_ptr<TextStream>& stream = outputStreams()[path];
    if (!stream)
        stream.reset(new TextStream(path));
    return *stream;
}

void requireReaders()
{
    for (const auto& stream : outputStreams())
        if (!stream.second->hasReader())
            throw OutputError(stream.second->name() + ": cannot be written: no process reads it any more");
}

}  // namespace tool
