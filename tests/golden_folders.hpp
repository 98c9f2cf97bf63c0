// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TEST_GOLDEN_FOLDERS_HPP
#define LTRP_TEST_GOLDEN_FOLDERS_HPP

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

/// The golden cases of the project and, if the environment variable LTRP_GOLDEN_DIR is set, the complete set.
inline std::vector<std::string> goldenFolders()
{
    std::vector<std::string> folders = {LTRP_SOURCE_DIR "/tests/data/golden"};
    const char* complete = std::getenv("LTRP_GOLDEN_DIR");
    if (complete && *complete)
    {
        BOOST_REQUIRE_MESSAGE(std::filesystem::is_directory(complete), "LTRP_GOLDEN_DIR names no folder: " << complete);
        folders.push_back(complete);
    }
    else
        BOOST_TEST_MESSAGE("not run: the complete golden cases, because LTRP_GOLDEN_DIR is not set");
    return folders;
}

#endif
