// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "photos.hpp"
#include "train_options.hpp"
#include "worker_options.hpp"

#include "../../modules/ltrp/src/train/option_table.hpp"
#include "../../modules/ltrp/src/train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>

#include <sys/ioctl.h>
#include <unistd.h>

namespace tool
{

using namespace cv::ltrp;

namespace
{

/// The default is the present value, written as it would be typed; none if the training chooses it.
void addTrainOption(po::options_description& options, TrainParams& params, const train::TrainOption& option)
{
    const bool chosen = option.real == &TrainParams::warmupEpochs || option.whole == &TrainParams::accumulate;
    if (option.real)
    {
        auto* const value = po::value(&(params.*option.real))->value_name("X");
        options.add_options()(option.name, chosen ? value : value->default_value(params.*option.real, plain(params.*option.real)),
                              option.help);
    }
    else
    {
        auto* const value = po::value(&(params.*option.whole))->value_name("N");
        options.add_options()(option.name, chosen ? value : value->default_value(params.*option.whole), option.help);
    }
}

std::string clockTime(double seconds)
{
    const long long total = static_cast<long long>(std::min(seconds, 3.6e8));
    char text[40];
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
    return text;
}

/// Display of a training's state on stderr.
class Display
{
public:
    void show(const TrainProgress& state)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto now = std::chrono::steady_clock::now();
        const std::chrono::duration<double> since = now - last_;
        const bool end = state.step == state.steps;
        if (!first_ && !end && since.count() < (terminal_ ? 0.2 : 30.0))
            return;
        first_ = false;
        last_ = now;
        char text[256];
        const std::string batch = state.batch ? "batch " + std::to_string(state.batch) + "/" + std::to_string(state.batches) + "  "
                                              : std::string();
        std::snprintf(text, sizeof text,
                      "%sepoch %.2f/%g  loss %.4f  lr %.3g  %.1f images/s  data wait %.0f%%%s  %s left",
                      batch.c_str(), state.epoch, state.epochs, state.loss, state.learningRate, state.imagesPerSecond,
                      100 * state.dataWait, state.skipped ? ("  skipped " + std::to_string(state.skipped)).c_str() : "",
                      clockTime(state.secondsLeft).c_str());
        if (!terminal_)
        {
            std::cerr << "step " << state.step << '/' << state.steps << "  " << text << std::endl;
            return;
        }
        winsize window = {};
        const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20;
        const size_t columns = known ? window.ws_col : 80;
        std::string bar(20, '-');
        std::fill_n(bar.begin(), static_cast<size_t>(20 * state.step / state.steps), '#');
        std::cerr << "\r\033[K" << ('[' + bar + "] " + text).substr(0, columns - 1) << std::flush;
        shown_ = true;
        if (end)
            clear();
    }

    void say(const std::string& line)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        clear();
        complain(line);
    }

    ~Display() { clear(); }

private:
    void clear()
    {
        if (shown_)
            std::cerr << "\r\033[K" << std::flush;
        shown_ = false;
    }

    std::mutex mutex_;
    const bool terminal_ = isatty(STDERR_FILENO) != 0;
    bool first_ = true, shown_ = false;
    std::chrono::steady_clock::time_point last_;
};

}  // namespace

void addTrainOptions(po::options_description& options, TrainParams& p, const char* initHelp)
{
    if (isMpiTool())
        options.add_options()
            ("deterministic", po::value<std::string>()->value_name("yes|no"), "add gradients in the order of the batches: the result "
                "is bit-identical to that of one worker; no: faster with many (default: yes up to 8 workers; on GPUs always no)");
    addWorkerOptions(options);
    // clang-format off
    options.add_options()
        ("out", po::value(&p.out)->value_name("DIR")->required(),
            "folder for checkpoints, log.jsonl and final.safetensors; made if absent")
        ("init", po::value(&p.init)->value_name("FILE"), initHelp)
        ("resume", po::bool_switch(&p.resume), "continue from the newest complete checkpoint in DIR; "
            "starts anew if there is none")
        ("config", po::value<std::string>()->value_name("FILE"), "read options from a file, one \"name = value\" per "
            "line; the command line overrides it");
    for (const train::TrainOption& option : train::trainOptions())
        if (option.real != &TrainParams::maskRatio && option.whole != &TrainParams::threads)
            addTrainOption(options, p, option);
    options.add_options()
        ("full-decode", po::bool_switch(), "decode JPEG files in full even if a half, a quarter or an eighth of their size is enough for every "
            "crop; slower")
        ("precision", po::value<std::string>()->value_name("NAME")->default_value("fp32"), "of the matrix products of the "
            "network in training: fp32 or bf16 (processors with AVX512_BF16), on cuda also tf32 or fp16; weights, gradients and "
            "optimizer are 32-bit")
        ("device", po::value<std::string>()->value_name("NAME")->default_value("cpu"),
            "cpu, or cuda: an NVIDIA GPU, for the whole training; an error if there is none")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "of all random draws")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores); a resumed run "
            "needs the same number, because it affects rounding")
        ("note", po::value(&p.note)->value_name("TEXT"), "stored with the result, for example the data set's name and licence");
    // clang-format on
    addMaxPixels(options);
}

void addMaskOptions(po::options_description& options, TrainParams& params)
{
    for (const train::TrainOption& option : train::trainOptions())
        if (option.real == &TrainParams::maskRatio)
            addTrainOption(options, params, option);
    // clang-format off
    options.add_options()
        ("recipe", po::value<std::string>()->value_name("NAME"), "paper: the paper's values for options not given, 64 batches "
            "of 64 images per update and 40 epochs of warm-up; without it both depend on data, device and --epochs");
    // clang-format on
}

void addGeometryOptions(po::options_description& options, const Geometry& geometry,
                        const std::vector<const char*>& meanings)
{
    for (size_t i = 0; i < geometry.size(); i++)
        options.add_options()(geometry[i].first, po::value<int>()->value_name("N"), meanings.at(i));
}

void applyGeometry(const po::variables_map& values, const Geometry& geometry)
{
    for (const auto& entry : geometry)
        if (values.count(entry.first))
            *entry.second = values[entry.first].as<int>();
}

void finishTrainParams(const po::variables_map& values, TrainParams& params)
{
    requireWorkersOfLauncher();
    applyWorkerOptions(values);
    for (const std::string& path : positionals(values, "data", 1, "DATA: a folder of images or a list file"))
        params.data.push_back(path);
    if (values.count("recipe"))
    {
        if (values["recipe"].as<std::string>() != "paper")
            throw UsageError("--recipe: '" + values["recipe"].as<std::string>() + "' is none of paper");
        if (!values.count("accumulate"))
            params.accumulate = 64;
        if (!values.count("warmup-epochs"))
            params.warmupEpochs = 40;
    }
    if (values.count("accumulate") && params.accumulate < 1)
        throw UsageError("--accumulate: " + std::to_string(params.accumulate) + " is outside 1 to 16384");
    if (values.count("warmup-epochs") && !(params.warmupEpochs >= 0))
        throw UsageError("--warmup-epochs: " + plain(params.warmupEpochs) + " is negative");
    params.seed = seedOption(values, "seed");
    train::Workers& together = workers();
    const bool onGpus = !together.alone() && values["device"].as<std::string>() == "cuda";
    together.ordered = values.count("deterministic") ? wordOption(values, "deterministic", {"no", "yes"}) == 1
                                                     : together.count() <= 8 && !onGpus;
    if (onGpus && together.ordered)
        throw UsageError("--deterministic yes: on GPUs gradients are added in an order of the GPUs' own; leave it out");
    if (onGpus)
        together.takeGpu();
    applyMaxPixels(values);
    params.reduceJpegs = !values["full-decode"].as<bool>();
    params.target = requiredTargetOption(values);
    if (params.target == TARGET_CPU_INT8)
        throw UsageError("--precision: no network is trained in int8; expected fp32 or bf16");
}

cv::Ptr<Trainer> prepareTrainer(const std::function<cv::Ptr<Trainer>()>& prepare, const std::vector<std::string>& files)
{
    try
    {
        return prepare();
    }
    catch (const cv::Exception& error)
    {
        const bool parameter = error.code == cv::Error::StsOutOfRange || error.code == cv::Error::StsBadArg;
        const bool ofFile = std::any_of(files.begin(), files.end(), [&](const std::string& file)
                                        { return !file.empty() && error.err.find(file) != std::string::npos; });
        if (parameter && !ofFile)
            throw UsageError(error.err);
        throw;
    }
}

int runTrainer(const cv::Ptr<Trainer>& trainer, const TrainParams& params)
{
#ifdef SIGXFSZ
    // Exceeding a file size limit then is a write error like a full disk, which the trainer reports.
    std::signal(SIGXFSZ, SIG_IGN);
#endif
    Display display;
    trainer->setMessage([&](const cv::String& line) { display.say(line); });
    trainer->setProgress([&](const TrainProgress& state)
                         {
                             display.show(state);
                             return interruptSignal() == 0;
                         });
    trainer->setStop([]() { return interruptSignal() != 0; });
    for (const char* name : {"log.jsonl", "final.safetensors"})
        refuseInput((std::filesystem::path(std::string(params.out)) / name).string());
    train::trainTogether(*trainer, workers());
    if (workers().alone())   // otherwise many processes get the signal, and it may end them all
        announceInterrupt("ltrp: stopping after this batch; again to stop now\n");
    if (trainer->run())
        return 0;
    if (workers().first())
        display.say("to go on: the same command " + (params.resume ? "again" : "with --resume (--out " + params.out + ")"));
    checkInterrupt();
    return 1;
}

}  // namespace tool
