// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "common.hpp"
#include "eval_sets.hpp"
#include "photos.hpp"

#include "../../modules/ltrp/src/io/checksum.hpp"

#include <opencv2/core/utility.hpp>

#include <algorithm>
#include <filesystem>
#include <map>

namespace tool
{

namespace fs = std::filesystem;
namespace eval = cv::ltrp::eval;

namespace
{

/// A path below `root`, with or without its extension.
std::string below(const fs::path& root, const fs::path& path, bool extension)
{
    const fs::path relative = path.lexically_relative(root);
    return (extension ? relative : relative.parent_path() / relative.stem()).generic_string();
}

bool isJpeg(const std::string& path)
{
    const std::string extension = fs::path(path).extension().string();
    return extension.size() > 2 && (extension[1] == 'j' || extension[1] == 'J') &&
           (extension[2] == 'p' || extension[2] == 'P') && extension != ".jp2" && extension != ".JP2";
}

/// JPEG masks are rotated according to EXIF like photos; other formats are read as stored, for their alpha and exact
/// values.
cv::Mat readMask(const std::string& path)
{
    return readPhoto(path, !isJpeg(path));
}

std::vector<ImagePair> findPairs(const std::string& folder, size_t& failed)
{
    const fs::path images = fs::path(folder) / "images", foreground = fs::path(folder) / "foreground";
    for (const fs::path& part : {images, foreground})
        if (!fs::is_directory(part))
            throw std::runtime_error(folder + ": has no folder " + part.filename().string());
    std::map<std::string, std::vector<std::string>> masks, claims;   // claims: the images for each mask
    for (const std::string& mask : expandImages({foreground.string()}))
        masks[below(foreground, mask, false)].push_back(mask);

    std::vector<ImagePair> pairs;
    for (const std::string& image : expandImages({images.string()}))
    {
        std::vector<std::string> own;
        for (const bool extension : {false, true})
        {
            const auto found = masks.find(below(images, image, extension));
            if (found != masks.end())
                own.insert(own.end(), found->second.begin(), found->second.end());
        }
        for (const std::string& mask : own)
            claims[mask].push_back(image);
        if (own.size() == 1)
        {
            pairs.push_back({image, own.front(), below(images, image, true)});
            continue;
        }
        complain(own.empty() ? image + ": has no mask in foreground: " +
                                   (foreground / below(images, image, false)).string() + ".png is not there"
                             : image + ": has two masks, " + own[0] + " and " + own[1]);
        ++failed;
    }
    const auto shared = [&](const ImagePair& pair)
    {
        const std::vector<std::string>& wanted = claims[pair.mask];
        if (wanted.size() == 1)
            return false;
        complain(pair.image + ": shares the mask " + pair.mask + " with another image");
        ++failed;
        return true;
    };
    pairs.erase(std::remove_if(pairs.begin(), pairs.end(), shared), pairs.end());
    for (const auto& group : masks)
        for (const std::string& mask : group.second)
            if (!claims.count(mask))
            {
                complain(mask + ": has no image of its own in images");
                ++failed;
            }
    return pairs;
}

/// Reads all masks; unreadable ones are reported and their pairs dropped.
eval::MaskRule surveyMasks(std::vector<ImagePair>& pairs, eval::MaskRule wanted, std::string& words, size_t& failed)
{
    std::vector<eval::MaskSurvey> surveys(pairs.size());
    std::vector<std::string> failures(pairs.size());
    cv::parallel_for_(cv::Range(0, static_cast<int>(pairs.size())),
                      [&](const cv::Range& range)
                      {
                          for (int i = range.start; i < range.end && interruptSignal() == 0; ++i)
                          {
                              const std::string& mask = pairs[static_cast<size_t>(i)].mask;
                              try
                              {
                                  surveys[static_cast<size_t>(i)].add(readMask(mask), mask, isJpeg(mask));
                              }
                              catch (const std::exception& error)
                              {
                                  failures[static_cast<size_t>(i)] = reason(error, mask);
                              }
                          }
                      });
    checkInterrupt();
    eval::MaskSurvey all;
    std::vector<ImagePair> readable;
    for (size_t i = 0; i < pairs.size(); ++i)
        if (failures[i].empty())
        {
            all.add(surveys[i]);
            readable.push_back(pairs[i]);
        }
        else
        {
            complain(failures[i]);
            ++failed;
        }
    pairs = readable;
    if (pairs.empty())
        return wanted;
    const eval::MaskRule rule = all.rule(wanted);
    words = all.describe(rule);
    return rule;
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

eval::MaskRule maskRuleNamed(const std::string& name)
{
    const std::vector<std::string>& names = eval::maskRuleNames();
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
        throw UsageError("--foreground: '" + name + "' is none of auto, nonzero, bright, labels, alpha");
    return static_cast<eval::MaskRule>(found - names.begin());
}

ImageSet openSet(const std::string& folder, const std::string& name, eval::MaskRule wanted, size_t& failed)
{
    if (!fs::is_directory(folder))
        throw std::runtime_error(folder + ": not a folder");
    ImageSet set;
    set.name = name;
    set.folder = folder;
    set.pairs = findPairs(folder, failed);
    set.rule = surveyMasks(set.pairs, wanted, set.foreground, failed);
    return set;
}

void keepHalf(ImageSet& set, Half half)
{
    const auto other = [&](const ImagePair& pair)
    {
        const uint32_t sum = cv::ltrp::io::crc32(fs::path(pair.image).filename().string());
        // CRC-32 alone may put consecutive numbers into the same half, so its bits are mixed (Knuth's multiplicative
        // hashing).
        const bool report = (sum * 0x9E3779B1u) >> 31;
        return half != Half::All && report != (half == Half::Report);
    };
    set.pairs.erase(std::remove_if(set.pairs.begin(), set.pairs.end(), other), set.pairs.end());
}

cv::Mat readForeground(const ImagePair& pair, eval::MaskRule rule, cv::Size imageSize)
{
    const cv::Mat foreground = eval::maskForeground(readMask(pair.mask), rule);
    if (foreground.size() != imageSize)
        throw std::runtime_error(pair.mask + ": the mask is " + std::to_string(foreground.cols) + "x" +
                                 std::to_string(foreground.rows) + " pixels, its image " + pair.image + " " +
                                 std::to_string(imageSize.width) + "x" + std::to_string(imageSize.height));
    if (cv::countNonZero(foreground) == 0)
        throw std::runtime_error(pair.mask + ": the mask has no foreground pixel");
    return foreground;
}

}  // namespace tool
