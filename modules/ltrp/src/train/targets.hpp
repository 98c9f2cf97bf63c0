// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_TARGETS_HPP
#define OPENCV_LTRP_TRAIN_TARGETS_HPP

#include "checkpoint.hpp"
#include "dataset.hpp"
#include "../io/tensor_file.hpp"
#include "../core/config.hpp"

namespace cv { namespace ltrp { namespace train {

/// Description of stored score maps: those of all images of a data set, in a folder, for training a ranker. Files
/// targets-NNNNN.safetensors have `imagesPerFile` maps each: `scores` [n, rows, columns] (F32) and `readable` [n] (U8;
/// 0: the image could not be read, its map is zero). Metadata: "ltrp.targets", the description as JSON, and
/// "ltrp.crc32", a checksum of both tensors.
struct TargetDescription
{
    OptionList teacher;          ///< options that determine the maps: names and values
    vit::InputConfig input;      ///< of the autoencoder, and of a ranker trained on the maps
    std::string data;            ///< the data set's size and fingerprint
};

/// Returns "15131 images, fingerprint 01234567".
std::string datasetText(const Dataset& dataset);

class TargetWriter
{
public:
    enum { imagesPerFile = 512 };

    /// Creates the folder if it does not exist.
    /// @throws Error::StsBadArg naming the difference if the folder has targets with another description
    TargetWriter(const std::string& folder, const Dataset& dataset, const TargetDescription& description);
    int files() const { return static_cast<int>((images_ + imagesPerFile - 1) / imagesPerFile); }
    /// Images of a file: numbers first(file) to last(file) - 1.
    int first(int file) const { return file * imagesPerFile; }
    int last(int file) const { return std::min(images_, (file + 1) * imagesPerFile); }
    /// Whether the file exists. @throws Error::StsBadArg if it is damaged or has another description
    bool has(int file) const;
    /// Writes a file atomically. maps: one per image of the file, CV_32FC1 of the grid's size; empty if unreadable.
    void write(int file, const std::vector<Mat>& maps) const;

private:
    std::string folder_;
    int images_, grid_;
    std::string description_;   ///< JSON
};

/// The score maps of a folder, memory-mapped.
class TargetStore
{
public:
    /// Checks every file. @throws cv::Exception naming the file, the expected and the actual value
    explicit TargetStore(const std::string& folder);
    /// @throws Error::StsBadArg if the maps are of another data set
    void requireData(const Dataset& dataset) const;
    const TargetDescription& description() const { return description_; }
    const std::string& text() const { return text_; }   ///< teacher and checksum of all maps, for fingerprints

    /// Target of a crop: bilinearly interpolated values of the map at the centres of the crop's patches.
    /// region: as shares of the image's width and height. out [L], raster order.
    /// @throws Error::StsBadArg for an image without a map
    void crop(int image, const Rect2d& region, bool mirrored, float* out) const;

private:
    std::string folder_;
    TargetDescription description_;
    std::string text_;
    std::vector<std::shared_ptr<const io::TensorFile>> files_;
    std::vector<const uint8_t*> maps_;   ///< per image, unaligned floats; null: unreadable image
};

}}}  // namespace

#endif
