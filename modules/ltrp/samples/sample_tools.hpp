// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SAMPLES_SAMPLE_TOOLS_HPP
#define LTRP_SAMPLES_SAMPLE_TOOLS_HPP

// Tools shared by the longer samples and unrelated to patches: Ctrl-C, progress, atomic output files.

#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>

#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgcodecs.hpp>

namespace sample
{

/// Exit status after Ctrl-C, as in shells.
const int INTERRUPTED = 130;

inline volatile std::sig_atomic_t& interruptFlag()
{
    static volatile std::sig_atomic_t flag = 0;
    return flag;
}

inline void onInterrupt(int number)
{
    interruptFlag() = 1;
    std::signal(number, SIG_DFL);   // a second Ctrl-C ends the program at once
}

/// Installs a Ctrl-C handler that only sets a flag, so that the current step and its files are completed.
inline void catchInterrupt()
{
    interruptFlag() = 0;
    std::signal(SIGINT, onInterrupt);
}

inline bool interrupted()
{
    return interruptFlag() != 0;
}

/// "\rWHAT 3 of 12" on stderr about twice a second, once the work has taken a second; total 0: unknown.
class Progress
{
public:
    Progress(const std::string& what, int total) : what_(what), total_(total) { sinceStart_.start(); }
    ~Progress()
    {
        if (shown_ > 0)
            std::cerr << std::endl;
    }

    void step(int done)
    {
        sinceStart_.stop();
        const double seconds = sinceStart_.getTimeSec();
        sinceStart_.start();
        if (seconds < shown_ + (shown_ > 0 ? 0.5 : 1.0))
            return;
        shown_ = seconds;
        std::cerr << "\r" << what_ << " " << done;
        if (total_ > 0)
            std::cerr << " of " << total_;
        std::cerr << std::flush;
    }

private:
    std::string what_;
    int total_;
    double shown_ = 0;
    cv::TickMeter sinceStart_;
};

/// "dir/name.avi" -> "dir/name.part.avi": name of an incomplete file. Writers determine the format by the extension.
inline std::string partName(const std::string& path)
{
    const size_t dot = path.find_last_of('.'), slash = path.find_last_of("/\\");
    if (dot == std::string::npos || (slash != std::string::npos && dot < slash))
        return path + ".part";
    return path.substr(0, dot) + ".part" + path.substr(dot);
}

/// Renames a finished file to its final name.
inline void finishFile(const std::string& path)
{
    std::remove(path.c_str());   // for systems where rename() does not replace
    if (std::rename(partName(path).c_str(), path.c_str()) != 0)
        CV_Error(cv::Error::StsError, path + ": cannot be written");
}

/// Writes an image completely or not at all. `quality` is for JPEG.
inline void writeImage(const std::string& path, const cv::Mat& image, int quality = 78)
{
    bool written = false;
    try
    {
        written = cv::imwrite(partName(path), image, {cv::IMWRITE_JPEG_QUALITY, quality});
    }
    catch (const cv::Exception&)   // no encoder for this extension
    {
    }
    if (!written)
    {
        std::remove(partName(path).c_str());
        CV_Error(cv::Error::StsError, path + ": cannot be written as an image");
    }
    finishFile(path);
}

inline cv::Mat readImage(const std::string& path)
{
    const cv::Mat image = cv::imread(path);
    if (image.empty())
        CV_Error(cv::Error::StsError, path + ": cannot be read as an image");
    return image;
}

}  // namespace sample

#endif
