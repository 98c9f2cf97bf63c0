// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "targets.hpp"
#include "../io/checksum.hpp"
#include "../io/file_bytes.hpp"
#include "../io/json_text.hpp"

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
    json["mean"] = json["std"] = Json::array();
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

/// A file's parsed metadata; every value is validated.
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
    const std::string where = file.path() + ": metadata '" + descriptionKey + "'";
    const Json json = io::parseJsonObject<Json>(header.text, where);
    const int64_t format = io::jsonInteger(json, "format", where);
    LTRP_REQUIRE(format == 1, Error::StsBadArg, where << ": targets of format " << format << ", expected 1: made by a newer version?");
    header.images = static_cast<int>(io::jsonInteger(json, "images", where, 1));
    header.description.data = io::jsonString(json, "data", where);
    vit::InputConfig& input = header.description.input;
    input.imageSize = static_cast<int>(io::jsonInteger(json, "image_size", where));
    input.patchSize = static_cast<int>(io::jsonInteger(json, "patch_size", where));
    io::jsonTriple(json, "mean", where, input.mean);
    io::jsonTriple(json, "std", where, input.std);
    const Json& teacher = io::jsonObject(json, "teacher", where);
    for (const auto& option : teacher.items())
        header.description.teacher.emplace_back(option.key(), io::jsonString(teacher, option.key().c_str(), where));
    vit::RankerConfig ranker;
    ranker.input = input;
    vit::checkConfig(ranker, file.path());
    return header;
}

/// Checks the file's tensors and checksum against its header and position.
void checkFile(const io::TensorFile& file, const Header& header, int count)
{
    const int grid = header.description.input.grid();
    const io::TensorView &scores = file.at("scores"), &readable = file.at("readable");
    LTRP_REQUIRE(scores.dtype == io::DType::F32 && scores.shape == std::vector<int64_t>({count, grid, grid}), Error::StsBadArg,
                 file.path() << ": tensor 'scores' has another type or shape, expected F32 [" << count << ", " << grid << ", " << grid
                 << "]");
    LTRP_REQUIRE(readable.dtype == io::DType::U8 && readable.shape == std::vector<int64_t>({count}), Error::StsBadArg,
                 file.path() << ": tensor 'readable' has another type or shape, expected U8 [" << count << "]");
    io::Crc32 sum;
    sum.add(scores.data, scores.bytes);
    sum.add(readable.data, readable.bytes);
    const auto crc = file.metadata().find(crcKey);
    LTRP_REQUIRE(crc != file.metadata().end() && crc->second == sum.text(), Error::StsBadArg, file.path()
                 << ": damaged: the checksum is " << sum.text() << ", expected "
                 << (crc == file.metadata().end() ? std::string("one in the metadata") : io::printable(crc->second)) << "; remove the file and compute it again");
}

/// The first difference between two parsed descriptions, in words.
std::string difference(const std::string& expected, const std::string& found)
{
    // Moves the teacher's options to the top level, so that the objects are flat.
    const auto flat = [](const std::string& text)
    {
        Json json = Json::parse(text), teacher = json["teacher"];
        json.erase("teacher");
        json.update(teacher);
        return json;
    };
    const Json a = flat(expected), b = flat(found);
    for (const Json* keys : {&a, &b})
        for (const auto& item : keys->items())
        {
            const auto said = [&](const Json& json) { return json.contains(item.key()) ? json[item.key()].dump() : std::string("not stored"); };
            if (said(a) != said(b))
                return io::harmless(item.key()) + " is " + io::harmless(said(b)) + ", expected " + io::harmless(said(a));
        }
    return "their descriptions are written otherwise";
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
    LTRP_REQUIRE(!error, Error::StsError, folder << ": cannot make the folder: " << error.message());
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
    LTRP_REQUIRE(header.text == description_, Error::StsBadArg, path
                 << ": holds other targets, of other options or of another version: " << difference(description_, header.text) << "; name another folder");
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
    io::Crc32 sum;
    sum.add(scores.data(), scores.size() * sizeof(float));
    sum.add(readable.data(), readable.size());
    const int64_t n = static_cast<int64_t>(count);
    io::writeSafetensors(filePath(folder_, file), {{"scores", io::DType::F32, {n, grid_, grid_}, scores.data()},
                                                   {"readable", io::DType::U8, {n}, readable.data()}},
                         {{descriptionKey, description_}, {crcKey, sum.text()}});
}

TargetStore::TargetStore(const std::string& folder) : folder_(folder)
{
    LTRP_REQUIRE(fs::is_regular_file(filePath(folder, 0)), Error::StsObjectNotFound, folder
                 << ": holds no targets (no " << fs::path(filePath(folder, 0)).filename().string()
                 << "); make them with ltrp score --targets");
    io::Crc32 sum;
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
    text_ = optionsJson(description_.teacher) + ", checksum " + sum.text();
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
    // Positions in the map in units of patches, integers at patch centres; beyond the outermost centres the value is
    // constant.
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
