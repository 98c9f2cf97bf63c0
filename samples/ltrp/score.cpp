// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "score_options.hpp"
#include "score_targets.hpp"
#include "worker_options.hpp"

#include "../../modules/ltrp/src/core/words.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/scorer.hpp>
#include <opencv2/ltrp/select.hpp>

#include <algorithm>
#include <iostream>
#include <limits>
#include <sstream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp score PATH... [options]",
    "Measures the patches of images with a masked autoencoder: most patches are hidden at random, the image is\n"
    "reconstructed, and each visible patch is removed in turn; its pseudo-score is how much the reconstruction\n"
    "changes. No trained ranker is needed. Scores are averaged over --masks random masks (more, until every patch was\n"
    "visible); with --masks 1 only the visible patches have scores. --teacher names other measures.\n"
    "With --targets the maps of all photos are kept for 'ltrp train --targets': DATA is then as for 'ltrp train' (folders\n"
    "are searched recursively, list files), and the same command continues after a stop. A line on standard output\n"
    "states that they are complete, even if images were skipped (exit status 1).\n",
    "JSON: a list of {\"image\", \"width\", \"height\", \"grid\": [rows, columns], \"scores\": [row by row],\n"
    "\"teacher\", \"context\", \"smooth\", \"mask_ratio\", \"removal\", \"metric\", \"space\", \"average\", \"masks\",\n"
    "\"seed\"}, and \"approximate\" if given;\n"
    "with --masks 1 the scores of hidden patches are null, and \"visible\" and \"visible_scores\" list the others.\n"
    "\n"
    "Examples:\n"
    "  ltrp score photo.jpg --overlay photo_scores.png\n"
    "  ltrp score photos/ --mae mae-base.safetensors --masks 128 --space pixel --json scores.json\n"
    "  ltrp score photo.jpg --masks 1 --seed 7 --removal encoder --json -\n"
    "  ltrp score photos/ --approximate 0.3 --precision int8 --json scores.json\n"
    "  ltrp score photos/ --targets targets/ --teacher features*1+barrier*0.7+spectral*0.5+centre*0.1 --smooth 0.7\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

/// A ranking for drawing, with scores of visible patches only: hidden ones get the lowest colour.
PatchRanking visibleOnly(const VisibleScores& visible, cv::Size image, cv::Size grid)
{
    PatchRanking ranking;
    ranking.imageSize = image;
    ranking.scores.create(grid, CV_32F);
    ranking.scores.setTo(*std::min_element(visible.scores.begin(), visible.scores.end()));
    for (size_t i = 0; i < visible.patches.size(); ++i)
        ranking.scores.at<float>(visible.patches[i] / grid.width, visible.patches[i] % grid.width) = visible.scores[i];
    return ranking;
}

Json visibleJson(const VisibleScores& visible, cv::Size grid, Json& entry)
{
    Json all = Json::array(), some = Json::array();
    for (int i = 0; i < grid.area(); ++i)
        all.push_back(nullptr);
    for (size_t i = 0; i < visible.patches.size(); ++i)
    {
        some.push_back(shortNumber(visible.scores[i]));
        all[static_cast<size_t>(visible.patches[i])] = some.back();
    }
    entry["visible"] = visible.patches;
    entry["visible_scores"] = some;
    return all;
}

/// Scores one image; `done` counts masks of the whole run for the progress bar.
Json scorePhoto(const Scorer& scorer, const ScoreParams& params, double keepRatio, const std::string& path,
                size_t input, OverlayTarget& overlays, const Scorer::Progress& masksDone)
{
    const cv::Mat photo = readPhoto(path);
    const cv::Size grid = scorer.getGrid();
    checkPhotoSize(path, photo.size(), grid);

    Json entry = Json::object(), scores;
    entry["image"] = nameJson(path);
    entry["width"] = photo.cols;
    entry["height"] = photo.rows;
    entry["grid"] = {grid.height, grid.width};
    entry["scores"] = nullptr;   // reserves its position among the keys
    PatchRanking ranking;
    std::vector<int> keep;
    if (params.masks == 1)
    {
        const VisibleScores visible = scorer.score(photo, params);
        ranking = visibleOnly(visible, photo.size(), grid);
        keep = visible.patches;
        scores = visibleJson(visible, grid, entry);
    }
    else
    {
        ranking = scorer.scoreMap(photo, params, masksDone);
        SelectParams select;
        select.keepRatio = keepRatio;
        keep = selectPatches(ranking, select);
        scores = numbers(ranking.scores);
    }
    entry["scores"] = scores;
    entry["teacher"] = params.teacher.c_str();
    entry["context"] = words::contexts[params.context];
    entry["smooth"] = params.smooth;
    entry["mask_ratio"] = params.maskRatio;
    entry["removal"] = words::removals[params.removal];
    entry["metric"] = words::metrics[params.metric];
    entry["space"] = words::spaces[params.space];
    entry["average"] = words::averages[params.average];
    entry["masks"] = params.masks;
    entry["seed"] = params.seed;
    if (params.sampleShare < 1)
        entry["approximate"] = params.sampleShare;
    if (overlays.wanted())
    {
        cv::Mat overlay;
        drawOverlay(toEightBit(photo), ranking, keep, overlay);
        overlays.write(input, overlay);
    }
    return entry;
}

void printLine(const Json& entry)
{
    float best = -std::numeric_limits<float>::infinity(), worst = -best;
    size_t place = 0;
    const Json& scores = entry["scores"];
    for (size_t i = 0; i < scores.size(); ++i)
    {
        if (scores[i].is_null())
            continue;
        const float score = scores[i].get<float>();
        worst = std::min(worst, score);
        if (score > best)
        {
            best = score;
            place = i;
        }
    }
    const size_t columns = entry["grid"][1].get<size_t>();
    std::cout << io::harmless(entry["image"].get<std::string>()) << ": " << entry["width"] << "x" << entry["height"] << ", "
              << entry["grid"][0] << "x" << columns << " patches, scores " << worst << " to " << best
              << ", best patch (row, column): (" << place / columns << ", " << place % columns << ")\n";
}

}  // namespace

int runScore(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string mae, overlay;
    double keepRatio = 0;
    options.add_options()("mae", po::value(&mae)->value_name("FILE"),
                          "autoencoder's weight file (default: the installed one)");
    addScoreOptions(options);
    JsonOutput::addOptions(options, "the scores");
    // clang-format off
    options.add_options()
        ("overlay", po::value(&overlay)->value_name("FILE|DIR"),
            "write a picture of the best patches and a heat map: a file for one image, a folder for several")
        ("keep", po::value(&keepRatio)->value_name("R")->default_value(0.25, "0.25"),
            "share of patches shown bright in the overlay (with --masks 1: the visible ones)")
        ("approximate", po::value<double>()->value_name("SHARE"),
            "estimate the scores: for each removed patch compute only this share of the hidden ones, for example 0.3\n"
            "(only with decoder removal and l1 or l2)")
        ("targets", po::value<std::string>()->value_name("DIR"), "keep the maps for 'ltrp train --targets'")
        ("part", po::value<std::string>()->value_name("I/N"), "with --targets: compute the I-th of N parts, one process each")
        ("config", po::value<std::string>()->value_name("FILE"), "read options from a file, one \"name = value\" per line; the "
            "command line overrides it")
        ("mirror", po::bool_switch(), "with --targets: average the maps of each photo and of its mirror image")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    addWorkerOptions(options);
    // clang-format on
    addMaxPixels(options);
    addPrecision(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");
    ScoreParams params = scoreParams(values);
    if (values.count("approximate"))
    {
        params.sampleShare = values["approximate"].as<double>();
        if (!(params.sampleShare > 0 && params.sampleShare < 1))
            throw UsageError("--approximate: " + plain(params.sampleShare) + " is outside (0, 1)");
        if (params.removal != REMOVAL_DECODER || (params.metric != METRIC_L1 && params.metric != METRIC_L2))
            throw UsageError("--approximate goes with --removal decoder and --metric l1 or l2 only");
    }
    if (!(keepRatio > 0 && keepRatio <= 1))
        throw UsageError("--keep: " + plain(keepRatio) + " is outside (0, 1]");
    if (isMpiTool())   // several processes of `ltrp` are only allowed with --part
        requireWorkersOfLauncher();
    applyWorkerOptions(values);
    applyMaxPixels(values);

    if (params.masks == 1 && params.teacher != "leave-one-out")
        throw UsageError("--masks 1 shows the scores of one mask and goes with --teacher leave-one-out only");
    if (values.count("targets"))
    {
        for (const char* option : {"json", "jsonl", "overlay"})
            if (values.count(option))
                throw UsageError(std::string("--targets does not go with --") + option);
        if (!values["keep"].defaulted())
            throw UsageError("--targets does not go with --keep");
        return scoreTargets(paths, values["targets"].as<std::string>(), findModel(mae, "mae", "--mae"), params, values);
    }
    if (!workers().alone())
        throw UsageError("several processes compute score maps alone: expected --targets; start one process for anything else");
    for (const char* option : {"mirror", "part"})
        if (values.count(option) && !values[option].defaulted())
            throw UsageError(std::string("--") + option + " goes with --targets");
    size_t failed = 0, left = 0;
    const std::vector<std::string> inputs = expandImages(paths, overlay, &left);
    const std::string weights = findModel(mae, "mae", "--mae");
    JsonOutput json(values);
    OverlayTarget overlays;
    if (values.count("overlay"))
        overlays = OverlayTarget(overlay, inputs, "score");
    else if (!json.wanted())
        outputStream("-");
    const cv::Ptr<Scorer> scorer = createScorer(weights, values);
    checkMaskRatio(params, scorer->getGrid());
    addFeaturePhotos(*scorer, params, values, inputs);

    Progress progress("score: image", inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i)
    {
        checkInterrupt();
        const auto masksDone = [&](int done, int total)
        {
            progress.update(i, "mask " + std::to_string(done) + "/" + std::to_string(total));
            requireReaders();
            return interruptSignal() == 0;
        };
        Json entry;
        try
        {
            entry = scorePhoto(*scorer, params, keepRatio, inputs[i], i, overlays, masksDone);
        }
        catch (const std::exception& error)
        {
            checkInterrupt();   // cancelling is not an error of the image
            complain(reason(error, inputs[i]));
            ++failed;
            continue;
        }
        if (json.wanted())
            json.add(entry);
        else if (!overlays.wanted())
            printLine(entry);
        progress.update(i + 1);
    }
    json.finish();
    if (failed > 0 && inputs.size() > 1)
        complain(std::to_string(failed) + " of " + std::to_string(inputs.size()) + " images failed");
    return failed + left > 0 ? 1 : 0;
}

}  // namespace tool
