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

/// Half of the images of a set, by a checksum of the file's name: models are chosen on one half and reported on the
/// other.
enum class Half { All, Select, Report };
Half halfNamed(const std::string& name);   ///< "all", "select" or "report"; UsageError for others

/// Images with their masks, and the rule for reading these.
struct ImageSet
{
    std::string name, folder;
    std::vector<ImagePair> pairs;
    cv::ltrp::eval::MaskRule rule = cv::ltrp::eval::MaskRule::Auto;
    std::string foreground;   ///< description of the rule
};

cv::ltrp::eval::MaskRule maskRuleNamed(const std::string& name);   ///< throws UsageError for unknown names

/// Every image of FOLDER/images with its mask in FOLDER/foreground, which has the same relative path except for the
/// extension, or with its extension appended (cat.jpg.png). Files with no partner or more than one are reported on
/// stderr and counted in `failed`, because they would silently change the mean. All masks are read to resolve `wanted`.
ImageSet openSet(const std::string& folder, const std::string& name, cv::ltrp::eval::MaskRule wanted, size_t& failed);
/// Drops the pairs of the other half.
void keepHalf(ImageSet& set, Half half);

/// A pair's foreground: CV_8UC1, 255 and 0, not empty of either size or foreground.
/// @throws std::runtime_error "FILE: reason"
cv::Mat readForeground(const ImagePair& pair, cv::ltrp::eval::MaskRule rule, cv::Size imageSize);

}  // namespace tool

#endif
