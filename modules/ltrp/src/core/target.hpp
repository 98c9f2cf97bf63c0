// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_TARGET_HPP
#define OPENCV_LTRP_CORE_TARGET_HPP

#include "../ops/ops.hpp"

namespace cv { namespace ltrp {

/// The precision that a cv::ltrp::ComputeTarget of the CPU asks for. @throws Error::StsNotImplemented for a number that is
/// none, for CUDA, and for a target that this processor or build lacks, saying what is missing.
ops::Precision precisionOf(int target);

/// What a model with unchanging weights computes with.
struct Computing
{
    Computing() { set(0); }
    /// A cv::ltrp::ComputeTarget. @throws as precisionOf() but for CUDA, and Error::GpuNotSupported saying why there is none;
    /// nothing has changed then.
    void set(int wanted);
    bool onCuda() const { return !backend->onHost(); }

    int target;
    ops::Precision precision;
    std::shared_ptr<const ops::Backend> backend;
    std::string device;   ///< "CPU", or the name of the GPU
};

}}  // namespace

#endif
