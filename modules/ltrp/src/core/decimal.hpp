// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_DECIMAL_HPP
#define OPENCV_LTRP_CORE_DECIMAL_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp {

// Numbers as text that is stored, compared or read again: the same in every locale of the program around.

/// With so many significant digits, as printf's %.*g writes it in the "C" locale.
std::string decimal(double value, int digits);
/// The number that a text begins with; 0 where it begins with none.
double parseDecimal(const std::string& text);

}}  // namespace

#endif
