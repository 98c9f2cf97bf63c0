// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "read_ahead.hpp"

#include "photos.hpp"

#include <opencv2/core/utility.hpp>

namespace tool
{

namespace
{

/// Limit on decoded photos that wait; one may wait whatever its size.
const size_t MOST_BYTES = size_t(256) << 20;

size_t bytesOf(const cv::Mat& photo)
{
    return photo.total() * photo.elemSize();
}

}  // namespace

ReadAhead::ReadAhead(const std::vector<std::string>& paths, size_t most) : paths_(paths), most_(most)
{
    if (paths.size() > 1 && cv::getNumThreads() > 1)
        thread_ = std::thread([this]() { work(); });
}

ReadAhead::~ReadAhead()
{
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable())
        thread_.join();
}

cv::Mat ReadAhead::next()
{
    CV_Assert(given_ < paths_.size());
    Read one;
    if (thread_.joinable())
    {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this]() { return !ready_.empty() || failure_; });
        if (ready_.empty())
            std::rethrow_exception(failure_);
        one = ready_.front();
        ready_.pop_front();
        bytes_ -= bytesOf(one.photo);
        lock.unlock();
        changed_.notify_all();
    }
    else
        one = read(paths_[given_]);
    ++given_;
    if (one.failure)
        std::rethrow_exception(one.failure);
    return one.photo;
}

ReadAhead::Read ReadAhead::read(const std::string& path) const
{
    Read one;
    try
    {
        one.photo = readPhoto(path);
    }
    catch (...)
    {
        one.failure = std::current_exception();
    }
    return one;
}

void ReadAhead::work()
{
    for (const std::string& path : paths_)
    {
        Read one = read(path);
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this]() { return stop_ || !full(); });
        if (stop_)
            return;
        try
        {
            ready_.push_back(one);
            bytes_ += bytesOf(one.photo);
        }
        catch (const std::exception&)   // out of memory: the caller gets the exception, and nothing more is read ahead
        {
            failure_ = std::current_exception();
            lock.unlock();
            changed_.notify_all();
            return;
        }
        lock.unlock();
        changed_.notify_all();
    }
}

bool ReadAhead::full() const
{
    return ready_.size() >= most_ || (!ready_.empty() && bytes_ >= MOST_BYTES);
}

}  // namespace tool
