// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "photo_list.hpp"
#include "photo_file.hpp"
#include "photo_header.hpp"
#include "../io/file_bytes.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string_view>

#include <sys/stat.h>

namespace cv { namespace ltrp { namespace image {

namespace fs = std::filesystem;

const char* const overlayMark = "ltrp overlay";

namespace {

/// Larger files are not lists.
const size_t maxListBytes = size_t(1) << 30;
/// If none of these lines names a file, the file is not a list.
const size_t triedLines = 100;

typedef std::pair<dev_t, ino_t> Identity;

bool identify(const fs::path& path, Identity& identity)
{
    struct stat info;
    if (::stat(path.c_str(), &info) != 0)
        return false;
    identity = Identity(info.st_dev, info.st_ino);
    return true;
}

/// Reads at most `most` bytes of a regular file.
std::string startOf(const std::string& path, size_t most)
{
    std::error_code error;
    if (!fs::is_regular_file(path, error))
        return std::string();
    std::ifstream file(path, std::ios::binary);
    std::string bytes(most, '\0');
    file.read(&bytes[0], static_cast<std::streamsize>(most));
    bytes.resize(static_cast<size_t>(file.gcount()));
    return bytes;
}

bool endsWith(const std::string& text, std::string_view end)
{
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool isOverlay(const fs::path& path)
{
    const std::string name = path.filename().string();
    return (endsWith(name, "_rank.jpg") || endsWith(name, "_score.jpg")) &&
           startOf(path.string(), 64).find(overlayMark) != std::string::npos;
}

/// Adds the photos of a shard; a shard that cannot be read is skipped as a whole.
void addShard(const std::string& path, PhotoList& list)
{
    ShardIndex index;
    try
    {
        index = readShard(path);
    }
    catch (const PhotoError& error)
    {
        list.skipped.push_back({path, error.what()});
        return;
    }
    // Member names may contain terminal control sequences, so messages use a cleaned form. `name` is unchanged, because
    // the fingerprint depends on it.
    for (const ShardMember& member : index.photos)
        list.photos.push_back({member.name, path + "/" + io::harmless(member.name),
                               {static_cast<int>(list.shards.size()), member.offset, member.bytes}});
    for (const Skipped& skipped : index.skipped)
        list.skipped.push_back({path + "/" + io::harmless(skipped.place), skipped.reason});
    list.shards.push_back({path, index.state});
    list.lists.push_back(path);
}

class FolderScan
{
public:
    FolderScan(const std::string& root, const std::string& skip, PhotoList& list) : root_(root), list_(list)
    {
        Identity skipped, own;   // photos and their overlays may be in the same folder
        if (!skip.empty() && identify(skip, skipped) && !(identify(root, own) && own == skipped))
            seen_[skipped] = fs::path();
    }

    /// Visits folders before links, so that an entry reachable both ways gets its own name.
    void run()
    {
        enter(root_, "", true);
        for (size_t i = 0; i < links_.size(); i++)
        {
            const Link link = links_[i];
            Identity identity;
            if (!identify(link.path, identity))
                continue;
            const auto found = seen_.find(identity);
            std::error_code error;
            if (found == seen_.end())
                enter(link.path, link.name + "/", false);
            else if (!found->second.empty() && holds(found->second, link.path))
                list_.left.push_back(link.path.string() + ": a link back to " + found->second.string() +
                                     ", which holds it; left out");
        }
        std::sort(found_.begin(), found_.end(), [](const PhotoEntry& a, const PhotoEntry& b) { return a.name < b.name; });
        for (const PhotoEntry& found : found_)
            if (hasImageExtension(found.path))
                list_.photos.push_back(found);
            else
                addShard(found.path, list_);
    }

private:
    struct Link
    {
        std::string name;
        fs::path path;
    };

    /// Whether a path is below a folder.
    static bool holds(const fs::path& folder, const fs::path& path)
    {
        const auto ends = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
        return ends.first == folder.end() || (std::next(ends.first) == folder.end() && ends.first->empty());
    }

    void enter(const fs::path& top, const std::string& prefix, bool must)
    {
        std::vector<std::pair<fs::path, std::string>> folders{{top, prefix}};
        while (!folders.empty())
        {
            const auto folder = folders.back();
            folders.pop_back();
            Identity identity;
            if (!identify(folder.first, identity) || !seen_.emplace(identity, folder.first).second)
                continue;
            std::error_code error;
            fs::directory_iterator it(folder.first, error), end;
            std::vector<Link> links;
            for (; !error && it != end; it.increment(error))
            {
                const std::string file = it->path().filename().string();
                if (file[0] == '.')
                    continue;
                std::error_code ignored;
                const std::string name = folder.second + file;
                if (it->is_directory(ignored))
                {
                    if (it->is_symlink(ignored))
                        links.push_back({name, it->path()});
                    else
                        folders.emplace_back(it->path(), name + "/");
                }
                else if ((hasImageExtension(file) && !isOverlay(it->path())) || (list_.takesShards && isShardName(file)))
                    found_.push_back({name, it->path().string(), {}});
            }
            std::sort(links.begin(), links.end(), [](const Link& a, const Link& b) { return a.name < b.name; });
            links_.insert(links_.end(), links.begin(), links.end());
            if (!error)
                continue;
            LTRP_REQUIRE(!must || folder.first != top, Error::StsError,
                         folder.first.string() << ": cannot read the folder: " << error.message());
            list_.left.push_back(folder.first.string() + ": cannot read the folder: " + error.message() + "; left out");
        }
    }

    const fs::path root_;
    PhotoList& list_;
    std::map<Identity, fs::path> seen_;
    std::vector<Link> links_;
    std::vector<PhotoEntry> found_;
};

std::string trimmed(std::string line)
{
    const char* const blanks = " \t\r";
    const size_t last = line.find_last_not_of(blanks);
    line.erase(last == std::string::npos ? 0 : last + 1);
    line.erase(0, line.find_first_not_of(blanks));
    return line;
}

/// The path that a line of a list names: the first interpretation that exists, otherwise the line itself.
std::string namedBy(const std::string& line, const fs::path& folder, bool& exists)
{
    std::vector<std::string> forms{line};
    const char quote = line[0];
    if (quote == '"' || quote == '\'')
    {
        const size_t end = line.find(quote, 1);
        if (end != std::string::npos && end > 1)
            forms.push_back(line.substr(1, end - 1));
    }
    else
    {
        const size_t word = line.find_last_of(" \t,;");
        if (word != std::string::npos && word > 0)
            forms.push_back(trimmed(line.substr(0, line.find_last_not_of(" \t,;", word) + 1)));
    }
    for (const std::string& form : forms)
    {
        std::error_code error;
        exists = !form.empty() && fs::exists(folder / form, error);
        if (exists)
            return form;
    }
    return line;
}

}  // namespace

void addFolder(const std::string& folder, const std::string& skip, PhotoList& list)
{
    FolderScan(folder, skip, list).run();
}

void addLines(const std::string& text, const std::string& where, const std::string& folder, PhotoList& list)
{
    LTRP_REQUIRE(text.find('\0') == std::string::npos, Error::StsBadArg,
                 where << ": is no text; a list file holds one image path per line");
    size_t lines = 0, found = 0;
    std::string first;
    for (size_t at = text.compare(0, 3, "\xef\xbb\xbf") == 0 ? 3 : 0; at < text.size();)
    {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = trimmed(text.substr(at, end - at));
        at = end + 1;
        if (line.empty() || line[0] == '#')
            continue;
        bool exists = false;
        const std::string name = namedBy(line, folder, exists);
        if (lines++ == 0)
            first = line;
        found += exists;
        LTRP_REQUIRE(found > 0 || (lines < triedLines && at < text.size()), Error::StsBadArg,
                     where << ": none of the first " << lines << " lines names a file; expected one image path per line, relative "
                           "to the list's folder; the first is " << io::printable(first));
        const std::string path = fs::path(name).is_absolute() || folder.empty() ? name : (fs::path(folder) / name).string();
        std::error_code error;
        if (exists && fs::is_directory(path, error))
            addFolder(path, std::string(), list);
        else if (exists && list.takesShards && isShardName(path))
            addShard(path, list);
        else
            list.photos.push_back({name, path});
    }
}

std::vector<uchar> readPhotoBytes(const std::string& path, const PhotoPlace& place, const std::vector<ShardFile>& shards)
{
    if (place.shard < 0)
        return readPhotoBytes(path);
    const ShardFile& shard = shards[static_cast<size_t>(place.shard)];
    return readPhotoBytes(shard.path, shard.state, place.offset, place.bytes);
}

void addArgument(const std::string& argument, const std::string& skip, PhotoList& list)
{
    std::error_code error;
    const fs::file_status status = fs::status(argument, error);
    const size_t before = list.photos.size();
    if (fs::is_directory(status))
        addFolder(argument, skip, list);
    else if (hasImageExtension(argument))
        list.photos.push_back({fs::path(argument).filename().string(), argument});
    else
    {
        LTRP_REQUIRE(fs::exists(status), Error::StsObjectNotFound, argument << ": no such file or folder");
        LTRP_REQUIRE(fs::is_regular_file(status), Error::StsBadArg, argument << ": not a regular file or folder");
        LTRP_REQUIRE(list.takesShards || !isShardName(argument), Error::StsBadArg, argument << ": is a shard, which 'ltrp pretrain', "
                     "'train', 'pack' and 'score --targets' read; for this command unpack it (tar -xf)");
        if (isShardName(argument))
        {
            addShard(argument, list);
            LTRP_REQUIRE(list.photos.size() > before, Error::StsBadArg, argument << ": no images in this shard ("
                         << list.skipped.back().place << ": " << list.skipped.back().reason << ")");
            return;
        }
        const std::string start = startOf(argument, 64);
        if (readPhotoHeader(std::vector<uchar>(start.begin(), start.end())).format != PhotoFormat::Unknown || start.empty())
            list.photos.push_back({fs::path(argument).filename().string(), argument});
        else
        {
            const std::shared_ptr<const io::FileBytes> bytes = io::FileBytes::map(argument);
            LTRP_REQUIRE(bytes->size() <= maxListBytes, Error::StsBadArg, argument << ": larger than 1 GiB, which no list is");
            list.lists.push_back(argument);
            addLines(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), argument,
                     fs::path(argument).parent_path().string(), list);
        }
    }
    LTRP_REQUIRE(list.photos.size() > before, Error::StsBadArg,
                 argument << ": no images in this " << (fs::is_directory(status) ? "folder" : "list")
                          << (!list.left.empty()      ? " (" + list.left.front() + ")"
                              : !list.skipped.empty() ? " (" + list.skipped.front().place + ": " + list.skipped.front().reason + ")"
                                                      : std::string()));
}

std::vector<uchar> markOverlay(const std::vector<uchar>& jpeg)
{
    CV_Assert(jpeg.size() > 2 && jpeg[0] == 0xff && jpeg[1] == 0xd8);
    const std::string mark(overlayMark);
    size_t at = 2;
    if (jpeg.size() > 6 && jpeg[2] == 0xff && jpeg[3] == 0xe0)   // the JFIF header must be first
        at += 2 + (static_cast<size_t>(jpeg[4]) << 8 | jpeg[5]);
    CV_Assert(at <= jpeg.size());
    const std::vector<uchar> head{0xff, 0xfe, 0, static_cast<uchar>(mark.size() + 2)};
    std::vector<uchar> marked(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(at));
    marked.insert(marked.end(), head.begin(), head.end());
    marked.insert(marked.end(), mark.begin(), mark.end());
    marked.insert(marked.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(at), jpeg.end());
    return marked;
}

}}}  // namespace
