// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_STREAMS_HPP
#define LTRP_TOOL_STREAMS_HPP

#include <stdexcept>
#include <string>

namespace tool
{

/// A result cannot be written, and none of those that follow: the work ends, whichever image it is at.
class OutputError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// "-", or another name of what standard output is: /dev/stdout, the file that it goes to.
bool isStandardOutput(const std::string& path);

/// What text is written into and no complete file can replace: standard output or error by any name, a character device such as
/// /dev/null, a pipe.
bool isStream(const std::string& path);

/// Text that is written at once: into a stream, else into a file that is begun anew.
class TextStream
{
public:
    /// @throws OutputError "FILE: reason", also for a pipe that no process reads
    explicit TextStream(const std::string& path);
    ~TextStream();
    TextStream(const TextStream&) = delete;
    TextStream& operator=(const TextStream&) = delete;

    /// @throws OutputError
    void write(const std::string& text);
    /// False for a pipe or socket that no process reads any more.
    bool hasReader() const;
    const std::string& name() const { return name_; }

private:
    std::string name_;
    int descriptor_ = -1;
    bool own_ = false;
};

/// The stream of that name, opened at the first call and kept open: before the work, so that the reader of a pipe has not seen
/// its end when the result comes.
/// @throws OutputError as TextStream
TextStream& outputStream(const std::string& path);
/// @throws OutputError where one of these streams has lost its reader
void requireReaders();

}  // namespace tool

#endif
