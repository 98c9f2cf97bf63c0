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
    std::string name;     ///< without "./"; used as a label only: never opened or written
    int64_t offset = 0;   ///< position of its bytes in the shard
    int64_t bytes = 0;
};

/// The photos of a tar archive that follows WebDataset's convention.
struct ShardIndex
{
    FileState state;                    ///< of the shard when it was read
    std::vector<ShardMember> photos;    ///< in archive order
    std::vector<Skipped> skipped;       ///< photos and sections that cannot be used; place: name or position
};

/// Whether a name is that of a shard: .tar in any case, or a compressed one, which readShard() rejects.
bool isShardName(const std::string& path);

/// Reads the headers of a shard with libarchive and checks them: ustar, pax and GNU, also several concatenated
/// archives. Members without an image extension and those whose name begins with a dot are ignored; so is "key.seg.png"
/// if there is a "key.jpg", even a skipped one. In `skipped`: links and devices, sparse, empty and oversized members,
/// repeated names, damaged headers (reading resumes after them) and a truncated end. @throws PhotoError for a file that
/// cannot be read, is no tar archive or is compressed, and in builds without libarchive
ShardIndex readShard(const std::string& path);

}}}  // namespace

#endif
