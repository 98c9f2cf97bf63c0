// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "eval_methods.hpp"
#include "photos.hpp"
#include "svg.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

const HelpText HELP = {
    "ltrp plot LOG... --out FILE [options]",
    "Draws the course of trainings: loss, learning rate and images per second over the epochs, one curve a run. LOG\n"
    "is a run's folder or its log.jsonl. FILE.svg is a picture, FILE.html a page of its own with a table of the runs.\n"
    "Where a log has more lines than can be told apart, a point of a curve is the mean over some of them.\n",
    "Examples:\n"
                       "  ltrp plot runs/mae --out mae.svg\n"
                       "  ltrp plot runs/a runs/b runs/c --out runs.html --x step\n"};

const size_t MOST_POINTS = 600, MOST_LINE = 1 << 24;
const int WIDTH = 900, HEIGHT = 300, MOST_DEPTH = 16;

/// What is drawn of a line "step".
struct Step
{
    double step, epoch, loss, rate, speed;
};

struct Run
{
    std::string name, file;
    std::vector<Step> steps;
    Json start = Json::object();
    std::string last;   ///< the last event
};

[[noreturn]] void refuse(const std::string& file, size_t number, const std::string& what)
{
    throw std::runtime_error(file + ": line " + std::to_string(number) + ": " + what +
                             "; expected the log.jsonl of a training");
}

double value(const Json& line, const char* name, const std::string& file, size_t number)
{
    const auto found = line.find(name);
    if (found == line.end() || !found->is_number() || !std::isfinite(found->get<double>()))
        refuse(file, number, std::string("'") + name + "' is not a number");
    return found->get<double>();
}

Json parseLine(const std::string& text, const std::string& file, size_t number)
{
    const auto shallow = [&](int depth, Json::parse_event_t, Json&)
    {
        if (depth > MOST_DEPTH)
            refuse(file, number, "values nested too deep");
        return true;
    };
    const Json line = Json::parse(text, shallow, false);
    if (!line.is_object() || !line.contains("event") || !line["event"].is_string())
        refuse(file, number, "no JSON object with an 'event'");
    return line;
}

Run readRun(const std::string& path, const std::string& name)
{
    Run run;
    run.name = name;
    std::error_code error;
    run.file = fs::is_directory(path, error) ? (fs::path(path) / "log.jsonl").string() : path;
    if (!fs::exists(run.file, error))
        throw std::runtime_error(run.file + ": no such file");
    if (!fs::is_regular_file(run.file, error))
        throw std::runtime_error(run.file + ": not a regular file");
    std::ifstream stream(run.file, std::ios::binary);
    if (!stream)
        throw std::runtime_error(run.file + ": cannot be opened");
    std::string text;
    for (size_t number = 1; std::getline(stream, text); ++number)
    {
        if (stream.eof())   // a line that is being written
            break;
        if (text.size() > MOST_LINE)
            refuse(run.file, number, "longer than 16 MiB");
        const Json line = parseLine(text, run.file, number);
        run.last = line["event"].get<std::string>();
        if (run.last == "start" || run.last == "resume")
            run.start = line;
        if (run.last != "step")
            continue;
        const auto get = [&](const char* key) { return value(line, key, run.file, number); };
        const Step step = {get("step"), get("epoch"), get("loss"), get("lr"), get("images_per_s")};
        while (!run.steps.empty() && run.steps.back().step >= step.step)   // done again after a resume
            run.steps.pop_back();
        run.steps.push_back(step);
    }
    if (run.steps.empty())
        throw std::runtime_error(run.file + ": holds no update yet (no line with the event 'step')");
    return run;
}

/// The means of equally many lines each, so that there are at most MOST_POINTS.
std::vector<cv::Point2d> points(const Run& run, double Step::*x, double Step::*y)
{
    const size_t together = (run.steps.size() + MOST_POINTS - 1) / MOST_POINTS;
    std::vector<cv::Point2d> result;
    for (size_t first = 0; first < run.steps.size(); first += together)
    {
        const size_t last = std::min(first + together, run.steps.size());
        cv::Point2d mean(0, 0);
        for (size_t i = first; i < last; ++i)
            mean += cv::Point2d(run.steps[i].*x, run.steps[i].*y) / static_cast<double>(last - first);
        result.push_back(mean);
    }
    return result;
}

/// What a run minimises: values of different losses share no axis.
std::string lossName(const Run& run)
{
    const Json options = run.start.value("options", Json::object());
    if (!options.is_object())
        return "";
    const Json loss = options.value("loss", Json());
    return loss.is_string() ? loss.get<std::string>() : options.contains("decoder-depth") ? "reconstruction" : "";
}

std::vector<Chart> charts(const std::vector<Run>& runs, double Step::*x, const std::string& label)
{
    std::vector<std::string> losses;
    for (const Run& run : runs)
        if (std::find(losses.begin(), losses.end(), lossName(run)) == losses.end())
            losses.push_back(lossName(run));
    std::vector<Chart> result;
    const auto add = [&](const std::string& title, double Step::*y, const std::string* loss)
    {
        Chart chart;
        chart.title = title;
        chart.xLabel = label;
        chart.xFromZero = true;
        chart.yFromZero = !loss;
        for (size_t i = 0; i < runs.size(); ++i)
        {
            if (loss && lossName(runs[i]) != *loss)
                continue;
            Curve curve;
            curve.name = runs[i].name;
            curve.colour = curveColour(i);
            curve.dashed = i >= 14;   // colours begin anew
            curve.points = points(runs[i], x, y);
            chart.curves.push_back(curve);
        }
        result.push_back(chart);
    };
    for (const std::string& loss : losses)
        add(loss.empty() ? "loss" : "loss: " + loss, &Step::loss, &loss);
    add("learning rate", &Step::rate, nullptr);
    add("images per second", &Step::speed, nullptr);
    return result;
}

std::string cell(const Json& value)
{
    return "<td>" +
           escaped(value.is_string() ? value.get<std::string>()
                   : value.is_null() ? ""
                                     : value.dump()) +
           "</td>";
}

std::string page(const std::vector<Run>& runs, const std::string& picture)
{
    std::string html =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Trainings</title>\n<style>\n"
        ":root{color-scheme:only light}\nbody{font:14px sans-serif;color:#222;background:#fff;margin:24px}\n"
        ".wide{overflow-x:auto;margin-bottom:16px}\ntable{border-collapse:collapse}\n"
        "td,th{padding:3px 12px 3px 0;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}\n"
        "svg{display:block}\n@media(max-width:600px){body{margin:12px}}\n"
        "</style>\n</head>\n<body>\n<h1>Trainings</h1>\n<div class=\"wide\"><table>\n"
        "<tr><th>run</th><th>log</th><th>parameters</th><th>device</th><th>updates</th><th>of</th><th>epoch</th><th>last loss</th><th>last event</th></tr>\n";
    for (const Run& run : runs)
    {
        const Step& last = run.steps.back();
        const auto start = [&](const char* key) { return run.start.value(key, Json()); };
        html += "<tr>" + cell(run.name) + cell(run.file) + cell(start("parameters")) + cell(start("device")) +
                cell(plain(last.step)) + cell(start("steps")) + cell(plain(last.epoch)) + cell(plain(last.loss)) +
                cell(run.last) + "</tr>\n";
    }
    return html + "</table></div>\n<div class=\"wide\">" + picture + "</div>\n</body>\n</html>\n";
}

}  // namespace

int runPlot(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string out, axis;
    // clang-format off
    options.add_options()
        ("out", po::value(&out)->value_name("FILE"), "the picture, .svg, or page, .html; - is an SVG on stdout")
        ("x", po::value(&axis)->value_name("NAME")->default_value("epoch"), "what the curves run over: epoch or step");
    // clang-format on
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "log", -1, values))
        return 0;
    const std::vector<std::string> logs = positionals(values, "log", 1, "log.jsonl or folder of a run");
    if (axis != "epoch" && axis != "step")
        throw UsageError("--x: '" + axis + "' is none of epoch, step");
    if (!values.count("out"))
        throw UsageError("missing --out FILE.svg or FILE.html");
    const std::string extension = fs::path(out).extension().string();
    if (!isStream(out) && extension != ".svg" && extension != ".html")
        throw UsageError("--out: " + out + ": ends in neither .svg nor .html");

    std::vector<std::string> folders;
    for (const std::string& log : logs)   // what tells runs apart is the folder, or a log's own name
    {
        const fs::path path = log;
        if (path.filename() == "log.jsonl" && path.has_parent_path())
            folders.push_back(path.parent_path().string());
        else
            folders.push_back(path.extension() == ".jsonl" ? (path.parent_path() / path.stem()).string() : log);
    }
    const std::vector<std::string> names = shortNames(folders, false);
    std::vector<Run> runs;
    std::vector<std::string> inputs;
    for (size_t i = 0; i < logs.size(); ++i)
    {
        runs.push_back(readRun(logs[i], names[i]));
        inputs.push_back(runs.back().file);
    }
    checkTextOutput(out, "--out", inputs);
    const bool html = extension == ".html", epochs = axis == "epoch";
    const std::string picture =
        svgColumn(charts(runs, epochs ? &Step::epoch : &Step::step, epochs ? "epoch" : "update"), WIDTH, HEIGHT, html);
    writeText(out, html ? page(runs, picture) : picture);
    return 0;
}

}  // namespace tool
