// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "decimal.hpp"

#include <iomanip>
#include <locale>
#include <sstream>

namespace cv { namespace ltrp {

// Streams, because GCC before 11 has no std::to_chars for floating-point numbers.
std::string decimal(double value, int digits)
{
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << std::setprecision(digits) << value;
    return text.str();
}

double parseDecimal(const std::string& text)
{
    std::istringstream stream(text);
    stream.imbue(std::locale::classic());
    double value = 0;
    stream >> value;
    return value;
}

}}  // namespace
