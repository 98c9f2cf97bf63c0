// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "ranking_run.hpp"
#include "select_options.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/ltrp/tokens.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <locale>
#include <sstream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp tokens PATH... --grid HxW | --patch P [options]",
    "Selects which patch tokens of a vision transformer to keep for each image: PATH is as for 'ltrp rank'. The ranker's\n"
    "scores are resampled to the transformer's grid: the mean of the area that a token covers if that grid is\n"
    "coarser, linear interpolation if it is finer.\n"
    "--grid: rows x columns of tokens, the same for all images. --patch: the transformer takes images at their own\n"
    "resolution; each side is rounded to the nearest multiple of P * M pixels (halves to the even one), at least one.\n"
    "If the transformer limits the number of pixels, give --grid.\n",
    "JSON: a list of {\"image\", \"width\", \"height\", \"grid\": [rows, columns], \"merge\", \"order\",\n"
    "\"indices\": [kept tokens, ascending], \"positions\": [[row, column] of each], \"merged\": [kept windows of\n"
    "merge x merge tokens, row by row]}. Class and register tokens are not counted.\n"
    "\n"
    "Examples:\n"
    "  ltrp tokens photo.jpg --grid 16x16 --budget 64\n"
    "  ltrp tokens photos/ --grid 24x24 --budget auto --min-keep 0.1 --max-keep 0.5 --json tokens.json\n"
    "  ltrp tokens photo.jpg --grid 14x14 --budget 0.25 --select sample --seed 1 --json tokens.json\n"
    "  ltrp tokens photo.jpg --patch 14 --merge 2 --order windows --budget 0.3 --json -\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

const char* const ORDERS[] = {"raster", "windows"};   // in the order of cv::ltrp::TokenOrder

/// Parses --budget: "64" tokens, a share such as "0.25", or "auto".
SelectParams parseBudget(const po::variables_map& values)
{
    const std::string text = values["budget"].as<std::string>();
    if (text == "auto")
    {
        refuseOptions(values, {"select", "seed"}, "a --budget that is a number or a share");
        return massParams(values);
    }
    refuseOptions(values, {"mass", "min-keep", "max-keep"}, "--budget auto");
    SelectParams params = tokenSelectParams(values);
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos)
    {
        params.count = text.size() <= 8 ? std::atoi(text.c_str()) : 0;
        if (params.count >= 1)
            return params;
    }
    else
    {
        std::istringstream number(text);
        number.imbue(std::locale::classic());
        if (number >> params.keepRatio && number.eof() && params.keepRatio > 0 && params.keepRatio <= 1)
            return params;
    }
    throw UsageError("--budget: '" + text + "' is neither a number of tokens from 1 to 99999999, a share above 0 and "
                     "up to 1 written with a point, nor auto");
}

/// The transformer's tokens: one grid for all images, or by each image's size.
struct Consumer
{
    cv::Size grid;
    int patch = 0, merge = 1;

    explicit Consumer(const po::variables_map& values) : merge(values["merge"].as<int>())
    {
        if (merge < 1 || merge > 64)
            throw UsageError("--merge: " + std::to_string(merge) + " is outside 1 to 64");
        if (values.count("grid") == values.count("patch"))
            throw UsageError("one of --grid and --patch is needed");
        if (values.count("patch"))
        {
            patch = values["patch"].as<int>();
            if (patch < 1 || patch > 4096)
                throw UsageError("--patch: " + std::to_string(patch) + " is outside 1 to 4096");
            return;
        }
        const std::string text = values["grid"].as<std::string>();
        grid = parseGrid(text);
        if (grid.width > 4096 || grid.height > 4096)
            throw UsageError("--grid: '" + text + "' has a side above 4096");
        if (grid.width % merge != 0 || grid.height % merge != 0)
            throw UsageError("--grid: the sides of " + text + " are no multiples of --merge " + std::to_string(merge));
    }

    cv::Size of(cv::Size image) const { return patch ? tokenGrid(image, patch, merge) : grid; }

private:
    static cv::Size parseGrid(const std::string& text)   // rows first, unlike sizes in pixels
    {
        cv::Size rowsFirst;
        try
        {
            rowsFirst = parseSize("--grid", text);
        }
        catch (const UsageError&)
        {
            throw UsageError("--grid: '" + text + "' is no grid of rows and columns as 24x32");
        }
        return cv::Size(rowsFirst.height, rowsFirst.width);
    }
};

Json toJson(const RankedPhoto& photo, const TokenSelection& tokens, const char* order)
{
    Json entry = photoJson(photo), positions = Json::array();
    for (size_t i = 0; i < tokens.indices.size(); ++i)
        positions.push_back({tokens.rows[i], tokens.columns[i]});
    entry["grid"] = {tokens.grid.height, tokens.grid.width};
    entry["merge"] = tokens.merge;
    entry["order"] = order;
    entry["indices"] = tokens.indices;
    entry["positions"] = positions;
    entry["merged"] = tokens.merged;
    return entry;
}

}  // namespace

int runTokens(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    // clang-format off
    options.add_options()
        ("grid", po::value<std::string>()->value_name("HxW"), "rows and columns of the transformer's patch tokens")
        ("patch", po::value<int>()->value_name("P"), "side of its patches in pixels, at the image's own resolution")
        ("merge", po::value<int>()->value_name("M")->default_value(1),
            "keep or drop windows of M x M tokens whole, 1 to 64, for transformers that merge them")
        ("order", po::value<std::string>()->value_name("NAME")->default_value("raster"),
            "how the transformer numbers its tokens: raster, row by row; windows, merge window by merge window "
            "(Qwen2-VL)")
        ("budget", po::value<std::string>()->value_name("N|R|auto")->default_value("0.25"),
            "tokens to keep: at most N, counted before merging; a share R, with a decimal point; auto: depends on each "
            "image's scores");
    // clang-format on
    addTokenSelectOptions(options);
    JsonOutput::addOptions(options, "the tokens");
    po::options_description automatic("With --budget auto; --temperature also with --select sample");
    addMassOptions(automatic);
    options.add(automatic);
    addRankingOptions(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");
    const Consumer consumer(values);
    const int order = wordOption(values, "order", ORDERS);
    const SelectParams budget = parseBudget(values);
    if (budget.count > 0 && budget.count < consumer.merge * consumer.merge)
        throw UsageError("--budget: " + std::to_string(budget.count) + " tokens are less than one window of --merge " +
                         std::to_string(consumer.merge));
    if (!consumer.patch && budget.count > consumer.grid.area())
        throw UsageError("--budget: " + std::to_string(budget.count) + " is more than the " +
                         std::to_string(consumer.grid.area()) + " tokens of --grid");
    RankingRun run("tokens", values);
    run.open(paths);
    JsonOutput json(values);
    if (!json.wanted())
        outputStream("-");

    run.rank([&](const RankedPhoto& photo)
    {
        const cv::Size grid = consumer.of(photo.ranking.imageSize);
        SelectParams own = budget;
        own.count = std::min(own.count, grid.area());   // a small image has fewer tokens than the budget: all are kept
        const TokenSelection tokens = selectTokens(photo.ranking, grid, own, consumer.merge, order);
        if (json.wanted())
            json.add(toJson(photo, tokens, ORDERS[order]));
        else
            std::cout << io::harmless(photo.path) << ": " << photo.pixels.cols << "x" << photo.pixels.rows << ", "
                      << grid.height << "x" << grid.width << " tokens, keep " << tokens.indices.size() << " in "
                      << tokens.merged.size() << " windows of " << tokens.merge << "x" << tokens.merge << '\n';
    });
    json.finish();
    return run.finish();
}

}  // namespace tool
