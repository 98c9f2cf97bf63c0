// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_DECIMAL_HPP
#define OPENCV_LTRP_CORE_DECIMAL_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp {

// Conversion between numbers and text that does not depend on the locale.

/// Returns the number with `digits` significant digits, as printf's %.*g formats it in the "C" locale.
std::string decimal(double value, int digits);
/// Returns the number at the beginning of the text, 0 if there is none.
double parseDecimal(const std::string& text);

}}  // namespace

#endif
