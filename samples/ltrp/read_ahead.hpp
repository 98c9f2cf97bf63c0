// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_READ_AHEAD_HPP
#define LTRP_TOOL_READ_AHEAD_HPP

#include <opencv2/core.hpp>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tool
{

/// Decodes the next photos on a separate thread while the current ones are processed. On a single core, or for a single
/// photo, each is read when requested.
class ReadAhead
{
public:
    /// @param most number of photos decoded ahead, 1 or more; fewer if they are large, so that memory is bounded
    ReadAhead(const std::vector<std::string>& paths, size_t most);
    ~ReadAhead();   ///< finishes only the current photo
    ReadAhead(const ReadAhead&) = delete;
    ReadAhead& operator=(const ReadAhead&) = delete;

    /// Returns the next photo, in order, or throws the exception of readPhoto().
    cv::Mat next();

private:
    struct Read
    {
        cv::Mat photo;
        std::exception_ptr failure;
    };

    Read read(const std::string& path) const;
    void work();
    bool full() const;

    const std::vector<std::string>& paths_;
    const size_t most_;
    size_t given_ = 0, bytes_ = 0;
    bool stop_ = false;
    std::deque<Read> ready_;
    std::exception_ptr failure_;   ///< of the thread itself
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread thread_;   // last: it uses the others
};

}  // namespace tool

#endif
