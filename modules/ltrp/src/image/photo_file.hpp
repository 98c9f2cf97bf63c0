// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PHOTO_FILE_HPP
#define OPENCV_LTRP_IMAGE_PHOTO_FILE_HPP

#include "../precomp.hpp"
#include "../io/descriptor.hpp"

#include <functional>
#include <stdexcept>

namespace cv { namespace ltrp { namespace image {

/// Reason why a file cannot be read as an image, without the file's name.
class PhotoError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// Largest factor (1, 2, 4 or 8) by which an image of that size may be reduced.
typedef std::function<int(Size)> Reduction;

struct PhotoOptions
{
    Reduction reduction;    ///< reduces JPEG files when they are decoded; null: full size
    bool asStored = false;  ///< keeps grey and alpha, ignores EXIF
    bool checked = false;   ///< the file has been checked before: JPEG data are not checked again
};

/// Sets the maximum number of pixels, checked before decoding; default 10^8. Applies to the whole process.
void setMaxPixels(int64_t pixels);
int64_t maxPixels();

/// Larger files are not photographs and would only use memory.
const int64_t maxPhotoBytes = int64_t(1) << 30;

/// Size and time used to detect that a file has changed.
struct FileState
{
    int64_t bytes = 0, modified = 0;   ///< modified: nanoseconds
    bool operator==(const FileState& other) const { return bytes == other.bytes && modified == other.modified; }
};

/// A regular file, open for reading.
class RegularFile
{
public:
    /// @throws PhotoError
    explicit RegularFile(const std::string& path);

    int descriptor() const { return file_.fd; }
    FileState state() const { return state_; }
    /// @throws PhotoError if the file is too short
    void read(uchar* to, size_t bytes, int64_t offset) const;

private:
    const io::Descriptor file_;
    FileState state_;
};

/// An item that was skipped, and the reason.
struct Skipped
{
    std::string place, reason;
};

/// Reads a regular file of at most 1 GiB. @throws PhotoError
std::vector<uchar> readPhotoBytes(const std::string& path);
/// Reads a part of a file. @throws PhotoError, also if the file has changed since `state`
std::vector<uchar> readPhotoBytes(const std::string& path, const FileState& state, int64_t offset, int64_t bytes);

/// Decodes an image at its own depth, as BGR (rarely grey), rotated according to EXIF, transparent pixels on white.
/// Rejects damaged, truncated, too large and unknown files. `warning`: an irregularity of a usable image, or empty.
/// @throws PhotoError
Mat decodePhoto(const std::vector<uchar>& bytes, const PhotoOptions& options, std::string& warning);

/// Reads and decodes a file. @throws PhotoError
Mat readPhotoFile(const std::string& path, const PhotoOptions& options, std::string& warning);

/// Whether the name has the extension of an image format (in any case), even if this OpenCV cannot decode it.
bool hasImageExtension(const std::string& path);

}}}  // namespace

#endif
