// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "photos.hpp"
#include "train_options.hpp"

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

/// An option with its present value as the default, written as it would be typed.
po::typed_value<double>* number(double& value)
{
    return po::value(&value)->value_name("X")->default_value(value, plain(value));
}

po::typed_value<int>* count(int& value)
{
    return po::value(&value)->value_name("N")->default_value(value);
}

train::Workers* trainingWorkers = nullptr;

bool together()
{
    return trainingWorkers && !trainingWorkers->alone();
}

/// Several trainings that know nothing of each other would be refused by the folder they share, at best.
void requireWorkersOfLauncher()
{
    const int workers = trainingWorkers ? trainingWorkers->count() : 1;
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    {
        const char* value = std::getenv(name);
        if (!value)
            continue;
        if (std::atoi(value) > workers)
            throw UsageError(std::string("started as one of ") + value + " processes (" + name + "), but " +
                             (trainingWorkers ? "the MPI of this program is another one than the launcher's"
                                              : "this program trains alone; ltrp-mpi trains in several processes"));
        return;
    }
}

std::string clockTime(double seconds)
{
    const long long total = static_cast<long long>(std::min(seconds, 3.6e8));
    char text[40];
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
    return text;
}

/// The state of a training on stderr.
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

void setTrainingWorkers(train::Workers* workers)
{
    trainingWorkers = workers;
}

void addTrainOptions(po::options_description& options, TrainParams& p, const char* initHelp)
{
    if (trainingWorkers)
        options.add_options()
            ("deterministic", po::value<std::string>()->value_name("yes|no"), "add gradients in the order of the batches: the result "
                "is that of one worker, bit for bit; no: faster with many (default: yes up to 8 workers)")
            ("stall-seconds", number(trainingWorkers->stallSeconds), "seconds after which a worker that does not answer ends all; 0: "
                "it is waited for");
    // clang-format off
    options.add_options()
        ("out", po::value(&p.out)->value_name("DIR")->required(),
            "folder for checkpoints, log.jsonl and final.safetensors; made if absent")
        ("init", po::value(&p.init)->value_name("FILE"), initHelp)
        ("resume", po::bool_switch(&p.resume), "go on from the newest complete checkpoint in DIR; "
            "starts fresh where there is none")
        ("config", po::value<std::string>()->value_name("FILE"), "read options from a file, one \"name = value\" per "
            "line; the command line goes first")
        ("epochs", number(p.epochs), "passes over the data")
        ("warmup-epochs", po::value(&p.warmupEpochs)->value_name("X"), "epochs in which the learning rate rises from 0 (default: "
            "a tenth of --epochs, at most 40)")
        ("batch", count(p.batch), "images computed at a time")
        ("accumulate", po::value(&p.accumulate)->value_name("N"), "batches averaged for one update of the weights (default: so "
            "many that an epoch has 16 updates or more, of at most 512 images, on a GPU 4096)")
        ("blr", number(p.baseLearningRate), "learning rate per 256 images: rate = blr * batch * accumulate / 256")
        ("lr", number(p.learningRate), "the learning rate itself; 0: from --blr")
        ("min-lr", number(p.minLearningRate), "learning rate at the end of the half-cosine")
        ("weight-decay", number(p.weightDecay), "AdamW's weight decay (not on biases and norms)")
        ("beta1", number(p.beta1), "AdamW's first moment")
        ("beta2", number(p.beta2), "AdamW's second moment")
        ("scale-min", number(p.scaleMin), "random crop: smallest share of the image's area")
        ("scale-max", number(p.scaleMax), "random crop: largest share of the image's area")
        ("ratio-min", number(p.ratioMin), "random crop: smallest width / height")
        ("ratio-max", number(p.ratioMax), "random crop: largest width / height")
        ("full-decode", po::bool_switch(), "decode JPEG files in full even where a half, a quarter or an eighth of their size is enough for every "
            "crop; slower")
        ("flip", number(p.flip), "probability of a horizontal flip")
        ("precision", po::value<std::string>()->value_name("NAME")->default_value("fp32"), "of the matrix products of the "
            "network in training: fp32 or bf16 (processors with AVX512_BF16), on cuda also tf32 or fp16; weights, gradients and "
            "optimizer are 32-bit")
        ("device", po::value<std::string>()->value_name("NAME")->default_value("cpu"),
            "cpu, or cuda: an NVIDIA GPU, for the whole training; where there is none, nothing is trained")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "of all random draws")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores); a resumed run "
            "needs the same number, by which sums are rounded")
        ("workers", count(p.workers), "threads that read images ahead, 0: none; no influence on the result")
        ("cache-mb", count(p.cacheMegabytes), "MiB of decoded images kept in memory, 0: none; "
            "no influence on the result")
        ("checkpoint-every", po::value(&p.checkpointEvery)->value_name("STEPS")->default_value(p.checkpointEvery),
            "updates between checkpoints (the newest two are kept)")
        ("checkpoint-minutes", number(p.checkpointMinutes), "minutes after which an update ends with a checkpoint as well, 0: "
            "never for the time")
        ("export-every", po::value(&p.exportEvery)->value_name("EPOCHS")->default_value(p.exportEvery),
            "epochs between copies of the weights, epoch-NNNN.safetensors; 0: none")
        ("log-every", po::value(&p.logEvery)->value_name("STEPS")->default_value(p.logEvery),
            "updates per line of log.jsonl")
        ("note", po::value(&p.note)->value_name("TEXT"), "kept with the result: the data set's name and licence, say");
    // clang-format on
    addMaxPixels(options);
}

void addMaskOptions(po::options_description& options, TrainParams& params)
{
    // clang-format off
    options.add_options()
        ("mask-ratio", number(params.maskRatio), "share of patches hidden")
        ("recipe", po::value<std::string>()->value_name("NAME"), "paper: what is not given as the paper has it, 64 batches "
            "of 64 images an update and 40 epochs of warm-up; without it both follow data, device and --epochs");
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
    applyThreads(values);
    if (together() && !values.count("threads"))
        cv::setNumThreads(trainingWorkers->threads());
    if (trainingWorkers)
    {
        trainingWorkers->ordered = values.count("deterministic") ? wordOption(values, "deterministic", {"no", "yes"}) == 1
                                                                 : trainingWorkers->count() <= 8;
        if (!(trainingWorkers->stallSeconds >= 0))
            throw UsageError("--stall-seconds: " + plain(trainingWorkers->stallSeconds) + " is negative");
    }
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
    // A file size limit then is a write error like a full disk, which the trainer reports.
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
    if (trainingWorkers)
        train::trainTogether(*trainer, *trainingWorkers);
    if (!together())   // else the signal comes to many, and perhaps to end them all
        announceInterrupt("ltrp: stopping after this batch; again to stop now\n");
    if (trainer->run())
        return 0;
    if (!trainingWorkers || trainingWorkers->first())
        display.say("to go on: the same command " + (params.resume ? "again" : "with --resume (--out " + params.out + ")"));
    checkInterrupt();
    return 1;
}

}  // namespace tool
