// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_HPP
#define LTRP_TESTS_FUZZ_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// What a fuzz target provides. Returns 0 for input that was read, -1 for input that was refused with an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/// Sound inputs to begin with, small ones: most of their bytes should matter.
std::vector<std::string> fuzzSeeds();

#endif
