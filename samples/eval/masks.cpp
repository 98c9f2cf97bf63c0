// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "masks.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace cv { namespace ltrp { namespace eval {

namespace {

enum { mostValues = 4096, shownValues = 6 };

int64_t largest(const Mat& mask)
{
    return mask.depth() == CV_8U ? 255 : 65535;
}

void checkType(const Mat& mask)
{
    const int channels = mask.channels();
    LTRP_REQUIRE(
        mask.dims == 2 && !mask.empty() && (mask.depth() == CV_8U || mask.depth() == CV_16U) &&
            (channels == 1 || channels == 3 || channels == 4),
        Error::StsBadArg,
        "the mask is of type " << typeToString(mask.type())
                               << ", expected 8 or 16 bits and 1, 3 or 4 channels: convert it to an 8-bit PNG");
}

uint64_t packed(uint64_t red, uint64_t green, uint64_t blue)
{
    return red << 32 | green << 16 | blue;
}

std::string valueText(uint64_t value)
{
    const uint64_t red = value >> 32, green = value >> 16 & 0xffff, blue = value & 0xffff;
    if (red == green && green == blue)
        return std::to_string(red);
    return "RGB(" + std::to_string(red) + "," + std::to_string(green) + "," + std::to_string(blue) + ")";
}

/// Calls visit(value, pixels) for runs of equal pixels.
template <typename T, typename Visit> void visitRuns(const Mat& mask, Visit visit)
{
    const int channels = mask.channels();
    for (int y = 0; y < mask.rows; ++y)
    {
        const T* row = mask.ptr<T>(y);
        int64_t run = 0;
        uint64_t last = 0;
        for (int x = 0; x < mask.cols; ++x)
        {
            const T* at = row + x * channels;
            const uint64_t value = channels == 1 ? packed(at[0], at[0], at[0]) : packed(at[2], at[1], at[0]);
            if (run > 0 && value != last)
            {
                visit(last, run);
                run = 0;
            }
            last = value;
            ++run;
        }
        visit(last, run);
    }
}

template <typename Visit> void visitRuns(const Mat& mask, Visit visit)
{
    if (mask.depth() == CV_8U)
        visitRuns<uchar>(mask, visit);
    else
        visitRuns<ushort>(mask, visit);
}

/// The largest colour channel.
Mat brightness(const Mat& mask)
{
    if (mask.channels() == 1)
        return mask;
    std::vector<Mat> planes;
    split(mask, planes);
    return max(max(planes[0], planes[1]), planes[2]);
}

Mat opacity(const Mat& mask)
{
    Mat alpha;
    extractChannel(mask, alpha, 3);
    return alpha;
}

bool isOpaque(const Mat& mask)
{
    return mask.channels() < 4 || countNonZero(opacity(mask) != Scalar(static_cast<double>(largest(mask)))) == 0;
}

Mat equalTo(const Mat& mask, const Scalar& bgr)
{
    if (mask.channels() == 1)
        return mask == bgr[0];
    std::vector<Mat> planes;
    split(mask, planes);
    return (planes[0] == bgr[0]) & (planes[1] == bgr[1]) & (planes[2] == bgr[2]);
}

}  // namespace

const std::vector<std::string>& maskRuleNames()
{
    static const std::vector<std::string> names = {"auto", "nonzero", "bright", "labels", "alpha"};
    return names;
}

void MaskSurvey::add(const Mat& mask, const std::string& file, bool lossy)
{
    checkType(mask);
    const bool opaque = isOpaque(mask);
    std::string& first = opaque ? opaque_ : transparent_;
    if (first.empty())
        first = file;
    deep_ = deep_ || mask.depth() == CV_16U;
    const uint64_t white = static_cast<uint64_t>(largest(mask));
    std::map<uint64_t, int64_t> own;
    visitRuns(mask,
              [&](uint64_t value, int64_t pixels)
              {
                  const uint64_t channel = value & 0xffff;
                  if (lossy && value == packed(channel, channel, channel))
                      value = channel < 16 ? 0 : channel > 239 ? packed(white, white, white) : value;
                  if (own.size() <= mostValues || own.count(value))
                      own[value] += pixels;
              });
    if (!opaque && own.size() == 2 && own.count(0))
        LTRP_REQUIRE(countNonZero(maskForeground(mask, MaskRule::Alpha) != (brightness(mask) > 0)) == 0,
                     Error::StsBadArg,
                     "the mask's colours and its opacity show two different masks: store one of them alone");
    for (const auto& value : own)
    {
        if (values_.size() >= mostValues && !values_.count(value.first))
        {
            more_ = true;
            continue;
        }
        Found& found = values_[value.first];
        found.pixels += value.second;
        if (found.file.empty())
            found.file = file;
    }
}

void MaskSurvey::add(const MaskSurvey& other)
{
    if (transparent_.empty())
        transparent_ = other.transparent_;
    if (opaque_.empty())
        opaque_ = other.opaque_;
    deep_ = deep_ || other.deep_;
    more_ = more_ || other.more_;
    for (const auto& value : other.values_)
    {
        if (values_.size() >= mostValues && !values_.count(value.first))
        {
            more_ = true;
            continue;
        }
        Found& found = values_[value.first];
        found.pixels += value.second.pixels;
        if (found.file.empty())
            found.file = value.second.file;
    }
}

bool MaskSurvey::soft() const
{
    if (more_ || deep_)
        return false;
    int64_t black = 0, white = 0, between = 0;
    bool shades[8] = {};
    int count = 0;
    for (const auto& value : values_)
    {
        const uint64_t channel = value.first & 0xffff;
        if (value.first != packed(channel, channel, channel))
            return false;
        if (channel == 0)
            black = value.second.pixels;
        else if (channel == 255)
            white = value.second.pixels;
        else
        {
            between += value.second.pixels;
            shades[channel / 32] = true;
            ++count;
        }
    }
    return black > 0 && white > between && 10 * between <= black + white && count >= 32 &&
           std::count(shades, shades + 8, true) == 8;
}

std::string MaskSurvey::values() const
{
    std::string text;
    size_t shown = 0;
    for (const auto& value : values_)
    {
        if (shown == shownValues)
            return text + ", ...";
        text += (shown++ ? ", " : "") + valueText(value.first);
    }
    return text;
}

MaskRule MaskSurvey::rule(MaskRule wanted) const
{
    if (wanted == MaskRule::Alpha || (wanted == MaskRule::Auto && !transparent_.empty()))
    {
        LTRP_REQUIRE(opaque_.empty(), Error::StsBadArg,
                     opaque_ << ": the mask has no transparent pixel"
                             << (transparent_.empty() ? std::string() : ", but " + transparent_ + " has")
                             << ": store all masks of a set alike");
        return MaskRule::Alpha;
    }
    LTRP_REQUIRE(transparent_.empty(), Error::StsBadArg,
                 transparent_ << ": the mask has transparent pixels: --foreground alpha takes its opacity");
    if (wanted != MaskRule::Auto)
        return wanted;
    if (!more_ && (values_.size() == 1 || (values_.size() == 2 && values_.count(0))))
        return MaskRule::NonZero;
    if (soft())
        return MaskRule::Bright;
    auto odd = values_.begin();   // the first value that is neither black nor the only other one, to name its file
    std::advance(odd, std::min<size_t>(values_.size() - 1, values_.count(0) ? 2 : 1));
    LTRP_ERROR(
        Error::StsBadArg, odd->second.file
                              << ": the masks of this set hold more than background (0) and one value: " << values()
                              << " (" << valueText(odd->first)
                              << " here). Say what is foreground: --foreground labels (all but 0 and void), nonzero or "
                                 "bright (above half)");
}

std::string MaskSurvey::describe(MaskRule rule) const
{
    switch (rule)
    {
    case MaskRule::NonZero:
        return values_.size() == 2 && values_.count(0) ? "value " + valueText(values_.rbegin()->first) : "not 0";
    case MaskRule::Bright: return "above half of white";
    case MaskRule::Labels: return "labels but 0 and void";
    case MaskRule::Alpha: return "opacity above one half";
    case MaskRule::Auto: break;
    }
    LTRP_ERROR(Error::StsBadArg, "the rule of a mask is still to be chosen");
}

Mat maskForeground(const Mat& mask, MaskRule rule)
{
    checkType(mask);
    const double white = static_cast<double>(largest(mask));
    switch (rule)
    {
    case MaskRule::NonZero: return brightness(mask) > 0;
    case MaskRule::Bright: return brightness(mask) > white / 2;
    case MaskRule::Labels:
        return (brightness(mask) > 0) & ~equalTo(mask, Scalar::all(white)) & ~equalTo(mask, Scalar(192, 224, 224));
    case MaskRule::Alpha:
        LTRP_REQUIRE(mask.channels() == 4, Error::StsBadArg, "the mask has no alpha channel");
        return opacity(mask) > white / 2;
    case MaskRule::Auto: break;
    }
    LTRP_ERROR(Error::StsBadArg, "the rule of a mask is still to be chosen");
}

}}}  // namespace
