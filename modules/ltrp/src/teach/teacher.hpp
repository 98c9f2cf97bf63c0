// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_TEACHER_HPP
#define OPENCV_LTRP_TEACH_TEACHER_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace teach {

/// A measure of a patch's importance that needs no labels; see cv::ltrp::ScoreParams::teacher.
enum class Cue { LeaveOneOut, OwnError, Features, Gradient, Barrier, Spectral, FineGrained, Centre };
const char* cueName(Cue cue);

struct Term
{
    Cue cue;
    double weight;
};

/// A weighted sum of cues.
struct Teacher
{
    std::vector<Term> terms;

    /// Parses "features*1+spectral*0.5"; an omitted weight is 1.
    /// @throws Error::StsBadArg naming the term, the text found and the known cues
    static Teacher parse(const std::string& text);
    bool isSingle() const { return terms.size() == 1; }
    bool has(Cue cue) const;
    /// The sum in canonical form, for fingerprints.
    std::string text() const;
};

}}}  // namespace

#endif
