// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "prompt_writer.hpp"
#include "select_options.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>

#include <algorithm>
#include <iostream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp regions PATH... [options]",
    "Groups the kept patches of each image into connected regions, the largest first, and gives their boxes and\n"
    "polygons in pixels of the image. Patches that share a side are connected. PATH and the choice of patches are as\n"
    "for 'ltrp rank'.\n",
    "JSON, --format plain: a list of {\"image\", \"width\", \"height\", \"regions\": [{\"box\": [x, y, width, height],\n"
    "\"polygon\": [[x, y], ...], \"holes\": [polygons], \"patches\", \"area\": in pixels, \"score\": mean of the\n"
    "patches}, ...]}. Polygons run along the borders of patches, from 0 to the width and the height. coco and\n"
    "labelme: one polygon per region, with its holes filled.\n"
    "\n"
    "Examples:\n"
    "  ltrp regions photo.jpg --keep 0.25 --overlay regions.jpg\n"
    "  ltrp regions photos/ --select mass --mass 0.6 --min-patches 3 --json regions.json --format coco\n"
    "  ltrp regions photos/ --json photos/ --format labelme\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

cv::Mat drawRegions(const RankedPhoto& photo, const std::vector<PatchRegion>& regions)
{
    std::vector<int> kept;
    std::vector<std::vector<cv::Point>> borders;
    for (const PatchRegion& region : regions)
    {
        kept.insert(kept.end(), region.patches.begin(), region.patches.end());
        borders.push_back(region.outline);
        borders.insert(borders.end(), region.holes.begin(), region.holes.end());
    }
    cv::Mat picture;
    drawKept(toEightBit(photo.pixels), photo.ranking.grid(), kept, picture, 0.4);
    const int width = std::max(1, std::max(picture.cols, picture.rows) / 300);
    for (const PatchRegion& region : regions)
        cv::rectangle(picture, region.box, cv::Scalar(40, 40, 220), width);
    cv::polylines(picture, borders, true, cv::Scalar::all(255), width);
    return picture;
}

}  // namespace

int runRegions(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string overlay;
    int minPatches = 0;
    addSelectOptions(options);
    options.add_options()("min-patches", po::value(&minPatches)->value_name("N")->default_value(1),
                          "leave out regions of fewer patches, 1 or more");
    PromptWriter::addOptions(options);
    options.add_options()("overlay", po::value(&overlay)->value_name("FILE|DIR"),
                          "write a picture with boxes and polygons: a file for one image, a folder for several");
    addRankingOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");
    const SelectParams select = selectParams(values);
    if (minPatches < 1)
        throw UsageError("--min-patches: " + std::to_string(minPatches) + " is below 1");
    RankingRun run("regions", values);
    run.open(paths, overlay);
    PromptWriter writer(values, run.inputs());
    OverlayTarget overlays;
    if (values.count("overlay"))
        overlays = OverlayTarget(overlay, run.inputs(), "regions");
    else if (!writer.wanted())
        outputStream("-");

    const size_t good = run.rank([&](const RankedPhoto& photo)
    {
        std::vector<PatchRegion> regions =
            keptRegions(photo.ranking, selectPatches(photo.ranking, select, photo.pixels));
        while (!regions.empty() && regions.back().patches.size() < static_cast<size_t>(minPatches))
            regions.pop_back();
        if (overlays.wanted())
            overlays.write(photo.input, drawRegions(photo, regions));
        if (writer.wanted())
            writer.addRegions(photo, regions);
        else if (!overlays.wanted())
        {
            std::cout << io::harmless(photo.path) << ": " << photo.pixels.cols << "x" << photo.pixels.rows << ", "
                      << regions.size() << " regions (x, y, width, height):";
            for (size_t i = 0; i < std::min<size_t>(regions.size(), 5); ++i)
            {
                const cv::Rect box = regions[i].box;
                std::cout << " (" << box.x << ", " << box.y << ", " << box.width << ", " << box.height << ")";
            }
            std::cout << '\n';
        }
    });
    if (writer.wanted() && good > 0)
        writer.finish();
    return run.finish();
}

}  // namespace tool
