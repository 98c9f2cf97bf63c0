// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_AUGMENT_HPP
#define OPENCV_LTRP_TRAIN_AUGMENT_HPP

#include "../core/random.hpp"
#include "../core/config.hpp"

namespace cv { namespace ltrp { namespace train {

struct AugmentOptions
{
    double scaleMin = 0.2, scaleMax = 1.0;           ///< share of the image's area
    double ratioMin = 3.0 / 4, ratioMax = 4.0 / 3;   ///< width / height
    double flip = 0.5;                               ///< probability of a horizontal flip
};

/// Largest factor, 1, 2, 4 or 8, by which an image of this size may be reduced when it is decoded, so that the smallest
/// crop of these options has at least `side` pixels on its shorter side. It does not depend on the crop that is drawn.
int reductionFor(Size image, int side, const AugmentOptions& options);

/// Draws a rectangle of random area (uniform), aspect ratio (log-uniform) and position. If ten draws do not fit: the
/// largest centred rectangle with a ratio within the bounds.
Rect randomCrop(Size image, const AugmentOptions& options, RandomStream& random);

/// A crop of an image (a view) and whether it is to be mirrored.
struct Crop
{
    Mat pixels;
    Rect2d region;          ///< position and size as shares of the image's width and height
    bool mirrored = false;
};
Crop drawCrop(const Mat& rgb, const AugmentOptions& options, RandomStream& random);

/// Resizes (bicubic, antialiased), mirrors if requested, and normalises a crop: out [3,S,S].
void resizeCrop(const Crop& crop, const vit::InputConfig& input, float* out);
/// drawCrop() and resizeCrop() of an 8-bit RGB image.
void augment(const Mat& rgb, const vit::InputConfig& input, const AugmentOptions& options, RandomStream& random,
             float* out);

}}}  // namespace

#endif
