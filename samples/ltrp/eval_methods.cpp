// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "eval_methods.hpp"
#include "photos.hpp"
#include "score_options.hpp"
#include "selector_options.hpp"

#include "../../modules/ltrp/src/teach/baselines.hpp"
#include "../../modules/ltrp/src/select/selector.hpp"

#include <opencv2/ltrp/ranker.hpp>

#include <algorithm>
#include <filesystem>

namespace tool
{

namespace fs = std::filesystem;

using namespace cv::ltrp;

const char* const PERFECT = "perfect";

namespace
{

/// The last `parts` parts of a path.
std::string tail(const fs::path& path, size_t parts)
{
    fs::path result, rest = path;
    for (; parts > 0 && !rest.filename().empty(); --parts, rest = rest.parent_path())
        result = result.empty() ? rest.filename() : rest.filename() / result;
    return result.generic_string();
}

Judge rankerJudge(const std::string& file, const po::variables_map& values)
{
    Judge judge;
    const cv::Ptr<Ranker> ranker = Ranker::create(file);
    ranker->setPreferableTarget(targetOption(values));
    if (values.count("size"))
        ranker->setInputSize(parseSize("--size", values["size"].as<std::string>()));
    judge.kind = "ranker";
    judge.file = file;
    judge.grid = ranker->getGrid();
    judge.rank = [ranker](const cv::Mat& photo, uint32_t) { return ranker->rank(photo); };
    return judge;
}

Judge autoencoderJudge(const std::string& file, const po::variables_map& values)
{
    Judge judge;
    const ScoreParams params = scoreParams(values);
    const cv::Ptr<Scorer> scorer = createScorer(file, values);
    judge.kind = "autoencoder";
    judge.file = file;
    judge.grid = scorer->getGrid();
    checkMaskRatio(params, judge.grid);
    addFeaturePhotos(*scorer, params, values, {});
    judge.rank = [scorer, params](const cv::Mat& photo, uint32_t)
    { return scorer->scoreMap(photo, params, [](int, int) { return interruptSignal() == 0; }); };
    return judge;
}

Judge selectorJudge(const std::string& name, const std::vector<std::string>& models, const std::vector<std::string>& autoencoders,
                    cv::Size grid, const po::variables_map& values)
{
    const std::string kind = select::selectorModel(name);
    std::vector<std::string> known;
    for (const std::string& one : select::selectorNames())
        if (one == "dpc_knn" || (!select::selectorModel(one).empty() && one != "ranker_clusters"))
            known.push_back(one);
    if (std::find(known.begin(), known.end(), name) == known.end())
    {
        std::string list;
        for (const std::string& one : known)
            list += (list.empty() ? "" : ", ") + one;
        throw UsageError("--selector: '" + name.substr(0, 64) + "' is none of " + list +
                         "; the simple ones are measured anyway" +
                         (name == "ranker_clusters" ? ", and ranker_clusters has no one order for all shares" : ""));
    }
    Judge judge;
    judge.name = name;
    judge.kind = "selector";
    judge.grid = grid;
    if (kind == "classifier")
    {
        if (!values.count("classifier") || values["classifier"].as<std::string>().empty())
            throw needsClassifier(name);
        judge.file = findModel(values["classifier"].as<std::string>(), kind, "--classifier");
    }
    else if (!kind.empty())
    {
        const std::vector<std::string>& named = kind == "rank" ? models : autoencoders;
        judge.file = findModel(named.empty() ? std::string() : named.front(), kind,
                               kind == "rank" ? "--model" : "--mae");
    }
    const std::shared_ptr<const select::Selector> selector =
        select::makeSelector(name, {judge.file, judge.file, judge.file, targetOption(values)});
    judge.rank = [selector, grid](const cv::Mat& photo, uint32_t sample)
    { return selector->rank(photo, grid, {0, 0, sample}); };
    return judge;
}

}  // namespace

std::vector<std::string> shortNames(const std::vector<std::string>& paths, bool stems,
                                    const std::vector<std::string>& taken)
{
    std::vector<fs::path> whole;
    for (const std::string& path : paths)
    {
        std::error_code error;
        fs::path absolute = fs::weakly_canonical(path, error);
        if (error)
            absolute = path;
        whole.push_back(absolute.has_filename() ? absolute : absolute.parent_path());
        if (std::count(whole.begin(), whole.end(), whole.back()) > 1)
            throw UsageError(path + ": is named twice");
    }
    std::vector<fs::path> named = whole;
    if (stems)
        for (fs::path& path : named)
            path = path.parent_path() / path.stem();
    for (size_t i = 0; i < named.size(); ++i)   // a.pth beside a.safetensors
        if (std::count(named.begin(), named.end(), named[i]) > 1)
            named = whole;
    std::vector<size_t> parts(paths.size(), 1);
    std::vector<std::string> names(paths.size());
    for (bool changed = true; changed;)
    {
        changed = false;
        for (size_t i = 0; i < paths.size(); ++i)
            names[i] = tail(named[i], parts[i]);
        std::vector<std::string> all = taken;
        all.insert(all.end(), names.begin(), names.end());
        for (size_t i = 0; i < paths.size(); ++i)
            if (std::count(all.begin(), all.end(), names[i]) > 1 && tail(named[i], parts[i] + 1) != names[i])
            {
                ++parts[i];
                changed = true;
            }
    }
    return names;
}

std::vector<Judge> makeJudges(const std::vector<std::string>& models, const std::vector<std::string>& autoencoders,
                              const std::vector<std::string>& selectors, const po::variables_map& values)
{
    std::vector<std::string> files = models, taken = {PERFECT};
    if (models.empty() && autoencoders.empty())
        files.push_back(findModel("", "rank", "--model"));
    const size_t rankers = files.size();
    files.insert(files.end(), autoencoders.begin(), autoencoders.end());
    for (const std::string& file : files)
        if (file.empty())
            throw UsageError("--model, --mae: empty name");
    for (const teach::Baseline baseline : teach::baselines())
        taken.push_back(teach::baselineName(baseline));
    taken.insert(taken.end(), selectors.begin(), selectors.end());
    const std::vector<std::string> names = shortNames(files, true, taken);

    std::vector<Judge> judges;
    for (size_t i = 0; i < files.size(); ++i)
    {
        judges.push_back(i < rankers ? rankerJudge(files[i], values)
                                     : autoencoderJudge(files[i], values));
        judges.back().name = names[i];
        const cv::Size grid = judges.back().grid, first = judges.front().grid;
        if (grid != first)
            throw std::runtime_error(files[i] + ": ranks " + std::to_string(grid.width) + "x" +
                                     std::to_string(grid.height) + " patches, " + files[0] + " " +
                                     std::to_string(first.width) + "x" + std::to_string(first.height) +
                                     ": shares of different grids cannot be compared; evaluate them apart");
    }
    if (values.count("classifier") && std::none_of(selectors.begin(), selectors.end(), [](const std::string& name)
                                                   { return select::selectorModel(name) == "classifier"; }))
        throw UsageError("--classifier: no selector of this command uses it");
    for (const std::string& name : selectors)
        judges.push_back(selectorJudge(name, models, autoencoders, judges.front().grid, values));
    return judges;
}

}  // namespace tool
