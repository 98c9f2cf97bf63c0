// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_TARGETS_HPP
#define OPENCV_LTRP_TRAIN_TARGETS_HPP

#include "checkpoint.hpp"
#include "dataset.hpp"
#include "../io/tensor_file.hpp"
#include "../vit/config.hpp"

namespace cv { namespace ltrp { namespace train {

/// Score maps of a data set's images, computed once and kept in a folder, so that a ranker can be trained on them for many
/// epochs. Files targets-NNNNN.safetensors hold `imagesPerFile` maps each: `scores` [n, rows, columns] (F32) and `readable`
/// [n] (U8; 0: the image could not be read, its map is zero). Metadata: "ltrp.targets", the description as JSON, and
/// "ltrp.crc32", a checksum of both tensors.
struct TargetDescription
{
    OptionList teacher;          ///< what the maps were computed with: names and values
    vit::InputConfig input;      ///< of the autoencoder: a ranker trained on them takes the same
    std::string data;            ///< the data set's size and fingerprint
};

/// "15131 images, fingerprint 01234567".
std::string datasetText(const Dataset& dataset);

class TargetWriter
{
public:
    enum { imagesPerFile = 512 };

    /// Makes the folder where it is absent.
    /// @throws Error::StsBadArg where it holds targets of another description, naming what differs
    TargetWriter(const std::string& folder, const Dataset& dataset, const TargetDescription& description);
    int files() const { return static_cast<int>((images_ + imagesPerFile - 1) / imagesPerFile); }
    /// Images of a file: numbers from first to before last.
    int first(int file) const { return file * imagesPerFile; }
    int last(int file) const { return std::min(images_, (file + 1) * imagesPerFile); }
    /// Whether a file is there, whole and of this description. @throws Error::StsBadArg when it is damaged or another's
    bool has(int file) const;
    /// maps: one for each of the file's images, CV_32FC1 of the grid; empty for one that could not be read. Atomic.
    void write(int file, const std::vector<Mat>& maps) const;

private:
    std::string folder_;
    int images_, grid_;
    std::string description_;   ///< JSON
};

/// The maps of such a folder, memory-mapped.
class TargetStore
{
public:
    /// Checks every file. @throws cv::Exception naming the file, the expected and the found
    explicit TargetStore(const std::string& folder);
    /// @throws Error::StsBadArg unless the maps are those of this data set
    void requireData(const Dataset& dataset) const;
    const TargetDescription& description() const { return description_; }
    const std::string& text() const { return text_; }   ///< teacher and checksum of all maps, for fingerprints

    /// The target of a part of an image: values of the map at the centres of the part's patches, bilinear.
    /// region: in shares of the image's width and height. out [L], raster order.
    /// @throws Error::StsBadArg for an image without a map
    void crop(int image, const Rect2d& region, bool mirrored, float* out) const;

private:
    std::string folder_;
    TargetDescription description_;
    std::string text_;
    std::vector<std::shared_ptr<const io::TensorFile>> files_;
    std::vector<const uint8_t*> maps_;   ///< per image, unaligned floats; null: could not be read
};

}}}  // namespace

#endif
