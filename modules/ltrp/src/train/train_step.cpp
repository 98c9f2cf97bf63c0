// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "train_step.hpp"
#include "clock.hpp"
#include "../vit/patches.hpp"
#include "../vit/transformer.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

namespace cv { namespace ltrp { namespace train {

namespace
{

/// Collective: the images of the batch whose loss failed, which worker `worker` names to all.
void setFailedLoss(Workers& workers, UpdateResult& result, double loss, int worker, std::vector<int> images)
{
    int count = static_cast<int>(images.size());
    workers.broadcast(&count, sizeof count, worker);
    images.resize(static_cast<size_t>(count));
    workers.broadcast(images.data(), images.size() * sizeof(int), worker);
    result.failed = "loss";
    result.value = loss;
    result.images = images;
    result.worker = worker;
}

class HostTrainStep CV_FINAL : public TrainStep
{
public:
    HostTrainStep(Objective& objective, AdamW& optimizer, Workers& workers, int accumulate)
        : objective_(objective), optimizer_(optimizer), workers_(workers), accumulate_(accumulate),
          gradients_(workers, objective.model().params.layout.total(), accumulate)
    {
    }

    void prepare(LoaderOptions&) const CV_OVERRIDE {}
    void begin() CV_OVERRIDE { objective_.backend().weightsChanged(); }
    void fetch() CV_OVERRIDE {}

    /// The workers compute a batch each, then the next ones; in the last round some may have none. The gradients are zero before
    /// and after.
    UpdateResult update(Loader& loader, const AdamWParams& adam, bool, const GoOn& goOn) CV_OVERRIDE
    {
        UpdateResult result;
        const int mine = workers_.index();
        for (int done = 0; done < accumulate_; done += workers_.count())
        {
            const int active = std::min(workers_.count(), accumulate_ - done);
            std::vector<double> losses(static_cast<size_t>(active) + 1);   // behind them: how many workers give up
            std::vector<int> images;
            if (done > 0 && !goOn(done))
                losses.back() = 1;
            else if (mine < active && !computeBatch(loader, result, losses[static_cast<size_t>(mine)], images))
                losses.back() = 1;
            workers_.sum(losses.data(), losses.size());
            if (losses.back() > 0)
            {
                gradients_.clear();
                result = UpdateResult();
                result.stopped = true;
                return result;
            }
            for (int w = 0; w < active; w++)
            {
                const double loss = losses[static_cast<size_t>(w)];
                if (!std::isfinite(loss))
                {
                    setFailedLoss(workers_, result, loss, w, images);
                    return result;
                }
                result.loss += loss / accumulate_;
            }
            gradients_.add(active);
        }
        Mat& gradients = gradients_.finish();
        if (accumulate_ > 1)
            gradients *= 1.0 / accumulate_;
        result.gradientNorm = gradientNorm(gradients);
        if (!std::isfinite(result.gradientNorm))
        {
            result.failed = "gradient norm";
            result.value = result.gradientNorm;
            return result;
        }
        optimizer_.step(objective_.model().params, gradients.ptr<float>(), adam, true);
        objective_.backend().weightsChanged();
        return result;
    }

private:
    /// False: given up within.
    bool computeBatch(Loader& loader, UpdateResult& result, double& loss, std::vector<int>& images)
    {
        const double before = now();
        const Batch& batch = loader.next();
        result.waited += now() - before;
        images = batch.images;
        try
        {
            objective_.pass({batch.pixels.data(), batch.idsKeep.data(), batch.keys.data(), static_cast<int>(batch.images.size()),
                             batch.visible, batch.targets.empty() ? nullptr : batch.targets.data(),
                             batch.labels.empty() ? nullptr : batch.labels.data()},
                            gradients_.batch(), &loss, 1);
        }
        catch (const vit::Stopped&)
        {
            loss = 0;
            return false;
        }
        return true;
    }

    Objective& objective_;
    AdamW& optimizer_;
    Workers& workers_;
    const int accumulate_;
    GradientSum gradients_;
};

/// Sums over the workers for a device without a way of its own: on the host.
class HostSum CV_FINAL : public ops::DeviceSum
{
public:
    HostSum(const ops::Backend& backend, Workers& workers) : backend_(backend), workers_(workers) {}
    void add(float* values, size_t count, void*) CV_OVERRIDE { addCopied(floats_, values, count); }
    void add(double* values, size_t count, void*) CV_OVERRIDE { addCopied(doubles_, values, count); }

private:
    template <class Value> void addCopied(std::vector<Value>& host, Value* values, size_t count)
    {
        host.resize(count);
        backend_.download(values, host.data(), count * sizeof(Value));
        workers_.sum(host.data(), count);
        backend_.upload(host.data(), values, count * sizeof(Value));
    }

    const ops::Backend& backend_;
    Workers& workers_;
    std::vector<float> floats_;
    std::vector<double> doubles_;
};

/// The device computes on a batch while the host hands over the next one; the host waits at the end of each update alone.
/// Each worker has a device, which adds up the gradients of the worker's own batches; then those of all workers are added.
class DeviceTrainStep CV_FINAL : public TrainStep
{
public:
    /// scale: what the pass of `training` multiplies gradients by.
    DeviceTrainStep(Objective& objective, AdamW& optimizer, Workers& workers, std::unique_ptr<ops::Training> training,
                    int largestCrop, int accumulate, std::shared_ptr<float> scale)
        : objective_(objective), optimizer_(optimizer), workers_(workers), training_(std::move(training)),
          largestCrop_(largestCrop), accumulate_(accumulate), own_(Share{workers.index(), workers.count(), accumulate}.own()),
          scale_(std::move(scale)), usualScale_(*scale_)
    {
    }

    void prepare(LoaderOptions& options) const CV_OVERRIDE { options.largestCrop = largestCrop_; }
    void begin() CV_OVERRIDE { training_->setState(optimizer_.m.ptr<float>(), optimizer_.v.ptr<float>()); }
    void fetch() CV_OVERRIDE
    {
        training_->state(objective_.model().params.data(), optimizer_.m.ptr<float>(), optimizer_.v.ptr<float>());
    }

    UpdateResult update(Loader& loader, const AdamWParams& adam, bool more, const GoOn& goOn) CV_OVERRIDE
    {
        UpdateResult result;
        if (!again_ && *scale_ != usualScale_)
        {
            *scale_ = usualScale_;
            training_->passChanged(false);
        }
        again_ = false;
        ops::AdamWFactors factors = adamWFactors(adam, optimizer_.steps + 1);
        factors.gradient = static_cast<float>(1 / (static_cast<double>(*scale_) * accumulate_));
        if (failure_)
            std::rethrow_exception(failure_);
        if (waiting_.empty())
            stage(loader, result);
        std::vector<std::vector<int>> images;
        // A worker with a batch less than others is idle in the first round: the last one ends with the sum over the workers.
        const int rounds = (accumulate_ + workers_.count() - 1) / workers_.count();
        for (int i = own_ - rounds, done = 0; i < own_; i++, done += workers_.count())
        {
            if (!workers_.all(done == 0 || goOn(done)))
            {
                result.stopped = true;   // the weights on the device are those of the last update
                return result;
            }
            if (i < 0)
                continue;
            const bool last = i + 1 == own_;
            training_->run(last, factors);
            images.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
            if (!last)
                stage(loader, result);
            else if (more)
                stageAhead(loader, result);
        }
        // A worker that hangs is missed here; where all have come, their devices have what they wait for.
        workers_.all(true);
        const ops::StepReport report = training_->wait();
        result.loss = report.loss;
        result.gradientNorm = report.gradientNorm;
        if (!std::isfinite(report.loss))
            setFailedLoss(workers_, result, report.loss, firstFailed(report.failedBatch),
                          report.failedBatch < 0 ? std::vector<int>() : images[static_cast<size_t>(report.failedBatch)]);
        else if (!std::isfinite(report.gradientNorm))
        {
            result.failed = "gradient norm";
            result.value = report.gradientNorm;
        }
        else
            optimizer_.steps++;
        return result;
    }

    bool again() CV_OVERRIDE
    {
        if (*scale_ <= 1)
            return false;
        *scale_ = std::max(1.f, *scale_ / 16);   // powers of two: results differ where halves are subnormal, and there alone
        again_ = true;
        training_->passChanged(true);
        waiting_.clear();
        failure_ = nullptr;
        return true;
    }

private:
    /// Collective: the worker with the first of the batches that failed. batch: this worker's, -1: none
    int firstFailed(int batch)
    {
        std::vector<double> failed(static_cast<size_t>(workers_.count()));
        failed[static_cast<size_t>(workers_.index())] = batch + 1;
        workers_.sum(failed.data(), failed.size());
        int first = 0;
        for (int w = 0; w < workers_.count(); w++)
        {
            const double his = failed[static_cast<size_t>(w)], least = failed[static_cast<size_t>(first)];
            if (his > 0 && (least == 0 || his < least))
                first = w;
        }
        return first;
    }

    void stage(Loader& loader, UpdateResult& result)
    {
        const double before = now();
        const Batch& batch = loader.next();
        result.waited += now() - before;
        std::vector<ops::Crop> crops;
        for (const Crop& crop : batch.crops)
            crops.push_back({crop.pixels.data, crop.pixels.step[0], crop.pixels.cols, crop.pixels.rows, crop.mirrored});
        training_->stage({crops, batch.keys, batch.targets.empty() ? nullptr : batch.targets.data(),
                          batch.idsKeep.empty() ? nullptr : batch.idsKeep.data(), batch.visible,
                          batch.labels.empty() ? nullptr : batch.labels.data()});
        waiting_.push_back(batch.images);
    }

    /// Of the next update: what is wrong with its batch is said when its turn has come.
    void stageAhead(Loader& loader, UpdateResult& result)
    {
        try
        {
            stage(loader, result);
        }
        catch (...)
        {
            failure_ = std::current_exception();
        }
    }

    Objective& objective_;
    AdamW& optimizer_;
    Workers& workers_;
    const std::unique_ptr<ops::Training> training_;
    const int largestCrop_, accumulate_, own_;   ///< own_: this worker's batches of an update's accumulate_
    const std::shared_ptr<float> scale_;
    const float usualScale_;
    bool again_ = false;
    std::deque<std::vector<int>> waiting_;   ///< images of batches that were handed over
    std::exception_ptr failure_;
};

}  // namespace

ops::TrainingSetup setupOf(const vit::ParamArena& params, const vit::InputConfig& input)
{
    ops::TrainingSetup setup;
    setup.weights = params.data();
    setup.total = params.layout.total();
    setup.kind.assign(setup.total / 16, 0);
    setup.rate.assign(setup.total / 16, 1);
    for (const vit::ParamInfo& info : params.layout.tensors())
        for (size_t i = info.offset / 16; info.trainable && i < (info.offset + info.count + 15) / 16; ++i)
        {
            setup.kind[i] = info.decay ? 2 : 1;
            setup.rate[i] = info.rate;
        }
    setup.grid = vit::gridOf(input);
    for (int c = 0; c < 3; ++c)
    {
        setup.mean[c] = static_cast<float>(input.mean[c]);
        setup.deviation[c] = static_cast<float>(input.std[c]);
    }
    // Decoded for training, few photos are larger; those that are come at the network's size. It bounds the scratch memory.
    setup.largestCrop = 6 * input.imageSize;
    return setup;
}

std::unique_ptr<TrainStep> makeTrainStep(Objective& objective, AdamW& optimizer, const LoaderOptions& loading, int accumulate,
                                         Workers& workers)
{
    ops::TrainingSetup setup = setupOf(objective.model().params, loading.input);
    setup.batch = loading.batch;
    setup.visible = loading.visible;
    setup.batchesPerStep = accumulate;
    setup.targets = loading.targetValues;
    setup.seed = loading.seed;
    setup.draws = !loading.choose;
    setup.labelled = objective.labelled();
    setup.recordable = objective.recordable() && !loading.visibleOf;
    if (!workers.alone() && !objective.backend().onHost())
    {
        LTRP_REQUIRE(!workers.ordered, Error::StsNotImplemented, "several workers on GPUs add gradients in an order of their own, "
                     "expected a training that allows it (--deterministic no)");
        std::shared_ptr<ops::DeviceSum> sums = workers.deviceSum();
        if (!sums)
            sums = std::make_shared<HostSum>(objective.backend(), workers);
        const size_t total = setup.total;
        setup.sumOverWorkers = [sums, total](float* gradients, double* loss, void* stream)
        {
            sums->add(gradients, total, stream);
            sums->add(loss, 1, stream);
        };
    }
    const std::shared_ptr<float> scale = std::make_shared<float>(objective.gradientScale(loading.batch, loading.visible));
    std::unique_ptr<ops::Training> training = objective.backend().training(
        setup, [&objective, scale](const ops::Samples& samples, float* gradients, double* loss)
        { objective.pass(samples, gradients, loss, *scale); });
    if (!training)
        return std::unique_ptr<TrainStep>(new HostTrainStep(objective, optimizer, workers, accumulate));
    return std::unique_ptr<TrainStep>(new DeviceTrainStep(objective, optimizer, workers, std::move(training), setup.largestCrop,
                                                          accumulate, scale));
}

}}}  // namespace
