// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "score_options.hpp"

#include "../../modules/ltrp/src/eval/coverage.hpp"

#include <opencv2/ltrp/ranker.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp eval coverage DIR [options]",
    "Measures how much of the foreground the best patches cover. DIR holds images/ and foreground/: for every image a\n"
    "mask NAME.png of the same size, foreground above 127. For 10, 25, 50 and 75 % of the patches kept, the share of\n"
    "foreground pixels kept (mean over the images) is printed for the model (column ltrp) and, beside it, for\n"
    "random patches (mean of 20 seeds), image-gradient energy, OpenCV's spectral-residual and fine-grained saliency,\n"
    "and nearness to the centre. With --mae the column ltrp is the autoencoder's own score maps instead of a ranker.\n",
    "JSON: {\"keep\": [0.1, 0.25, 0.5, 0.75], \"methods\": {\"ltrp\": [share per keep], \"random\": [...], ...}}\n"
    "\n"
    "Examples:\n"
    "  ltrp eval coverage coco128\n"
    "  ltrp eval coverage coco128 --model my-ranker.safetensors --json coverage.json\n"
    "  ltrp eval coverage coco128 --mae my-mae.safetensors --masks 64 --space pixel --average rank\n"};

const std::vector<double> KEEP_RATIOS = {0.1, 0.25, 0.5, 0.75};
const int RANDOM_SEEDS = 20;

/// Anything that gives an image's patches scores: a ranker, or an autoencoder's score maps.
struct Judge
{
    std::function<PatchRanking(const cv::Mat& photo)> rank;
    cv::Size grid;
};

Judge makeJudge(const std::string& model, const std::string& mae, const po::variables_map& values)
{
    Judge judge;
    if (mae.empty())
    {
        const cv::Ptr<Ranker> ranker = Ranker::create(findModel(model, "rank", "--model"));
        ranker->setPreferableTarget(targetOption(values));
        judge.grid = ranker->getGrid();
        judge.rank = [ranker](const cv::Mat& photo) { return ranker->rank(photo); };
        return judge;
    }
    const ScoreParams params = scoreParams(values);
    const cv::Ptr<Scorer> scorer = Scorer::create(mae);
    scorer->setPreferableTarget(targetOption(values));
    judge.grid = scorer->getGrid();
    checkMaskRatio(params, judge.grid);
    judge.rank = [scorer, params](const cv::Mat& photo)
    { return scorer->scoreMap(photo, params, [](int, int) { return interruptSignal() == 0; }); };
    return judge;
}

/// Sums of shares per keep ratio, by method; in the order in which methods are first added.
class Shares
{
public:
    void add(const std::string& method, const std::vector<double>& shares, double weight)
    {
        auto found = std::find_if(sums_.begin(), sums_.end(), [&](const auto& entry) { return entry.first == method; });
        if (found == sums_.end())
            found = sums_.insert(sums_.end(), {method, std::vector<double>(KEEP_RATIOS.size(), 0)});
        for (size_t i = 0; i < shares.size(); ++i)
            found->second[i] += weight * shares[i];
    }
    void add(const Shares& other)
    {
        for (const auto& entry : other.sums_)
            add(entry.first, entry.second, 1);
    }
    void divide(size_t images)
    {
        for (auto& entry : sums_)
            for (double& sum : entry.second)
                sum /= static_cast<double>(images);
    }
    const std::vector<std::pair<std::string, std::vector<double>>>& methods() const { return sums_; }

private:
    std::vector<std::pair<std::string, std::vector<double>>> sums_;
};

struct Pair
{
    std::string image, mask;
};

/// Every image with its mask; what has no partner is named, for it would silently change the mean.
std::vector<Pair> findPairs(const std::string& folder, size_t& failed)
{
    std::map<std::string, std::string> masks;
    for (const char* part : {"images", "foreground"})
        if (!fs::is_directory(fs::path(folder) / part))
            throw std::runtime_error(folder + ": has no folder " + std::string(part));
    for (const std::string& mask : expandImages({(fs::path(folder) / "foreground").string()}))
        masks[fs::path(mask).stem().string()] = mask;

    std::vector<Pair> pairs;
    for (const std::string& image : expandImages({(fs::path(folder) / "images").string()}))
    {
        const auto mask = masks.find(fs::path(image).stem().string());
        if (mask == masks.end())
        {
            complain(image + ": has no mask in foreground");
            ++failed;
            continue;
        }
        pairs.push_back({image, mask->second});
        masks.erase(mask);
    }
    for (const auto& mask : masks)
    {
        complain(mask.second + ": has no image of its own in images");
        ++failed;
    }
    return pairs;
}

cv::Mat readMask(const std::string& path)
{
    cv::Mat mask;
    cv::extractChannel(toEightBit(readPhoto(path)), mask, 0);
    return mask;
}

Shares measure(const Pair& pair, size_t number, const Judge& judge)
{
    const cv::Mat photo = readPhoto(pair.image), mask = readMask(pair.mask);
    checkPhotoSize(pair.image, photo.size(), judge.grid);
    Shares shares;
    const auto add = [&](const std::string& method, const PatchRanking& ranking, double weight)
    { shares.add(method, eval::keptForeground(mask, ranking, KEEP_RATIOS), weight); };

    add("ltrp", judge.rank(photo), 1);
    for (const eval::Baseline baseline : eval::baselines())
    {
        if (!eval::baselineAvailable(baseline))
            continue;
        const int seeds = baseline == eval::Baseline::Random ? RANDOM_SEEDS : 1;
        for (int seed = 0; seed < seeds; ++seed)
            add(eval::baselineName(baseline),
                eval::baselineRanking(photo, judge.grid, baseline, static_cast<uint64_t>(seed),
                                      static_cast<uint32_t>(number)),
                1.0 / seeds);
    }
    return shares;
}

void printTable(const Shares& shares, size_t images)
{
    std::printf("share of foreground kept, mean over %zu images\n%6s", images, "keep");
    for (const auto& method : shares.methods())
        std::printf("  %*s", std::max(5, static_cast<int>(method.first.size())), method.first.c_str());
    std::printf("\n");
    for (size_t i = 0; i < KEEP_RATIOS.size(); ++i)
    {
        std::printf("%4.0f %%", 100 * KEEP_RATIOS[i]);
        for (const auto& method : shares.methods())
            std::printf("  %*.3f", std::max(5, static_cast<int>(method.first.size())), method.second[i]);
        std::printf("\n");
    }
    std::fflush(stdout);
}

int runCoverage(const std::string& folder, const std::string& json, const Judge& judge)
{
    size_t failed = 0, images = 0;
    const std::vector<Pair> pairs = findPairs(folder, failed);
    for (const eval::Baseline baseline : eval::baselines())
        if (!eval::baselineAvailable(baseline))
            complain(std::string("warning: ") + eval::baselineName(baseline) +
                     " is left out: OpenCV has no saliency module");

    Shares total;
    Progress progress("eval coverage: image", pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i)
    {
        checkInterrupt();
        try
        {
            total.add(measure(pairs[i], i, judge));
            ++images;
        }
        catch (const std::exception& error)
        {
            checkInterrupt();
            const std::string text = reason(error);
            complain(text.find(pairs[i].mask) == std::string::npos ? reason(error, pairs[i].image) : text);
            ++failed;
        }
        progress.update(i + 1);
    }
    progress.hide();
    if (images == 0)
        throw std::runtime_error(folder + ": no image could be measured");
    total.divide(images);
    if (json != "-")
        printTable(total, images);
    if (!json.empty())
    {
        Json result;
        result["keep"] = KEEP_RATIOS;
        for (const auto& method : total.methods())
            result["methods"][method.first] = method.second;
        writeJson(json, result);
    }
    if (failed > 0)
        complain(std::to_string(failed) + " files failed; the means are over the " + std::to_string(images) +
                 " others");
    return failed > 0 ? 1 : 0;
}

}  // namespace

int runEval(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string model, mae, json;
    // clang-format off
    options.add_options()
        ("model", po::value(&model)->value_name("FILE"), "ranker's weight file (default: the installed one)")
        ("mae", po::value(&mae)->value_name("FILE"), "measure this autoencoder's score maps instead of a ranker")
        ("json", po::value(&json)->value_name("FILE"), "write the table; - is stdout")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addPrecision(options);
    po::options_description scoring("Score maps (with --mae)");
    addScoreOptions(scoring);
    options.add(scoring);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "what", 2, values))
        return 0;
    const std::vector<std::string> words = positionals(values, "what", 1, "what to evaluate: coverage");
    if (words[0] != "coverage")
        throw UsageError("'" + words[0].substr(0, 64) + "' cannot be evaluated: only coverage can");
    if (words.size() < 2)
        throw UsageError("missing DIR with images/ and foreground/ (see 'ltrp help eval')");
    if (values.count("model") && values.count("mae"))
        throw UsageError("--model and --mae: name one of them, the ranker or the autoencoder");
    if (values.count("mae") && mae.empty())
        throw UsageError("--mae: empty name");
    applyThreads(values);
    if (!fs::is_directory(words[1]))
        throw std::runtime_error(words[1] + ": not a folder");
    if (values.count("json"))
        checkOutputFile(json, "--json", {});
    return runCoverage(words[1], json, makeJudge(model, mae, values));
}

}  // namespace tool
