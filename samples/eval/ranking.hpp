// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_RANKING_HPP
#define LTRP_EVAL_RANKING_HPP

#include "../../modules/ltrp/src/precomp.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Average precision of classes over images that may have several.
class Ranking
{
public:
    explicit Ranking(size_t classes) : classes_(classes) {}

    /// scores [classes]: larger is more likely. labels: numbers of the image's classes. @throws Error::StsOutOfRange for others
    void add(const float* scores, const std::vector<int>& labels);
    size_t images() const { return labels_.size(); }

    struct OfClass
    {
        int images = 0;         ///< that it labels
        double precision = 0;   ///< average precision
    };
    /// Of all images, but for those of a group of groups (groups 0: of all). The average precision of a class is the mean, over the
    /// images that it labels, of the share of its images among those with at least their score.
    std::vector<OfClass> classes(size_t group = 0, size_t groups = 0) const;
    /// Mean average precision of the classes that label an image; 0 where there is none.
    double meanPrecision(size_t group = 0, size_t groups = 0) const;
    /// Its standard error over the images: jackknifeError().
    double error() const;

private:
    const size_t classes_;
    std::vector<std::vector<float>> scores_;   ///< of each image
    std::vector<std::vector<bool>> labels_;
};

}}}  // namespace

#endif
