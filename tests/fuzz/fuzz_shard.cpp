// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "fuzz.hpp"
#include "fuzz_folder.hpp"
#include "../shard_bytes.hpp"
#include "image/photo_list.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <fstream>
#include <map>
#include <memory>

using namespace cv::ltrp::image;

namespace
{

/// The contents of members by name, as read by libarchive.
std::multimap<std::string, std::string> unpacked(const std::string& bytes)
{
    std::multimap<std::string, std::string> members;
    const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
    archive_read_support_format_tar(reader.get());
    archive_read_set_format_option(reader.get(), "tar", "read_concatenated_archives", "1");
    archive_entry* entry = nullptr;
    int result = archive_read_open_memory(reader.get(), bytes.data(), bytes.size());
    while (result == ARCHIVE_OK || result == ARCHIVE_WARN || result == ARCHIVE_RETRY)
    {
        result = archive_read_next_header(reader.get(), &entry);
        if ((result != ARCHIVE_OK && result != ARCHIVE_WARN) || archive_entry_size(entry) > static_cast<la_int64_t>(bytes.size()) ||
            archive_entry_size(entry) <= 0)
            continue;
        std::string data(static_cast<size_t>(archive_entry_size(entry)), '\0');
        const char* const name = archive_entry_pathname(entry);
        if (name && archive_read_data(reader.get(), &data[0], data.size()) == static_cast<la_ssize_t>(data.size()))
            members.emplace(name, data);
    }
    return members;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string bytes(reinterpret_cast<const char*>(data), size), path = folder().file("x.tar");
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    PhotoList list;
    list.takesShards = true;
    try
    {
        addArgument(path, std::string(), list);
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
    const std::multimap<std::string, std::string> expected = unpacked(bytes);
    for (const PhotoEntry& photo : list.photos)
    {
        const std::vector<uchar> found = readPhotoBytes(photo.path, photo.place, list.shards);
        if (static_cast<int64_t>(found.size()) != photo.place.bytes)
            std::abort();
        const auto same = expected.equal_range(photo.name);   // "./x" is "x" here, and is not compared
        bool compared = false, equal = false;
        for (auto it = same.first; it != same.second; ++it)
        {
            compared |= it->second.size() == found.size();
            equal |= it->second == std::string(found.begin(), found.end());
        }
        if (compared && !equal && !expected.count("./" + photo.name))
            std::abort();
    }
    return 0;
}

std::vector<std::string> fuzzSeeds()
{
    using namespace shard_bytes;
    const std::string photo(30, 'p');
    // The records of a pax header begin with their own length.
    const std::string record = "30 path=folder/name-of-pax.jpg\n", sparse = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n";
    return {member("a.jpg", photo) + member("a.cls", "7") + member("./b/c.png", photo) + ending(),
            member("././@LongLink", std::string("long/name.jpg\0", 14), 'L') + member("short.jpg", photo) + ending(),
            member("pax", std::to_string(record.size()) + record.substr(2), 'x') + member("short.jpg", photo) + ending(),
            member("pax", sparse, 'x') + member("s.jpg", "1\n0\n5\n" + std::string(506, '\0') + "hello") + member("d.jpg", photo) + ending(),
            member("l.jpg", "", '2') + member("a.jpg", photo) + ending() + badChecksum(member("a.jpg", photo)) + member("e.jpg", "e") + ending()};
}
