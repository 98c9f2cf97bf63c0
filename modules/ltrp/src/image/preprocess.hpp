// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PREPROCESS_HPP
#define OPENCV_LTRP_IMAGE_PREPROCESS_HPP

#include "../core/config.hpp"

namespace cv { namespace ltrp { namespace image {

/// Two-pass antialiased cubic resize (a = -0.5, support widened by the scale, horizontal then vertical pass,
/// rounded and clamped to 8 bit after each), as PIL's BICUBIC does it. src: CV_8UC1/3/4, any step.
void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size);

/// The same for a sub-rectangle with fractional borders of the source (random resized crop), `box` in source pixels.
void resizeAntialiasedCubic(const Mat& src, Mat& dst, Size size, const Rect2d& box);

/// An image with alpha (BGRA, not premultiplied; 8U, 16U, or 32F / 64F in [0, 1]) composited on white, at its own
/// depth. @throws Error::StsBadArg if every pixel is transparent
void flattenAlpha(const Mat& bgra, Mat& bgr);

/// Any image to 8-bit RGB: 1, 3 (BGR) or 4 (BGRA, composited on white: flattenAlpha) channels; CV_8U unchanged, CV_16U
/// / 257, CV_32F and CV_64F in [0, 1] * 255 (an overshoot of up to 1/8 is clamped). @throws Error::StsBadArg for empty
/// images, other types, and NaN or infinite values (the message names what was found); Error::StsOutOfRange, with the
/// range found, for values further outside.
void toRgb8(InputArray image, Mat& rgb);

/// Evaluation crop of the paper: shorter side to 256/224 of the input size (for input sizes <= 224, else to the input size),
/// then the centre crop. rgb: CV_8UC3. out: CV_8UC3 imageSize x imageSize.
void centreCrop(const Mat& rgb, int imageSize, Mat& out);

/// 8-bit RGB of the input size -> planar float [3,S,S]: (value/255 - mean)/std.
void normalise(const Mat& rgb, const vit::InputConfig& input, float* out);

}}}  // namespace

#endif
