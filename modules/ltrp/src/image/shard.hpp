// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IMAGE_SHARD_HPP
#define OPENCV_LTRP_IMAGE_SHARD_HPP

#include "photo_file.hpp"

namespace cv { namespace ltrp { namespace image {

/// A photo in a shard.
struct ShardMember
{
    std::string name;     ///< without "./"; a label: no file of this name is opened or written
    int64_t offset = 0;   ///< of its bytes in the shard
    int64_t bytes = 0;
};

/// The photos of a tar archive in the convention of WebDataset.
struct ShardIndex
{
    FileState state;                    ///< of the shard when it was read
    std::vector<ShardMember> photos;    ///< in the order of the archive
    std::vector<Skipped> skipped;       ///< photos and pieces that cannot be used; place: their name or position
};

/// Whether a name is that of a shard: .tar in any case, or of a compressed one, which readShard() refuses.
bool isShardName(const std::string& path);

/// Reads the headers of a shard with libarchive and checks them: ustar, pax and GNU, also several archives one after
/// the other. Members that are no photos by their name, and those whose name begins with a dot, are left out; so is
/// "key.seg.png" where there is a "key.jpg", even one that is skipped. In `skipped`: links and devices, sparse, empty and
/// oversized members, a name that occurs twice, damaged headers (what follows them is found again) and a truncated end.
/// @throws PhotoError for a file that cannot be read, is no tar archive or is compressed, and in builds without libarchive
ShardIndex readShard(const std::string& path);

}}}  // namespace

#endif
