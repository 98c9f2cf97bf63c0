// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "io/file_bytes.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>

namespace fs = std::filesystem;

namespace golden
{

namespace
{

std::string shortNumber(double value)
{
    std::ostringstream text;
    text << std::setprecision(3) << value;
    return text.str();
}

/// Result of a comparison.
struct Differences
{
    size_t compared = 0, off = 0, leftOut = 0, notFinite = 0, oursNotFinite = 0;
    double largest = 0, relative = 0, ofAllowed = 0;
};

void addDifference(Differences& d, double want, double got, double allowed)
{
    if (allowed < 0)
    {
        d.leftOut++;
        return;
    }
    if (!std::isfinite(got))
        d.oursNotFinite++;
    if (!std::isfinite(want))
    {
        d.notFinite++;
        return;
    }
    d.compared++;
    const double error = std::abs(got - want);
    if (!(error <= allowed))
        d.off++;
    if (!std::isfinite(error))
        return;
    d.largest = std::max(d.largest, error);
    if (error > 0)
    {
        const double infinity = std::numeric_limits<double>::infinity();
        d.relative = std::max(d.relative, want != 0 ? error / std::abs(want) : infinity);
        d.ofAllowed = std::max(d.ofAllowed, allowed > 0 ? error / allowed : infinity);
    }
}

std::string differenceText(const Differences& d, const std::string& tolerance)
{
    std::ostringstream text;
    text << "abs " << std::setw(8) << std::left << shortNumber(d.largest) << " rel " << std::setw(8)
         << shortNumber(d.relative) << " tolerance " << tolerance;
    if (tolerance != "exact" && d.compared)
        text << " (used " << shortNumber(100 * d.ofAllowed) << " %)";
    if (d.off)
        text << "; " << d.off << " of " << d.compared << " off";
    if (d.notFinite)
        text << "; " << d.notFinite << " of " << d.notFinite + d.compared << " not compared: recorded as inf or nan";
    if (d.oursNotFinite)
        text << "; " << d.oursNotFinite << " of ours not finite";
    if (d.leftOut)
        text << "; " << d.leftOut << " left out";
    return text.str();
}

}  // namespace

void Report::line(bool ok, const std::string& name, const std::string& text)
{
    (ok ? totals_.passed : totals_.failed)++;
    out_ << "  " << (ok ? "ok   " : "FAIL ") << std::setw(40) << std::left << name << " " << text << "\n";
}

void Report::passed(const std::string& name, const std::string& what)
{
    line(true, name, what);
}

void Report::failed(const std::string& name, const std::string& why)
{
    line(false, name, why);
}

void Report::note(const std::string& text)
{
    out_ << "       " << text << "\n";
}

void Report::onCpu(const std::string& what)
{
    if (!device_.name.empty())
        note("computed on the CPU: " + what);
}

void Report::compare(const std::string& name, const Values& want, const Values& got,
                     const std::function<double(size_t)>& allowed, const std::string& tolerance)
{
    if (want.shape != got.shape || want.integer != got.integer || want.count() != got.count())
    {
        failed(name, "computed as " + std::string(got.integer ? "int64 " : "float32 ") + shapeText(got.shape) +
               ", recorded as " + (want.integer ? "int64 " : "float32 ") + shapeText(want.shape));
        return;
    }
    Differences d;
    for (size_t i = 0; i < want.count(); i++)
    {
        if (want.integer)
            addDifference(d, static_cast<double>(want.ints[i]), static_cast<double>(got.ints[i]), allowed(i));
        else
            addDifference(d, want.floats[i], got.floats[i], allowed(i));
    }
    line(d.off == 0 && d.oursNotFinite == 0, name, differenceText(d, tolerance));
}

void Report::compare(const Entry& entry, const Values& want, const Values& got)
{
    if (want.integer || entry.tolerance == "exact")
    {
        compare(entry.name, want, got, [](size_t) { return 0.0; }, "exact");
        return;
    }
    const double abs = toleranceNumber(entry, "abs"), rel = toleranceNumber(entry, "rel");
    compare(entry.name, want, got,
            [abs, rel, &want](size_t i) { return abs + rel * std::abs(static_cast<double>(want.floats[i])); },
            shortNumber(abs) + " + " + shortNumber(rel) + "*|want|");
}

void Runner::unknown(const Entry& entry) const
{
    throw std::runtime_error("nothing here computes a tensor of this name in a case of kind '" + case_.kind() +
                             "' (meaning given: see " + case_.path("case.json") + ", '" + entry.name + "')");
}

namespace
{

std::unique_ptr<Runner> makeRunner(const Case& c, Report& report)
{
    typedef std::unique_ptr<Runner> (*Maker)(const Case&, Report&);
    const std::pair<const char*, Maker> kinds[] = {
        {"mae", makeMaeRunner}, {"pseudo_scores", makePseudoScoreRunner}, {"ranker", makeRankerRunner},
        {"losses", makeLossRunner}, {"selection", makeSelectionRunner}, {"train_step", makeTrainStepRunner},
        {"preprocess", makePreprocessRunner}};
    for (const auto& kind : kinds)   // "mae_tiny" is a "mae" case
        if (c.kind() == kind.first || c.kind().compare(0, std::string(kind.first).size() + 1,
                                                       std::string(kind.first) + "_") == 0)
            return kind.second(c, report);
    throw std::runtime_error(c.path("case.json") + ": unknown kind of case '" + c.kind() + "'");
}

std::string reason(const std::exception& error)
{
    const auto* fromOpenCv = dynamic_cast<const cv::Exception*>(&error);
    return cv::ltrp::io::harmless(fromOpenCv ? fromOpenCv->err : error.what());
}

void runCase(const std::string& folder, std::ostream& out, Report& report, const std::function<void()>& pause)
{
    out << folder << "\n";
    const int before = report.totals().passed + report.totals().failed;
    const auto succeeds = [&report](const std::string& name, const std::function<void()>& work)
    {
        try
        {
            work();
            return true;
        }
        catch (const std::exception& error)
        {
            report.failed(name, reason(error));
            return false;
        }
    };
    const std::string name = fs::path(folder).filename().string();
    std::unique_ptr<Case> c;
    std::unique_ptr<Runner> runner;
    if (!succeeds(name, [&] { c.reset(new Case(folder)); runner = makeRunner(*c, report); }))
        return;
    for (const Entry& entry : c->entries())
    {
        if (entry.role != "output")
            continue;
        if (pause)
            pause();
        succeeds(entry.name, [&]
        {
            const Values want = c->load(entry);
            runner->compare(entry, want, runner->compute(entry));
        });
    }
    succeeds(name, [&]
    {
        runner->further();
        if (report.totals().passed + report.totals().failed == before)
            throw std::runtime_error(c->path("case.json") + ": there is nothing in it to check");
    });
    out.flush();
}

}  // namespace

Totals check(const std::string& dir, std::ostream& out, const Device& device, const std::function<void()>& pause)
{
    std::vector<std::string> folders;
    if (!fs::is_directory(dir))
        throw std::runtime_error(dir + ": not a folder");
    if (fs::exists(fs::path(dir) / "case.json"))
        folders.push_back(dir);
    else
        for (const fs::directory_entry& entry : fs::directory_iterator(dir))
            if (entry.is_directory() && fs::exists(entry.path() / "case.json"))
                folders.push_back(entry.path().string());
    if (folders.empty())
        throw std::runtime_error(dir + ": neither case.json nor a folder with one in it");
    std::sort(folders.begin(), folders.end());
    if (!device.name.empty())
        out << "networks on " << device.name << "\n";
    Report report(out, device);
    for (const std::string& folder : folders)
        runCase(folder, out, report, pause);
    return report.totals();
}

}  // namespace golden
