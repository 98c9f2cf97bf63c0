// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "golden.hpp"

#include "../../modules/ltrp/src/ops/ops.hpp"

#include <iostream>

namespace tool
{

namespace
{

golden::Device deviceOf(const po::variables_map& values)
{
    using cv::ltrp::ops::Precision;
    const std::string name = values["precision"].as<std::string>(), device = values["device"].as<std::string>();
    if (name != "fp32" && !(name == "tf32" && device == "cuda"))
        throw UsageError("--precision: '" + name + "': the recorded tolerances are for " +
                         (device == "cuda" ? "fp32 and tf32" : "fp32"));
    targetOption(values);   // throws if the device is missing
    golden::Device result;
    if (device == "cpu")
        return result;
    const Precision precision = name == "tf32" ? Precision::TF32 : Precision::FP32;
    cv::ltrp::ops::cudaBackend(precision, true, &result.name);
    result.name += ", " + name;
    result.make = [precision](bool frozen) { return cv::ltrp::ops::cudaBackend(precision, frozen); };
    return result;
}

}  // namespace

int runGolden(const std::vector<std::string>& args)
{
    const HelpText help = {
        "ltrp golden DIR [options]",
        "Compares this program's results with recorded reference cases. DIR contains case.json and the tensor files\n"
        "that it lists, or is a folder of such folders. Every output tensor gets a line: name, largest absolute and\n"
        "relative error, tolerance, ok or FAIL. The exit status is 1 if any fails. With --device cuda the networks run on\n"
        "the GPU; steps that always run on the CPU are named.",
        "  ltrp golden tests/data/golden             all cases of a folder\n"
        "  ltrp golden tests/data/golden/losses      one case\n"};
    po::options_description options("Options");
    options.add_options()("threads", po::value<int>()->value_name("N"), "threads to use (default: all cores)")
        ("device", po::value<std::string>()->value_name("NAME")->default_value("cpu"),
         "cpu, or cuda: an NVIDIA GPU; an error if there is none")
        ("precision", po::value<std::string>()->value_name("NAME")->default_value("fp32"),
         "of the networks' matrix products: fp32, or tf32 on cuda. The tolerances are those of fp32");
    po::variables_map values;
    if (!parseArguments(args, help, options, "dir", 1, values))
        return 0;
    applyThreads(values);
    const std::string dir = positionals(values, "dir", 1, "DIR, a folder of reference cases")[0];
    const golden::Totals totals = golden::check(dir, std::cout, deviceOf(values), checkInterrupt);
    std::cout << totals.passed << " checks passed, " << totals.failed << " failed" << std::endl;
    return totals.failed ? 1 : 0;
}

}  // namespace tool
