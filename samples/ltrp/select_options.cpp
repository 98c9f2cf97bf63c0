// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "select_options.hpp"

#include <cmath>

namespace tool
{

using cv::ltrp::SelectParams;

namespace
{

const char* const METHODS[] = {"topk", "cluster", "mass", "threshold", "sample"};   // as cv::ltrp::SelectMethod

bool given(const po::variables_map& values, const char* option)
{
    return values.count(option) && !values[option].defaulted();
}

double number(const po::variables_map& values, const char* option, double otherwise, bool (*good)(double),
              const char* range)
{
    const double value = values.count(option) ? values[option].as<double>() : otherwise;
    if (!good(value))
        throw UsageError(std::string("--") + option + ": " + plain(value) + " is outside " + range);
    return value;
}

bool share(double value)
{
    return value > 0 && value <= 1;
}

void readTemperature(const po::variables_map& values, SelectParams& params)
{
    params.temperature = number(values, "temperature", params.temperature,
                                [](double v) { return v > 0 && std::isfinite(v); }, "(0, infinity)");
}

void readBounds(const po::variables_map& values, SelectParams& params)
{
    params.minRatio = number(values, "min-keep", params.minRatio, [](double v) { return v >= 0 && v <= 1; }, "[0, 1]");
    params.maxRatio = number(values, "max-keep", params.maxRatio, share, "(0, 1]");
    if (params.minRatio > params.maxRatio)
        throw UsageError("--min-keep: " + plain(params.minRatio) + " is above --max-keep, " + plain(params.maxRatio));
}

}  // namespace

void refuseOptions(const po::variables_map& values, const std::vector<const char*>& options, const char* goesWith)
{
    for (const char* option : options)
        if (given(values, option))
            throw UsageError(std::string("--") + option + " goes with " + goesWith);
}

void addMassOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("mass", po::value<double>()->value_name("P"),
            "keep the fewest patches that have this share of the softmax of the standardised scores, above 0 and up to "
            "1 (default: 0.75)")
        ("temperature", po::value<double>()->value_name("T"),
            "of that softmax, above 0; a low one keeps fewer patches, or draws the best ones more often (default: 1)")
        ("min-keep", po::value<double>()->value_name("R"),
            "keep at least this share of patches, 0 to 1 (default: 0, one patch)")
        ("max-keep", po::value<double>()->value_name("R"), "keep at most this share, above 0 and up to 1 (default: 1)");
    // clang-format on
}

SelectParams massParams(const po::variables_map& values)
{
    SelectParams params;
    params.method = cv::ltrp::SELECT_MASS;
    params.mass = number(values, "mass", params.mass, share, "(0, 1]");
    readTemperature(values, params);
    readBounds(values, params);
    return params;
}

void addSelectOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("keep", po::value<double>()->value_name("R")->default_value(0.25, "0.25"),
            "share of patches to keep, above 0 and up to 1")
        ("select", po::value<std::string>()->value_name("HOW")->default_value("topk"),
            "topk: the best ones; cluster: 70 % by score, the rest from clusters of the remaining ones, for diversity; "
            "mass, threshold: a number that depends on the scores of each image, within --min-keep and "
            "--max-keep; sample: drawn at random, patches with high scores more often")
        ("seed", po::value<long long>()->value_name("S")->default_value(0),
            "of the draw (--select sample; similar images keep similar patches), or of choices in clusters (--select "
            "cluster)")
        ("threshold", po::value<double>()->value_name("X"), "lowest score that --select threshold keeps");
    // clang-format on
    addMassOptions(options);
}

SelectParams selectParams(const po::variables_map& values)
{
    const int method = wordOption(values, "select", METHODS);
    SelectParams params;
    if (method == cv::ltrp::SELECT_MASS)
        params = massParams(values);
    else
        refuseOptions(values, {"mass"}, "--select mass");
    if (method == cv::ltrp::SELECT_SAMPLE)
        readTemperature(values, params);
    else if (method != cv::ltrp::SELECT_MASS)
        refuseOptions(values, {"temperature"}, "--select mass and --select sample");
    if (method != cv::ltrp::SELECT_THRESHOLD)
        refuseOptions(values, {"threshold"}, "--select threshold");
    else if (!values.count("threshold"))
        throw UsageError("--select threshold needs --threshold");
    else
    {
        params.threshold = number(values, "threshold", 0, [](double v) { return std::isfinite(v); },
                                  "the finite numbers");
        readBounds(values, params);
    }
    if (method != cv::ltrp::SELECT_MASS && method != cv::ltrp::SELECT_THRESHOLD)
    {
        refuseOptions(values, {"min-keep", "max-keep"}, "--select mass and --select threshold");
        params.keepRatio = number(values, "keep", params.keepRatio, share, "(0, 1]");
    }
    else
        refuseOptions(values, {"keep"}, "--select topk, cluster and sample");
    params.method = method;
    params.seed = seedOption(values, "seed");
    return params;
}

void addTokenSelectOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("select", po::value<std::string>()->value_name("HOW")->default_value("topk"),
            "topk: the best tokens; sample: drawn at random, tokens with high scores more often (--temperature)")
        ("seed", po::value<long long>()->value_name("S")->default_value(0),
            "of the draw; similar images keep similar tokens (--select sample)");
    // clang-format on
}

SelectParams tokenSelectParams(const po::variables_map& values)
{
    static const char* const TOKEN_METHODS[] = {"topk", "sample"};
    SelectParams params;
    if (wordOption(values, "select", TOKEN_METHODS) == 1)
    {
        params.method = cv::ltrp::SELECT_SAMPLE;
        params.seed = seedOption(values, "seed");
        readTemperature(values, params);
        return params;
    }
    refuseOptions(values, {"temperature"}, "--budget auto and --select sample");
    refuseOptions(values, {"seed"}, "--select sample");
    return params;
}

}  // namespace tool
