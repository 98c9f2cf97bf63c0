// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "golden_case.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>

namespace fs = std::filesystem;

namespace tool { namespace golden {

namespace
{

std::string shortNumber(double value)
{
    std::ostringstream text;
    text << std::setprecision(3) << value;
    return text.str();
}

/// What a comparison found.
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

void runCase(const std::string& folder, std::ostream& out, Report& report)
{
    out << folder << "\n";
    const int before = report.totals().passed + report.totals().failed;
    try
    {
        const Case c(folder);
        const std::unique_ptr<Runner> runner = makeRunner(c, report);
        for (const Entry& entry : c.entries())
        {
            if (entry.role != "output")
                continue;
            checkInterrupt();
            try
            {
                const Values want = c.load(entry);
                runner->compare(entry, want, runner->compute(entry));
            }
            catch (const Interrupted&)
            {
                throw;
            }
            catch (const std::exception& error)
            {
                report.failed(entry.name, reason(error));
            }
        }
        runner->further();
        if (report.totals().passed + report.totals().failed == before)
            throw std::runtime_error(c.path("case.json") + ": there is nothing in it to check");
    }
    catch (const Interrupted&)
    {
        throw;
    }
    catch (const std::exception& error)
    {
        report.failed(fs::path(folder).filename().string(), reason(error));
    }
    out.flush();
}

}  // namespace

}  // namespace golden

GoldenTotals checkGolden(const std::string& dir, std::ostream& out, const GoldenDevice& device)
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
    golden::Report report(out, device);
    for (const std::string& folder : folders)
        golden::runCase(folder, out, report);
    return report.totals();
}

namespace
{

GoldenDevice deviceOf(const po::variables_map& values)
{
    using cv::ltrp::ops::Precision;
    const std::string name = values["precision"].as<std::string>(), device = values["device"].as<std::string>();
    if (name != "fp32" && !(name == "tf32" && device == "cuda"))
        throw UsageError("--precision: '" + name + "': the recorded tolerances are for " +
                         (device == "cuda" ? "fp32 and tf32" : "fp32"));
    targetOption(values);   // refuses a device that is not there
    GoldenDevice result;
    if (device == "cpu")
        return result;
    const Precision precision = name == "tf32" ? Precision::TF32 : Precision::FP32;
    cv::ltrp::ops::cudaBackend(precision, true, &result.name);
    result.name += ", " + name;
    result.make = [precision](bool frozen) { return cv::ltrp::ops::cudaBackend(precision, frozen); };
    return result;
}

}  // namespace

int runGolden(const std::vector<std::string>& args)
{
    const HelpText help = {
        "ltrp golden DIR [options]",
        "Compares what this program computes with recorded reference cases. DIR holds case.json and the tensor files\n"
        "that it lists, or is a folder of such folders. Every output tensor gets a line: name, largest absolute and\n"
        "relative error, tolerance, ok or FAIL. The exit status is 1 if any is off. With --device cuda the networks run on\n"
        "the GPU; what is the CPU's work in any case is named.",
        "  ltrp golden tests/data/golden             all cases of a folder\n"
        "  ltrp golden tests/data/golden/losses      one case\n"};
    po::options_description options("Options");
    options.add_options()("threads", po::value<int>()->value_name("N"), "threads to use (default: all cores)")
        ("device", po::value<std::string>()->value_name("NAME")->default_value("cpu"),
         "cpu, or cuda: an NVIDIA GPU; where there is none, nothing is computed")
        ("precision", po::value<std::string>()->value_name("NAME")->default_value("fp32"),
         "of the networks' matrix products: fp32, or tf32 on cuda. The tolerances are those of fp32");
    po::variables_map values;
    if (!parseArguments(args, help, options, "dir", 1, values))
        return 0;
    applyThreads(values);
    const std::string dir = positionals(values, "dir", 1, "DIR, a folder of reference cases")[0];
    const GoldenTotals totals = checkGolden(dir, std::cout, deviceOf(values));
    std::cout << totals.passed << " checks passed, " << totals.failed << " failed" << std::endl;
    return totals.failed ? 1 : 0;
}

}  // namespace tool
