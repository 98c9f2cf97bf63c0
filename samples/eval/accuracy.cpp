// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "accuracy.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace eval {

namespace {

/// Unbiased estimate of the variance of an accuracy.
double variance(int right, int images)
{
    if (images < 2)
        return 0.25;
    const double share = static_cast<double>(right) / images;
    return share * (1 - share) / (images - 1);
}

}  // namespace

Accuracy accuracyOf(const std::vector<int>& labels, const std::vector<int>& answers, int classes)
{
    LTRP_REQUIRE(!labels.empty(), Error::StsBadArg, "accuracy: no image has a label and an answer");
    LTRP_REQUIRE(labels.size() == answers.size(), Error::StsUnmatchedSizes, "accuracy: " << labels.size() << " labels, "
                 << answers.size() << " answers");
    Accuracy result;
    result.classes.resize(static_cast<size_t>(classes));
    for (size_t i = 0; i < labels.size(); ++i)
    {
        LTRP_REQUIRE(labels[i] >= 0 && labels[i] < classes && answers[i] >= 0 && answers[i] < classes, Error::StsOutOfRange,
                     "accuracy: label " << labels[i] << ", answer " << answers[i] << ", expected 0 to " << classes - 1);
        Accuracy::OfClass& own = result.classes[static_cast<size_t>(labels[i])];
        ++own.images;
        own.right += labels[i] == answers[i];
    }
    int used = 0;
    double variances = 0;
    for (const Accuracy::OfClass& own : result.classes)
    {
        if (own.images == 0)
            continue;
        ++used;
        result.images += own.images;
        result.right += own.right;
        result.classMean += static_cast<double>(own.right) / own.images;
        variances += variance(own.right, own.images);
    }
    result.overall = static_cast<double>(result.right) / result.images;
    result.overallError = std::sqrt(variance(result.right, result.images));
    result.classMean /= used;
    result.classMeanError = std::sqrt(variances) / used;
    return result;
}

}}}  // namespace
