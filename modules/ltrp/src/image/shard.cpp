// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "shard.hpp"

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#ifdef HAVE_LTRP_ARCHIVE
#include <archive.h>
#include <archive_entry.h>
#endif

namespace cv { namespace ltrp { namespace image {

namespace fs = std::filesystem;

namespace {

std::string lowered(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    return text;
}

}  // namespace

bool isShardName(const std::string& path)
{
    const fs::path name = fs::path(lowered(fs::path(path).filename().string()));
    const std::string extension = name.extension().string();
    if (extension == ".tar" || extension == ".tgz")
        return true;
    for (const char* compressed : {".gz", ".bz2", ".xz", ".zst", ".lz4"})
        if (extension == compressed)
            return name.stem().extension() == ".tar";
    return false;
}

#ifndef HAVE_LTRP_ARCHIVE

ShardIndex readShard(const std::string&)
{
    throw PhotoError("this build reads no shards: install libarchive-dev and build again, or unpack it (tar -xf)");
}

#else

namespace {

const int64_t block = 512;             ///< of a tar archive
const size_t longestName = 4096;
/// Block size of libarchive's reads. Members' data are skipped, so larger reads would be wasted.
const size_t readAtOnce = 4096;

struct CloseArchive
{
    void operator()(archive* reader) const { archive_read_free(reader); }
};

std::string text(archive* reader)
{
    const char* const said = archive_error_string(reader);
    return said ? said : "unknown error";
}

/// Name of the compression identified by the first bytes, or null.
const char* compression(const RegularFile& file)
{
    uchar start[6] = {};
    file.read(start, std::min<size_t>(sizeof start, static_cast<size_t>(file.state().bytes)), 0);
    const auto begins = [&](std::initializer_list<int> bytes)
    { return std::equal(bytes.begin(), bytes.end(), start, [](int a, uchar b) { return a == b; }); };
    return begins({0x1f, 0x8b})               ? "gzip"
         : begins({'B', 'Z', 'h'})            ? "bzip2"
         : begins({0xfd, '7', 'z', 'X', 'Z'}) ? "xz"
         : begins({0x28, 0xb5, 0x2f, 0xfd})   ? "zstd"
         : begins({0x04, 0x22, 0x4d, 0x18})   ? "lz4"
                                              : nullptr;
}

int64_t padded(int64_t bytes)
{
    return (bytes + block - 1) / block * block;
}

/// A name in WebDataset's convention: "folder/key.extension"; the key contains no dot.
struct Name
{
    explicit Name(const std::string& whole)
    {
        const size_t begin = whole.rfind('/') == std::string::npos ? 0 : whole.rfind('/') + 1;
        const size_t point = whole.find('.', begin);
        hidden = begin < whole.size() && whole[begin] == '.';
        key = whole.substr(0, point);
        plain = point == whole.rfind('.');
    }

    std::string key;
    bool hidden;   ///< begins with a dot
    bool plain;    ///< the extension has one part
};

class ShardReader
{
public:
    explicit ShardReader(const std::string& path) : file_(path), reader_(archive_read_new())
    {
        index_.state = file_.state();
        if (const char* how = compression(file_))
            throw PhotoError(std::string("is compressed (") + how + "), so that its photos cannot be read in any order; "
                             "decompress it: JPEGs hardly get larger");
        if (!reader_)
            throw std::bad_alloc();
        // Concatenated archives are read as one: otherwise all but the first would be ignored silently.
        if (archive_read_support_format_tar(reader_.get()) != ARCHIVE_OK ||
            archive_read_set_format_option(reader_.get(), "tar", "read_concatenated_archives", "1") != ARCHIVE_OK ||
            archive_read_open_fd(reader_.get(), file_.descriptor(), readAtOnce) != ARCHIVE_OK)
            throw PhotoError("not a tar archive (" + text(reader_.get()) + ")");
    }

    ShardIndex read()
    {
        archive_entry* entry = nullptr;
        for (;;)
        {
            const int result = archive_read_next_header(reader_.get(), &entry);
            if (result == ARCHIVE_EOF)
            {
                requireContiguous(archive_read_header_position(reader_.get()));
                break;
            }
            if (result == ARCHIVE_RETRY)
                skipBlock();
            else if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            {
                skip(at(end_), text(reader_.get()) + "; what follows is lost");
                complete_ = false;
                break;
            }
            else if (!take(*entry))
                break;
        }
        endDamage();
        if (complete_ && !endsAsTar())
            skip("its end", "the mark of a tar archive's end is missing: it may be cut short");
        leaveOutOthersOfAKey();
        return std::move(index_);
    }

private:
    static std::string at(int64_t position) { return "byte " + std::to_string(position); }

    void skip(const std::string& place, const std::string& reason) { index_.skipped.push_back({place, reason}); }

    /// Called when libarchive has found no header in a block and continues with the next one.
    void skipBlock()
    {
        const int64_t position = archive_read_header_position(reader_.get());
        if (damagedFrom_ < 0)
        {
            damagedFrom_ = position;
            damage_ = text(reader_.get());
        }
        requireContiguous(position);
        lastIsPhoto_ = false;   // the call may also have skipped zero blocks, the end of an archive
        end_ = std::max(position + block, static_cast<int64_t>(archive_filter_bytes(reader_.get(), -1)));
    }

    void endDamage()
    {
        if (damagedFrom_ >= 0)
            skip("bytes " + std::to_string(damagedFrom_) + " to " + std::to_string(end_), "no member can be read here (" + damage_ + ")");
        damagedFrom_ = -1;
    }

    /// The position of a member's data is right if the next header follows at their end.
    void requireContiguous(int64_t position)
    {
        if (position == end_ || !lastIsPhoto_)
            return;
        skip(index_.photos.back().name, "its bytes do not lie together");
        index_.photos.pop_back();
        lastIsPhoto_ = false;
    }

    /// Returns false if the archive ends within this member.
    bool take(archive_entry& entry)
    {
        const int64_t header = archive_read_header_position(reader_.get()), offset = archive_filter_bytes(reader_.get(), -1);
        endDamage();
        requireContiguous(header);
        lastIsPhoto_ = false;
        const int64_t bytes = archive_entry_size_is_set(&entry) ? static_cast<int64_t>(archive_entry_size(&entry)) : 0;
        const std::string name = nameOf(entry, header);
        const Name parts(name);
        const bool photo = hasImageExtension(name) && !parts.hidden;
        // Keys of skipped photos count too, so that a mask does not take the photo's place.
        if (photo && parts.plain && name.size() <= longestName)
            plainKeys_.insert(parts.key);
        const bool regular = archive_entry_filetype(&entry) == AE_IFREG && !archive_entry_hardlink(&entry);
        const bool sparse = archive_entry_sparse_count(&entry) > 0;
        if (bytes < 0 || offset < 0 || offset % block != 0 || (regular && !sparse && bytes > index_.state.bytes - offset))
        {
            skip(name, "has " + std::to_string(bytes) + " bytes from byte " + std::to_string(offset) + " on, but the shard ends at byte " +
                       std::to_string(index_.state.bytes) + ": cut short or damaged; what follows is lost");
            complete_ = false;
            return false;
        }
        end_ = offset + (regular ? padded(bytes) : 0);
        if (!photo)
            return true;
        if (!regular)
            skip(name, "a link, folder or device, expected a regular member");
        else if (name.size() > longestName)
            skip(name.substr(0, 100) + "...", "the name is longer than " + std::to_string(longestName) + " bytes");
        else if (sparse)
            skip(name, "is stored sparse; make the shard without --sparse");
        else if (bytes == 0)
            skip(name, "the member is empty");
        else if (bytes > maxPhotoBytes)
            skip(name, "the member is larger than 1 GiB");
        else if (!names_.insert(name).second)
            skip(name, "the shard has a member of this name already");
        else
        {
            index_.photos.push_back({name, offset, bytes});
            lastIsPhoto_ = true;
        }
        return true;
    }

    static std::string nameOf(archive_entry& entry, int64_t header)
    {
        const char* found = archive_entry_pathname(&entry);
        if (!found)
            found = archive_entry_pathname_utf8(&entry);
        std::string name = found ? found : "";
        size_t begin = 0;
        while (name.compare(begin, 2, "./") == 0)
            begin += 2;
        name.erase(0, begin);
        return name.empty() ? at(header) : name;
    }

    bool endsAsTar() const
    {
        std::vector<uchar> last(static_cast<size_t>(block));
        if (index_.state.bytes < block)
            return false;
        file_.read(last.data(), last.size(), index_.state.bytes - block);
        return std::all_of(last.begin(), last.end(), [](uchar byte) { return byte == 0; });
    }

    /// If there are "key.jpg" and "key.seg.png", the latter is not a photo.
    void leaveOutOthersOfAKey()
    {
        const auto other = [this](const ShardMember& member)
        {
            const Name name(member.name);
            return !name.plain && plainKeys_.count(name.key) > 0;
        };
        index_.photos.erase(std::remove_if(index_.photos.begin(), index_.photos.end(), other), index_.photos.end());
    }

    const RegularFile file_;
    const std::unique_ptr<archive, CloseArchive> reader_;
    ShardIndex index_;
    std::unordered_set<std::string> names_, plainKeys_;   ///< plainKeys_: keys of names like "key.jpg"
    int64_t end_ = 0;             ///< expected position of the next header
    int64_t damagedFrom_ = -1;    ///< first of the blocks without a header
    std::string damage_;
    bool lastIsPhoto_ = false, complete_ = true;
};

}  // namespace

ShardIndex readShard(const std::string& path)
{
    ShardIndex index = ShardReader(path).read();
    if (index.photos.empty() && index.skipped.empty())
        index.skipped.push_back({"the shard", "holds no photo"});
    return index;
}

#endif

}}}  // namespace
