// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_STREAMS_HPP
#define LTRP_TOOL_STREAMS_HPP

#include <stdexcept>
#include <string>

namespace tool
{

/// A result cannot be written, nor can later ones: ends the work, whichever image is being processed.
class OutputError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// Whether the path is "-" or another name of standard output: /dev/stdout, or the file it is redirected to.
bool isStandardOutput(const std::string& path);

/// Whether text must be written directly, because no complete file can replace the path: standard output or error by
/// any name, a character device such as /dev/null, a pipe.
bool isStream(const std::string& path);

/// Text output that is written at once: to a stream, or to a file that is truncated first.
class TextStream
{
public:
    /// @throws OutputError "FILE: reason", also for a pipe without a reader
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

/// The stream of that name, opened at the first call and kept open. To be called before the work, so that a pipe's
/// reader does not see its end before the result.
/// @throws OutputError as TextStream
TextStream& outputStream(const std::string& path);
/// @throws OutputError if one of these streams has lost its reader
void requireReaders();

}  // namespace tool

#endif
