// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PHOTO_HEADER_HPP
#define OPENCV_LTRP_IMAGE_PHOTO_HEADER_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace image {

enum class PhotoFormat { Unknown, Jpeg, Png, Gif, Bmp, WebP, Tiff, Avif, Heic, JpegXl, Jpeg2000, Exr, Hdr, Pnm, Sun };

/// Information from the header of an image file, read before decoding.
struct PhotoHeader
{
    PhotoFormat format = PhotoFormat::Unknown;
    int64_t width = 0, height = 0;   ///< stored pixels; 0 if the header does not state them
    bool alpha = false;              ///< stored with transparency (PNG, WebP, TIFF)
    bool animated = false;           ///< WebP
    int orientation = 1;             ///< EXIF orientation, 1 to 8, of PNG and WebP
};

/// Reads a header; returns Unknown if it is not an image.
PhotoHeader readPhotoHeader(const std::vector<uchar>& bytes);

const char* photoFormatName(PhotoFormat format);

/// Whether the pixel data of a BMP end before the image is complete.
bool bmpIsTruncated(const std::vector<uchar>& bytes);

}}}  // namespace

#endif
