// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "image_metrics.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace vit {

namespace {

enum { windowSize = 11 };

Mat plane(const float* image, int channel, int side)
{
    const size_t size = static_cast<size_t>(side) * static_cast<size_t>(side);
    const Mat view(side, side, CV_32F, const_cast<float*>(image + static_cast<size_t>(channel) * size));
    Mat wide;
    view.convertTo(wide, CV_64F);   // E[x^2] - E[x]^2 cancels: doubles
    return wide;
}

/// Local means where the whole window lies inside the image.
Mat windowMean(const Mat& image)
{
    static const double sigma = 1.5;
    Mat blurred;
    cv::GaussianBlur(image, blurred, Size(windowSize, windowSize), sigma, sigma, BORDER_REFLECT_101);
    const int border = windowSize / 2;
    return blurred(Rect(border, border, image.cols - 2 * border, image.rows - 2 * border));
}

double rangeOf(const float* image, int side)
{
    const size_t count = 3 * static_cast<size_t>(side) * static_cast<size_t>(side);
    const auto ends = std::minmax_element(image, image + count);
    return static_cast<double>(*ends.second) - static_cast<double>(*ends.first);
}

}  // namespace

double structuralSimilarity(const float* anchor, const float* other, int side)
{
    LTRP_REQUIRE(side >= windowSize, Error::StsBadSize,
                 "SSIM needs images of at least 11 x 11 pixels, this model's are " << side << " x " << side);
    const double range = std::max(rangeOf(anchor, side), rangeOf(other, side));
    const double c1 = 0.01 * range * 0.01 * range, c2 = 0.03 * range * 0.03 * range;
    double total = 0;
    for (int channel = 0; channel < 3; ++channel)
    {
        const Mat a = plane(anchor, channel, side), b = plane(other, channel, side);
        const Mat meanA = windowMean(a), meanB = windowMean(b);
        const Mat meanAA = windowMean(a.mul(a)), meanBB = windowMean(b.mul(b)), meanAB = windowMean(a.mul(b));
        const Mat varA = meanAA - meanA.mul(meanA), varB = meanBB - meanB.mul(meanB), covariance = meanAB - meanA.mul(meanB);
        const Mat luminance = (2 * meanA.mul(meanB) + c1) / (meanA.mul(meanA) + meanB.mul(meanB) + c1);
        const Mat structure = (2 * covariance + c2) / (varA + varB + c2);
        total += cv::mean(luminance.mul(structure))[0];
    }
    return total / 3;
}

double peakSignalToNoise(const float* anchor, const float* other, int side)
{
    const size_t count = 3 * static_cast<size_t>(side) * static_cast<size_t>(side);
    const auto ends = std::minmax_element(other, other + count);
    const double range = std::max(0.0, static_cast<double>(*ends.second)) - std::min(0.0, static_cast<double>(*ends.first));
    double squares = 0;
    for (size_t i = 0; i < count; ++i)
    {
        const double d = static_cast<double>(anchor[i]) - static_cast<double>(other[i]);
        squares += d * d;
    }
    return 10 * std::log10(range * range / (squares / static_cast<double>(count)));
}

}}}  // namespace
