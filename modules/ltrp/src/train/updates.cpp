// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "updates.hpp"
#include "../vit/patches.hpp"
#include "../vit/transformer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

namespace cv { namespace ltrp { namespace train {

namespace
{

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class HostUpdates CV_FINAL : public Updates
{
public:
    HostUpdates(Objective& objective, AdamW& optimizer, int visible, int accumulate)
        : objective_(objective), optimizer_(optimizer), visible_(visible), accumulate_(accumulate),
          gradients_(Mat::zeros(1, static_cast<int>(objective.model().params.layout.total()), CV_32F))
    {
    }

    void prepare(LoaderOptions&) const CV_OVERRIDE {}
    void begin() CV_OVERRIDE { objective_.backend().weightsChanged(); }
    void fetch() CV_OVERRIDE {}

    /// The gradients are zero before and after.
    UpdateResult update(Loader& loader, const AdamWParams& adam, bool, const GoOn& goOn) CV_OVERRIDE
    {
        UpdateResult result;
        for (int i = 0; i < accumulate_; i++)
        {
            if (i > 0 && !goOn(i))
                return giveUp();
            const double before = now();
            const Batch& batch = loader.next();
            result.waited += now() - before;
            double loss = 0;
            try
            {
                objective_.pass({batch.pixels.data(), batch.idsKeep.data(), batch.keys.data(),
                                 static_cast<int>(batch.images.size()), visible_, batch.targets.empty() ? nullptr : batch.targets.data()},
                                gradients_.ptr<float>(), &loss, 1);
            }
            catch (const vit::Stopped&)
            {
                return giveUp();
            }
            if (!std::isfinite(loss))
            {
                result.failed = "loss";
                result.value = loss;
                result.images = batch.images;
                return result;
            }
            result.loss += loss / accumulate_;
        }
        if (accumulate_ > 1)
            gradients_ *= 1.0 / accumulate_;
        result.gradientNorm = gradientNorm(gradients_);
        if (!std::isfinite(result.gradientNorm))
        {
            result.failed = "gradient norm";
            result.value = result.gradientNorm;
            return result;
        }
        optimizer_.step(objective_.model().params, gradients_.ptr<float>(), adam, true);
        objective_.backend().weightsChanged();
        return result;
    }

private:
    UpdateResult giveUp()
    {
        gradients_ = 0;
        UpdateResult result;
        result.stopped = true;
        return result;
    }

    Objective& objective_;
    AdamW& optimizer_;
    const int visible_, accumulate_;
    Mat gradients_;
};

/// The device computes on a batch while the host hands over the next one; the host waits at the end of each update alone.
class DeviceUpdates CV_FINAL : public Updates
{
public:
    /// scale: what the pass of `training` multiplies gradients by.
    DeviceUpdates(Objective& objective, AdamW& optimizer, std::unique_ptr<ops::Training> training, int largestCrop, int accumulate,
                  std::shared_ptr<float> scale)
        : objective_(objective), optimizer_(optimizer), training_(std::move(training)), largestCrop_(largestCrop),
          accumulate_(accumulate), scale_(std::move(scale)), usualScale_(*scale_)
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
        for (int i = 0; i < accumulate_; i++)
        {
            if (i > 0 && !goOn(i))
            {
                result.stopped = true;   // the weights on the device are those of the last update
                return result;
            }
            const bool last = i + 1 == accumulate_;
            training_->run(last, factors);
            images.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
            if (!last)
                stage(loader, result);
            else if (more)
                stageAhead(loader, result);
        }
        const ops::StepReport report = training_->wait();
        result.loss = report.loss;
        result.gradientNorm = report.gradientNorm;
        if (report.failedBatch >= 0)
        {
            result.failed = "loss";
            result.value = report.loss;
            result.images = images[static_cast<size_t>(report.failedBatch)];
        }
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
    void stage(Loader& loader, UpdateResult& result)
    {
        const double before = now();
        const Batch& batch = loader.next();
        result.waited += now() - before;
        std::vector<ops::Crop> crops;
        for (const Crop& crop : batch.crops)
            crops.push_back({crop.pixels.data, crop.pixels.step[0], crop.pixels.cols, crop.pixels.rows, crop.mirrored});
        training_->stage(crops, batch.keys, batch.targets.empty() ? nullptr : batch.targets.data());
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
    const std::unique_ptr<ops::Training> training_;
    const int largestCrop_, accumulate_;
    const std::shared_ptr<float> scale_;
    const float usualScale_;
    bool again_ = false;
    std::deque<std::vector<int>> waiting_;   ///< images of batches that were handed over
    std::exception_ptr failure_;
};

}  // namespace

std::unique_ptr<Updates> makeUpdates(Objective& objective, AdamW& optimizer, const LoaderOptions& loading, int accumulate)
{
    const vit::ParamArena& params = objective.model().params;
    ops::TrainingSetup setup;
    setup.weights = params.data();
    setup.total = params.layout.total();
    setup.kind.assign(setup.total / 16, 0);
    for (const vit::ParamInfo& info : params.layout.tensors())
        for (size_t i = info.offset / 16; info.trainable && i < (info.offset + info.count + 15) / 16; ++i)
            setup.kind[i] = info.decay ? 2 : 1;
    setup.grid = vit::gridOf(loading.input);
    for (int c = 0; c < 3; ++c)
    {
        setup.mean[c] = static_cast<float>(loading.input.mean[c]);
        setup.deviation[c] = static_cast<float>(loading.input.std[c]);
    }
    setup.batch = loading.batch;
    setup.visible = loading.visible;
    setup.batchesPerStep = accumulate;
    // Decoded for training, few photos are larger; those that are come at the network's size. It bounds the scratch memory.
    setup.largestCrop = 6 * loading.input.imageSize;
    setup.targets = loading.targets ? loading.input.numPatches() : 0;
    setup.seed = loading.seed;
    setup.recordable = objective.recordable();
    const std::shared_ptr<float> scale = std::make_shared<float>(objective.gradientScale(loading.batch, loading.visible));
    std::unique_ptr<ops::Training> training = objective.backend().training(
        setup, [&objective, scale](const ops::Samples& samples, float* gradients, double* loss)
        { objective.pass(samples, gradients, loss, *scale); });
    if (!training)
        return std::unique_ptr<Updates>(new HostUpdates(objective, optimizer, loading.visible, accumulate));
    return std::unique_ptr<Updates>(new DeviceUpdates(objective, optimizer, std::move(training), setup.largestCrop, accumulate,
                                                      scale));
}

}}}  // namespace
