// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Checks of the CUDA backend on any device: the emulation of tests/simt or a GPU (tests/gpu). Each function is the body
// of a test case.
#ifndef LTRP_TESTS_DEVICE_PARITY_HPP
#define LTRP_TESTS_DEVICE_PARITY_HPP

#include "ops/ops.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace parity
{

typedef std::vector<float> Floats;
typedef std::function<std::shared_ptr<const cv::ltrp::ops::Backend>(cv::ltrp::ops::Precision precision, bool frozen)> MakeBackend;

/// The list of tests/op_cases.hpp in 32-bit floats against plain double loops; before(i) is called before the i-th.
void everyOperation(const MakeBackend& make, const std::function<void(size_t)>& before);
/// The same in another precision: the root mean square error relative to the values is at most `bound`.
void everyOperationRoughly(const MakeBackend& make, cv::ltrp::ops::Precision precision, double bound);
/// Backward operations compared with finite differences of the forward ones' references.
void everyGradient(const MakeBackend& make);
/// Gradients of a small autoencoder's training pass, and again with other weights, compared with the CPU.
void trainingPass(const MakeBackend& make);
/// The same in BF16 and FP16 within their rounding.
void trainingPassRoughly(const MakeBackend& make);
/// Pseudo-scores, their anchors and variants, with all removals and metrics, compared with the CPU; FP16 with a wider
/// tolerance.
void pseudoScores(const MakeBackend& make);
void rankerScores(const MakeBackend& make);
void rankerGradients(const MakeBackend& make);

/// Root mean square of the difference over that of `want`.
double distance(const Floats& got, const Floats& want);

}  // namespace parity

#endif
