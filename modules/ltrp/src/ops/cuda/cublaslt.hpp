// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CUDA_CUBLASLT_HPP
#define OPENCV_LTRP_OPS_CUDA_CUBLASLT_HPP

#include <cublasLt.h>

#include <string>

namespace cv { namespace ltrp { namespace ops { namespace cuda {

/// Empty if cuBLASLt is usable, else the reason. The library is opened at first use, so that builds with CUDA also run
/// on machines without it.
std::string cublasLtLacks();

/// @throws Error::GpuNotSupported if cuBLASLt or this function is missing
void* cublasLtFunction(const char* name);

}}}}  // namespace

/// Function cublasLt<name>, looked up once.
#define LTRP_CUBLASLT(name)                                                                   \
    ([] {                                                                                     \
        static const auto ltrp_function_ = reinterpret_cast<decltype(&cublasLt##name)>(       \
            ::cv::ltrp::ops::cuda::cublasLtFunction("cublasLt" #name));                       \
        return ltrp_function_;                                                                \
    }())

#endif
