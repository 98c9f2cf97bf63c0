// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "targets.hpp"
#include "checksum.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

const char* const descriptionKey = "ltrp.targets";
const char* const crcKey = "ltrp.crc32";

std::string hex(uint32_t value)
{
    char text[16];
    std::snprintf(text, sizeof(text), "%08x", value);
    return text;
}

std::string filePath(const std::string& folder, int file)
{
    char name[64];
    std::snprintf(name, sizeof(name), "targets-%05d.safetensors", file);
    return (fs::path(folder) / name).string();
}

Json toJson(const TargetDescription& description, int images)
{
    Json json = Json::object();
    json["format"] = 1;
    json["images"] = images;
    json["data"] = description.data;
    json["image_size"] = description.input.imageSize;
    json["patch_size"] = description.input.patchSize;
    for (int c = 0; c < 3; ++c)
    {
        json["mean"].push_back(description.input.mean[c]);
        json["std"].push_back(description.input.std[c]);
    }
    json["teacher"] = Json::object();
    for (const auto& option : description.teacher)
        json["teacher"][option.first] = option.second;
    return json;
}

/// What a file's metadata says; every value is checked before it is used.
struct Header
{
    std::string text;
    TargetDescription description;
    int images = 0;
};

Header readHeader(const io::TensorFile& file)
{
    const auto found = file.metadata().find(descriptionKey);
    LTRP_REQUIRE(found != file.metadata().end(), Error::StsBadArg,
                 file.path() << ": holds no targets: the metadata entry '" << descriptionKey << "' is missing");
    Header header;
    header.text = found->second;
    try
    {
        const Json json = Json::parse(header.text);
        LTRP_REQUIRE(json.at("format").get<int>() == 1, Error::StsBadArg, file.path() << ": targets of format "
                     << json.at("format").get<int>() << ", expected 1: made by a newer version?");
        header.images = json.at("images").get<int>();
        header.description.data = json.at("data").get<std::string>();
        header.description.input.imageSize = json.at("image_size").get<int>();
        header.description.input.patchSize = json.at("patch_size").get<int>();
        for (size_t c = 0; c < 3; ++c)
        {
            header.description.input.mean[c] = json.at("mean").at(c).get<double>();
            header.description.input.std[c] = json.at("std").at(c).get<double>();
        }
        for (const auto& option : json.at("teacher").items())
            header.description.teacher.emplace_back(option.key(), option.value().get<std::string>());
    }
    catch (const nlohmann::json::exception& error)
    {
        LTRP_ERROR(Error::StsBadArg, file.path() << ": '" << descriptionKey << "' cannot be read: " << error.what());
    }
    LTRP_REQUIRE(header.images >= 1, Error::StsBadArg, file.path() << ": targets of " << header.images << " images");
    vit::RankerConfig ranker;
    ranker.input = header.description.input;
    vit::checkConfig(ranker, file.path());
    return header;
}

/// Checks the file's tensors and sum against its header and place.
void checkFile(const io::TensorFile& file, const Header& header, int count)
{
    const int grid = header.description.input.grid();
    const io::TensorView &scores = file.at("scores"), &readable = file.at("readable");
    LTRP_REQUIRE(scores.dtype == io::DType::F32 && scores.shape == std::vector<int64_t>({count, grid, grid}), Error::StsBadArg,
                 file.path() << ": tensor 'scores' has another type or shape, expected F32 [" << count << ", " << grid << ", " << grid
                 << "]");
    LTRP_REQUIRE(readable.dtype == io::DType::U8 && readable.shape == std::vector<int64_t>({count}), Error::StsBadArg,
                 file.path() << ": tensor 'readable' has another type or shape, expected U8 [" << count << "]");
    Crc32 sum;
    sum.add(scores.data, scores.bytes);
    sum.add(readable.data, readable.bytes);
    const auto crc = file.metadata().find(crcKey);
    LTRP_REQUIRE(crc != file.metadata().end() && crc->second == hex(sum.value()), Error::StsBadArg, file.path()
                 << ": damaged: the checksum is " << hex(sum.value()) << ", expected "
                 << (crc == file.metadata().end() ? "one in the metadata" : crc->second) << "; remove the file and compute it again");
}

/// The first thing in which two descriptions differ, in words.
std::string difference(const std::string& expected, const std::string& found)
{
    Json a = Json::parse(expected), b = Json::parse(found);
    const Json teacher = a["teacher"], otherTeacher = b["teacher"];
    a.erase("teacher");
    b.erase("teacher");
    const auto compare = [](const Json& x, const Json& y)
    {
        for (const auto& item : x.items())
            if (!y.contains(item.key()) || y[item.key()] != item.value())
                return item.key() + " is " + (y.contains(item.key()) ? y[item.key()].dump() : "absent") + ", expected " +
                       item.value().dump();
        return std::string();
    };
    const std::string text = compare(a, b);
    return text.empty() ? compare(teacher, otherTeacher) : text;
}

}  // namespace

std::string datasetText(const Dataset& dataset)
{
    char text[64];
    std::snprintf(text, sizeof(text), "%zu images, fingerprint %08x", dataset.paths.size(), dataset.fingerprint);
    return text;
}

TargetWriter::TargetWriter(const std::string& folder, const Dataset& dataset, const TargetDescription& description)
    : folder_(folder), images_(static_cast<int>(dataset.paths.size())), grid_(description.input.grid()),
      description_(toJson(description, images_).dump())
{
    std::error_code error;
    fs::create_directories(folder, error);
    LTRP_REQUIRE(!error && fs::is_directory(folder), Error::StsError, folder << ": cannot be made a folder: "
                 << (error ? error.message() : "it is a file"));
    for (int file = 0; file < files(); ++file)
        has(file);
}

bool TargetWriter::has(int file) const
{
    const std::string path = filePath(folder_, file);
    if (!fs::exists(path))
        return false;
    const std::shared_ptr<const io::TensorFile> opened = io::TensorFile::open(path);
    const Header header = readHeader(*opened);
    LTRP_REQUIRE(header.text == description_, Error::StsBadArg, path << ": holds other targets: "
                 << difference(description_, header.text) << "; name another folder");
    checkFile(*opened, header, last(file) - first(file));
    return true;
}

void TargetWriter::write(int file, const std::vector<Mat>& maps) const
{
    const size_t count = static_cast<size_t>(last(file) - first(file)), each = static_cast<size_t>(grid_) * static_cast<size_t>(grid_);
    CV_Assert(maps.size() == count);
    std::vector<float> scores(count * each, 0.f);
    std::vector<uint8_t> readable(count, 0);
    for (size_t i = 0; i < count; ++i)
    {
        if (maps[i].empty())
            continue;
        CV_Assert(maps[i].type() == CV_32FC1 && maps[i].total() == each && maps[i].isContinuous() && checkRange(maps[i]));
        std::copy(maps[i].ptr<float>(), maps[i].ptr<float>() + each, scores.begin() + static_cast<std::ptrdiff_t>(i * each));
        readable[i] = 1;
    }
    Crc32 sum;
    sum.add(scores.data(), scores.size() * sizeof(float));
    sum.add(readable.data(), readable.size());
    const int64_t n = static_cast<int64_t>(count);
    io::writeSafetensors(filePath(folder_, file), {{"scores", io::DType::F32, {n, grid_, grid_}, scores.data()},
                                                   {"readable", io::DType::U8, {n}, readable.data()}},
                         {{descriptionKey, description_}, {crcKey, hex(sum.value())}});
}

TargetStore::TargetStore(const std::string& folder) : folder_(folder)
{
    LTRP_REQUIRE(fs::is_regular_file(filePath(folder, 0)), Error::StsObjectNotFound, folder
                 << ": holds no targets (no " << fs::path(filePath(folder, 0)).filename().string()
                 << "); make them with ltrp score --targets");
    Crc32 sum;
    Header first;
    for (int file = 0;; ++file)
    {
        const std::string path = filePath(folder, file);
        LTRP_REQUIRE(fs::is_regular_file(path), Error::StsObjectNotFound, path << ": is missing: " << maps_.size() << " of "
                     << first.images << " images have targets; run the same ltrp score --targets again to compute the others");
        files_.push_back(io::TensorFile::open(path));
        const io::TensorFile& opened = *files_.back();
        const Header header = readHeader(opened);
        if (file == 0)
            first = header;
        LTRP_REQUIRE(header.text == first.text, Error::StsBadArg, path << ": is of other targets than the files before it: "
                     << difference(first.text, header.text));
        const int count = std::min<int>(TargetWriter::imagesPerFile, first.images - static_cast<int>(maps_.size()));
        checkFile(opened, header, count);
        const io::TensorView &scores = opened.at("scores"), &readable = opened.at("readable");
        for (size_t i = 0; i < static_cast<size_t>(count); ++i)
            maps_.push_back(readable.data[i] ? scores.data + i * (scores.bytes / static_cast<size_t>(count)) : nullptr);
        sum.add(scores.data, scores.bytes);
        sum.add(readable.data, readable.bytes);
        if (static_cast<int>(maps_.size()) == first.images)
            break;
    }
    description_ = first.description;
    text_ = optionsJson(description_.teacher) + ", checksum " + hex(sum.value());
}

void TargetStore::requireData(const Dataset& dataset) const
{
    const std::string found = datasetText(dataset);
    LTRP_REQUIRE(found == description_.data, Error::StsBadArg, folder_ << ": the targets are those of " << description_.data
                 << ", the data given are " << found << "; name the same folders in the same order");
}

void TargetStore::crop(int image, const Rect2d& region, bool mirrored, float* out) const
{
    const uint8_t* map = maps_.at(static_cast<size_t>(image));
    LTRP_REQUIRE(map, Error::StsBadArg, folder_ << ": image number " << image
                 << " could be read now, but not when the targets were computed; compute them again");
    const int grid = description_.input.grid();
    const auto at = [&](int x, int y)
    {
        float value;
        std::memcpy(&value, map + static_cast<size_t>(y * grid + x) * sizeof(float), sizeof(float));
        return static_cast<double>(value);
    };
    // Places in the map, where its patches' centres are whole numbers; beyond the outermost centres their value goes on.
    struct Place { int low, high; double share; };
    const auto place = [grid](double centre)
    {
        const double position = std::min(std::max(centre * grid - 0.5, 0.), grid - 1.);
        const int low = std::min(static_cast<int>(position), std::max(grid - 2, 0));
        return Place{low, std::min(low + 1, grid - 1), position - low};
    };
    for (int row = 0; row < grid; ++row)
    {
        const Place y = place(region.y + region.height * (row + 0.5) / grid);
        for (int column = 0; column < grid; ++column)
        {
            const Place x = place(region.x + region.width * ((mirrored ? grid - 1 - column : column) + 0.5) / grid);
            const double top = at(x.low, y.low) * (1 - x.share) + at(x.high, y.low) * x.share;
            const double bottom = at(x.low, y.high) * (1 - x.share) + at(x.high, y.high) * x.share;
            out[row * grid + column] = static_cast<float>(top * (1 - y.share) + bottom * y.share);
        }
    }
}

}}}  // namespace
