// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_DATASET_HPP
#define OPENCV_LTRP_TRAIN_DATASET_HPP

#include "../image/photo_file.hpp"
#include "../image/photo_list.hpp"

namespace cv { namespace ltrp { namespace train {

/// The images of a training, in an order independent of the file system.
struct Dataset
{
    std::vector<std::string> paths;   ///< to open the files
    uint32_t fingerprint = 0;         ///< of all names (relative to their argument) and file sizes
    std::vector<std::string> lists;   ///< list files that were read
    std::vector<std::string> left;    ///< "FOLDER: why it was omitted"
    std::vector<int> labels;          ///< class of each image; empty without labels
    std::vector<std::string> classes; ///< their names
};

/// The images of a list, with the fingerprint of names, sizes and labels. labels: one per image, or none
Dataset datasetOf(const image::PhotoList& list, const std::vector<std::string>& labels);

/// Images of folders (recursive, sorted by relative name), single image files, and list files: image::addArgument().
/// @throws cv::Exception naming an argument that does not exist or has no image
Dataset listImages(const std::vector<std::string>& data);

/// Images with their classes. data: a folder with a folder of images for each class (searched recursively), or a CSV file
/// with lines "path,label", the path relative to the file; a first line of names (path, file or image; label or class) is
/// skipped, and fields may be quoted. classes: the names to be used, in their order; empty: those found, sorted by byte.
/// The fingerprint includes the labels.
/// @throws cv::Exception naming the file or line, for an image without a label, one that is missing or named twice, a
/// folder without images, a label that is not among `classes`, and fewer than two classes where they are found
Dataset listLabelled(const std::string& data, const std::vector<std::string>& classes = {});

using image::Reduction;

/// Returns decoded 8-bit RGB (image::decodePhoto(), image::toRgb8()), or an empty Mat and the reason. For a usable
/// image `reason` is an irregularity, or empty. `reduction`, if given, reduces JPEG files when they are decoded.
/// checked: see image::PhotoOptions.
Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction = nullptr, bool checked = false);

}}}  // namespace

#endif
