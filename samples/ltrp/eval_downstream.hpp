// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_DOWNSTREAM_HPP
#define LTRP_TOOL_EVAL_DOWNSTREAM_HPP

#include <string>
#include <vector>

namespace tool
{

/// `ltrp eval downstream`; args: what follows these words. @return the exit status
int runDownstream(std::vector<std::string> args);

}  // namespace tool

#endif
