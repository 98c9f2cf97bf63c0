// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_ACCURACY_HPP
#define LTRP_EVAL_ACCURACY_HPP

#include "../../modules/ltrp/src/precomp.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Accuracy of a classifier, with standard errors over the images.
struct Accuracy
{
    struct OfClass
    {
        int images = 0, right = 0;
    };
    int images = 0, right = 0;
    double overall = 0, overallError = 0;
    /// Mean of the accuracies of the classes that have images, and its standard error. A class with one image has no
    /// variance estimate; the largest possible variance, 1/4, is used.
    double classMean = 0, classMeanError = 0;
    std::vector<OfClass> classes;
};

/// labels, answers: class numbers, 0 to classes - 1, of the same images. With one image the error of `overall` is 1/2.
/// @throws Error::StsBadArg for no images, Error::StsUnmatchedSizes, Error::StsOutOfRange
Accuracy accuracyOf(const std::vector<int>& labels, const std::vector<int>& answers, int classes);

}}}  // namespace

#endif
