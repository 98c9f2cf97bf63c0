// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "augment.hpp"
#include "../image/preprocess.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace train {

int reductionFor(Size image, int side, const AugmentOptions& options)
{
    const double area = static_cast<double>(image.width) * image.height, narrow = std::min(image.width, image.height);
    // A drawn crop of least area and most extreme ratio; and the centred crop used if no drawn one fits.
    const double drawn = std::sqrt(options.scaleMin * area * std::min(options.ratioMin, 1 / options.ratioMax));
    const double centred = narrow * std::min(1.0, std::min(1 / options.ratioMin, options.ratioMax));
    const double shortest = std::min(drawn, centred);
    int reduction = 8;
    while (reduction > 1 && shortest < static_cast<double>(side) * reduction)
        reduction /= 2;
    return reduction;
}

Rect randomCrop(Size image, const AugmentOptions& options, RandomStream& random)
{
    const double area = static_cast<double>(image.width) * image.height;
    for (int attempt = 0; attempt < 10; attempt++)
    {
        const double wanted = area * random.uniform(options.scaleMin, options.scaleMax);
        const double ratio = std::exp(random.uniform(std::log(options.ratioMin), std::log(options.ratioMax)));
        const double width = std::round(std::sqrt(wanted * ratio)), height = std::round(std::sqrt(wanted / ratio));
        if (width >= 1 && height >= 1 && width <= image.width && height <= image.height)
        {
            const int w = static_cast<int>(width), h = static_cast<int>(height);
            const int y = random.below(image.height - h + 1), x = random.below(image.width - w + 1);
            return Rect(x, y, w, h);
        }
    }
    const double ratio = static_cast<double>(image.width) / image.height;
    Size size = image;
    if (ratio < options.ratioMin)
        size.height = static_cast<int>(std::lround(image.width / options.ratioMin));
    else if (ratio > options.ratioMax)
        size.width = static_cast<int>(std::lround(image.height * options.ratioMax));
    size.width = std::min(std::max(size.width, 1), image.width);
    size.height = std::min(std::max(size.height, 1), image.height);
    return Rect((image.width - size.width) / 2, (image.height - size.height) / 2, size.width, size.height);
}

Crop drawCrop(const Mat& rgb, const AugmentOptions& options, RandomStream& random)
{
    Crop crop;
    // The crop is cut out before it is resized, so that the filter does not use pixels beyond its borders.
    const Rect rect = randomCrop(rgb.size(), options, random);
    crop.pixels = rgb(rect);
    const double width = rgb.cols, height = rgb.rows;
    crop.region = Rect2d(rect.x / width, rect.y / height, rect.width / width, rect.height / height);
    crop.mirrored = random.uniform() < options.flip;
    return crop;
}

void augment(const Mat& rgb, const vit::InputConfig& input, const AugmentOptions& options, RandomStream& random,
             float* out)
{
    resizeCrop(drawCrop(rgb, options, random), input, out);
}

void resizeCrop(const Crop& crop, const vit::InputConfig& input, float* out)
{
    Mat resized;
    image::resizeAntialiasedCubic(crop.pixels, resized, Size(input.imageSize, input.imageSize));
    if (crop.mirrored)
        flip(resized, resized, 1);
    image::normalise(resized, input, out);
}

}}}  // namespace
