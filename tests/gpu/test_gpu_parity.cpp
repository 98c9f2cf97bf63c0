// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The checks that tests/simt makes on the emulation, on the GPU with cuBLASLt.

#include "device_parity.hpp"

#include <boost/test/unit_test.hpp>

using cv::ltrp::ops::Precision;

namespace
{

std::shared_ptr<const cv::ltrp::ops::Backend> onGpu(Precision precision, bool frozen)
{
    return cv::ltrp::ops::cudaBackend(precision, frozen);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gpu_operations)

BOOST_AUTO_TEST_CASE(fp32) { parity::everyOperation(onGpu, [](size_t) {}); }
BOOST_AUTO_TEST_CASE(tf32) { parity::everyOperationRoughly(onGpu, Precision::TF32, 0.002); }
BOOST_AUTO_TEST_CASE(bf16) { parity::everyOperationRoughly(onGpu, Precision::BF16, 0.012); }
BOOST_AUTO_TEST_CASE(fp16) { parity::everyOperationRoughly(onGpu, Precision::FP16, 0.002); }
BOOST_AUTO_TEST_CASE(gradients) { parity::everyGradient(onGpu); }

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(gpu_networks)

BOOST_AUTO_TEST_CASE(training_pass) { parity::trainingPass(onGpu); }
BOOST_AUTO_TEST_CASE(training_pass_in_half_precision) { parity::trainingPassRoughly(onGpu); }
BOOST_AUTO_TEST_CASE(pseudo_scores) { parity::pseudoScores(onGpu); }
BOOST_AUTO_TEST_CASE(ranker) { parity::rankerScores(onGpu); }
BOOST_AUTO_TEST_CASE(ranker_gradients) { parity::rankerGradients(onGpu); }

BOOST_AUTO_TEST_SUITE_END()
