// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_BUDGET_HPP
#define LTRP_TESTS_FUZZ_BUDGET_HPP

#include <cstddef>

/// Limits per input. Inputs have at most some ten thousand bytes: one that exceeds the limits contains a size that was
/// not checked.
const size_t budgetBytes = size_t(64) << 20;   ///< allocated beyond what was before; measured under AddressSanitizer
const double budgetSeconds = 5;                ///< processor time, so that inputs do not fail on a busy machine

/// Measures an input and ends the process with a message and abort() as soon as it exceeds the limits.
class Budget
{
public:
    Budget();    ///< begins measuring; only one at a time
    ~Budget();
    Budget(const Budget&) = delete;
    Budget& operator=(const Budget&) = delete;

    static size_t mostBytes();     ///< largest amount of any input so far; 0 without AddressSanitizer
    static double mostSeconds();
};

#endif
