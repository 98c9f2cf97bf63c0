// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ATOMIC_FILE_HPP
#define OPENCV_LTRP_IO_ATOMIC_FILE_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace io {

/// A file that appears under its name only when it is complete. Data are written to a temporary file in the same
/// folder; commit() flushes, fsyncs, renames and fsyncs the folder; without it the destructor removes the temporary
/// file. Links are followed, and a replaced file keeps its mode and owner. Every write error (also a full disk) throws
/// cv::Exception with the path and the system's reason.
class AtomicFile
{
public:
    explicit AtomicFile(const std::string& path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, size_t bytes);
    void write(const std::string& text) { write(text.data(), text.size()); }
    void commit();

private:
    void keepOwner() const;

    std::string path_, temporary_;
    int fd_ = -1;
};

/// Writes a text file atomically.
void writeTextFile(const std::string& path, const std::string& text);

}}}  // namespace

#endif
