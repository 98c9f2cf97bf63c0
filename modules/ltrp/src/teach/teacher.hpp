// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_TEACHER_HPP
#define OPENCV_LTRP_TEACH_TEACHER_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace teach {

/// What can tell how much a patch matters without labels; see cv::ltrp::ScoreParams::teacher.
enum class Cue { LeaveOneOut, OwnError, Features, Gradient, Spectral, FineGrained, Centre };
const char* cueName(Cue cue);

struct Term
{
    Cue cue;
    double weight;
};

/// A weighted mixture of cues.
struct Teacher
{
    std::vector<Term> terms;

    /// "features*1+spectral*0.5+centre*0.15"; a weight may be left out and is then 1.
    /// @throws Error::StsBadArg naming the term, what was found and the cues there are
    static Teacher parse(const std::string& text);
    bool isSingle() const { return terms.size() == 1; }
    bool has(Cue cue) const;
    /// The same mixture, in one spelling: what a fingerprint compares.
    std::string text() const;
};

}}}  // namespace

#endif
