// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_DATASET_HPP
#define OPENCV_LTRP_TRAIN_DATASET_HPP

#include "../image/photo_file.hpp"

namespace cv { namespace ltrp { namespace train {

/// The images of a training, in an order independent of the file system.
struct Dataset
{
    std::vector<std::string> paths;   ///< to open the files
    uint32_t fingerprint = 0;         ///< of all names (relative to their argument) and file sizes
    std::vector<std::string> lists;   ///< list files that were read
    std::vector<std::string> left;    ///< "FOLDER: why it was omitted"
};

/// Images of folders (recursive, sorted by relative name), single image files, and list files: image::addArgument().
/// @throws cv::Exception naming an argument that does not exist or has no image
Dataset listImages(const std::vector<std::string>& data);

using image::Reduction;

/// Returns decoded 8-bit RGB (image::decodePhoto(), image::toRgb8()), or an empty Mat and the reason. For a usable
/// image `reason` is an irregularity, or empty. `reduction`, if given, reduces JPEG files when they are decoded.
/// checked: see image::PhotoOptions.
Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction = nullptr, bool checked = false);

}}}  // namespace

#endif
