// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_TARGET_HPP
#define OPENCV_LTRP_CORE_TARGET_HPP

#include "../ops/ops.hpp"

namespace cv { namespace ltrp {

/// What a model computes with.
struct Computing
{
    Computing() { set(0); }
    /// By a cv::ltrp::ComputeTarget, for weights that stay as they are. @throws Error::StsNotImplemented for a number that is
    /// none and for a target that this processor or build lacks, Error::GpuNotSupported saying why there is no CUDA; nothing
    /// has changed then.
    void set(int wanted);
    /// For a network in training. @throws as set(), and Error::StsNotImplemented for a target that trains nothing
    static Computing forTraining(int wanted);
    /// For a network that helps in training this one's: on the same device. @throws as set(), and Error::StsBadArg for another
    Computing beside(int wanted) const;
    bool onCuda() const { return !backend->onHost(); }

    int target;
    ops::Precision precision;
    std::shared_ptr<const ops::Backend> backend;
    std::string device;   ///< "CPU", or the name of the GPU
};

}}  // namespace

#endif
