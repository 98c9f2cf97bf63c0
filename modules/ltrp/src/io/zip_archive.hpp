// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ZIP_ARCHIVE_HPP
#define OPENCV_LTRP_IO_ZIP_ARCHIVE_HPP

#include "file_bytes.hpp"
#include <unordered_map>

namespace cv { namespace ltrp { namespace io {

struct ZipEntry
{
    std::string name;
    uint64_t headerOffset = 0;   ///< local header, from the file's start
    uint64_t offset = 0;         ///< data, from the file's start
    uint64_t size = 0;
    uint32_t crc = 0;
};

/// A zip or zip64 archive of uncompressed entries, as torch.save writes it. The constructor checks that the directory,
/// the local headers and the extents agree and that entries do not overlap.
class ZipArchive
{
public:
    explicit ZipArchive(const FileBytes& file);

    const std::vector<ZipEntry>& entries() const { return entries_; }
    const ZipEntry* find(const std::string& name) const;   ///< null when absent
    /// Returns the entry's bytes in the file; the first call checks their CRC-32.
    const uint8_t* data(const ZipEntry& entry);

private:
    struct Directory
    {
        uint64_t offset, size, count;
    };
    Directory findDirectory() const;
    void readDirectory(const Directory& directory);
    void checkLocalHeader(ZipEntry& entry, uint64_t directoryOffset) const;
    void checkOverlaps() const;

    const FileBytes& file_;
    std::vector<ZipEntry> entries_;
    std::vector<bool> verified_;
    std::unordered_map<std::string, size_t> index_;
};

}}}  // namespace

#endif
