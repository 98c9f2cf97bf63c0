// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "score_options.hpp"

#include "../../modules/ltrp/src/vit/config.hpp"

namespace tool
{

using namespace cv::ltrp;

namespace
{

const std::vector<const char*> REMOVALS = {"decoder", "encoder"};
const std::vector<const char*> METRICS = {"l1", "l2", "ssim", "psnr"};
const std::vector<const char*> SPACES = {"decoder", "pixel"};
const std::vector<const char*> AVERAGES = {"score", "rank"};

/// Place of an option's value among the words allowed, which are in the order of the public enumeration.
int choice(const po::variables_map& values, const char* option, const std::vector<const char*>& words)
{
    const std::string word = values[option].as<std::string>();
    std::string all;
    for (size_t i = 0; i < words.size(); ++i)
    {
        if (word == words[i])
            return static_cast<int>(i);
        all += (i ? ", " : "") + std::string(words[i]);
    }
    throw UsageError(std::string("--") + option + ": '" + word + "' is none of " + all);
}

}  // namespace

const char* removalName(int removal) { return REMOVALS.at(static_cast<size_t>(removal)); }
const char* metricName(int metric) { return METRICS.at(static_cast<size_t>(metric)); }
const char* spaceName(int space) { return SPACES.at(static_cast<size_t>(space)); }
const char* averageName(int average) { return AVERAGES.at(static_cast<size_t>(average)); }

void addScoreOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("mask-ratio", po::value<double>()->value_name("R")->default_value(0.9, "0.9"),
            "share of patches hidden, between 0 and 1")
        ("removal", po::value<std::string>()->value_name("WHERE")->default_value("decoder"),
            "where a visible patch is taken out: decoder (fast) or encoder")
        ("metric", po::value<std::string>()->value_name("NAME")->default_value("l1"),
            "how reconstructions are compared: l1, l2, ssim or psnr")
        ("space", po::value<std::string>()->value_name("NAME")->default_value("decoder"),
            "l1 and l2: differences in the decoder's output as it is (decoder) or in real pixel contrast (pixel)")
        ("masks", po::value<int>()->value_name("N")->default_value(32), "random masks averaged")
        ("average", po::value<std::string>()->value_name("WHAT")->default_value("score"),
            "what is averaged over the masks: each score, or its rank within its mask")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "picks the masks");
    // clang-format on
}

ScoreParams scoreParams(const po::variables_map& values)
{
    ScoreParams params;
    params.maskRatio = values["mask-ratio"].as<double>();
    if (!(params.maskRatio > 0 && params.maskRatio < 1))
        throw UsageError("--mask-ratio: " + plain(params.maskRatio) + " is outside (0, 1)");
    params.masks = values["masks"].as<int>();
    if (params.masks < 1 || params.masks > 1000000)
        throw UsageError("--masks: " + std::to_string(params.masks) + " is outside 1 to 1000000");
    params.removal = choice(values, "removal", REMOVALS);
    params.metric = choice(values, "metric", METRICS);
    params.space = choice(values, "space", SPACES);
    params.average = choice(values, "average", AVERAGES);
    params.seed = seedOption(values, "seed");
    if (params.space == SPACE_PIXEL && params.metric != METRIC_L1 && params.metric != METRIC_L2)
        throw UsageError("--space: pixel goes with --metric l1 or l2 only");
    return params;
}

void checkMaskRatio(const ScoreParams& params, cv::Size grid)
{
    const int patches = grid.area(), visible = vit::visibleCount(patches, params.maskRatio);
    if (visible < 2 || visible >= patches)
        throw UsageError("--mask-ratio: " + plain(params.maskRatio) + " leaves " + std::to_string(visible) +
                         " of the model's " + std::to_string(patches) +
                         " patches visible; at least 2 must be visible and 1 hidden");
}

}  // namespace tool
