// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_SEGMENTATION_HPP
#define LTRP_EVAL_SEGMENTATION_HPP

#include "../../modules/ltrp/src/precomp.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace eval {

/// Standard error of an estimate over images by the jackknife: they are divided into up to 50 groups, image i into group i %
/// groups, and `without` gives the estimate without a group. 1/2, the largest of a share, where there is one image.
double jackknifeError(size_t images, const std::function<double(size_t group, size_t groups)>& without);

/// How well the classes of pixels are told, over images; pixels that have no class do not count.
class Segmentation
{
public:
    explicit Segmentation(int classes) : classes_(static_cast<size_t>(classes)) {}

    /// labels: CV_8UC1, 255 where there is no class; answers: of the same size. @throws Error::StsUnmatchedSizes, and
    /// Error::StsOutOfRange for other values that are no class
    void add(const Mat& labels, const Mat& answers);
    size_t images() const { return counts_.size(); }

    struct OfClass
    {
        int64_t labelled = 0, answered = 0, right = 0;   ///< pixels
        double iou() const;                              ///< right / (labelled + answered - right)
    };
    /// Of all images, but for those of a group of groups (groups 0: of all).
    std::vector<OfClass> classes(size_t group = 0, size_t groups = 0) const;
    /// Mean IoU of the classes that label a pixel. 0 where there is none.
    static double meanIou(const std::vector<OfClass>& classes);
    static double pixelAccuracy(const std::vector<OfClass>& classes);
    /// Standard error of one of these over the images.
    double errorOf(double (*measure)(const std::vector<OfClass>&)) const;

private:
    size_t classes_;
    std::vector<std::vector<OfClass>> counts_;   ///< of each image
};

}}}  // namespace

#endif
