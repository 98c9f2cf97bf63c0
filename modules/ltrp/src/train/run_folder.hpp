// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_RUN_FOLDER_HPP
#define OPENCV_LTRP_TRAIN_RUN_FOLDER_HPP

#include "../precomp.hpp"

#include <fstream>
#include <mutex>

namespace cv { namespace ltrp { namespace train {

/// The folder a training writes to, held against a second process while this object lives.
class RunFolder
{
public:
    /// Makes the folder when absent. @throws when another process trains into it, or when it holds a run's files and
    /// `resume` is false: nothing is overwritten by mistake
    RunFolder(const std::string& path, bool resume);
    ~RunFolder();
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

    const std::string& path() const { return path_; }
    /// Refuses a training that reads a file of this folder, under whatever name.
    void refuseInputs(const std::vector<std::string>& read) const;
    std::string file(const std::string& name) const;

private:
    void checkContents(bool resume) const;
    void removeLeftovers() const;
    void release();

    std::string path_;
    int lock_ = -1;
};

/// log.jsonl: one JSON object per line, each with the step it belongs to.
class RunLog
{
public:
    /// Keeps the whole lines of an existing log up to (and with) step `keep`, drops the rest; keep < 0: begins anew.
    RunLog(const std::string& path, int64_t keep);
    /// Appends a line and hands it to the system. @throws naming the file when it cannot be written
    void add(const std::string& json);

private:
    std::string path_;
    std::ofstream out_;
    std::mutex mutex_;
};

}}}  // namespace

#endif
