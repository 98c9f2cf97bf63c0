// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "eval_coverage.hpp"
#include "svg.hpp"

#include "../../modules/ltrp/src/teach/maps.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/select.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace tool
{

namespace
{

const size_t SHOWN_KEEP = 1;   // of keepRatios(): 25 %
const size_t MOST_EXAMPLES = 5;
const int PICTURE = 180, QUALITY = 80;

const char STYLE[] =
    ":root{color-scheme:only light}\n"
    "body{font:14px/1.45 sans-serif;color:#222;background:#fff;margin:24px 32px}\n"
    "h1{font-size:24px}h2{font-size:18px;margin-top:36px}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:3px 9px;border-bottom:1px solid #e4e4e4;text-align:right;white-space:nowrap}\n"
    "th{font-weight:600}th.group{text-align:center;border-left:2px solid #bbb}\n"
    "th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:#fff}\n"
    ".first{border-left:2px solid #bbb}\n"
    "tr.model td{background:#fbf3f4}tr.perfect td{color:#666}\n"
    "td.best{font-weight:bold}\n"
    "small{color:#555;display:block;font-size:11px;font-weight:normal}\n"
    ".better{background:#e3f4e6}.worse{background:#fbe5e5}\n"
    "details{margin:10px 0}summary{cursor:pointer;font-weight:600}\n"
    "p{max-width:90ch}li{overflow-wrap:anywhere}\n"
    ".charts{display:flex;flex-wrap:wrap;gap:12px}.charts>div{max-width:100%}svg{display:block}\n"
    ".example{margin:14px 0;padding-top:10px;border-top:1px solid #ddd}\n"
    ".cards{display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start}\n"
    "figure{margin:0;width:180px}figcaption{font-size:12px;margin-bottom:2px;overflow-wrap:anywhere}\n"
    "img{display:block;max-width:100%;margin-bottom:3px}\n"
    // A phone, upright.
    "@media(max-width:600px){body{margin:12px}th,td{padding:3px 5px}figure{width:calc(50% - 5px)}}\n";

std::string percent(double share)
{
    char text[16];
    std::snprintf(text, sizeof text, "%.0f %%", 100 * share);
    return text;
}

std::string fixed(double value, bool sign = false)
{
    char text[32];
    std::snprintf(text, sizeof text, sign ? "%+.3f" : "%.3f", value);
    return text;
}

std::string base64(const std::vector<uchar>& bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t i = 0; i < bytes.size(); i += 3)
    {
        uint32_t group = 0;
        for (size_t j = 0; j < 3; ++j)
            group = group << 8 | (i + j < bytes.size() ? bytes[i + j] : 0u);
        for (size_t j = 0; j < 4; ++j)
            text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63] : '=';
    }
    return text;
}

std::string imageTag(const cv::Mat& picture, const std::string& words)
{
    std::vector<uchar> bytes;
    if (!cv::imencode(".jpg", picture, bytes, {cv::IMWRITE_JPEG_QUALITY, QUALITY}))
        throw std::runtime_error("a picture of the report cannot be encoded as JPEG");
    return "<img alt=\"" + escaped(words) + "\" title=\"" + escaped(words) + "\" src=\"data:image/jpeg;base64," +
           base64(bytes) + "\">\n";
}

std::string rowClass(const Methods& methods, size_t method)
{
    return methods.isJudge(method) ? " class=\"model\"" : methods.isBaseline(method) ? "" : " class=\"perfect\"";
}

/// Head of a table: a group of keep ratios for each of `groups`.
std::string tableHead(const std::vector<std::string>& groups)
{
    std::string html = "<tr><th></th>";
    for (const std::string& group : groups)
        html +=
            "<th class=\"group\" colspan=\"" + std::to_string(keepRatios().size()) + "\">" + escaped(group) + "</th>";
    html += "</tr>\n<tr><th>patches kept</th>";
    for (size_t group = 0; group < groups.size(); ++group)
        for (size_t keep = 0; keep < keepRatios().size(); ++keep)
            html += std::string(keep ? "<th>" : "<th class=\"first\">") + percent(keepRatios()[keep]) + "</th>";
    return html + "</tr>\n";
}

/// The set's name with its number of images.
std::string title(const SetResult& set)
{
    return set.name + " (" + std::to_string(set.images.size()) + (set.images.size() == 1 ? " image)" : " images)");
}

std::string meansTable(const std::vector<const SetResult*>& sets, const Methods& methods)
{
    std::vector<std::string> groups;
    for (const SetResult* set : sets)
        groups.push_back(title(*set));
    std::string html = "<div class=\"wide\"><table>\n" + tableHead(groups);
    for (size_t method = 0; method < methods.names.size(); ++method)
    {
        html += "<tr" + rowClass(methods, method) + "><td>" + escaped(methods.names[method]) + "</td>";
        for (const SetResult* set : sets)
            for (size_t keep = 0; keep < keepRatios().size(); ++keep)
            {
                double best = 0;   // of what exists: perfect knowledge does not
                for (size_t other = 0; other + 1 < methods.names.size(); ++other)
                    best = std::max(best, set->mean(other, keep));
                const double mean = set->mean(method, keep);
                const cv::ltrp::eval::Interval interval = set->interval(method, keep);
                std::string classes = keep ? "" : "first";
                if (method + 1 < methods.names.size() && mean == best)
                    classes += " best";
                html += "<td class=\"" + classes + "\">" + fixed(mean) + "<small>" + fixed(interval.low) + " to " +
                        fixed(interval.high) + "</small></td>";
            }
        html += "</tr>\n";
    }
    return html + "</table></div>\n";
}

std::string comparisonTable(const SetResult& set, const Methods& methods)
{
    std::vector<std::string> groups;
    for (const Judge& judge : methods.judges)
        groups.push_back(judge.name);
    std::string html = "<div class=\"wide\"><table>\n" + tableHead(groups);
    for (size_t baseline = methods.judges.size(); methods.isBaseline(baseline); ++baseline)
    {
        html += "<tr><td>" + escaped(methods.names[baseline]) + "</td>";
        for (size_t judge = 0; judge < methods.judges.size(); ++judge)
            for (size_t keep = 0; keep < keepRatios().size(); ++keep)
            {
                const Comparison one = set.compare(judge, baseline, keep);
                std::string classes = keep ? "" : "first";
                classes += one.interval.low > 0 ? " better" : one.interval.high < 0 ? " worse" : "";
                html += "<td class=\"" + classes + "\">" + fixed(one.difference, true) + "<small>" +
                        fixed(one.interval.low, true) + " to " + fixed(one.interval.high, true) + "</small><small>" +
                        std::to_string(one.wins) + " / " + std::to_string(one.ties) + " / " +
                        std::to_string(one.losses) + "</small></td>";
            }
        html += "</tr>\n";
    }
    return html + "</table></div>\n";
}

std::string curveChart(const SetResult& set, const Methods& methods)
{
    Chart chart;
    chart.title = title(set);
    chart.xLabel = "patches kept";
    chart.percent = true;
    std::vector<size_t> order(methods.names.size());   // the legend is in the order of the curves
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return set.mean(a, SHOWN_KEEP) > set.mean(b, SHOWN_KEEP); });
    for (size_t method : order)
    {
        const bool exists = methods.isJudge(method) || methods.isBaseline(method);
        Curve curve;
        curve.name = methods.names[method];
        curve.colour = exists ? curveColour(method) : "#222222";
        curve.width = methods.isJudge(method) ? 3.5 : 1.3;
        curve.dashed = !exists;
        curve.points.push_back({0, 0});
        for (int i = 0; i < set.curves.cols; ++i)
            curve.points.push_back(
                {curveRatios()[static_cast<size_t>(i)], set.curves.at<double>(static_cast<int>(method), i)});
        chart.curves.push_back(curve);
    }
    return svgColumn({chart}, 620, 400, true);
}

/// An image of a set.
struct Example
{
    const SetResult* set;
    size_t image;
    double place;   ///< share kept by the first model, of what perfect knowledge keeps
};

double shareOf(const Example& example, size_t method)
{
    return example.set->shares.at<double>(static_cast<int>(example.image),
                                          static_cast<int>(method * keepRatios().size() + SHOWN_KEEP));
}

std::string figure(const std::string& caption, const std::vector<cv::Mat>& pictures)
{
    std::string html = "<figure><figcaption>" + escaped(caption) + "</figcaption>\n";
    for (const cv::Mat& picture : pictures)
        html += imageTag(picture, caption);
    return html + "</figure>\n";
}

std::string exampleHtml(const Example& example, const Methods& methods)
{
    const ImagePair& pair = example.set->images[example.image];
    const RankedImage ranked = rankImage(pair, example.set->rule, methods);
    const double scale = PICTURE / static_cast<double>(std::max(ranked.photo.cols, ranked.photo.rows));
    const cv::Size size(std::max(1, cvRound(ranked.photo.cols * scale)),
                        std::max(1, cvRound(ranked.photo.rows * scale)));
    cv::Mat photo, mask, grey, marked;
    cv::ltrp::drawKept(ranked.photo, {1, 1}, {0}, photo);   // BGR, whatever it was
    cv::resize(photo, photo, size, 0, 0, cv::INTER_AREA);
    cv::resize(ranked.foreground, mask, size, 0, 0, cv::INTER_AREA);
    cv::cvtColor(photo, grey, cv::COLOR_BGR2GRAY);
    cv::cvtColor(grey, grey, cv::COLOR_GRAY2BGR);
    marked = grey * 0.35;
    photo.copyTo(marked, mask > 0);

    std::string html =
        "<div class=\"example\"><b>" + escaped(example.set->name + ": " + pair.name) + "</b>\n<div class=\"cards\">\n";
    html += figure("photo and foreground", {photo, marked});
    for (size_t method = 0; method < methods.names.size(); ++method)
    {
        const cv::ltrp::PatchRanking& ranking = ranked.rankings[method];
        cv::ltrp::SelectParams select;
        select.keepRatio = keepRatios()[SHOWN_KEEP];
        cv::Mat kept, heat;
        cv::ltrp::drawKept(photo, ranking.grid(), cv::ltrp::selectPatches(ranking, select), kept, 0.2);
        // Ranks: scores of any distribution show alike.
        cv::ltrp::drawHeatMap(grey, cv::ltrp::teach::toRanks(ranking.scores), heat, 0.7);
        html += figure(methods.names[method] + ": " + percent(shareOf(example, method)), {kept, heat});
    }
    return html + "</div></div>\n";
}

std::string examplesHtml(const std::vector<SetResult>& sets, const Methods& methods)
{
    std::vector<Example> examples;
    for (const SetResult& set : sets)
        for (size_t image = 0; image < set.images.size(); ++image)
        {
            Example example = {&set, image, 0};
            const double most = shareOf(example, methods.names.size() - 1);
            example.place = most > 0 ? shareOf(example, 0) / most : 0;
            examples.push_back(example);
        }
    std::stable_sort(examples.begin(), examples.end(),
                     [](const Example& a, const Example& b) { return a.place > b.place; });
    const size_t count = std::min(MOST_EXAMPLES, examples.size() / 2);
    const std::string keep = percent(keepRatios()[SHOWN_KEEP]), name = escaped(methods.names[0]);
    std::string html;
    const auto add = [&](const std::string& heading, size_t first, size_t last)
    {
        html += "<h2>" + heading + "</h2>\n";
        for (size_t i = first; i < last; ++i)
        {
            checkInterrupt();
            html += exampleHtml(examples[i], methods);
        }
    };
    const std::string words =
        "<p>By the share of foreground that " + name + " keeps at " + keep +
        " of the patches, of the share that perfect knowledge keeps. Each method: patches kept, and "
        "all patches from the last (dark) to the first (light); the number is the share of foreground kept.</p>\n";
    if (count == 0)
    {
        add("The image", 0, examples.size());
        return html;
    }
    add("Images on which " + name + " does best", 0, count);
    html.insert(html.find("</h2>\n") + 6, words);
    add("Images on which " + name + " does worst", examples.size() - count, examples.size());
    return html;
}

}  // namespace

std::string htmlReport(const std::vector<SetResult>& sets, const SetResult& all, const Methods& methods,
                       const std::string& half)
{
    std::vector<const SetResult*> blocks;
    for (const SetResult& set : sets)
        blocks.push_back(&set);
    if (sets.size() > 1)
        blocks.push_back(&all);

    std::string html =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Foreground coverage</title>\n<style>\n" +
        std::string(STYLE) + "</style>\n</head>\n<body>\n<h1>Foreground coverage</h1>\n";
    html += "<p>Share of the foreground's pixels that lie in the patches kept, mean over the images; below it its 95 % "
            "interval "
            "(bootstrap over images). Bold: the best of a column, perfect knowledge of the foreground left aside.";
    if (half != "all")
        html += " Images: the half &ldquo;" + escaped(half) + "&rdquo; of each set.";
    html += "</p>\n<ul>\n";
    for (const Judge& judge : methods.judges)
        html += "<li><b>" + escaped(judge.name) + "</b>: " + judge.kind +
                (judge.file.empty() ? "" : ", " + escaped(judge.file)) + ", " +
                std::to_string(judge.grid.width) + "&times;" + std::to_string(judge.grid.height) + " patches</li>\n";
    for (const SetResult& set : sets)
        html += "<li><b>" + escaped(set.name) + "</b>: " + std::to_string(set.images.size()) + " images of " +
                escaped(set.folder) + "; foreground in its masks: " + escaped(set.foreground) + "</li>\n";
    html += "</ul>\n" + meansTable(blocks, methods);

    html += "<h2>Against each baseline</h2>\n<p>The model's share less the baseline's, with its 95 % interval (green: "
            "above zero, "
            "red: below zero), and the images won / tied / lost.</p>\n";
    for (size_t i = blocks.size(); i-- > 0;)   // all images first, the sets to unfold
        html += std::string("<details") + (i + 1 == blocks.size() ? " open" : "") + "><summary>" +
                escaped(title(*blocks[i])) + "</summary>\n" + comparisonTable(*blocks[i], methods) + "</details>\n";

    html += "<h2>Share of foreground by share of patches kept</h2>\n<div class=\"charts\">\n";
    for (size_t i = blocks.size(); i-- > 0;)
        html += "<div class=\"wide\">" + curveChart(*blocks[i], methods) + "</div>\n";
    html += "</div>\n" + examplesHtml(sets, methods);
    return html + "</body>\n</html>\n";
}

}  // namespace tool
