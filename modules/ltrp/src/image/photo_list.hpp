// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_PHOTO_LIST_HPP
#define OPENCV_LTRP_IMAGE_PHOTO_LIST_HPP

#include "shard.hpp"

namespace cv { namespace ltrp { namespace image {

/// Where a photo's bytes are.
struct PhotoPlace
{
    int shard = -1;                  ///< number of the shard that contains it; -1: a separate file
    int64_t offset = 0, bytes = 0;   ///< in the shard
};

struct PhotoEntry
{
    /// name: relative to the folder, list or shard; path: to open the file, or SHARD/name for messages (io::harmless())
    std::string name, path;
    PhotoPlace place = {};
};

struct ShardFile
{
    std::string path;
    FileState state;   ///< when it was listed
};

struct PhotoList
{
    std::vector<PhotoEntry> photos;
    std::vector<std::string> left;    ///< "FOLDER: reason why it was omitted"
    std::vector<std::string> lists;   ///< list files and shards that were read
    bool takesShards = false;         ///< whether a shard adds its photos; otherwise shards in folders are ignored
    std::vector<ShardFile> shards;
    std::vector<Skipped> skipped;     ///< in shards; place: SHARD, or SHARD/member
};

/// Reads a listed photo. path: PhotoEntry::path. @throws PhotoError
std::vector<uchar> readPhotoBytes(const std::string& path, const PhotoPlace& place, const std::vector<ShardFile>& shards);

/// All images below a folder, by extension, sorted by relative name. Omitted: names that begin with a dot, the folder
/// `skip`, and overlays written by `ltrp`. Linked folders are entered once each. Links to a parent folder, and folders
/// that cannot be read, are listed in `left`. @throws cv::Exception if the folder itself cannot be read
void addFolder(const std::string& folder, const std::string& skip, PhotoList& list);

/// The images of a list: one path per line, relative to `folder`. Quotes are removed, and so is a word after the path
/// ("path label") unless a file has the whole line as its name; a folder adds its images. Empty lines, lines that begin
/// with #, a byte order mark and line ends of any system are ignored. `where` names the list in messages. @throws
/// cv::Exception if it is not text or none of its first lines names a file
void addLines(const std::string& text, const std::string& where, const std::string& folder, PhotoList& list);

/// One argument of a command: an image (by extension or by its first bytes), a folder, a shard, or a list file.
/// @throws cv::Exception naming an argument that does not exist or holds no image
void addArgument(const std::string& argument, const std::string& skip, PhotoList& list);

/// Comment in the JPEG overlays of `ltrp`, which prevents them from being treated as photos.
extern const char* const overlayMark;
/// A JPEG with overlayMark as its comment.
std::vector<uchar> markOverlay(const std::vector<uchar>& jpeg);

}}}  // namespace

#endif
