// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The unchanged CUDA backend, except for cuBLASLt: emulated kernels, and plain loops for matrix products. Runs the list
// of tests/op_cases.cpp and whole networks.

#include "emulated_device.hpp"
#include "typed.hpp"
#include "device_parity.hpp"

using namespace simttest;
using cv::ltrp::ops::Precision;

BOOST_AUTO_TEST_SUITE(simt_op_cases)

namespace
{

std::shared_ptr<const cv::ltrp::ops::Backend> emulated(Precision precision, bool frozen)
{
    return kernels::makeBackend(std::unique_ptr<kernels::Device>(new EmulatedDevice), precision, frozen);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_operation_equals_its_plain_reference)
{
    parity::everyOperation(emulated, [](size_t number) { simt::setSchedule({true, number}); });
    simt::setSchedule({});
}

BOOST_AUTO_TEST_CASE(reduced_precision_stays_within_its_rounding)
{
    parity::everyOperationRoughly(emulated, Precision::BF16, 0.012);
    parity::everyOperationRoughly(emulated, Precision::FP16, 0.002);
    parity::everyOperationRoughly(emulated, Precision::TF32, 0.002);
}

BOOST_AUTO_TEST_CASE(every_backward_operation_equals_differences_of_the_forward_one) { parity::everyGradient(emulated); }
BOOST_AUTO_TEST_CASE(a_training_pass_gives_the_gradients_of_the_cpu) { parity::trainingPass(emulated); }
BOOST_AUTO_TEST_CASE(a_training_pass_in_half_precision_stays_within_its_rounding) { parity::trainingPassRoughly(emulated); }
BOOST_AUTO_TEST_CASE(pseudo_scores_equal_those_of_the_cpu) { parity::pseudoScores(emulated); }
BOOST_AUTO_TEST_CASE(a_ranker_gives_the_scores_of_the_cpu) { parity::rankerScores(emulated); }
BOOST_AUTO_TEST_CASE(a_ranker_gives_the_gradients_of_the_cpu) { parity::rankerGradients(emulated); }

BOOST_AUTO_TEST_SUITE_END()
