// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_BENCH_CUDA_HPP
#define LTRP_TESTS_BENCH_CUDA_HPP

#include "random_inputs.hpp"

#include "ops/ops.hpp"

#include <functional>

namespace bench
{

using inputs::Floats;
using inputs::masks;
using inputs::noise;

/// Peak memory use of the device's memory pool since the last call.
size_t peakMemory();
/// Milliseconds per call of `work`, for many calls between two waits (`settle`): the median over five parts of the
/// time.
double milliseconds(double seconds, const std::function<void()>& work, const std::function<void()>& settle);
/// Prints the line of a row.
void report(const std::string& row, const char* precision, int batch, double ms, size_t bytes);

/// Updates of a ViT-S ranker on pseudo-scores of a ViT-B autoencoder, and of such an autoencoder (75 % hidden): from
/// 8-bit crops in host memory to the loss on the host; each batch is staged while the previous one is computed.
void trainRanker(const std::string& row, cv::ltrp::ops::Precision precision, int batch, double seconds);
void pretrain(const std::string& row, cv::ltrp::ops::Precision precision, int batch, double seconds);

}  // namespace bench

#endif
