// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_AUGMENT_HPP
#define OPENCV_LTRP_TRAIN_AUGMENT_HPP

#include "../core/random.hpp"
#include "../vit/config.hpp"

namespace cv { namespace ltrp { namespace train {

struct AugmentOptions
{
    double scaleMin = 0.2, scaleMax = 1.0;           ///< share of the image's area
    double ratioMin = 3.0 / 4, ratioMax = 4.0 / 3;   ///< width / height
    double flip = 0.5;                               ///< probability of a horizontal flip
};

/// How many times smaller, 1, 2, 4 or 8, an image of this size may be decoded so that even the smallest crop that these
/// options can draw from it has `side` pixels on its shorter side. A function of nothing else: whichever crop is drawn, and
/// whether the image was kept from an earlier epoch, makes no difference.
int reductionFor(Size image, int side, const AugmentOptions& options);

/// A rectangle of random area (uniform) and aspect ratio (log-uniform) at a random place. When ten draws do not fit,
/// the largest centred rectangle whose ratio is within the bounds.
Rect randomCrop(Size image, const AugmentOptions& options, RandomStream& random);

/// What is cut out of an image (a view into it), and whether it is to be flipped.
struct Crop
{
    Mat pixels;
    Rect2d region;          ///< where it lies, in shares of the image's width and height
    bool mirrored = false;
};
Crop drawCrop(const Mat& rgb, const AugmentOptions& options, RandomStream& random);

/// A crop resized (bicubic, antialiased), mirrored where it is to be, and normalised: out [3,S,S].
void resizeCrop(const Crop& crop, const vit::InputConfig& input, float* out);
/// drawCrop() and resizeCrop() of an 8-bit RGB image.
void augment(const Mat& rgb, const vit::InputConfig& input, const AugmentOptions& options, RandomStream& random,
             float* out);

}}}  // namespace

#endif
