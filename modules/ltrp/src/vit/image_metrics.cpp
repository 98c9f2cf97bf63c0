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
    view.convertTo(wide, CV_64F);   // double precision: E[x^2] - E[x]^2 cancels
    return wide;
}

/// Local means at positions where the whole window is inside the image.
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

double AnchorImage::structuralSimilarity(const float* other)
{
    LTRP_REQUIRE(side_ >= windowSize, Error::StsBadSize,
                 "SSIM needs images of at least 11 x 11 pixels, this model's are " << side_ << " x " << side_);
    if (channels_.empty())
    {
        range_ = rangeOf(anchor_, side_);
        for (int channel = 0; channel < 3; ++channel)
        {
            Channel a;
            a.values = plane(anchor_, channel, side_);
            a.mean = windowMean(a.values);
            a.meanSquared = a.mean.mul(a.mean);
            a.variance = windowMean(a.values.mul(a.values)) - a.meanSquared;
            channels_.push_back(a);
        }
    }
    const double range = std::max(range_, rangeOf(other, side_));
    const double c1 = 0.01 * range * 0.01 * range, c2 = 0.03 * range * 0.03 * range;
    double total = 0;
    for (int channel = 0; channel < 3; ++channel)
    {
        const Channel& a = channels_[static_cast<size_t>(channel)];
        const Mat b = plane(other, channel, side_), meanB = windowMean(b), meanSquaredB = meanB.mul(meanB);
        const Mat varB = windowMean(b.mul(b)) - meanSquaredB, meanProduct = a.mean.mul(meanB);
        const Mat covariance = windowMean(a.values.mul(b)) - meanProduct;
        const Mat luminance = (2 * meanProduct + c1) / (a.meanSquared + meanSquaredB + c1);
        const Mat structure = (2 * covariance + c2) / (a.variance + varB + c2);
        total += cv::mean(luminance.mul(structure))[0];
    }
    return total / 3;
}

double AnchorImage::peakSignalToNoise(const float* other) const
{
    const size_t count = 3 * static_cast<size_t>(side_) * static_cast<size_t>(side_);
    const auto ends = std::minmax_element(other, other + count);
    const double range = std::max(0.0, static_cast<double>(*ends.second)) - std::min(0.0, static_cast<double>(*ends.first));
    double squares = 0;
    for (size_t i = 0; i < count; ++i)
    {
        const double d = static_cast<double>(anchor_[i]) - static_cast<double>(other[i]);
        squares += d * d;
    }
    return 10 * std::log10(range * range / (squares / static_cast<double>(count)));
}

}}}  // namespace
