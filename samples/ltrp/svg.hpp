// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_SVG_HPP
#define LTRP_TOOL_SVG_HPP

#include <opencv2/core.hpp>

#include <string>
#include <vector>

namespace tool
{

/// A curve of a chart.
struct Curve
{
    std::string name, colour;           ///< colour: "#rrggbb"
    std::vector<cv::Point2d> points;    ///< finite, x ascending
    double width = 1.5;
    bool dashed = false;
};

/// A chart of curves with axes, grid lines and a legend on the right.
struct Chart
{
    std::string title, xLabel;
    bool xFromZero = false, yFromZero = false;   ///< the axis begins at 0
    bool percent = false;                        ///< both axes are shares, 0 to 1, written in %
    std::vector<Curve> curves;
};

/// Colour number `index` of a series that stays distinguishable, repeated after some.
std::string curveColour(size_t index);

/// Charts below each other, each `width` x `height` (more for a long legend), as one element <svg>: a file, or part of
/// an HTML page. Names may hold any text.
std::string svgColumn(const std::vector<Chart>& charts, int width, int height, bool inPage);

/// Text for XML and HTML: special characters escaped, control characters and what is not UTF-8 replaced.
std::string escaped(const std::string& text);

}  // namespace tool

#endif
