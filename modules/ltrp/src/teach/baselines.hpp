// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_BASELINES_HPP
#define OPENCV_LTRP_TEACH_BASELINES_HPP

#include "../precomp.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Rankings without training, to compare a ranker with.
enum class Baseline
{
    Random,             ///< a random order, a function of (seed, sample)
    Uniform,            ///< an order whose first patches are spread evenly over the image, by ordered dithering
    Centre,             ///< nearness to the image's centre, in widths and heights of the image
    Gradient,           ///< mean squared Sobel gradient of the grey image
    GradientSmooth,     ///< the same, smoothed over neighbouring patches
    Barrier,            ///< minimum barrier distance of the CIELab channels to the image's border: Zhang et al., ICCV 2015
    BarrierSmooth,      ///< the same, smoothed over neighbouring patches
    FineGrained,        ///< Montabone & Soto, IVC 28 (2010), as OpenCV's saliency module computes it
    Spectral,           ///< Hou & Zhang, CVPR 2007, as OpenCV's saliency module computes it
    SpectralSmooth,     ///< the same, smoothed over neighbouring patches
    SpectralCentre3,    ///< rank in SpectralSmooth + 0.3 x rank in Centre
    SpectralCentre6     ///< rank in SpectralSmooth + 0.6 x rank in Centre
};

const std::vector<Baseline>& baselines();      ///< all of them, in the order above
const char* baselineName(Baseline baseline);   ///< "random", "spectral_residual", "spectral_centre_0.3", ...
/// False for baselines of OpenCV's saliency module in builds without it.
bool baselineAvailable(Baseline baseline);

/// Baselines of one image. For gradient and saliencies the image is resized (antialiased cubic) to 16 pixels per patch,
/// 224 x 224 for a grid of 14 x 14, and for the barrier distance to 8; a patch's score is the mean over its pixels.
/// Smoothed ones are filtered by a Gaussian with a standard deviation of 0.7 patches. Intermediate results are computed
/// once.
class BaselineRanker
{
public:
    /// image: as for Ranker::rank; not copied, must not change. grid: 1 to 1024 columns and rows.
    BaselineRanker(InputArray image, Size grid);
    /// @param seed, sample, epoch determine the order of Baseline::Random
    /// @throws Error::StsNotImplemented if the baseline is not available
    PatchRanking rank(Baseline baseline, uint64_t seed = 0, uint32_t sample = 0, uint32_t epoch = 0);

private:
    Mat scores(Baseline baseline, uint64_t seed, uint32_t sample, uint32_t epoch);
    const Mat& pixels();
    const Mat& gradient();
    const Mat& barrier();
    const Mat& spectral();

    Mat image_;
    Size grid_;
    Mat pixels_;                          ///< CV_8UC3 RGB, 16 pixels per patch
    Mat gradient_, barrier_, spectral_;   ///< scores of the patches
};

}}}  // namespace

#endif
