// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"

#include <opencv2/core/utils/logger.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <new>

#include <unistd.h>

namespace
{

using tool::UsageError;

const int STATUS_FAILED = 1, STATUS_USAGE = 2;

struct Command
{
    const char* name;
    const char* summary;
    int (*run)(const std::vector<std::string>& args);
};

const Command COMMANDS[] = {
    {"rank", "rank the patches of images with a trained ranker", tool::runRank},
    {"tokens", "select which tokens of a vision transformer to keep", tool::runTokens},
    {"points", "put points on what ranks highest, as prompts or annotations", tool::runPoints},
    {"regions", "outline the kept areas as boxes and polygons", tool::runRegions},
    {"roi", "write region-of-interest maps for video encoders", tool::runRoi},
    {"score", "measure patches with a masked autoencoder (pseudo-scores)", tool::runScore},
    {"pack", "put photos into shards, for large trainings", tool::runPack},
    {"pretrain", "train a masked autoencoder on a folder of images", tool::runPretrain},
    {"train", "train a ranker on an autoencoder's pseudo-scores", tool::runTrain},
    {"finetune", "train a classifier that sees the kept patches of images", tool::runFinetune},
    {"predict", "classify images with such a classifier", tool::runPredict},
    {"eval", "evaluate: the foreground that kept patches cover and points hit", tool::runEval},
    {"plot", "draw the course of trainings from their logs", tool::runPlot},
    {"convert", "convert a weight file to safetensors or ONNX", tool::runConvert},
    {"info", "show what a weight file contains", tool::runInfo},
    {"golden", "check this build against recorded reference results", tool::runGolden},
};

const char HELP_ABOUT[] =
    "ltrp ranks the patches of images by how much they matter: a masked autoencoder measures how much its\n"
    "reconstruction changes when one patch is taken away, and a small vision transformer learns to rank all patches\n"
    "by that in one pass (\"Learning to Rank Patches\", CVPR 2024).\n";

const char HELP_EXAMPLES[] =
    "Examples:\n"
    "  ltrp rank photo.jpg --overlay photo_ranked.png\n"
    "      show which quarter of the photo's patches is worth keeping, next to a heat map\n"
    "  ltrp rank photos/ --keep 0.5 --json ranks.json --overlay overlays/\n"
    "      rank every image of a folder: scores, order and kept patches as JSON, one picture each\n"
    "  ltrp score photo.jpg --masks 64 --overlay photo_scores.png\n"
    "      ask the autoencoder itself, averaged over 64 random masks\n"
    "  ltrp pretrain images/ --preset tiny --out runs/mae\n"
    "  ltrp train images/ --mae runs/mae/final.safetensors --preset tiny --out runs/ranker\n"
    "      train an autoencoder, then a ranker that learns from it; add --resume to go on after a stop\n"
    "\n"
    "Weight files: --model (--mae for the autoencoder) names one; without it the folder in the environment variable\n"
    "LTRP_MODELS is searched, or else the models installed with the program.\n"
    "Exit status: 0 all done, 1 something failed, 2 wrong usage, 130 stopped with Ctrl-C.\n";

void printHelp()
{
    std::cout << "Usage: ltrp COMMAND [arguments]\n\n" << HELP_ABOUT << "\nCommands:\n";
    for (const Command& command : COMMANDS)
        std::cout << "  " << command.name << std::string(10 - std::string(command.name).size(), ' ') << command.summary
                  << '\n';
    std::cout << "  help      explain a command: 'ltrp help rank'\n\nOptions:\n"
                 "  -h [ --help ]    print this help\n"
                 "  --version        print the versions of ltrp and OpenCV\n\n"
              << HELP_EXAMPLES;
}

/// Number of single-letter changes between two words (Levenshtein).
size_t distance(const std::string& a, const std::string& b)
{
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i)
    {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j)
        {
            const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row.back();
}

const Command& findCommand(const std::string& name)
{
    const Command* nearest = COMMANDS;
    for (const Command& command : COMMANDS)
    {
        if (name == command.name)
            return command;
        if (name.size() < 64 && distance(name, command.name) < distance(name, nearest->name))
            nearest = &command;
    }
    throw UsageError("unknown command '" + name.substr(0, 64) + "'; did you mean '" + nearest->name +
                     "'? ('ltrp help' lists all)");
}

/// OpenCV prints errors itself before it throws; the tool prints its own line.
int ignoreError(int, const char*, const char*, const char*, int, void*)
{
    return 0;
}

std::terminate_handler terminateBefore = nullptr;
thread_local bool memoryRefused = false;

[[noreturn]] void refuseMemory()
{
    memoryRefused = true;
    throw std::bad_alloc();
}

/// Memory may run out where no exception can propagate: the destructor of nlohmann::json and libstdc++'s directory
/// iterators allocate, and end the program without an exception that could be inspected.
[[noreturn]] void endWithoutMemory()
{
    bool refused = false;
    try
    {
        if (std::current_exception())
            throw;
        refused = memoryRefused;
    }
    catch (const std::bad_alloc&)
    {
        refused = true;
    }
    catch (...)
    {
    }
    if (refused)
    {
        const char text[] = "ltrp: out of memory\n";
        static_cast<void>(!write(STDERR_FILENO, text, sizeof(text) - 1));
        _exit(STATUS_FAILED);
    }
    terminateBefore();
    std::abort();
}

int runCommandLine(std::vector<std::string> args)
{
    if (args.empty())
    {
        printHelp();
        return STATUS_USAGE;
    }
    if (args[0] == "--version")
    {
        std::cout << "ltrp " << LTRP_VERSION << " (OpenCV " << CV_VERSION << ")\n";
        return 0;
    }
    if (args[0] == "help" || args[0] == "--help" || args[0] == "-h")
    {
        if (args.size() == 1)
        {
            printHelp();
            return 0;
        }
        args = {args[1], "--help"};
    }
    const Command& command = findCommand(args[0]);
    tool::setCommandName(command.name);
    args.erase(args.begin());
    return command.run(args);
}

}  // namespace

int tool::runProgram(int argc, char** argv, std::string& failure)
{
    int status = STATUS_FAILED;
    try
    {
        cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
        cv::redirectError(ignoreError);
        terminateBefore = std::set_terminate(endWithoutMemory);
        std::set_new_handler(refuseMemory);
        tool::catchSignals();
        status = runCommandLine(std::vector<std::string>(argv + 1, argv + argc));
        std::cout.flush();
        if (!std::cout)
            throw std::runtime_error("standard output: cannot be written");
    }
    catch (const UsageError& error)
    {
        failure = error.what();
        status = STATUS_USAGE;
    }
    catch (const tool::Interrupted&)
    {
        failure = "interrupted";
        status = 128 + tool::interruptSignal();
    }
    catch (const std::exception& error)
    {
        failure = tool::reason(error);
        status = STATUS_FAILED;
    }
    catch (...)
    {
        failure = "unknown failure";
        status = STATUS_FAILED;
    }
    return status;
}
