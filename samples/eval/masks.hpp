// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_MASKS_HPP
#define LTRP_EVAL_MASKS_HPP

#include "../../modules/ltrp/src/precomp.hpp"

#include <map>

namespace cv { namespace ltrp { namespace eval {

/// Which pixels of a mask are foreground. Grey is treated as three equal channels; black is 0.
enum class MaskRule
{
    Auto,      ///< one of the others, chosen from the values in all masks of a set (MaskSurvey)
    NonZero,   ///< every pixel that is not black
    Bright,    ///< the largest channel above half of its range
    Labels,    ///< every pixel that is neither black nor void: white (the largest number), or RGB 224, 224, 192
    Alpha      ///< opacity above one half
};

const std::vector<std::string>& maskRuleNames();   ///< "auto", "nonzero", "bright", "labels", "alpha"

/// The values in all masks of a set, and the rule for them. There is one rule per set, because the value 255 is the
/// object in one set and void in another.
class MaskSurvey
{
public:
    /// mask: as stored: 8 or 16 bits; 1, 3 (BGR) or 4 (BGRA) channels. lossy: a JPEG file, where values near 0 and 255
    /// count as 0 and 255. @throws Error::StsBadArg for other types, and if colours and opacity are two different masks
    void add(const Mat& mask, const std::string& file, bool lossy);
    void add(const MaskSurvey& other);

    /// Auto is: Alpha if a mask has transparent pixels; NonZero if all masks together contain black and one more value
    /// (or a single value); Bright if they are grey, nearly all black or white, with all shades in between (soft
    /// edges).
    /// @throws Error::StsBadArg naming what was found, the file, and the rules to choose from, in all other cases
    MaskRule rule(MaskRule wanted) const;
    /// Description of the foreground by `rule`.
    std::string describe(MaskRule rule) const;

private:
    struct Found
    {
        int64_t pixels = 0;
        std::string file;   ///< the first file with this value
    };
    bool soft() const;
    std::string values() const;

    std::map<uint64_t, Found> values_;   ///< key: 16 bits each of R, G and B
    std::string transparent_, opaque_;   ///< the first file with transparent pixels, and the first without
    bool more_ = false;                  ///< there are more values than were kept
    bool deep_ = false;                  ///< some mask has 16 bits
};

/// CV_8UC1: 255 where the mask has foreground by `rule`, which must not be Auto, else 0. mask: as for MaskSurvey.
/// @throws Error::StsBadArg if mask and rule do not fit together
Mat maskForeground(const Mat& mask, MaskRule rule);

}}}  // namespace

#endif
