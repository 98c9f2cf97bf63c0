// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SAMPLES_MPI_NCCL_HPP
#define LTRP_SAMPLES_MPI_NCCL_HPP

#include "../../modules/ltrp/src/train/workers.hpp"

namespace gpu
{

/// Makes GPU number `index` the calling thread's current device. count: number of workers on this machine. Does nothing
/// in a build without CUDA, and if CUDA finds no GPU, which selecting one reports. @throws std::runtime_error if there
/// are fewer GPUs
void take(int index, int count);

/// Creates sums by NCCL over the workers' current GPUs. Null in a build without LTRP_WITH_NCCL. Collective @throws
/// std::runtime_error with NCCL's reason
std::unique_ptr<cv::ltrp::ops::DeviceSum> makeSum(cv::ltrp::train::Workers& workers);

}  // namespace gpu

#endif
