// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_STREAMS_HPP
#define LTRP_TOOL_STREAMS_HPP

#include <string>

namespace tool
{

/// "-", or another name of what standard output is: /dev/stdout, the file that it goes to.
bool isStandardOutput(const std::string& path);

/// What text is written into and no complete file can replace: standard output or error by any name, a character device such as
/// /dev/null, a pipe.
bool isStream(const std::string& path);

/// Text that is written at once: into a stream, else into a file that is begun anew.
class TextStream
{
public:
    /// @throws std::runtime_error "FILE: reason", also for a pipe that no process reads
    explicit TextStream(const std::string& path);
    ~TextStream();
    TextStream(const TextStream&) = delete;
    TextStream& operator=(const TextStream&) = delete;

    void write(const std::string& text);

private:
    std::string name_;
    int descriptor_ = -1;
    bool own_ = false;
};

}  // namespace tool

#endif
