// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_IMAGE_METRICS_HPP
#define OPENCV_LTRP_VIT_IMAGE_METRICS_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace vit {

/// A planar image [3, side, side] to compare others of the same size with. Values of this image are cached. Keeps the
/// pointer. One thread at a time.
class AnchorImage
{
public:
    AnchorImage(const float* anchor, int side) : anchor_(anchor), side_(side) {}

    /// Structural similarity (Wang et al., 2004): Gaussian 11 x 11, sigma 1.5, k1 0.01, k2 0.03; range = the larger of
    /// the two images' ranges; mean over the positions where the window is inside the image.
    double structuralSimilarity(const float* other);
    /// 10 log10(range^2 / mse) over all values; range = max(0, largest of other) - min(0, smallest of other).
    double peakSignalToNoise(const float* other) const;

private:
    struct Channel
    {
        Mat values, mean, meanSquared, variance;
    };

    const float* anchor_;
    int side_;
    double range_ = 0;
    std::vector<Channel> channels_;
};

}}}  // namespace

#endif
