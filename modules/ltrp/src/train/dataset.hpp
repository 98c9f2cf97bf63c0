// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_DATASET_HPP
#define OPENCV_LTRP_TRAIN_DATASET_HPP

#include "../image/photo_file.hpp"

namespace cv { namespace ltrp { namespace train {

/// The images of a training, in an order that does not depend on the file system.
struct Dataset
{
    std::vector<std::string> paths;   ///< as they are opened
    uint32_t fingerprint = 0;         ///< of all names (relative to their argument) and file sizes
    std::vector<std::string> lists;   ///< list files that were read
    std::vector<std::string> left;    ///< "FOLDER: why it was left out"
};

/// Images of folders (all below, sorted by relative name), single image files, and list files: image::addArgument().
/// @throws cv::Exception naming an argument that does not exist or holds no image
Dataset listImages(const std::vector<std::string>& data);

using image::Reduction;

/// Decoded 8-bit RGB (image::decodePhoto(), image::toRgb8()), or an empty Mat and the reason. Of an image that can be used,
/// `reason` is what is odd about it, or empty. JPEG files are decoded at the size that `reduction`, where given, asks for (the
/// decoder leaves out what the smaller picture has no room for); all others in full. checked: see image::PhotoOptions.
Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction = nullptr, bool checked = false);

}}}  // namespace

#endif
