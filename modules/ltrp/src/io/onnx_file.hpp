// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ONNX_FILE_HPP
#define OPENCV_LTRP_IO_ONNX_FILE_HPP

#include "../core/config.hpp"
#include "file_bytes.hpp"

#include <map>

namespace cv { namespace ltrp { namespace io {

/// A ranker in an ONNX file, validated before cv::dnn reads it: the structure is consistent, every tensor has the bytes
/// of its shape in the file itself, the input is images and the output one score per patch.
struct OnnxRankerFile
{
    std::shared_ptr<const FileBytes> bytes;
    vit::InputConfig input;              ///< from the metadata "ltrp"
    std::string image, scores;           ///< names of the graph's input and output
    bool anyBatch = false;               ///< the number of images is free
    int64_t opset = 0;
    std::map<std::string, int> operations;
    uint64_t weights = 0;                ///< floating values in all constants
    std::string foreign;                 ///< why the graph differs from those of `ltrp convert`; empty if it does not

    const std::string& path() const { return bytes->path(); }
};

/// Whether a file is ONNX: by its name (.onnx) or its first bytes. False for unreadable files.
bool isOnnx(const std::string& path);

/// The graph that `ltrp convert` writes for a ranker of this geometry, with all weights 0.
std::string onnxGraph(const vit::RankerConfig& config);

/// @throws cv::Exception naming the file and what is wrong or missing
std::shared_ptr<const OnnxRankerFile> readOnnxRanker(std::shared_ptr<const FileBytes> bytes);

/// Throws for graphs that differ from those of `ltrp convert`. cv::dnn does not check operations, attributes and
/// shapes: a few hundred bytes can crash the process or exhaust memory.
void requireOwnGraph(const OnnxRankerFile& file);

/// For `ltrp info`.
std::string describeOnnx(const OnnxRankerFile& file);

}}}  // namespace

#endif
