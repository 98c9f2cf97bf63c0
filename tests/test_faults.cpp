// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <iterator>
#include <set>
#include <sstream>

#ifndef LTRP_FAULT_SHIM
#define LTRP_FAULT_SHIM ""   // built with a sanitizer, which has its own allocators
#endif

namespace
{

namespace fs = std::filesystem;
using testing_tools::Outcome;
using testing_tools::readText;
using testing_tools::runProcess;

struct FaultsFixture : ToolFixture
{
    static bool without()
    {
        BOOST_TEST_MESSAGE((*LTRP_FAULT_SHIM ? "calls fail by " LTRP_FAULT_SHIM : "not run: this build has no shim"));
        return !*LTRP_FAULT_SHIM;
    }

    static Outcome run(std::vector<std::string> command, const std::string& kind, long at, const std::string& count = std::string(),
                       std::map<std::string, std::string> environment = {})
    {
        command.insert(command.begin(), LTRP_TOOL);
        environment.insert({{"LD_PRELOAD", LTRP_FAULT_SHIM}, {"LTRP_FAULT_KIND", kind}, {"LTRP_FAULT_AT", std::to_string(at)},
                            {"OMP_WAIT_POLICY", "passive"}});
        if (!count.empty())
            environment["LTRP_FAULT_COUNT"] = count;
        return runProcess(command, environment);
    }

    /// About `most` call numbers spread over a run without failures; with LTRP_ALL_FAULTS in the environment the first
    /// and the last call of each place in the code.
    std::vector<long> points(const std::vector<std::string>& command, const std::string& kind, long most) const
    {
        const std::string file = folder.file("count");
        BOOST_REQUIRE(run(command, kind, 0, file).status == 0);
        std::istringstream numbers(readText(file));
        long calls = 0;
        numbers >> calls;
        BOOST_REQUIRE(calls > 0);
        if (std::getenv("LTRP_ALL_FAULTS"))
        {
            const std::set<long> places{std::istream_iterator<long>(numbers), std::istream_iterator<long>()};
            BOOST_TEST_MESSAGE(command[0] << ": " << places.size() << " of " << calls << ' ' << kind << " calls fail");
            return {places.begin(), places.end()};
        }
        std::vector<long> list;
        for (long at = 1; at <= calls; at += std::max(1L, calls / most))
            list.push_back(at);
        return list;
    }

    /// Whether the run ended with one of the tool's exit statuses, or by GDAL's abort(): some of its allocations use
    /// operator new, so that the shim cannot tell them from the tool's. GDAL then prints nothing, or its own message;
    /// failures of the tool print more.
    static bool endedWell(const Outcome& outcome)
    {
        const bool gdal = outcome.err.empty() || outcome.err.find("port/cpl_") != std::string::npos;
        return (outcome.status >= 0 && outcome.status <= 2) || (outcome.status == 1000 + SIGABRT && gdal);
    }

    static std::vector<std::string> pretrain(const std::string& out)
    {
        return {"pretrain", photoFolder(), "--out", out, "--size", "32", "--patch", "8", "--embed-dim", "24", "--depth", "1", "--heads",
                "2", "--decoder-embed-dim", "16", "--decoder-depth", "1", "--decoder-heads", "2", "--batch", "3", "--accumulate", "1",
                "--epochs", "2", "--threads", "1", "--workers", "1", "--checkpoint-every", "1"};
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(faults, FaultsFixture)

BOOST_AUTO_TEST_CASE(any_call_may_fail_and_a_run_ends_with_an_error_or_well)
{
    if (without())
        return;
    const std::string json = folder.file("r.json");
    const std::vector<std::vector<std::string>> commands = {
        {"info", models().mae},
        {"rank", photos()[0], "--model", models().ranker, "--threads", "1", "--json", json},
        {"score", photos()[0], "--mae", models().mae, "--masks", "1", "--threads", "1", "--json", json},
        {"convert", models().ranker, folder.file("c.onnx")}};
    for (const auto& command : commands)
        for (const char* kind : {"system", "memory"})
        {
            int errors = 0;
            for (const long at : points(command, kind, 25))
            {
                fs::remove(json);
                const Outcome outcome = run(command, kind, at);
                BOOST_TEST_CONTEXT(command[0] << ", " << kind << " call " << at << ", status " << outcome.status << ": " << outcome.err)
                {
                    BOOST_TEST(endedWell(outcome));
                    errors += outcome.status != 0;
                    if (fs::exists(json))
                        BOOST_TEST(!Json::parse(readText(json), nullptr, false).is_discarded());
                }
            }
            BOOST_TEST(errors > 0);
        }
}

BOOST_AUTO_TEST_CASE(a_training_that_fails_anywhere_goes_on_to_the_same_bytes)
{
    if (without())
        return;
    BOOST_REQUIRE(runProcess([&] { auto c = pretrain(folder.file("whole")); c.insert(c.begin(), LTRP_TOOL); return c; }()).status == 0);
    const std::string whole = readText(folder.file("whole/final.safetensors"));
    for (const char* kind : {"system", "memory"})
    {
        int errors = 0;
        for (const long at : points(pretrain(folder.file(std::string("count-") + kind)), kind, 30))
        {
            const std::string out = folder.file("broken");
            fs::remove_all(out);
            const Outcome outcome = run(pretrain(out), kind, at);
            BOOST_TEST_CONTEXT(kind << " call " << at << ", status " << outcome.status << ": " << outcome.err)
            {
                BOOST_TEST(endedWell(outcome));
                errors += outcome.status != 0;
                std::vector<std::string> again = pretrain(out);
                again.insert(again.begin(), LTRP_TOOL);
                again.push_back("--resume");
                const Outcome resumed = runProcess(again);
                BOOST_TEST(resumed.status == 0, resumed.err);
                // A photo that could not be read is skipped from then on: that run used other images.
                if (outcome.err.find("skipped") == std::string::npos)
                    BOOST_TEST((readText(out + "/final.safetensors") == whole));
            }
        }
        BOOST_TEST(errors > 0);
    }
}

/// Each row: one call of a function on files of the folder "there", its error, and the expected message; empty: the
/// failure has no effect.
BOOST_AUTO_TEST_CASE(each_call_that_writes_a_file_says_what_failed)
{
    if (without())
        return;
    struct Fault
    {
        const char* function;
        int at, times, error;
        const char* message;
    };
    const std::vector<Fault> faults = {
        {"open", 1, 1, EOPNOTSUPP, ""},                  // no unnamed files: a temporary one
        {"open", 1, 3, EEXIST, ""},                      // its name exists twice
        {"open", 1, 2, EROFS, "cannot write: "},
        {"open", 2, 1, EACCES, ""},                      // the folder is writable but not readable
        {"access", 1, 1, ENOENT, ""},                    // no /proc
        {"write", 1, 1, EINTR, ""},
        {"write", 2, 1, ENOSPC, "cannot write: "},
        {"fsync", 1, 1, EIO, "cannot write to the disk: "},
        {"fsync", 2, 1, EIO, "cannot write its folder to the disk: "},
        {"fsync", 2, 1, EINVAL, ""},                     // a file system without fsync for folders
        {"linkat", 1, 1, EEXIST, ""},
        {"linkat", 1, 1, EACCES, "cannot name the finished file: "},
        {"close", 1, 1, EIO, "cannot close: "},
        {"rename", 1, 1, EACCES, "cannot replace: "}};
    const std::string there = folder.file("there"), out = there + "/m.safetensors";
    for (const Fault& fault : faults)
        BOOST_TEST_CONTEXT(fault.function << " " << fault.at << ": " << std::strerror(fault.error))
        {
            fs::remove_all(there);
            fs::create_directory(there);
            // "access" is called with the descriptor of the unnamed file.
            const std::string path = fault.function == std::string("access") ? "/proc/self/fd" : there;
            const Outcome outcome = run({"convert", models().mae, out}, fault.function, fault.at, "",
                                        {{"LTRP_FAULT_PATH", path}, {"LTRP_FAULT_ERRNO", std::to_string(fault.error)},
                                         {"LTRP_FAULT_TIMES", std::to_string(fault.times)}});
            const bool harmless = !*fault.message, renamed = fault.function == std::string("fsync") && fault.at == 2;
            BOOST_TEST(outcome.status == (harmless ? 0 : 1), outcome.err);
            if (!harmless)
                BOOST_TEST(outcome.err == "ltrp convert: " + out + ": " + fault.message + std::strerror(fault.error) + "\n");
            BOOST_TEST(namesIn(there) == (harmless || renamed ? std::vector<std::string>{"m.safetensors"} : std::vector<std::string>{}),
                       boost::test_tools::per_element());
            if (harmless || renamed)
                BOOST_TEST(expectOk({"info", out}).find("mae") != std::string::npos);
        }
}

BOOST_AUTO_TEST_CASE(each_call_that_opens_a_file_or_run_folder_says_what_failed)
{
    if (without())
        return;
    const auto environment = [](const std::string& path, int error)
    { return std::map<std::string, std::string>{{"LTRP_FAULT_PATH", path}, {"LTRP_FAULT_ERRNO", std::to_string(error)}}; };
    const std::string mae = models().mae, out = folder.file("run");
    for (const auto& fault : {std::make_pair("open", ": cannot open: "), std::make_pair("mmap", ": cannot map: ")})
    {
        const Outcome outcome = run({"score", photos()[0], "--mae", mae}, fault.first, 1, "", environment(mae, EMFILE));
        BOOST_TEST(outcome.status == 1);
        BOOST_TEST(outcome.err.find(mae + fault.second + std::strerror(EMFILE) + "\n") != std::string::npos, outcome.err);
    }
    // The folder's lock: it cannot be opened, the file system has no locks, or another process holds it.
    const Outcome opened = run(pretrain(out), "open", 1, "", environment(out, EACCES));
    BOOST_TEST(opened.status == 1);
    BOOST_TEST(opened.err.find(out + ": cannot be opened: " + std::strerror(EACCES)) != std::string::npos, opened.err);
    const Outcome other = run(pretrain(out), "flock", 1, "", environment(out, EWOULDBLOCK));
    BOOST_TEST(other.status == 1);
    BOOST_TEST(other.err.find(out + ": another process trains into this folder") != std::string::npos, other.err);
    const Outcome unlocked = run(pretrain(out), "flock", 1, "", environment(out, ENOLCK));
    BOOST_TEST(unlocked.status == 0, unlocked.err);
}

BOOST_AUTO_TEST_SUITE_END()
