// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_HALVES_HPP
#define LTRP_SIMT_HALVES_HPP

#include <cstdint>

namespace simt
{

// Conversion to and from 16-bit numbers as bits; to nearest, ties to even.
float halfToFloat(uint16_t bits);
uint16_t floatToHalf(float value);
float bf16ToFloat(uint16_t bits);
uint16_t floatToBf16(float value);

}  // namespace simt

#endif
