// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "clock.hpp"
#include "run_folder.hpp"
#include "train_step.hpp"

#include <opencv2/core/utils/logger.hpp>

#include <nlohmann/json.hpp>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

namespace cv { namespace ltrp { namespace train {

using Json = nlohmann::ordered_json;

namespace
{

/// cv::setNumThreads for the time of a run.
class ThreadCount
{
public:
    explicit ThreadCount(int threads) : before_(getNumThreads()), changed_(threads > 0)
    {
        if (changed_)
            setNumThreads(threads);
    }
    ~ThreadCount()
    {
        if (changed_)
            setNumThreads(before_);
    }

private:
    int before_;
    bool changed_;
};

/// Everything one run needs, so that the loop reads as the steps it takes.
class Run
{
public:
    Run(const TrainParams& params, Objective& objective, const std::string& device, const Trainer::Progress& progress,
        const Trainer::Message& message, const Trainer::Stop& stop, Workers& workers)
        : params_(params), objective_(objective), device_(device), progress_(progress), message_(message), stop_(stop),
          workers_(workers), dataset_(objective.images({params.data.begin(), params.data.end()})),
          optimizer_(objective.model().params.layout), workerSetup_{workers.count(), workers.ordered}
    {
        const int64_t count = static_cast<int64_t>(dataset_.paths.size());
        if (workers_.first())
        {
            folder_.reset(new RunFolder(params.out, params.resume));
            folder_->refuseInputs(dataset_.paths);
            folder_->refuseInputs(dataset_.lists);
            chooseDefaults(params_, count, objective.backend().onHost());
        }
        int accumulate = params_.accumulate;
        double warmupEpochs = params_.warmupEpochs;
        workers_.broadcast(&accumulate, sizeof accumulate);
        workers_.broadcast(&warmupEpochs, sizeof warmupEpochs);
        if (params_.accumulate == 0)
            params_.accumulate = accumulate;
        if (params_.warmupEpochs < 0)
            params_.warmupEpochs = warmupEpochs;
        share_ = {workers_.index(), workers_.count(), params_.accumulate};
        LTRP_REQUIRE(share_.count <= share_.batches, Error::StsOutOfRange, "accumulate is " << share_.batches << " for "
                     << share_.count << " workers, expected a batch for each at least: give accumulate, or a smaller batch");
        effectiveBatch_ = params_.batch * params_.accumulate;
        stepsPerEpoch_ = std::max<int64_t>(1, count / effectiveBatch_);
        steps_ = std::max<int64_t>(1, std::llround(params.epochs * static_cast<double>(stepsPerEpoch_)));
        LTRP_REQUIRE(stepsPerEpoch_ * effectiveBatch_ <= std::numeric_limits<int>::max(), Error::StsOutOfRange,
                     "batch * accumulate is " << effectiveBatch_ << " for " << count
                     << " images: too many samples in an epoch");
        rate_ = params.learningRate > 0 ? params.learningRate : params.baseLearningRate * effectiveBatch_ / 256.0;
        LTRP_REQUIRE(params.minLearningRate <= rate_, Error::StsOutOfRange, "min-lr is " << params.minLearningRate
                     << ", expected at most the learning rate " << rate_);
        data_ = datasetText(dataset_) + orderText(dataset_);
        if (objective.targets())
            objective.targets()->requireData(dataset_);
        options_ = runOptions(params_, objective, rate_, data_);
    }

    bool train()
    {
        OptionList same = options_;
        same.emplace_back("deterministic", workers_.ordered ? "yes" : "no");
        same.emplace_back("checkpoint-every", std::to_string(params_.checkpointEvery));
        same.emplace_back("the program", workers_.program());
        requireEqual(workers_, same);
        objective_.initialise();
        int64_t step = -1;
        if (workers_.first() && params_.resume)
            step = readNewestCheckpoint(params_.out, options_, workerSetup_, objective_.model().params, optimizer_,
                                        [this](const std::string& line) { say(line); });
        broadcastState(workers_, objective_.model().params, optimizer_, step);
        const bool resumed = step >= 0;
        if (resumed)
            usable_.push_back(step);
        if (workers_.first())
            log_.reset(new RunLog(folder_->file("log.jsonl"), step));
        step = std::max<int64_t>(step, 0);
        currentStep_ = step;
        announce(step, resumed);
        for (const std::string& folder : dataset_.left)
            say(folder, true);
        for (const image::Skipped& skipped : dataset_.skipped)
            report({true, skipped.place, skipped.reason});
        for (const std::string& warning : objective_.warnings())
            say("warning: " + warning, true);

        LoaderOptions loading;
        loading.input = objective_.model().input();
        loading.augment = {params_.scaleMin, params_.scaleMax, params_.ratioMin, params_.ratioMax, params_.flip};
        loading.seed = params_.seed;
        loading.batch = params_.batch;
        loading.visible = objective_.visible(params_.maskRatio);
        if (const TargetStore* const store = objective_.targets())
        {
            loading.targetValues = loading.input.numPatches();
            loading.target = [store](int image, Size, const Crop& crop, float* out)
            { store->crop(image, crop.region, crop.mirrored, out); };
        }
        loading.batchesPerEpoch = stepsPerEpoch_ * params_.accumulate;
        loading.reduceJpegs = params_.reduceJpegs;
        loading.workers = params_.workers;
        loading.share = share_;
        loading.odd = [this](const std::string& path, const std::string& what) { note({false, path, what}); };
        loading.cacheBytes = static_cast<size_t>(params_.cacheMegabytes) << 20;
        objective_.prepare(loading);
        trainStep_ = makeTrainStep(objective_, optimizer_, loading, params_.accumulate, workers_);
        trainStep_->prepare(loading);
        trainStep_->begin();
        const auto loaderAt = [&](int64_t update)
        {
            return std::unique_ptr<Loader>(new Loader(dataset_, loading, update * share_.own(),
                [this](const std::string& path, const std::string& why) { note({true, path, why}); }));
        };
        std::unique_ptr<Loader> loader = loaderAt(step);

        int64_t saved = resumed ? step : -1;
        speed_.add(now(), 0);
        shown_ = savedAt_ = now();
        if (objective_.backend().onHost())
            objective_.setStop(stop_);
        bool wanted = true;
        while (workers_.all(step < steps_ && wanted && !(stop_ && stop_())))
        {
            const Outcome outcome = update(*loader, step);
            if (outcome == Outcome::Stopped)
                break;
            if (outcome == Outcome::Again)
            {
                loader.reset();   // before there is another one: it holds as many images
                loader = loaderAt(step);
                continue;
            }
            currentStep_ = ++step;
            fetched_ = false;
            collectNotes();
            if (step % params_.checkpointEvery == 0 && !workers_.alone())
            {
                fetch();
                requireEqualWeights(workers_, objective_.model().params, step);
            }
            if (!workers_.first())
                continue;
            const TrainProgress state = describe(step, imagesPerSecond_);
            logStep(state);
            const bool due = params_.checkpointMinutes > 0 && now() - savedAt_ >= 60 * params_.checkpointMinutes;
            if ((step % params_.checkpointEvery == 0 || due) && step < steps_)
                checkpoint(saved = step);
            exportWeights(step);
            wanted = !progress_ || progress_(state);
            shown_ = now();
        }
        objective_.setStop(nullptr);
        collectNotes();
        if (workers_.first())
        {
            if (saved != step)
                checkpoint(step);
            finish(step);
        }
        workers_.end();
        return step == steps_;
    }

private:
    enum class Outcome { Done, Again, Stopped };   ///< of an update; Again: nothing has changed, it begins once more

    void say(const std::string& line, bool warning = false)
    {
        if (!workers_.first())
            return;   // worker 0 says the same
        std::lock_guard<std::mutex> lock(messageMutex_);
        if (message_)
            message_(line);
        else if (warning)
        {
            CV_LOG_WARNING(NULL, line);
        }
        else
        {
            CV_LOG_INFO(NULL, line);
        }
    }

    static Json event(const char* name, int64_t step)
    {
        Json line = Json::object();
        line["event"] = name;
        line["step"] = step;
        return line;
    }

    /// Adds the time; paths that are no UTF-8 are written with replacement characters.
    void log(Json line)
    {
        if (!log_)
            return;
        line["time"] = wallClock();
        log_->add(line.dump(-1, ' ', false, Json::error_handler_t::replace));
    }

    void announce(int64_t step, bool resumed)
    {
        Json line = event(resumed ? "resume" : "start", step);
        line["steps"] = steps_;
        line["steps_per_epoch"] = stepsPerEpoch_;
        line["parameters"] = objective_.model().params.layout.parameterCount();
        line["device"] = device_;
        line["options"] = Json::parse(optionsJson(options_));
        std::string names;
        if (!workers_.alone())
            line["workers"] = Json::array();
        for (int w = 0; w < workers_.count() && !workers_.alone(); w++)
        {
            line["workers"].push_back(workers_.name(w));
            names += ", " + workers_.name(w);
        }
        log(line);
        std::ostringstream text;
        text << io::modelKindName(objective_.model().kind) << " of "
             << objective_.model().params.layout.parameterCount() << " parameters, " << data_ << ", " << steps_
             << " updates of " << effectiveBatch_ << " images";
        if (effectiveBatch_ > static_cast<int64_t>(dataset_.paths.size()))
            text << " (more than the data set holds: images repeat within an update)";
        text << (resumed ? ", resumed at update " : ", from update ") << step;
        say(text.str());
        if (!workers_.alone())
            say(workerSetup_.text() + ", compute threads each: " + std::to_string(getNumThreads()) + names);
    }

    /// Called by reading threads.
    void note(const Notes::Note& note)
    {
        if (workers_.first())
            report(note);
        else
            notes_.add(note);
    }

    /// Of all workers: each sees other samples, and several may meet the same image.
    void collectNotes()
    {
        for (const Notes::Note& note : notes_.collect(workers_))
            report(note);
    }

    void report(const Notes::Note& note)
    {
        {
            const std::lock_guard<std::mutex> lock(reportedMutex_);
            if (!workers_.first() || !reported_.emplace(note.skipped, note.path).second)
                return;
            skipped_ += note.skipped;
        }
        if (!note.skipped)
        {
            say("warning: " + note.path + ": " + note.what, true);
            return;
        }
        Json line = event("skipped", currentStep_);
        line["image"] = note.path;
        line["reason"] = note.what;
        log_->add(line.dump(-1, ' ', false, Json::error_handler_t::replace));
        say("skipped " + note.path + ": " + note.what, true);
    }

    /// Between two batches of an update: how far it is, where somebody waits for it. False: it is to be given up.
    bool betweenBatches(int64_t step, int done, double begin)
    {
        const double time = now();
        if (!estimated_)
            estimate(step, (time - begin) / done * params_.accumulate);
        if (stop_ && stop_())
            return false;
        if (!progress_ || !workers_.first() || time - shown_ < 2)
            return true;
        shown_ = time;
        TrainProgress state = describe(step, done * params_.batch / std::max(time - begin, 1e-9));
        state.batch = done;
        return progress_(state);
    }

    /// Says how long the run will take, once, and what would shorten it where that is more than a day.
    void estimate(int64_t step, double secondsPerUpdate)
    {
        estimated_ = true;
        const double seconds = secondsPerUpdate * static_cast<double>(steps_ - step);
        const std::string text = lengthText(seconds);
        const bool warning = seconds > 24 * 3600;
        if (!text.empty())
            say((warning ? "warning: " : "") + text, warning);
    }

    /// One update of the weights. Throws before anything is changed when a value is not finite.
    Outcome update(Loader& loader, int64_t step)
    {
        const double begin = now();
        AdamWParams adam;
        adam.beta1 = params_.beta1;
        adam.beta2 = params_.beta2;
        adam.weightDecay = params_.weightDecay;
        adam.learningRate = learningRate(rate_, params_.minLearningRate, params_.warmupEpochs, params_.epochs,
                                         static_cast<double>(step) / static_cast<double>(stepsPerEpoch_));
        const UpdateResult result = trainStep_->update(loader, adam, step + 1 < steps_, [&](int done)
        { return betweenBatches(step, done, begin); });
        if (result.stopped)
            return Outcome::Stopped;
        if (result.failed && result.images.empty() && trainStep_->again())
        {
            // The step is that of the update's own line, with which it goes when a resumed run begins before.
            Json line = event("overflow", step + 1);
            line["reason"] = "gradients passed the largest half: computed again, multiplied by less";
            log(line);
            return Outcome::Again;
        }
        if (result.failed)
            fail(result, step);
        imagesPerSecond_ = speed_.add(now(), effectiveBatch_);
        if (!estimated_)
            estimate(step, now() - begin);
        loss_ = result.loss;
        gradNorm_ = result.gradientNorm;
        usedRate_ = adam.learningRate;
        waitShare_ = result.waited / std::max(now() - begin, 1e-9);
        return Outcome::Done;
    }

    /// Weights and optimizer as they are now, in the host's memory.
    void fetch()
    {
        if (!fetched_)
            trainStep_->fetch();
        fetched_ = true;
    }

    [[noreturn]] void fail(const UpdateResult& found, int64_t step)
    {
        std::ostringstream text;
        text << found.failed << " is " << found.value << " at update " << step << ", epoch " << step / stepsPerEpoch_;
        if (!workers_.alone() && !found.images.empty())
            text << ", " << workers_.name(found.worker);
        Json line = event("error", step);
        line["epoch"] = static_cast<double>(step) / static_cast<double>(stepsPerEpoch_);
        line["reason"] = std::string(found.failed) + " is not finite";
        if (!found.images.empty())
        {
            text << ", images:";
            Json images = Json::array();
            const size_t shown = 16;
            for (size_t i = 0; i < found.images.size(); i++)
            {
                const std::string& path = dataset_.paths[static_cast<size_t>(found.images[i])];
                images.push_back(path);
                if (i < shown)
                    text << " " << path;
            }
            if (found.images.size() > shown)
                text << " and " << found.images.size() - shown << " more (all in log.jsonl)";
            line["images"] = images;
        }
        text << "; weights and checkpoints are as before. A lower learning rate or a longer warm-up helps.";
        log(line);
        LTRP_ERROR(Error::StsNoConv, text.str());
    }

    TrainProgress describe(int64_t step, double imagesPerSecond) const
    {
        TrainProgress state;
        state.step = step;
        state.steps = steps_;
        state.epoch = static_cast<double>(step) / static_cast<double>(stepsPerEpoch_);
        state.epochs = params_.epochs;
        state.loss = loss_;
        state.learningRate = usedRate_;
        state.imagesPerSecond = imagesPerSecond;
        state.dataWait = waitShare_;
        if (imagesPerSecond > 0)
            state.secondsLeft = static_cast<double>((steps_ - step) * effectiveBatch_) / imagesPerSecond;
        state.skipped = skipped_;
        state.batches = params_.accumulate;
        return state;
    }

    /// A line for every logEvery updates (and the last) with the mean loss since the line before.
    void logStep(const TrainProgress& state)
    {
        lossSum_ += state.loss;
        waitSum_ += state.dataWait;
        lossCount_++;
        if (state.step % params_.logEvery != 0 && state.step != steps_)
            return;
        Json line = Json::object();
        line["event"] = "step";
        line["epoch"] = state.epoch;
        line["step"] = state.step;
        line["loss"] = lossSum_ / lossCount_;
        line["lr"] = state.learningRate;
        line["grad_norm"] = gradNorm_;
        line["images_per_s"] = state.imagesPerSecond;
        line["data_wait"] = waitSum_ / lossCount_;
        line["skipped"] = state.skipped;
        log(line);
        lossSum_ = waitSum_ = 0;
        lossCount_ = 0;
    }

    void checkpoint(int64_t step)
    {
        fetch();
        writeCheckpoint(params_.out, step, options_, workerSetup_, objective_.model().params, optimizer_, usable_);
        savedAt_ = now();
        log(event("checkpoint", step));
    }

    void save(const std::string& name)
    {
        fetch();
        io::Model& model = objective_.model();
        model.provenance["training"] = optionsJson(options_);
        model.provenance["data"] = data_;
        if (objective_.targets())
            model.provenance["targets"] = objective_.targets()->text();
        model.provenance["seed"] = std::to_string(params_.seed);
        if (!params_.note.empty())
            model.provenance["note"] = params_.note;
        io::saveModel(folder_->file(name), model);
    }

    void exportWeights(int64_t step)
    {
        if (params_.exportEvery == 0 || step % (stepsPerEpoch_ * params_.exportEvery) != 0)
            return;
        char name[64];
        std::snprintf(name, sizeof(name), "epoch-%04lld.safetensors", static_cast<long long>(step / stepsPerEpoch_));
        save(name);
    }

    void finish(int64_t step)
    {
        const bool complete = step == steps_;
        if (complete)
            save("final.safetensors");
        log(event(complete ? "end" : "stop", step));
        if (complete)
            say("wrote " + folder_->file("final.safetensors"));
        else
            say("stopped after update " + std::to_string(step) + " of " + std::to_string(steps_) + ", checkpoint " +
                checkpointPath(params_.out, step));
    }

    TrainParams params_;
    Objective& objective_;
    const std::string device_;
    const Trainer::Progress& progress_;
    const Trainer::Message& message_;
    const Trainer::Stop& stop_;
    Workers& workers_;
    const Dataset dataset_;
    std::unique_ptr<RunFolder> folder_;   ///< worker 0's, as the log
    AdamW optimizer_;
    const WorkerSetup workerSetup_;
    Share share_;
    std::unique_ptr<TrainStep> trainStep_;
    bool fetched_ = true;
    OptionList options_;
    std::string data_;
    std::unique_ptr<RunLog> log_;
    std::mutex messageMutex_, reportedMutex_;
    Notes notes_;                      ///< for worker 0
    std::set<std::pair<bool, std::string>> reported_;   ///< skipped or odd, and the image
    std::atomic<int> skipped_{0};
    std::atomic<int64_t> currentStep_{0};
    int64_t effectiveBatch_ = 0, stepsPerEpoch_ = 0, steps_ = 0;
    double rate_ = 0, gradNorm_ = 0, loss_ = 0, usedRate_ = 0, waitShare_ = 0;
    double lossSum_ = 0, waitSum_ = 0;
    int lossCount_ = 0;
    std::vector<int64_t> usable_;   ///< steps of the checkpoints that this run has read or written
    Rate speed_;
    double imagesPerSecond_ = 0, shown_ = 0, savedAt_ = 0;
    bool estimated_ = false;
};

class TrainerImpl CV_FINAL : public Trainer
{
public:
    TrainerImpl(const TrainParams& params, std::unique_ptr<Objective> objective, const std::string& device)
        : params_(params), objective_(std::move(objective)), device_(device) {}

    void setProgress(const Progress& progress) CV_OVERRIDE { progress_ = progress; }
    void setMessage(const Message& message) CV_OVERRIDE { message_ = message; }
    void setStop(const Stop& stop) CV_OVERRIDE { stop_ = stop; }
    void setWorkers(Workers& workers) { workers_ = &workers; }

    bool run() CV_OVERRIDE
    {
        const ThreadCount threads(params_.threads);
        const std::shared_ptr<void> guard = objective_->backend().deviceGuard();
        return Run(params_, *objective_, device_, progress_, message_, stop_, *workers_).train();
    }

private:
    const TrainParams params_;
    std::unique_ptr<Objective> objective_;
    const std::string device_;
    Progress progress_;
    Message message_;
    Stop stop_;
    Workers alone_, *workers_ = &alone_;
};

}  // namespace

Ptr<Trainer> makeTrainer(const TrainParams& params, std::unique_ptr<Objective> objective, const std::string& device)
{
    return Ptr<Trainer>(new TrainerImpl(params, std::move(objective), device));
}

void trainTogether(Trainer& trainer, Workers& workers)
{
    dynamic_cast<TrainerImpl&>(trainer).setWorkers(workers);
}

}}}  // namespace
