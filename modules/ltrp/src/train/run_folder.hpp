// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_RUN_FOLDER_HPP
#define OPENCV_LTRP_TRAIN_RUN_FOLDER_HPP

#include "../precomp.hpp"

#include "../io/folder_lock.hpp"

#include <fstream>
#include <mutex>

namespace cv { namespace ltrp { namespace train {

/// The output folder of a training, locked against other processes while this object exists.
class RunFolder
{
public:
    /// Creates the folder if it does not exist. @throws if another process uses it for training, or if it contains
    /// files of a run and `resume` is false
    RunFolder(const std::string& path, bool resume);

    const std::string& path() const { return path_; }
    /// Throws if the training reads a file of this folder, by any name or link.
    void refuseInputs(const std::vector<std::string>& read) const;
    std::string file(const std::string& name) const;

private:
    void checkContents(bool resume) const;
    void removeLeftovers() const;

    std::string path_;
    const io::FolderLock lock_;
};

/// log.jsonl: one JSON object per line, each with the step it belongs to.
class RunLog
{
public:
    /// Keeps the complete lines of an existing log up to and including step `keep` and removes the rest; keep < 0:
    /// starts a new log.
    RunLog(const std::string& path, int64_t keep);
    /// Appends a line and flushes it. @throws naming the file if it cannot be written
    void add(const std::string& json);

private:
    std::string path_;
    std::ofstream out_;
    std::mutex mutex_;
};

}}}  // namespace

#endif
