// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "decimal.hpp"

#include <charconv>

namespace cv { namespace ltrp {

std::string decimal(double value, int digits)
{
    char text[64];
    return std::string(text, std::to_chars(text, text + sizeof(text), value, std::chars_format::general, digits).ptr);
}

double parseDecimal(const std::string& text)
{
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}}  // namespace
