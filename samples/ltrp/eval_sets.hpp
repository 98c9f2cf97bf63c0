// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_EVAL_SETS_HPP
#define LTRP_TOOL_EVAL_SETS_HPP

#include <opencv2/core.hpp>

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

/// One half of the images of a set, told by a checksum of the file's name: models are chosen by the one and reported by the
/// other.
enum class Half { All, Select, Report };
Half halfNamed(const std::string& name);   ///< "all", "select" or "report"; UsageError for others

/// Every image of FOLDER/images with its mask in FOLDER/foreground. What has no partner is named on stderr and counted in
/// `failed`, for it would silently change the mean.
std::vector<ImagePair> findPairs(const std::string& folder, Half half, size_t& failed);

/// The foreground of a mask file: CV_8UC1, 255 and 0. @throws std::runtime_error "FILE: reason"
cv::Mat readForeground(const std::string& path);

}  // namespace tool

#endif
