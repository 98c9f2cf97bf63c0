// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_FOLDER_LOCK_HPP
#define OPENCV_LTRP_IO_FOLDER_LOCK_HPP

#include "../precomp.hpp"
#include "descriptor.hpp"

namespace cv { namespace ltrp { namespace io {

/// Keeps other processes that lock the same folder out. The system releases the lock when the process ends, however it ends.
/// A file system without locks does no harm.
class FolderLock
{
public:
    /// Makes the folder if need be. busy: what another process does that holds it, "trains into this folder"
    /// @throws Error::StsError naming the folder
    FolderLock(const std::string& path, const std::string& busy);

private:
    const Descriptor folder_;
};

}}}  // namespace

#endif
