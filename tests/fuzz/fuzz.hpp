// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_HPP
#define LTRP_TESTS_FUZZ_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Implemented by each fuzz target. Returns 0 if the input was read, -1 if it was rejected with an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/// Valid inputs to start from, small, so that most bytes matter.
std::vector<std::string> fuzzSeeds();

#endif
