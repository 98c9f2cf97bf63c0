// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PHOTO_LIST_HPP
#define OPENCV_LTRP_IMAGE_PHOTO_LIST_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace image {

struct PhotoEntry
{
    std::string name, path;   ///< relative to the folder or list that names it; as it is opened
};

struct PhotoList
{
    std::vector<PhotoEntry> photos;
    std::vector<std::string> left;    ///< "FOLDER: why it was left out"
    std::vector<std::string> lists;   ///< list files that were read
};

/// All images below a folder, by extension, sorted by relative name. What begins with a dot is left out, and so is the
/// folder `skip`, and overlays that `ltrp` wrote. Linked folders are entered once each; a link back to a folder that holds
/// it, and a folder that cannot be read, are named in `left`. @throws cv::Exception naming a folder that itself cannot be read
void addFolder(const std::string& folder, const std::string& skip, PhotoList& list);

/// The images of a list: one path a line, relative to `folder`; quotes around it are taken away, a word after it ("path
/// label") too where no file has the whole line's name; a folder stands for its images. Lines that begin with # and empty
/// ones are passed over, a byte order mark and the line ends of any system too. `where` names the list in messages.
/// @throws cv::Exception where it is no text or none of its first lines names a file
void addLines(const std::string& text, const std::string& where, const std::string& folder, PhotoList& list);

/// One argument of a command: an image (by extension or by its first bytes), a folder, or a list file.
/// @throws cv::Exception naming an argument that does not exist or holds no image
void addArgument(const std::string& argument, const std::string& skip, PhotoList& list);

/// What `ltrp` writes into the JPEG overlays that it makes, so that they are not taken for photos.
extern const char* const overlayMark;
/// A JPEG with overlayMark as its comment.
std::vector<uchar> markOverlay(const std::vector<uchar>& jpeg);

}}}  // namespace

#endif
