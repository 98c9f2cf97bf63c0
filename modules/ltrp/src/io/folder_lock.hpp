// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_FOLDER_LOCK_HPP
#define OPENCV_LTRP_IO_FOLDER_LOCK_HPP

#include "../precomp.hpp"
#include "descriptor.hpp"

namespace cv { namespace ltrp { namespace io {

/// Excludes other processes that lock the same folder. The system releases the lock when the process ends, even if it
/// is killed. Has no effect on file systems without locks.
class FolderLock
{
public:
    /// Creates the folder if needed. busy: activity of another process that holds the lock, for example "trains into
    /// this folder" @throws Error::StsError naming the folder
    FolderLock(const std::string& path, const std::string& busy);

private:
    const Descriptor folder_;
};

}}}  // namespace

#endif
