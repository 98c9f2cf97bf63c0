// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "checksum.hpp"
#include "zip_archive.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace io {

// Record layouts: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.

namespace
{

constexpr uint32_t localSignature = 0x04034b50u, centralSignature = 0x02014b50u, endSignature = 0x06054b50u;
constexpr uint32_t end64Signature = 0x06064b50u, locatorSignature = 0x07064b50u;
constexpr uint64_t localBytes = 30, centralBytes = 46, endBytes = 22, end64Bytes = 56, locatorBytes = 20;
constexpr uint64_t marker32 = 0xffffffffu, marker16 = 0xffffu;   // "see the zip64 record"
constexpr unsigned encryptedFlags = 1u << 0 | 1u << 6 | 1u << 13;
constexpr unsigned sizesFollowFlag = 1u << 3;   // the local header was written before size and CRC were known

/// Replaces fields that hold the marker by those of the zip64 extra field, in the given order.
bool applyZip64(const uint8_t* extra, size_t extraBytes, std::initializer_list<uint64_t*> fields)
{
    bool wanted = false;
    for (const uint64_t* field : fields)
        wanted |= *field == marker32;
    if (!wanted)
        return true;
    for (size_t at = 0; at + 4 <= extraBytes;)
    {
        const uint64_t id = readLittleEndian(extra + at, 2);
        const size_t size = static_cast<size_t>(readLittleEndian(extra + at + 2, 2));
        at += 4;
        if (size > extraBytes - at)
            return false;
        if (id == 1)
        {
            size_t used = 0;
            for (uint64_t* field : fields)
            {
                if (*field != marker32)
                    continue;
                if (used + 8 > size)
                    return false;
                *field = readLittleEndian(extra + at + used, 8);
                used += 8;
            }
            return true;
        }
        at += size;
    }
    return false;
}

}  // namespace

ZipArchive::ZipArchive(const FileBytes& file) : file_(file)
{
    const Directory directory = findDirectory();
    readDirectory(directory);
    checkOverlaps();
    verified_.resize(entries_.size(), false);
}

ZipArchive::Directory ZipArchive::findDirectory() const
{
    const std::string& path = file_.path();
    const uint8_t* const bytes = file_.data();
    LTRP_REQUIRE(file_.size() >= endBytes, Error::StsParseError, path << ": the zip archive is truncated");
    uint64_t end = file_.size() - endBytes;
    const uint64_t lowest = end > marker16 ? end - marker16 : 0;
    while (readLittleEndian(bytes + end, 4) != endSignature ||
           end + endBytes + readLittleEndian(bytes + end + 20, 2) != file_.size())
    {
        LTRP_REQUIRE(end > lowest, Error::StsParseError,
                     path << ": the zip archive has no end record (truncated, or bytes follow it)");
        --end;
    }

    Directory directory;
    directory.count = readLittleEndian(bytes + end + 10, 2);
    directory.size = readLittleEndian(bytes + end + 12, 4);
    directory.offset = readLittleEndian(bytes + end + 16, 4);
    bool oneDisk = readLittleEndian(bytes + end + 4, 4) == 0 && readLittleEndian(bytes + end + 8, 2) == directory.count;
    uint64_t directoryEnd = end;
    if (end >= locatorBytes && readLittleEndian(bytes + end - locatorBytes, 4) == locatorSignature)
    {
        const uint64_t locator = end - locatorBytes;
        const uint64_t end64 = readLittleEndian(bytes + locator + 8, 8);
        LTRP_REQUIRE(locator >= end64Bytes && end64 <= locator - end64Bytes &&
                         readLittleEndian(bytes + end64, 4) == end64Signature &&
                         readLittleEndian(bytes + end64 + 4, 8) == locator - end64 - 12,
                     Error::StsParseError, path << ": the zip64 end record is not where it is said to be");
        const uint64_t count = readLittleEndian(bytes + end64 + 32, 8);
        const uint64_t size = readLittleEndian(bytes + end64 + 40, 8), offset = readLittleEndian(bytes + end64 + 48, 8);
        LTRP_REQUIRE((directory.count == marker16 || directory.count == count) &&
                         (directory.size == marker32 || directory.size == size) &&
                         (directory.offset == marker32 || directory.offset == offset),
                     Error::StsParseError, path << ": the two end records of the zip archive contradict each other");
        oneDisk = oneDisk && readLittleEndian(bytes + end64 + 16, 8) == 0 &&
                  readLittleEndian(bytes + end64 + 24, 8) == count;
        directory.count = count;
        directory.size = size;
        directory.offset = offset;
        directoryEnd = end64;
    }
    LTRP_REQUIRE(oneDisk, Error::StsParseError, path << ": the zip archive is one part of several");
    LTRP_REQUIRE(directory.size <= directoryEnd && directory.offset == directoryEnd - directory.size,
                 Error::StsParseError,
                 path << ": the zip directory claims to be at byte " << directory.offset << " with " << directory.size
                      << " bytes, expected to end at byte " << directoryEnd);
    LTRP_REQUIRE(directory.count <= directory.size / centralBytes, Error::StsParseError,
                 path << ": the zip directory claims " << directory.count << " entries in " << directory.size
                      << " bytes");
    return directory;
}

void ZipArchive::readDirectory(const Directory& directory)
{
    const std::string& path = file_.path();
    uint64_t at = directory.offset;
    const uint64_t end = directory.offset + directory.size;
    entries_.reserve(static_cast<size_t>(directory.count));
    for (uint64_t i = 0; i < directory.count; ++i)
    {
        const uint8_t* const record = file_.data() + at;
        LTRP_REQUIRE(end - at >= centralBytes && readLittleEndian(record, 4) == centralSignature, Error::StsParseError,
                     path << ": entry " << i << " of the zip directory is damaged");
        const uint64_t nameBytes = readLittleEndian(record + 28, 2), extraBytes = readLittleEndian(record + 30, 2);
        const uint64_t commentBytes = readLittleEndian(record + 32, 2);
        LTRP_REQUIRE(end - at - centralBytes >= nameBytes + extraBytes + commentBytes, Error::StsParseError,
                     path << ": entry " << i << " of the zip directory is cut off");

        ZipEntry entry;
        entry.name.assign(reinterpret_cast<const char*>(record + centralBytes), static_cast<size_t>(nameBytes));
        const std::string what = path + ": zip entry " + printable(entry.name);
        const uint64_t flags = readLittleEndian(record + 8, 2), method = readLittleEndian(record + 10, 2);
        LTRP_REQUIRE((flags & encryptedFlags) == 0, Error::StsUnsupportedFormat, what << " is encrypted");
        LTRP_REQUIRE(method == 0, Error::StsUnsupportedFormat,
                     what << " is compressed (method " << method << "); torch.save stores entries as they are");
        entry.crc = static_cast<uint32_t>(readLittleEndian(record + 16, 4));
        uint64_t packedSize = readLittleEndian(record + 20, 4);
        entry.size = readLittleEndian(record + 24, 4);
        entry.headerOffset = readLittleEndian(record + 42, 4);
        LTRP_REQUIRE(applyZip64(record + centralBytes + nameBytes, static_cast<size_t>(extraBytes),
                                {&entry.size, &packedSize, &entry.headerOffset}),
                     Error::StsParseError, what << " has no valid zip64 field for its sizes");
        LTRP_REQUIRE(packedSize == entry.size, Error::StsParseError,
                     what << " has two sizes, " << entry.size << " and " << packedSize << " bytes");
        checkLocalHeader(entry, directory.offset);
        LTRP_REQUIRE(index_.emplace(entry.name, entries_.size()).second, Error::StsParseError,
                     what << " is there twice");
        entries_.push_back(std::move(entry));
        at += centralBytes + nameBytes + extraBytes + commentBytes;
    }
    LTRP_REQUIRE(at == end, Error::StsParseError,
                 path << ": " << (end - at) << " bytes follow the last entry of the zip directory");
}

void ZipArchive::checkLocalHeader(ZipEntry& entry, uint64_t directoryOffset) const
{
    const std::string what = file_.path() + ": zip entry " + printable(entry.name);
    const bool inside = directoryOffset >= localBytes && entry.headerOffset <= directoryOffset - localBytes;
    const uint8_t* const record = file_.data() + (inside ? entry.headerOffset : 0);
    LTRP_REQUIRE(inside && readLittleEndian(record, 4) == localSignature, Error::StsParseError,
                 what << " is not at byte " << entry.headerOffset << " as the directory says");
    const uint64_t room = directoryOffset - entry.headerOffset - localBytes;
    const uint64_t nameBytes = readLittleEndian(record + 26, 2), extraBytes = readLittleEndian(record + 28, 2);
    LTRP_REQUIRE(nameBytes + extraBytes <= room, Error::StsParseError, what << " has a local header that is cut off");
    LTRP_REQUIRE(nameBytes == entry.name.size() &&
                     std::memcmp(record + localBytes, entry.name.data(), entry.name.size()) == 0,
                 Error::StsParseError, what << " has another name in its local header");
    LTRP_REQUIRE(entry.size <= room - nameBytes - extraBytes, Error::StsParseError,
                 what << " claims " << entry.size << " bytes, more than lie before the directory");

    const uint64_t flags = readLittleEndian(record + 6, 2), method = readLittleEndian(record + 8, 2);
    LTRP_REQUIRE((flags & encryptedFlags) == 0 && method == 0, Error::StsUnsupportedFormat,
                 what << " is compressed or encrypted according to its local header");
    if ((flags & sizesFollowFlag) == 0)
    {
        uint64_t packedSize = readLittleEndian(record + 18, 4), size = readLittleEndian(record + 22, 4);
        const uint8_t* const extra = record + localBytes + nameBytes;
        const bool agrees = applyZip64(extra, static_cast<size_t>(extraBytes), {&size, &packedSize}) &&
                            size == entry.size && packedSize == entry.size &&
                            readLittleEndian(record + 14, 4) == entry.crc;
        LTRP_REQUIRE(agrees, Error::StsParseError, what << " has another size or CRC-32 in its local header");
    }
    entry.offset = entry.headerOffset + localBytes + nameBytes + extraBytes;
}

void ZipArchive::checkOverlaps() const
{
    std::vector<const ZipEntry*> order;
    for (const ZipEntry& entry : entries_)
        order.push_back(&entry);
    std::sort(order.begin(), order.end(),
              [](const ZipEntry* a, const ZipEntry* b) { return a->headerOffset < b->headerOffset; });
    for (size_t i = 1; i < order.size(); ++i)
        LTRP_REQUIRE(order[i - 1]->offset + order[i - 1]->size <= order[i]->headerOffset, Error::StsParseError,
                     file_.path() << ": zip entries " << printable(order[i - 1]->name) << " and "
                                  << printable(order[i]->name) << " overlap");
}

const ZipEntry* ZipArchive::find(const std::string& name) const
{
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &entries_[found->second];
}

const uint8_t* ZipArchive::data(const ZipEntry& entry)
{
    const uint8_t* const bytes = file_.data() + entry.offset;
    const size_t i = static_cast<size_t>(&entry - entries_.data());
    if (!verified_[i])
    {
        Crc32 found;
        found.add(bytes, static_cast<size_t>(entry.size));
        LTRP_REQUIRE(found.value() == entry.crc, Error::StsParseError,
                     file_.path() << ": zip entry " << printable(entry.name) << " is damaged: its CRC-32 is "
                                  << std::hex << found.value() << ", expected " << entry.crc);
        verified_[i] = true;
    }
    return bytes;
}

}}}  // namespace
