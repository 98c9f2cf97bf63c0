// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_EVAL_COVERAGE_HPP
#define OPENCV_LTRP_EVAL_COVERAGE_HPP

#include "../precomp.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Ways to rank patches that need no training; what a ranker is held against.
enum class Baseline
{
    Random,             ///< a random order, a function of (seed, sample)
    Gradient,           ///< mean squared Sobel gradient of the grey image
    SpectralResidual,   ///< Hou & Zhang, CVPR 2007, as OpenCV's saliency module computes it
    FineGrained,        ///< Montabone & Soto, IVC 28 (2010), as OpenCV's saliency module computes it
    Centre              ///< the nearer to the image's centre the better, in widths and heights of the image
};

const std::vector<Baseline>& baselines();   ///< all of them, in the order above
const char* baselineName(Baseline baseline);   ///< "random", "gradient", "spectral_residual", "fine_grained", "centre"
/// False for the two of OpenCV's saliency module where the library was built without it.
bool baselineAvailable(Baseline baseline);

/// Scores of an image's patches. Gradient and the saliencies look at the image as a network would: resized (antialiased
/// cubic) to 16 pixels a patch, 224 x 224 for a grid of 14 x 14; a patch's score is the mean over its pixels.
/// image: as for Ranker::rank. @throws Error::StsNotImplemented where the baseline is not available
PatchRanking baselineRanking(InputArray image, Size grid, Baseline baseline, uint64_t seed = 0, uint32_t sample = 0);

/// Share of the mask's foreground pixels (above 127) that lie in the best patches, for each ratio of patches kept.
/// mask: CV_8UC1 of the ranked image's size with at least one foreground pixel.
std::vector<double> keptForeground(const Mat& mask, const PatchRanking& ranking, const std::vector<double>& keepRatios);

}}}  // namespace

#endif
