// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_JPEG_CHECK_HPP
#define OPENCV_LTRP_IMAGE_JPEG_CHECK_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace image {

/// Result of checking a whole JPEG file. Decoders fill missing parts with grey and still return an image.
struct JpegCheck
{
    std::string damage;    ///< why the picture is incomplete; empty if it is complete
    std::string warning;   ///< bytes that do not belong to the picture; empty if there are none
};

/// Parses the markers and, for Huffman-coded files (baseline and progressive), the codes of each block, without
/// computing pixels. For arithmetic-coded and lossless files it parses only the markers.
JpegCheck checkJpeg(const std::vector<uchar>& bytes);

}}}  // namespace

#endif
