// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_EVAL_MASKS_HPP
#define OPENCV_LTRP_EVAL_MASKS_HPP

#include "../precomp.hpp"

#include <map>

namespace cv { namespace ltrp { namespace eval {

/// Which pixels of a mask are foreground. Grey is a colour of three equal channels, black is 0.
enum class MaskRule
{
    Auto,      ///< one of the others, chosen by what all masks of a set hold (MaskSurvey)
    NonZero,   ///< every pixel that is not black
    Bright,    ///< the largest channel above half of its range
    Labels,    ///< every pixel that is neither black nor void: white (the largest number), or RGB 224, 224, 192
    Alpha      ///< opacity above one half
};

const std::vector<std::string>& maskRuleNames();   ///< "auto", "nonzero", "bright", "labels", "alpha"

/// What all masks of a set hold, and the one rule that reads them. A rule is never chosen mask by mask: the same 255 is
/// the object in one set and void in another.
class MaskSurvey
{
public:
    /// mask: as stored: 8 or 16 bits; 1, 3 (BGR) or 4 (BGRA) channels. lossy: a JPEG file, where 0 and 255 come out as
    /// values near them. @throws Error::StsBadArg for other types, and for colours and opacity that are two different
    /// masks
    void add(const Mat& mask, const std::string& file, bool lossy);
    void add(const MaskSurvey& other);

    /// Auto is: Alpha where a mask has transparent pixels; NonZero where all masks together hold black and one more
    /// value (or one value alone); Bright where they are grey, nearly all black or white, with all shades in between
    /// (soft edges).
    /// @throws Error::StsBadArg saying what was found, where, and which rule to name, for anything else
    MaskRule rule(MaskRule wanted) const;
    /// What `rule` takes for foreground, in words.
    std::string describe(MaskRule rule) const;

private:
    struct Found
    {
        int64_t pixels = 0;
        std::string file;   ///< the first with this value
    };
    bool soft() const;
    std::string values() const;

    std::map<uint64_t, Found> values_;   ///< by 16 bits of R, G and B
    std::string transparent_, opaque_;   ///< the first file with pixels that are not opaque, without
    bool more_ = false;                  ///< values beyond those kept
    bool deep_ = false;                  ///< 16 bits
};

/// CV_8UC1: 255 where the mask has foreground by `rule`, which is not Auto, else 0. mask: as for MaskSurvey.
/// @throws Error::StsBadArg where mask and rule do not go together
Mat maskForeground(const Mat& mask, MaskRule rule);

}}}  // namespace

#endif
