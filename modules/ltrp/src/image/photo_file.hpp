// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PHOTO_FILE_HPP
#define OPENCV_LTRP_IMAGE_PHOTO_FILE_HPP

#include "../precomp.hpp"

#include <functional>
#include <stdexcept>

namespace cv { namespace ltrp { namespace image {

/// Why a file gives no image; the text does not name the file.
class PhotoError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// How many times smaller (1, 2, 4 or 8) an image of that size is wanted at most.
typedef std::function<int(Size)> Reduction;

struct PhotoOptions
{
    Reduction reduction;    ///< JPEG files are decoded at the size that it asks for; null: in full
    bool asStored = false;  ///< grey stays grey, alpha is kept, and EXIF is not looked at
    bool checked = false;   ///< the file has been found complete before: JPEG data are not followed once more
};

/// Images with more pixels are refused before they are decoded; 10^8 unless set. For the whole process.
void setMaxPixels(int64_t pixels);
int64_t maxPixels();

/// The whole of a regular file of at most 1 GiB. @throws PhotoError
std::vector<uchar> readPhotoBytes(const std::string& path);

/// Decodes an image at its own depth, as BGR (rarely grey), turned as its EXIF says, transparent pixels on white. What is
/// damaged, cut short, too large or not known to this OpenCV is refused. `warning`: what is odd about an image that can be
/// used, or empty. @throws PhotoError
Mat decodePhoto(const std::vector<uchar>& bytes, const PhotoOptions& options, std::string& warning);

/// Both. @throws PhotoError
Mat readPhotoFile(const std::string& path, const PhotoOptions& options, std::string& warning);

/// Whether the name ends as that of an image (any case), of one that this OpenCV cannot decode too: it is then said.
bool hasImageExtension(const std::string& path);

}}}  // namespace

#endif
