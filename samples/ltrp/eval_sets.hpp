// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_SETS_HPP
#define LTRP_TOOL_EVAL_SETS_HPP

#include "../eval/masks.hpp"

#include <string>
#include <vector>

namespace tool
{

/// An image and the mask of its foreground.
struct ImagePair
{
    std::string image, mask;   ///< files
    std::string name;          ///< the image's path below images/
};

/// One half of the images of a set, told by a checksum of the file's name: models are chosen by the one and reported by
/// the other.
enum class Half { All, Select, Report };
Half halfNamed(const std::string& name);   ///< "all", "select" or "report"; UsageError for others

/// Images with their masks, and how these are read.
struct ImageSet
{
    std::string name, folder;
    std::vector<ImagePair> pairs;
    cv::ltrp::eval::MaskRule rule = cv::ltrp::eval::MaskRule::Auto;
    std::string foreground;   ///< the rule in words
};

cv::ltrp::eval::MaskRule maskRuleNamed(const std::string& name);   ///< UsageError for what is no rule

/// Every image of FOLDER/images with its mask in FOLDER/foreground: the same path below, but for the extension, or with
/// the mask's added to the image's (cat.jpg.png). What has no partner, or more than one, is named on stderr and counted
/// in `failed`, for it would silently change the mean. All masks are read to find what `wanted` means here.
ImageSet openSet(const std::string& folder, const std::string& name, cv::ltrp::eval::MaskRule wanted, size_t& failed);
/// Drops the pairs of the other half.
void keepHalf(ImageSet& set, Half half);

/// A pair's foreground: CV_8UC1, 255 and 0, not empty of either size or foreground.
/// @throws std::runtime_error "FILE: reason"
cv::Mat readForeground(const ImagePair& pair, cv::ltrp::eval::MaskRule rule, cv::Size imageSize);

}  // namespace tool

#endif
