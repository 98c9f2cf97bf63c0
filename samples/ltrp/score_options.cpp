// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "score_options.hpp"
#include "photos.hpp"
#include "weights.hpp"

#include "../../modules/ltrp/src/core/words.hpp"
#include "../../modules/ltrp/src/teach/feature_contrast.hpp"
#include "../../modules/ltrp/src/teach/teacher.hpp"
#include "../../modules/ltrp/src/core/config.hpp"

#include <algorithm>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const size_t FEATURE_PHOTOS = 256;   // more make no measurable difference

/// "4,6,7"
std::vector<int> blockNumbers(const std::string& text)
{
    std::vector<int> numbers;
    std::istringstream stream(text);
    for (std::string word; std::getline(stream, word, ',');)
    {
        if (word.empty() || word.size() > 4 || word.find_first_not_of("0123456789") != std::string::npos)
            throw UsageError("--feature-blocks: '" + text.substr(0, 64) + "' is not a list of block numbers such as 4,6,7");
        numbers.push_back(std::stoi(word));
    }
    if (numbers.empty())
        throw UsageError("--feature-blocks: no block given");
    return numbers;
}

}  // namespace

void addFeaturePhotos(Scorer& scorer, const ScoreParams& params, const po::variables_map& values,
                      const std::vector<std::string>& scored, const std::function<cv::Mat(size_t)>& read)
{
    if (!teach::Teacher::parse(params.teacher).has(teach::Cue::Features))
        return;
    std::vector<std::string> photos = scored;
    const bool others = values.count("feature-photos") > 0;
    if (others)
        photos = expandImages(values["feature-photos"].as<std::vector<std::string>>());
    const size_t wanted = std::min(photos.size(), FEATURE_PHOTOS);
    Progress progress("mean features: photo", wanted);
    size_t used = 0;
    for (size_t i = 0; i < wanted; ++i)
    {
        checkInterrupt();
        const size_t number = i * photos.size() / wanted;   // evenly from all folders
        const std::string& path = photos[number];
        try
        {
            scorer.addFeaturePhoto(read && !others ? read(number) : readPhoto(path));
            ++used;
        }
        catch (const std::exception& error)
        {
            complain(reason(error, path));
        }
        progress.update(i + 1);
    }
    if (used < teach::FeatureContrast::leastPhotos)
        throw std::runtime_error("--teacher features needs the mean features of at least " +
                                 std::to_string(int(teach::FeatureContrast::leastPhotos)) + " photos, found " +
                                 std::to_string(used) + " that can be read; name a folder of photos with --feature-photos");
}

void addScoreOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("mask-ratio", po::value<double>()->value_name("R")->default_value(0.9, "0.9"),
            "share of patches hidden, between 0 and 1")
        ("removal", po::value<std::string>()->value_name("WHERE")->default_value("decoder"),
            "where a visible patch is removed: decoder (fast) or encoder")
        ("metric", po::value<std::string>()->value_name("NAME")->default_value("l1"),
            "how reconstructions are compared: l1, l2, ssim or psnr")
        ("space", po::value<std::string>()->value_name("NAME")->default_value("decoder"),
            "l1 and l2: differences in the decoder's output as it is (decoder) or in real pixel contrast (pixel)")
        ("masks", po::value<int>()->value_name("N")->default_value(32), "random masks averaged")
        ("average", po::value<std::string>()->value_name("WHAT")->default_value("score"),
            "what is averaged over the masks: each score, or its rank within its mask")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "selects the masks")
        ("teacher", po::value<std::string>()->value_name("CUES")->default_value("leave-one-out"),
            "what is measured: leave-one-out (the paper's), own-error, features, gradient, barrier, spectral, fine-grained "
            "or centre, or a weighted sum of their ranks: features*1+barrier*0.7+spectral*0.5+centre*0.1")
        ("context", po::value<std::string>()->value_name("WHERE")->default_value("uniform"),
            "which patches masks leave visible: drawn uniformly (uniform) or mostly from the image's border (border)")
        ("smooth", po::value<double>()->value_name("SIGMA")->default_value(0),
            "smooth the map by a Gaussian with this standard deviation in patches; in a sum not that of barrier")
        ("feature-blocks", po::value<std::string>()->value_name("LIST"), "encoder blocks that features compares, from 0: 4,6,7 "
            "(default: at 40, 60 and 70 % of the depth)")
        ("feature-photos", po::value<std::vector<std::string>>()->value_name("PATH"), "photos whose mean features are subtracted, "
            "16 or more (default: those to be scored; in 'ltrp eval' none)");
    // clang-format on
    addTargetsOption(options);
}

cv::Ptr<Scorer> createScorer(const std::string& file, const po::variables_map& values)
{
    const cv::Ptr<Scorer> scorer = Scorer::create(file, targetsOption(values));
    std::istringstream info(scorer->info());
    for (std::string line; std::getline(info, line);)
        if (line.compare(0, 9, "warning: ") == 0)
            complain(line);
    scorer->setPreferableTarget(targetOption(values));
    return scorer;
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
    params.removal = wordOption(values, "removal", words::removals);
    params.metric = wordOption(values, "metric", words::metrics);
    params.space = wordOption(values, "space", words::spaces);
    params.average = wordOption(values, "average", words::averages);
    params.seed = seedOption(values, "seed");
    params.teacher = values["teacher"].as<std::string>();
    const teach::Teacher teacher = teach::Teacher::parse(params.teacher);
    params.context = wordOption(values, "context", words::contexts);
    params.smooth = values["smooth"].as<double>();
    if (!(params.smooth >= 0 && params.smooth <= 100))
        throw UsageError("--smooth: " + plain(params.smooth) + " is outside 0 to 100");
    if (values.count("feature-blocks"))
        params.featureBlocks = blockNumbers(values["feature-blocks"].as<std::string>());
    for (const char* option : {"feature-blocks", "feature-photos"})
        if (values.count(option) && !teacher.has(teach::Cue::Features))
            throw UsageError(std::string("--") + option + " goes with --teacher features");
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
