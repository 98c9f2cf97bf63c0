// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dataset.hpp"
#include "checksum.hpp"
#include "../image/preprocess.hpp"

#include <opencv2/imgcodecs.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

namespace
{

/// Larger files are no photographs; reading one would only take the memory.
const uintmax_t maxFileBytes = uintmax_t(1) << 30;

struct Entry
{
    std::string name, path;   ///< relative to the argument; as it is opened
};

void addFolder(const fs::path& folder, const std::string& prefix, std::vector<Entry>& entries, int level)
{
    LTRP_REQUIRE(level < 64, Error::StsBadArg, folder.string() << ": folders are nested deeper than 64 levels");
    std::error_code error;
    fs::directory_iterator it(folder, error), end;
    LTRP_REQUIRE(!error, Error::StsError, folder.string() << ": cannot read the folder: " << error.message());
    for (; it != end; it.increment(error))
    {
        const std::string name = prefix + it->path().filename().string();
        std::error_code ignored;
        const bool link = it->is_symlink(ignored);
        // A linked folder may lead back to a parent; linked files are harmless.
        if (it->is_directory(ignored))
        {
            if (!link)
                addFolder(it->path(), name + "/", entries, level + 1);
        }
        else if (hasImageExtension(name))
            entries.push_back({name, it->path().string()});
    }
    LTRP_REQUIRE(!error, Error::StsError, folder.string() << ": cannot read the folder: " << error.message());
}

void addList(const fs::path& list, std::vector<Entry>& entries)
{
    std::ifstream in(list);
    LTRP_REQUIRE(in.good(), Error::StsObjectNotFound, list.string() << ": cannot be opened");
    std::string line;
    for (int number = 1; std::getline(in, line); number++)
    {
        const size_t last = line.find_last_not_of(" \t\r");
        line.erase(last == std::string::npos ? 0 : last + 1);
        line.erase(0, line.find_first_not_of(" \t"));
        if (line.empty() || line[0] == '#')
            continue;
        LTRP_REQUIRE(line.find('\0') == std::string::npos, Error::StsBadArg, list.string() << ": line " << number
                     << " is not text; a list file holds one image path per line");
        const fs::path path(line);
        entries.push_back({line, path.is_absolute() ? line : (list.parent_path() / path).string()});
    }
    LTRP_REQUIRE(in.eof(), Error::StsError, list.string() << ": read error");
}

/// What the headers of a JPEG say, and whether its end is there.
struct JpegFrame
{
    explicit JpegFrame(const std::vector<uchar>& bytes)
    {
        size_t at = 2;
        while (at + 4 <= bytes.size() && bytes[at] == 0xff && bytes[at + 1] != 0xda)   // segments up to the first scan
        {
            const uchar marker = bytes[at + 1];
            if (marker == 0xff)   // fill byte
            {
                at++;
                continue;
            }
            const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
            if (frame && at + 9 <= bytes.size())
                size = Size(bytes[at + 7] << 8 | bytes[at + 8], bytes[at + 5] << 8 | bytes[at + 6]);
            at += 2 + (static_cast<size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
        }
        for (size_t i = bytes.size(); truncated && i >= at + 2 && i >= 2; i--)
            truncated = !(bytes[i - 2] == 0xff && bytes[i - 1] == 0xd9);
    }

    Size size;               ///< of the stored picture; empty where no header says it
    bool truncated = true;   ///< then rows would depend on what was in memory before
};

int decodingFlag(int reduction)
{
    switch (reduction)
    {
    case 2: return IMREAD_REDUCED_COLOR_2;
    case 4: return IMREAD_REDUCED_COLOR_4;
    case 8: return IMREAD_REDUCED_COLOR_8;
    default: return IMREAD_COLOR;
    }
}

}  // namespace

bool hasImageExtension(const std::string& path)
{
    static const char* const extensions[] = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm",
                                             ".pgm", ".pnm", ".jp2"};
    std::string extension = fs::path(path).extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    for (const char* e : extensions)
        if (extension == e)
            return true;
    return false;
}

Dataset listImages(const std::vector<std::string>& data)
{
    LTRP_REQUIRE(!data.empty(), Error::StsBadArg, "no data: name at least one folder, image or list file");
    Dataset dataset;
    Crc32 crc;
    for (const std::string& argument : data)
    {
        const fs::path path(argument);
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        LTRP_REQUIRE(fs::exists(status), Error::StsObjectNotFound, argument << ": no such file or folder");
        std::vector<Entry> entries;
        if (fs::is_directory(status))
        {
            addFolder(path, "", entries, 0);
            std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
        }
        else if (hasImageExtension(argument))
            entries.push_back({path.filename().string(), argument});
        else
            addList(path, entries);
        LTRP_REQUIRE(!entries.empty(), Error::StsBadArg, argument << ": holds no image");
        for (const Entry& entry : entries)
        {
            const uintmax_t bytes = fs::file_size(entry.path, error);
            crc.add(entry.name + "\n" + (error ? std::string("absent") : std::to_string(bytes)) + "\n");
            dataset.paths.push_back(entry.path);
        }
    }
    LTRP_REQUIRE(dataset.paths.size() <= size_t(INT32_MAX), Error::StsBadArg, "data: " << dataset.paths.size()
                 << " images, at most " << INT32_MAX << " can be told apart");
    dataset.fingerprint = crc.value();
    return dataset;
}

Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction)
{
    Mat rgb;
    try
    {
        std::error_code error;
        const uintmax_t size = fs::file_size(path, error);
        if (error)
        {
            reason = error.message();
            return Mat();
        }
        if (size == 0 || size > maxFileBytes)
        {
            reason = size == 0 ? "the file is empty" : "the file is larger than 1 GiB";
            return Mat();
        }
        std::vector<uchar> bytes(static_cast<size_t>(size));
        std::ifstream in(path, std::ios::binary);
        if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
        {
            reason = "cannot be read";
            return Mat();
        }
        int flag = IMREAD_COLOR;
        if (bytes.size() > 3 && bytes[0] == 0xff && bytes[1] == 0xd8)
        {
            const JpegFrame frame(bytes);
            if (frame.truncated)
            {
                reason = "truncated JPEG: no end-of-image marker";
                return Mat();
            }
            if (reduction && !frame.size.empty())
                flag = decodingFlag(reduction(frame.size));
        }
        const Mat decoded = imdecode(bytes, flag);
        if (decoded.empty())
        {
            reason = "not an image that OpenCV can decode";
            return Mat();
        }
        image::toRgb8(decoded, rgb);
    }
    catch (const std::exception& e)   // decoders throw for images beyond OpenCV's size limits
    {
        reason = e.what();
        std::replace(reason.begin(), reason.end(), '\n', ' ');
        return Mat();
    }
    return rgb;
}

}}}  // namespace
