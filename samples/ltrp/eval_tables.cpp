// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "eval_coverage.hpp"

#include <algorithm>
#include <cstdio>

namespace tool
{

using cv::ltrp::eval::Interval;

namespace
{

const size_t WIDTH = 120;

std::string format(const char* pattern, double first, double second = 0)
{
    char text[64];
    std::snprintf(text, sizeof text, pattern, first, second);
    return text;
}

std::string padded(const std::string& text, size_t width, bool right = true)
{
    const std::string blanks(width > text.size() ? width - text.size() : 0, ' ');
    return right ? blanks + text : text + blanks;
}

std::string trimmed(std::string line)
{
    while (!line.empty() && line.back() == ' ')
        line.pop_back();
    return line;
}

std::string intervalText(const Interval& interval, const char* pattern)
{
    return format(pattern, interval.low, interval.high);
}

Json intervalJson(const Interval& interval)
{
    return {interval.low, interval.high};
}

std::string imagesOf(const SetResult& set)
{
    return std::to_string(set.images.size()) + (set.images.size() == 1 ? " image" : " images");
}

/// Width of the name column.
size_t nameWidth(const Methods& methods)
{
    size_t width = 4;
    for (const std::string& name : methods.names)
        width = std::max(width, name.size());
    return width;
}

/// Means, with as many sets side by side as fit.
void printMeans(const std::vector<const SetResult*>& sets, const Methods& methods)
{
    const size_t names = nameWidth(methods), cell = 6, block = cell * keepRatios().size() + 1;
    const size_t fitting = std::max<size_t>(1, names < WIDTH ? (WIDTH - names) / block : 1);
    for (size_t first = 0; first < sets.size(); first += fitting)
    {
        const size_t last = std::min(first + fitting, sets.size());
        std::string line = padded("", names, false), images = line;
        for (size_t set = first; set < last; ++set)
        {
            line += "  " + padded(sets[set]->name.substr(0, block - 2), block - 2, false);
            images += "  " + padded(imagesOf(*sets[set]), block - 2, false);
        }
        std::printf("%s\n%s\n", trimmed(line).c_str(), trimmed(images).c_str());
        line = padded("keep", names, false);
        for (size_t set = first; set < last; ++set)
            for (size_t keep = 0; keep < keepRatios().size(); ++keep)
                line += (keep ? "" : " ") + padded(format("%.0f %%", 100 * keepRatios()[keep]), cell);
        std::printf("%s\n", line.c_str());
        for (size_t method = 0; method < methods.names.size(); ++method)
        {
            line = padded(methods.names[method], names, false);
            for (size_t set = first; set < last; ++set)
                for (size_t keep = 0; keep < keepRatios().size(); ++keep)
                    line += (keep ? "" : " ") + padded(format("%.3f", sets[set]->mean(method, keep)), cell);
            std::printf("%s\n", line.c_str());
        }
        std::printf("\n");
    }
}

void printIntervals(const SetResult& set, const Methods& methods)
{
    const size_t names = nameWidth(methods), cell = 23;
    std::string line = padded("keep", names, false);
    for (double keep : keepRatios())
        line += padded(format("%.0f %%", 100 * keep), cell);
    std::printf("%s\n", line.c_str());
    for (size_t method = 0; method < methods.names.size(); ++method)
    {
        line = padded(methods.names[method], names, false);
        for (size_t keep = 0; keep < keepRatios().size(); ++keep)
            line += padded(format("%.3f", set.mean(method, keep)) +
                               intervalText(set.interval(method, keep), " [%.3f, %.3f]"),
                           cell);
        std::printf("%s\n", line.c_str());
    }
    std::printf("\n");
}

/// "+.123"
std::string signedShare(double value)
{
    std::string text = format("%+.3f", value);
    if (text[1] == '0')
        text.erase(1, 1);
    return text;
}

/// A model against every baseline. Only the first three keep ratios fit.
void printComparison(const SetResult& set, const Methods& methods, size_t judge)
{
    const size_t names = nameWidth(methods), cell = 32, shown = 3;
    std::string line = padded("keep", names, false);
    for (size_t keep = 0; keep < shown; ++keep)
        line += padded(format("%.0f %%", 100 * keepRatios()[keep]), cell);
    std::printf("%s\n", line.c_str());
    for (size_t method = methods.judges.size(); methods.isBaseline(method); ++method)
    {
        line = padded(methods.names[method], names, false);
        for (size_t keep = 0; keep < shown; ++keep)
        {
            const Comparison result = set.compare(judge, method, keep);
            line += padded(signedShare(result.difference) + " [" + signedShare(result.interval.low) + "," +
                               signedShare(result.interval.high) + "] " +
                               padded(std::to_string(result.wins), 3) + "/" + std::to_string(result.ties) + "/" +
                               padded(std::to_string(result.losses), 3, false),
                           cell);
        }
        std::printf("%s\n", trimmed(line).c_str());
    }
    std::printf("\n");
}

Json perKeep(const std::function<Json(size_t keep)>& value)
{
    Json list = Json::array();
    for (size_t keep = 0; keep < keepRatios().size(); ++keep)
        list.push_back(value(keep));
    return list;
}

/// Means, intervals and comparisons of one set.
Json summary(const SetResult& set, const Methods& methods)
{
    Json result = Json::object();
    result["images"] = set.images.size();
    for (const char* part : {"methods", "intervals", "against"})
        result[part] = Json::object();
    for (size_t method = 0; method < methods.names.size(); ++method)
    {
        const std::string& name = methods.names[method];
        result["methods"][name] = perKeep([&](size_t keep) { return Json(set.mean(method, keep)); });
        result["intervals"][name] = perKeep([&](size_t keep) { return intervalJson(set.interval(method, keep)); });
    }
    for (size_t judge = 0; judge < methods.judges.size(); ++judge)
    {
        result["against"][methods.names[judge]] = Json::object();
        for (size_t method = methods.judges.size(); methods.isBaseline(method); ++method)
            result["against"][methods.names[judge]][methods.names[method]] = perKeep(
                [&](size_t keep)
                {
                    const Comparison comparison = set.compare(judge, method, keep);
                    return Json{{"wins", comparison.wins},
                                {"ties", comparison.ties},
                                {"losses", comparison.losses},
                                {"difference", comparison.difference},
                                {"interval", intervalJson(comparison.interval)}};
                });
    }
    return result;
}

}  // namespace

void printTables(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods)
{
    for (const SetResult& set : sets)
        std::printf("%s: %s, foreground: %s\n", set.name.c_str(), imagesOf(set).c_str(), set.foreground.c_str());
    std::printf("\n");
    if (sets.size() > 1)
    {
        std::vector<const SetResult*> blocks;
        for (const SetResult& set : sets)
            blocks.push_back(&set);
        blocks.push_back(&all);
        std::printf("share of foreground kept, mean over the images\n");
        printMeans(blocks, methods);
    }
    std::printf("share of foreground kept, mean over %s, with its 95 %% interval\n", imagesOf(all).c_str());
    printIntervals(all, methods);
    for (size_t judge = 0; judge < methods.judges.size(); ++judge)
    {
        std::printf("%s less each baseline, with the difference's 95 %% interval; images won/tied/lost\n",
                    methods.names[judge].c_str());
        printComparison(all, methods, judge);
    }
    std::fflush(stdout);
}

Json toJson(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods, const std::string& half)
{
    Json result = Json::object();
    result["keep"] = keepRatios();
    result["half"] = half;
    result["models"] = Json::object();
    for (const Judge& judge : methods.judges)
        result["models"][judge.name] = {{"kind", judge.kind}, {"file", judge.file}};
    result.update(summary(all, methods));
    result["sets"] = Json::array();
    for (const SetResult& set : sets)
    {
        Json entry = {{"name", set.name}, {"folder", set.folder}, {"foreground", set.foreground}};
        entry.update(summary(set, methods));
        entry["per_image"] = Json::array();
        for (int image = 0; image < set.shares.rows; ++image)
        {
            Json shares = Json::object();
            for (size_t method = 0; method < methods.names.size(); ++method)
                shares[methods.names[method]] = perKeep(
                    [&](size_t keep) {
                        return Json(
                            set.shares.at<double>(image, static_cast<int>(method * keepRatios().size() + keep)));
                    });
            entry["per_image"].push_back({{"image", set.images[static_cast<size_t>(image)].name}, {"shares", shares}});
        }
        result["sets"].push_back(entry);
    }
    return result;
}

}  // namespace tool
