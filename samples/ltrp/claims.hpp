// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SAMPLES_TOOL_CLAIMS_HPP
#define LTRP_SAMPLES_TOOL_CLAIMS_HPP

#include "../../modules/ltrp/src/io/descriptor.hpp"

#include <string>

namespace tool
{

/// Names of work that processes with a common folder share out. A process's claims end with it, however it ends.
class Claims
{
public:
    /// Makes the file `.claims` in the folder. @throws std::runtime_error if it cannot
    explicit Claims(const std::string& folder);
    /// False: another process has it. True on file systems without locks.
    bool take(const std::string& name);
    void release(const std::string& name);

private:
    bool lock(const std::string& name, short kind);

    const cv::ltrp::io::Descriptor file_;
};

}  // namespace tool

#endif
