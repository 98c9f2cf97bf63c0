// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"

int main(int argc, char** argv)
{
    std::string failure;
    const int status = tool::runProgram(argc, argv, failure);
    if (!failure.empty())
        tool::complain(failure);
    return status;
}
