// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_READ_EVERYTHING_HPP
#define LTRP_TESTS_FUZZ_READ_EVERYTHING_HPP

#include "io/tensor_file.hpp"

#include <cstdlib>

/// Reads every byte of an accepted file's tensors, so that a memory checker detects missing ones; ends the process if
/// the file is inconsistent.
inline void readEverything(const cv::ltrp::io::TensorFile& file)
{
    using namespace cv::ltrp::io;
    for (const TensorView& view : file.tensors())
    {
        uint64_t count = 1;
        for (const int64_t size : view.shape)
            count *= static_cast<uint64_t>(size);
        if (count * dtypeSize(view.dtype) != view.bytes || file.find(view.name) != &view)
            std::abort();
        const bool floating = view.dtype == DType::F16 || view.dtype == DType::BF16 || view.dtype == DType::F32 ||
                              view.dtype == DType::F64;
        if (floating)
        {
            std::vector<float> values(view.count());
            toFloat(view, values.data());
        }
        else
        {
            std::vector<int64_t> values(view.count());
            toInt64(view, values.data());
        }
    }
}

#endif
