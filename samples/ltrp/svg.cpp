// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "photos.hpp"
#include "svg.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tool
{

namespace
{

const double LEFT = 64, RIGHT = 190, TOP = 34, BOTTOM = 46;   // margins around the plot; the legend stands on the right

std::string number(const char* format, double value)
{
    char text[48];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string coordinate(double value)
{
    return number("%.1f", value);
}

/// An axis: values to positions, and its ticks.
struct Axis
{
    double low = 0, high = 1, from = 0, to = 1;
    bool percent = false;
    std::vector<double> ticks;

    double place(double value) const
    {
        return from + (value - low) / (high - low) * (to - from);
    }
    std::string label(double value) const
    {
        const double shown = std::fabs(value) < 1e-9 * (high - low) ? 0 : value;
        return percent ? number("%.0f %%", 100 * shown) : number("%.4g", shown);
    }
};

/// Ticks at 1, 2 or 5 times a power of ten, about `count` of them.
void setTicks(Axis& axis, int count)
{
    const double rough = (axis.high - axis.low) / count, power = std::pow(10, std::floor(std::log10(rough)));
    const double step = power * (rough > 5 * power ? 10 : rough > 2 * power ? 5 : rough > power ? 2 : 1);
    for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + 1e-9 * step; ++i)
        axis.ticks.push_back(i * step);
}

void widen(Axis& axis)
{
    if (axis.high > axis.low)
        return;
    const double half = axis.low == 0 ? 0.5 : std::fabs(axis.low) * 0.1;
    axis.low -= half;
    axis.high += half;
}

void setRanges(const Chart& chart, Axis& x, Axis& y)
{
    bool first = true;
    for (const Curve& curve : chart.curves)
        for (const cv::Point2d& point : curve.points)
        {
            x.low = first ? point.x : std::min(x.low, point.x);
            x.high = first ? point.x : std::max(x.high, point.x);
            y.low = first ? point.y : std::min(y.low, point.y);
            y.high = first ? point.y : std::max(y.high, point.y);
            first = false;
        }
    if (chart.percent)
        x.low = y.low = 0, x.high = y.high = 1;
    if (chart.xFromZero)
        x.low = std::min(0., x.low);
    if (chart.yFromZero)
        y.low = std::min(0., y.low);
    widen(x);
    widen(y);
    if (chart.percent)
        return;
    const double margin = 0.04 * (y.high - y.low);
    y.low -= chart.yFromZero && y.low == 0 ? 0 : margin;
    y.high += margin;
}

std::string text(double x, double y, const std::string& content, const std::string& attributes)
{
    return "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" " + attributes + ">" + escaped(content) +
           "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& attributes)
{
    return "<path d=\"M" + coordinate(x1) + " " + coordinate(y1) + "L" + coordinate(x2) + " " + coordinate(y2) + "\" " +
           attributes + "/>\n";
}

std::string style(const Curve& curve)
{
    return "fill=\"none\" stroke=\"" + curve.colour + "\" stroke-width=\"" + coordinate(curve.width) +
           "\" stroke-linejoin=\"round\"" + (curve.dashed ? " stroke-dasharray=\"5 3\"" : "");
}

std::string curvePath(const Curve& curve, const Axis& x, const Axis& y)
{
    std::string path;
    for (const cv::Point2d& point : curve.points)
        path += (path.empty() ? "M" : "L") + coordinate(x.place(point.x)) + " " + coordinate(y.place(point.y));
    if (curve.points.size() == 1)   // a dot
        path += "h0.1";
    return "<path d=\"" + path + "\" " + style(curve) + (curve.points.size() == 1 ? " stroke-linecap=\"round\"" : "") +
           "><title>" + escaped(curve.name) + "</title></path>\n";
}

/// The end of a name too long for the legend, of whole UTF-8 characters.
std::string tail(const std::string& name)
{
    const size_t most = 22;
    if (name.size() <= most)
        return name;
    size_t first = name.size() - (most - 3);
    while (first < name.size() && (static_cast<unsigned char>(name[first]) & 0xC0) == 0x80)
        ++first;
    return "..." + name.substr(first);
}

/// What stands inside <svg>, moved down by `top`.
std::string chartBody(const Chart& chart, int width, int height, double top)
{
    Axis x, y;
    x.percent = y.percent = chart.percent;
    setRanges(chart, x, y);
    x.from = LEFT;
    x.to = width - RIGHT;
    y.from = top + height - BOTTOM;
    y.to = top + TOP;
    setTicks(x, 8);
    setTicks(y, 6);

    std::string body = text(LEFT, top + 20, chart.title, "class=\"chart-title\"");
    for (double tick : y.ticks)
        body += line(x.from, y.place(tick), x.to, y.place(tick), "class=\"chart-grid\"") +
                text(x.from - 7, y.place(tick) + 4, y.label(tick), "text-anchor=\"end\"");
    for (double tick : x.ticks)
        body += line(x.place(tick), y.from, x.place(tick), y.from + 4, "class=\"chart-axis\"") +
                text(x.place(tick), y.from + 17, x.label(tick), "text-anchor=\"middle\"");
    body += line(x.from, y.from, x.to, y.from, "class=\"chart-axis\"") +
            text((x.from + x.to) / 2, y.from + 36, chart.xLabel, "text-anchor=\"middle\"");
    // The first curve is drawn last, over the others.
    for (auto curve = chart.curves.rbegin(); curve != chart.curves.rend(); ++curve)
        if (!curve->points.empty())
            body += curvePath(*curve, x, y);
    double row = top + TOP + 6;
    for (const Curve& curve : chart.curves)
    {
        body += line(x.to + 12, row - 4, x.to + 34, row - 4, style(curve)) + text(x.to + 40, row, tail(curve.name), "");
        row += 17;
    }
    return body;
}

std::string document(const std::string& body, int width, double height, bool inPage)
{
    // Inside of HTML the name of the format would be the page's only address.
    const std::string format = inPage ? "" : " xmlns=\"http://www.w3.org/2000/svg\"";
    const std::string rows = number("%.0f", height), columns = std::to_string(width);
    return "<svg" + format + " width=\"" + columns + "\" height=\"" + rows + "\" viewBox=\"0 0 " + columns + " " +
           rows +
           "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
           "<style>.chart-title{font-size:14px;font-weight:bold}.chart-grid{stroke:#ddd}\n"
           ".chart-axis{stroke:#888}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
           body + "</svg>\n";
}

}  // namespace

std::string curveColour(size_t index)
{
    static const char* const colours[] = {"#d1495b", "#00798c", "#edae49", "#6a4c93", "#3f8f3f", "#30638e",
                                          "#b5651d", "#7f7f7f", "#c71585", "#8fb8ba",
                                          "#9a9a00", "#1b1b6f", "#ff8c69", "#2e8b57"};
    return colours[index % (sizeof colours / sizeof *colours)];
}

std::string svgColumn(const std::vector<Chart>& charts, int width, int height, bool inPage)
{
    // The legend may be longer than the plot is high.
    double top = 0;
    std::string body;
    for (const Chart& chart : charts)
    {
        const int own = std::max(height, static_cast<int>(TOP + 17 * static_cast<double>(chart.curves.size()) + 10));
        body += chartBody(chart, width, own, top);
        top += own;
    }
    return document(body, width, top, inPage);
}

std::string escaped(const std::string& text)
{
    // nlohmann-json knows what UTF-8 is.
    const std::string valid = Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
    std::string result;
    for (char c : valid)
        switch (c)
        {
        case '&': result += "&amp;"; break;
        case '<': result += "&lt;"; break;
        case '>': result += "&gt;"; break;
        case '"': result += "&quot;"; break;
        case '\'': result += "&#39;"; break;
        default:
            result +=
                static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? std::string("\xEF\xBF\xBD") : std::string(1, c);
        }
    return result;
}

}  // namespace tool
