// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_PROGRAM_HPP
#define LTRP_TOOL_PROGRAM_HPP

#include <string>

namespace tool
{

/// Runs the tool's command line. failure: the line to pass to complain(); empty if everything has been reported @return
/// the exit status
int runProgram(int argc, char** argv, std::string& failure);

}  // namespace tool

#endif
