// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_BUDGET_HPP
#define LTRP_TESTS_FUZZ_BUDGET_HPP

#include <cstddef>

/// What one input may cost. Inputs have some ten thousand bytes at most: one that takes more was believed a size.
const size_t budgetBytes = size_t(64) << 20;   ///< allocated at a time beyond what was before; measured under AddressSanitizer
const double budgetSeconds = 5;                ///< of the processor, so that a busy machine fails no input

/// Measures an input and ends the process by abort(), with a word, as soon as it has gone beyond the budget.
class Budget
{
public:
    Budget();    ///< begins; one at a time
    ~Budget();
    Budget(const Budget&) = delete;
    Budget& operator=(const Budget&) = delete;

    static size_t mostBytes();     ///< of any input so far; 0 without AddressSanitizer
    static double mostSeconds();
};

#endif
