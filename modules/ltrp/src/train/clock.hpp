// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_CLOCK_HPP
#define OPENCV_LTRP_TRAIN_CLOCK_HPP

#include <chrono>
#include <cmath>
#include <deque>
#include <string>
#include <utility>

namespace cv { namespace ltrp { namespace train {

/// Seconds of a monotonic clock.
inline double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds since 1970, to the millisecond.
inline double wallClock()
{
    const auto time = std::chrono::system_clock::now().time_since_epoch();
    return std::round(std::chrono::duration<double>(time).count() * 1000) / 1000;
}

/// Text about the expected length of a run: empty below an hour; above a day with advice on how to shorten it.
inline std::string lengthText(double seconds)
{
    const double hours = seconds / 3600;
    if (hours < 1)
        return std::string();
    const bool days = hours > 24;
    const long long count = std::llround(days ? hours / 24 : hours);
    return "at this rate the run will take about " + std::to_string(count) + (days ? " day" : " hour") + (count > 1 ? "s" : "") +
           (days ? "; fewer epochs, a smaller preset (tiny), a smaller size or a GPU shorten it" : "");
}

/// Images per second over the last minute: a single slow update (a checkpoint) hardly changes the estimate.
class Rate
{
public:
    double add(double time, double images)
    {
        total_ += images;
        marks_.emplace_back(time, total_);
        while (marks_.size() > 2 && time - marks_.front().first > 60)
            marks_.pop_front();
        const double seconds = time - marks_.front().first;
        return seconds > 0 ? (total_ - marks_.front().second) / seconds : 0;
    }

private:
    double total_ = 0;
    std::deque<std::pair<double, double>> marks_;
};

}}}  // namespace

#endif
