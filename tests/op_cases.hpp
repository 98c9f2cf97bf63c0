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

/// Named arrays: what goes into an operation and what comes out.
typedef std::map<std::string, std::vector<float>> Arrays;

/// One operation at one set of sizes. Every backend and every kernel set is compared with `reference` on the same list;
/// the gradients of those that have them are held against differences of the references themselves.
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

/// A backward operation, checked by differences: d(sum(weights * forward(inputs))) / d(input) = gradient.
struct GradientCase
{
    std::string name;
    Arrays inputs;
    std::function<std::vector<double>(const Arrays&)> forward;   ///< in doubles
    /// Inputs and dOut -> gradients named as the inputs they belong to.
    std::function<Arrays(const Backend&, const Arrays&, const std::vector<float>& dOut)> backward;
    double tolerance;   ///< relative to the largest gradient of that input
};

std::vector<OpCase> opCases();
std::vector<GradientCase> gradientCases();

/// What a backward operation says of one input, beside differences of the forward one.
struct GradientError
{
    std::string name;        ///< of the operation and the input
    double worst, largest;   ///< error and expected gradient, over a spread of elements
    double allowed;
};
std::vector<GradientError> gradientErrors(const Backend& backend);   ///< of every gradient case

}  // namespace opcases

#endif
