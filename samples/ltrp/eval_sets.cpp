// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "common.hpp"
#include "eval_sets.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/train/checksum.hpp"

#include <filesystem>
#include <map>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

bool inHalf(const std::string& image, Half half)
{
    if (half == Half::All)
        return true;
    cv::ltrp::train::Crc32 sum;
    sum.add(fs::path(image).filename().string());
    return (sum.value() % 2 == 0) == (half == Half::Select);
}

}  // namespace

Half halfNamed(const std::string& name)
{
    if (name == "all")
        return Half::All;
    if (name == "select")
        return Half::Select;
    if (name == "report")
        return Half::Report;
    throw UsageError("--half: '" + name + "' is none of all, select, report");
}

std::vector<ImagePair> findPairs(const std::string& folder, Half half, size_t& failed)
{
    std::map<std::string, std::string> masks;
    if (!fs::is_directory(folder))
        throw std::runtime_error(folder + ": not a folder");
    for (const char* part : {"images", "foreground"})
        if (!fs::is_directory(fs::path(folder) / part))
            throw std::runtime_error(folder + ": has no folder " + std::string(part));
    for (const std::string& mask : expandImages({(fs::path(folder) / "foreground").string()}))
        masks[fs::path(mask).stem().string()] = mask;

    std::vector<ImagePair> pairs;
    const fs::path images = fs::path(folder) / "images";
    for (const std::string& image : expandImages({images.string()}))
    {
        const auto mask = masks.find(fs::path(image).stem().string());
        if (mask == masks.end())
        {
            complain(image + ": has no mask in foreground");
            ++failed;
            continue;
        }
        if (inHalf(image, half))
            pairs.push_back({image, mask->second, fs::path(image).lexically_relative(images).generic_string()});
        masks.erase(mask);
    }
    for (const auto& mask : masks)
    {
        complain(mask.second + ": has no image of its own in images");
        ++failed;
    }
    return pairs;
}

cv::Mat readForeground(const std::string& path)
{
    cv::Mat mask;
    cv::extractChannel(toEightBit(readPhoto(path)), mask, 0);
    return mask > 127;
}

}  // namespace tool
