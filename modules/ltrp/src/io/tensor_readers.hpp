// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_TENSOR_READERS_HPP
#define OPENCV_LTRP_IO_TENSOR_READERS_HPP

#include "file_bytes.hpp"
#include "tensor_file.hpp"

namespace cv { namespace ltrp { namespace io {

/// Contents from which a TensorFile is made.
struct TensorFileContents
{
    std::string format;
    std::vector<TensorView> tensors;
    std::map<std::string, std::string> metadata;
    std::vector<std::unique_ptr<uint8_t[]>> copies;   ///< tensors that are not contiguous in the file
};

/// One reader per format, for untrusted input: throws cv::Exception unless the whole file is valid.
TensorFileContents readSafetensors(const FileBytes& file);
TensorFileContents readPytorch(const FileBytes& file);

/// Selects the reader by content. TensorFile::open() calls it with a mapped file, the fuzz targets with a copy.
std::shared_ptr<const TensorFile> readTensorFile(std::shared_ptr<const FileBytes> file);

}}}  // namespace

#endif
