// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_DATASET_HPP
#define OPENCV_LTRP_TRAIN_DATASET_HPP

#include "../precomp.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace train {

/// The images of a training, in an order that does not depend on the file system.
struct Dataset
{
    std::vector<std::string> paths;   ///< as they are opened
    uint32_t fingerprint = 0;         ///< of all names (relative to their argument) and file sizes
};

/// Images of folders (all below, sorted by relative name), single image files, and list files.
/// @throws cv::Exception naming an argument that does not exist or holds no image
Dataset listImages(const std::vector<std::string>& data);

/// Whether the name ends as that of an image (any case).
bool hasImageExtension(const std::string& path);

/// How many times smaller (1, 2, 4 or 8) an image of that size is wanted at most.
typedef std::function<int(Size)> Reduction;

/// Decoded 8-bit RGB (EXIF orientation applied), or an empty Mat and the reason. JPEG files are decoded at the size that
/// `reduction`, where given, asks for (the decoder leaves out what the smaller picture has no room for); all others in full.
Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction = nullptr);

}}}  // namespace

#endif
