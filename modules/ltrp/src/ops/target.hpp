// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_TARGET_HPP
#define OPENCV_LTRP_OPS_TARGET_HPP

#include "ops.hpp"

namespace cv { namespace ltrp {

/// Device and precision of a model.
struct ComputeDevice
{
    ComputeDevice() { set(0); }
    /// Sets a cv::ltrp::ComputeTarget for constant weights. @throws Error::StsNotImplemented for any other number and
    /// for a target that this processor or build lacks, Error::GpuNotSupported with the reason if there is no CUDA; the
    /// object is then unchanged.
    void set(int wanted);
    /// For a network in training. @throws as set(), and Error::StsNotImplemented for a target without training
    static ComputeDevice forTraining(int wanted);
    /// For a second, frozen network in the same training. @throws as set(), and Error::StsBadArg for another device
    ComputeDevice companion(int wanted) const;
    bool onCuda() const { return !backend->onHost(); }

    int target;
    ops::Precision precision;
    std::shared_ptr<const ops::Backend> backend;
    std::string device;   ///< "CPU", or the name of the GPU
};

}}  // namespace

#endif
