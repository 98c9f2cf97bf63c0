// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_DATASET_HPP
#define OPENCV_LTRP_TRAIN_DATASET_HPP

#include "label_images.hpp"
#include "../core/config.hpp"
#include "../image/photo_list.hpp"

namespace cv { namespace ltrp { namespace train {

/// The images of a training, in an order independent of the file system.
struct Dataset
{
    std::vector<std::string> paths;   ///< to open the files; of members of shards SHARD/name, for messages
    uint32_t fingerprint = 0;         ///< of all names (relative to their argument or shard) and sizes in bytes
    std::vector<std::string> lists;   ///< list files and shards that were read
    std::vector<std::string> left;    ///< "FOLDER: why it was omitted"
    std::vector<image::PhotoPlace> places;   ///< of all images; empty without shards
    std::vector<image::ShardFile> shards;
    std::vector<image::Skipped> skipped;     ///< shards, and members of shards, that cannot be used
    std::vector<int> labels;                 ///< class of each image, for vit::Task::Classify; else empty
    std::vector<std::vector<int>> labelSets;   ///< classes of each image, ascending, for vit::Task::Multilabel; else empty
    LabelImages labelImages;                 ///< for vit::Task::Segment
    std::vector<std::string> classes;        ///< their names
    std::vector<std::string> notes;          ///< what is odd about the labels

    image::PhotoPlace place(int image) const { return places.empty() ? image::PhotoPlace() : places[static_cast<size_t>(image)]; }
    /// Number of the first image of each shard and of each file, where epochOrder() goes by shards; else empty.
    std::vector<int> groups() const;
};

/// So many images of shards are shuffled with each other: they are read from places near each other, and the page cache
/// holds them.
const int shuffleWindow = 8192;

/// What the order of the images in an epoch depends on besides seed and their number, as an option's text; empty without groups.
std::string orderText(const Dataset& dataset);

/// The images of a list, with the fingerprint of names, sizes and labels. labels: one per image, or none
Dataset datasetOf(const image::PhotoList& list, const std::vector<std::string>& labels);

/// Images of folders (recursive, sorted by relative name), single image files, shards, and list files: image::addArgument().
/// @throws cv::Exception naming an argument that does not exist or has no image
Dataset listImages(const std::vector<std::string>& data);

/// Labelled data of a task.
struct LabelledData
{
    LabelledData(const std::string& file, vit::Task kind = vit::Task::Classify, const std::string& folder = std::string())
        : path(file), task(kind), images(folder) {}

    /// Task::Classify: a folder with a folder of images for each class (searched recursively), or a CSV file with lines
    /// "path,label", the path relative to the file; a first line of names (path, file or image; label or class) is skipped, and
    /// fields may be quoted. Task::Multilabel: such a file with labels that are divided by ';', or a JSON file as COCO's (.json)
    /// with "images", "annotations" and "categories". Task::Segment: a folder as for listSegmented().
    std::string path;
    vit::Task task;
    std::string images;   ///< folder that the paths of a JSON file are relative to; empty: that of the file
};

/// Images with their classes. classes: the names to be used, in their order; empty: those found, sorted by byte, or in the order
/// of their numbers (Task::Segment). The fingerprint includes the labels.
/// @throws cv::Exception naming the file or line, for an image without a label, one that is missing or named twice, a
/// label that begins or ends with a blank, a class without images, a label that is not among `classes`, and fewer than
/// two classes where they are found
Dataset listLabelled(const LabelledData& data, const std::vector<std::string>& classes = {});

using image::Reduction;

/// Returns decoded 8-bit RGB (image::decodePhoto(), image::toRgb8()), or an empty Mat and the reason. For a usable
/// image `reason` is an irregularity, or empty. `reduction`, if given, reduces JPEG files when they are decoded.
/// checked: see image::PhotoOptions.
Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction = nullptr, bool checked = false);
/// The same for image number `image` of a data set.
Mat readImage(const Dataset& dataset, int image, std::string& reason, const Reduction& reduction = nullptr,
              bool checked = false);

}}}  // namespace

#endif
