// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ONNX_FILE_HPP
#define OPENCV_LTRP_IO_ONNX_FILE_HPP

#include "../vit/config.hpp"
#include "file_bytes.hpp"

#include <map>

namespace cv { namespace ltrp { namespace io {

/// A ranker as an ONNX file, looked through before cv::dnn gets it: the whole structure is consistent, every tensor has
/// as many bytes as its shape says and lies in the file itself, images go in and one score per patch comes out.
struct OnnxRankerFile
{
    std::shared_ptr<const FileBytes> bytes;
    vit::InputConfig input;              ///< from the metadata "ltrp"
    std::string image, scores;           ///< names of the graph's input and output
    bool anyBatch = false;               ///< the graph says that the number of images is free
    int64_t opset = 0;
    std::map<std::string, int> operations;
    uint64_t weights = 0;                ///< floating values in all constants
    std::string foreign;                 ///< why the graph is not one that `ltrp convert` writes; empty where it is

    const std::string& path() const { return bytes->path(); }
};

/// By its name (.onnx) or, under another name, by its first bytes. False for what is no readable file.
bool isOnnx(const std::string& path);

/// The graph that `ltrp convert` writes for a ranker of that geometry, all weights 0.
std::string onnxGraph(const vit::RankerConfig& config);

/// @throws cv::Exception naming the file and what is wrong or missing
std::shared_ptr<const OnnxRankerFile> readOnnxRanker(std::shared_ptr<const FileBytes> bytes);

/// Refuses a graph that `ltrp convert` has not written. cv::dnn takes every operation, attribute and shape at its word: a few
/// hundred bytes are enough to end the process or to take all memory.
void requireOwnGraph(const OnnxRankerFile& file);

/// For `ltrp info`.
std::string describeOnnx(const OnnxRankerFile& file);

}}}  // namespace

#endif
