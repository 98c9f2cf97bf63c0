// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_OP_CASES_HPP
#define LTRP_TESTS_OP_CASES_HPP

#include "ops/ops.hpp"

#include <functional>
#include <map>

namespace opcases
{

using cv::ltrp::ops::Backend;

/// Named arrays: inputs and outputs of an operation.
typedef std::map<std::string, std::vector<float>> Arrays;

/// One operation with one set of sizes. Every backend and every kernel set is compared with `reference` on the same
/// list; gradients are compared with finite differences of the references.
struct OpCase
{
    std::string name;
    Arrays inputs;
    /// The operation under test: reads `inputs`, returns its outputs.
    std::function<Arrays(const Backend&, const Arrays&)> run;
    /// The same in plain double loops.
    std::function<Arrays(const Arrays&)> reference;
    double absolute, relative;   ///< |got - want| <= absolute + relative * |want|
};

/// A backward operation, checked by finite differences: d(sum(weights * forward(inputs))) / d(input) = gradient.
struct GradientCase
{
    std::string name;
    Arrays inputs;
    std::function<std::vector<double>(const Arrays&)> forward;   ///< in doubles
    /// Inputs and dOut -> gradients with the names of their inputs.
    std::function<Arrays(const Backend&, const Arrays&, const std::vector<float>& dOut)> backward;
    double tolerance;   ///< relative to the largest gradient of that input
};

std::vector<OpCase> opCases();
std::vector<GradientCase> gradientCases();

/// Gradient of one input from a backward operation, compared with finite differences of the forward one.
struct GradientError
{
    std::string name;        ///< of the operation and the input
    double worst, largest;   ///< largest error and largest expected gradient, over a sample of elements
    double allowed;
};
std::vector<GradientError> gradientErrors(const Backend& backend);   ///< of every gradient case

}  // namespace opcases

#endif
