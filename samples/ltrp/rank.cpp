// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "ranking_run.hpp"
#include "select_options.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/select.hpp>

#include <algorithm>
#include <iostream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp rank PATH... [options]",
    "Ranks the patches of images with a trained ranker: each PATH is an image or a folder (searched with all folders\n"
    "below it), a list of images (one path a line), or - for an image or a list on standard input. Without --json, --jsonl\n"
    "and --overlay a short line per image is printed.\n",
    "JSON: a list of {\"image\", \"width\", \"height\", \"grid\": [rows, columns], \"scores\": [row by row],\n"
    "\"order\": [best patch first], \"keep\": [kept patches, ascending]}. Patches are numbered row by row from 0; width and\n"
    "height are those of the image as displayed, rotated by its EXIF orientation.\n"
    "\n"
    "Examples:\n"
    "  ltrp rank photo.jpg\n"
    "  ltrp rank photo.jpg --keep 0.5 --overlay photo_ranked.png\n"
    "  ltrp rank photos/ --select cluster --json ranks.json --overlay overlays/\n"
    "  ltrp rank photos/ --select mass --mass 0.8 --min-keep 0.1 --max-keep 0.5 --json ranks.json\n"
    "  ltrp rank photo.jpg --select sample --temperature 0.7 --seed 1 --json -\n"
    "  ltrp rank photo.jpg --size auto:784 --overlay fine.png\n"
    "  ltrp rank photos/ --model my-ranker.safetensors --json - | head\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

void printLine(const std::string& path, const PatchRanking& ranking, const std::vector<int>& order, size_t kept)
{
    const cv::Size grid = ranking.grid();
    std::cout << io::harmless(path) << ": " << ranking.imageSize.width << "x" << ranking.imageSize.height << ", " << grid.height
              << "x" << grid.width << " patches, keep " << kept << ", best (row, column):";
    for (size_t i = 0; i < std::min<size_t>(order.size(), 5); ++i)
        std::cout << " (" << order[i] / grid.width << ", " << order[i] % grid.width << ")";
    std::cout << '\n';
}

}  // namespace

int runRank(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string overlay;
    addSelectOptions(options);
    JsonOutput::addOptions(options, "scores, order and kept patches");
    // clang-format off
    options.add_options()
        ("overlay", po::value(&overlay)->value_name("FILE|DIR"),
            "write a picture of the kept patches and a heat map: a file for one image, a folder for several");
    // clang-format on
    addRankingOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");
    const SelectParams select = selectParams(values);
    RankingRun run("rank", values);
    run.open(paths, overlay);
    JsonOutput json(values);
    OverlayTarget overlays;
    if (values.count("overlay"))
        overlays = OverlayTarget(overlay, run.inputs(), "rank");
    else if (!json.wanted())
        outputStream("-");

    run.rank([&](const RankedPhoto& photo)
    {
        const PatchRanking& ranking = photo.ranking;
        const std::vector<int> order = ranking.order(), keep = selectPatches(ranking, select, photo.pixels);
        if (overlays.wanted())
        {
            cv::Mat picture;
            drawOverlay(toEightBit(photo.pixels), ranking, keep, picture);
            overlays.write(photo.input, picture);
        }
        if (!json.wanted())
        {
            if (!overlays.wanted())
                printLine(photo.path, ranking, order, keep.size());
            return;
        }
        Json entry = photoJson(photo);
        entry["grid"] = {ranking.grid().height, ranking.grid().width};
        entry["scores"] = numbers(ranking.scores);
        entry["order"] = order;
        entry["keep"] = keep;
        json.add(entry);
    });
    json.finish();
    return run.finish();
}

}  // namespace tool
