// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_JPEG_CHECK_HPP
#define OPENCV_LTRP_IMAGE_JPEG_CHECK_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace image {

/// What a walk through the whole of a JPEG file finds. Decoders fill what is missing with grey and return an image.
struct JpegCheck
{
    std::string damage;    ///< the picture is not complete: why; empty where it is
    std::string warning;   ///< complete, but with bytes that are no part of a picture; empty where there are none
};

/// Follows the markers and, for Huffman-coded files (baseline and progressive), the codes of each block. Pixels are not
/// computed. Arithmetic-coded and lossless files are followed from marker to marker only.
JpegCheck checkJpeg(const std::vector<uchar>& bytes);

}}}  // namespace

#endif
