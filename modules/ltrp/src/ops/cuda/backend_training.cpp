// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Training on a device: its state, the upload of batches, and its recorded step.
#if defined(HAVE_LTRP_CUDA) || defined(LTRP_SIMT)   // file globs ignore which parts a build has

#include "backend.hpp"
#include "../../core/parallel.hpp"

#include <opencv2/core/utils/logger.hpp>

#include <cmath>
#include <cstring>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

/// `count` values in device memory, or in page-locked host memory.
template <class Value>
class Memory
{
public:
    Memory(std::shared_ptr<const Device> device, size_t count, bool host = false)
        : device_(std::move(device)), host_(host), bytes_(count * sizeof(Value)),
          data_(static_cast<Value*>(host ? device_->allocateHost(bytes_) : device_->allocate(bytes_)))
    {
    }
    ~Memory()
    {
        if (host_)
            device_->releaseHost(data_);
        else
            device_->release(data_);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    Value* get() const { return data_; }
    size_t bytes() const { return bytes_; }

private:
    const std::shared_ptr<const Device> device_;
    const bool host_;
    const size_t bytes_;
    Value* const data_;
};

}  // namespace

class DeviceTraining CV_FINAL : public Training
{
public:
    DeviceTraining(const DeviceBackend& backend, const TrainingSetup& setup, const Pass& pass)
        : backend_(backend), device_(backend.device_), setup_(setup), pass_(pass), side_(z(setup.grid.width)),
          itemsBytes_(z(setup.batch) * sizeof(AugmentItem)),
          factorsAt_(itemsBytes_ + z(setup.batch) * sizeof(SampleKey)),
          targetsAt_((factorsAt_ + sizeof(AdamWFactors) + 15) / 16 * 16),
          labelsAt_(targetsAt_ + z(setup.batch) * z(setup.targets) * sizeof(float)),
          keepAt_(labelsAt_ + (setup.labelled ? z(setup.batch) * sizeof(int) : 0)),
          controlBytes_(keepAt_ + (setup.draws ? 0 : z(setup.batch) * z(setup.visible) * sizeof(int))),
          gradients_(device_, setup.total), m_(device_, setup.total),
          v_(device_, setup.total), kind_(device_, setup.total / 16), rate_(device_, setup.total / 16), control_(device_, controlBytes_),
          pixels_(device_, z(setup.batch) * 3 * side_ * side_), drawn_(device_, setup.draws ? z(setup.batch) * z(setup.visible) : 1),
          loss_(device_, 1), state_(device_, 1), report_(device_, 1), skip_(device_, 1),
          hostReport_(device_, 1, true), slots_{Slot(device_, controlBytes_), Slot(device_, controlBytes_)}
    {
        CV_Assert(setup.total % 16 == 0 && setup.kind.size() == setup.total / 16 && setup.rate.size() == setup.kind.size() &&
                  setup.batch > 0 && setup.batchesPerStep > 0);
        LTRP_REQUIRE(!setup.draws || setup.grid.count() <= mostPatches, Error::StsNotImplemented, "training on CUDA: masks of at most "
                     << mostPatches << " patches are drawn there, this network's images have " << setup.grid.count());
        device_->upload(setup.kind.data(), kind_.get(), setup.kind.size());
        device_->upload(setup.rate.data(), rate_.get(), setup.rate.size() * sizeof(float));
        device_->zero(gradients_.get(), gradients_.bytes());
        const StepState before{0, 0, 0, -1};
        device_->upload(&before, state_.get(), sizeof(before));
        backend_.scratch_->measure();
    }

    ~DeviceTraining() CV_OVERRIDE
    {
        try
        {
            device_->synchronize();   // host memory must not be freed while it is being read
        }
        catch (const cv::Exception&)
        {
            return;   // the error has been reported by the call that failed
        }
    }

    void setState(const float* m, const float* v) CV_OVERRIDE
    {
        backend_.weightsChanged();
        backend_.parameters(setup_.weights, setup_.total);
        device_->upload(m, m_.get(), m_.bytes());
        device_->upload(v, v_.get(), v_.bytes());
    }

    void state(float* weights, float* m, float* v) const CV_OVERRIDE
    {
        device_->download(backend_.parameters(setup_.weights, setup_.total), weights, setup_.total * sizeof(float));
        device_->download(m_.get(), m, m_.bytes());
        device_->download(v_.get(), v, v_.bytes());
    }

    void stage(const HostBatch& batch) CV_OVERRIDE
    {
        const std::vector<Crop>& crops = batch.crops;
        CV_Assert((batch.targets != nullptr) == (setup_.targets > 0) && (batch.labels != nullptr) == setup_.labelled);
        CV_Assert((batch.keep == nullptr) == setup_.draws);
        CV_Assert(!batch.keep || (batch.visible > 0 && batch.visible <= setup_.visible &&
                                  (!setup_.recordable || batch.visible == setup_.visible)));
        CV_Assert(crops.size() == z(setup_.batch) && batch.keys.size() == crops.size() && staged_ - run_ < 2);
        const int number = static_cast<int>(staged_ % 2);
        Slot& slot = slots_[number];
        device_->waitEvent(number);   // the slot's previous batch has been computed
        std::vector<size_t> offsets(1, 0);
        for (const Crop& crop : crops)
        {
            CV_Assert(std::min(crop.width, crop.height) > 0 && std::max(crop.width, crop.height) <= setup_.largestCrop);
            offsets.push_back(offsets.back() + (z(crop.width) * 3 * z(crop.height) + 15) / 16 * 16);
        }
        if (!slot.images || slot.images->bytes() < offsets.back())
        {
            device_->synchronize();
            slot.images.reset();
            slot.hostImages.reset();
            // The initial size is enough for usual photos; it grows for a batch of larger ones.
            const size_t usual = crops.size() * 3 * (5 * side_ / 2) * (5 * side_ / 2);
            const size_t room = std::max(usual, offsets.back() + offsets.back() / 4);
            slot.images.reset(new Memory<uint8_t>(device_, room));
            slot.hostImages.reset(new Memory<uint8_t>(device_, room, true));
            device_->synchronize();
        }
        uint8_t* const control = slot.hostControl->get();
        AugmentItem* const items = reinterpret_cast<AugmentItem*>(control);
        parallelRanges(crops.size(), 1, [&](size_t begin, size_t end)
        {
            for (size_t i = begin; i < end; ++i)
            {
                const size_t row = z(crops[i].width) * 3;
                for (size_t y = 0; y < z(crops[i].height); ++y)
                    std::memcpy(slot.hostImages->get() + offsets[i] + y * row, crops[i].data + y * crops[i].step, row);
                items[i] = AugmentItem{slot.images->get() + offsets[i], row, crops[i].width, crops[i].height,
                                       crops[i].mirrored ? 1 : 0};
            }
        });
        std::memcpy(control + itemsBytes_, batch.keys.data(), crops.size() * sizeof(SampleKey));
        if (batch.targets)
            std::memcpy(control + targetsAt_, batch.targets, crops.size() * z(setup_.targets) * sizeof(float));
        if (batch.labels)
            std::memcpy(control + labelsAt_, batch.labels, crops.size() * sizeof(int));
        slot.visible = setup_.visible;
        if (batch.keep)
        {
            std::memcpy(control + keepAt_, batch.keep, crops.size() * z(batch.visible) * sizeof(int));
            slot.visible = batch.visible;
        }
        device_->uploadAsync(slot.hostImages->get(), slot.images->get(), offsets.back());
        ++staged_;
    }

    void run(bool last, const AdamWFactors& factors) CV_OVERRIDE
    {
        CV_Assert(staged_ > run_);
        const int number = static_cast<int>(run_ % 2);
        const Slot& slot = slots_[number];
        std::memcpy(slot.hostControl->get() + factorsAt_, &factors, sizeof(factors));
        device_->uploadAsync(slot.hostControl->get(), slot.control->get(), controlBytes_);
        device_->waitForUploads();
        // A recording uses fixed addresses.
        device_->copy(slot.control->get(), control_.get(), controlBytes_);
        visible_ = slot.visible;
        const bool together = last && setup_.sumOverWorkers;
        launch(last && !together ? LastBatch : Batch);
        if (together)
        {
            setup_.sumOverWorkers(gradients_.get(), &state_.get()->loss, device_->stream());
            launch(Update);
        }
        if (last)
        {
            device_->downloadLater(report_.get(), hostReport_.get(), sizeof(StepState));
            gradientFactor_ = static_cast<double>(factors.gradient);
        }
        device_->recordEvent(number);
        ++run_;
        if (last && !settled_)
        {
            backend_.scratch_->settle();
            settled_ = true;
        }
    }

    void passChanged(bool dropStaged) CV_OVERRIDE
    {
        device_->synchronize();   // recordings may be running, and copies may still read memory that is reused
        for (std::unique_ptr<Recording>& recording : recordings_)
            recording.reset();
        if (dropStaged)
            staged_ = run_;
    }

    StepReport wait() CV_OVERRIDE
    {
        CV_Assert(run_ > 0);
        device_->waitEvent(static_cast<int>((run_ - 1) % 2));
        const StepState& found = *hostReport_.get();
        return {found.loss, std::sqrt(found.squares) * gradientFactor_, found.failed};
    }

private:
    static constexpr int mostPatches = 1024;

    /// Memory of a queued batch.
    struct Slot
    {
        Slot(const std::shared_ptr<const Device>& device, size_t controlBytes)
            : control(new Memory<uint8_t>(device, controlBytes)),
              hostControl(new Memory<uint8_t>(device, controlBytes, true))
        {
        }
        std::unique_ptr<Memory<uint8_t>> control, hostControl, images, hostImages;
        int visible = 0;
    };

    /// Parts that are recorded separately. LastBatch: a step's last batch and its update, if nothing comes between them
    enum Part { Batch, LastBatch, Update, parts };

    void launch(Part part)
    {
        if (const Recording* const recording = recorded(part))
            recording->launch();
        else
            calls(part);
    }

    /// Returns the recording of calls(part); null if it must be called.
    const Recording* recorded(Part part)
    {
        if (!settled_ || !recordable_)
            return nullptr;
        std::unique_ptr<Recording>& recording = recordings_[part];
        if (recording)
            return recording.get();
        try
        {
            recording = device_->record([this, part] { calls(part); });
        }
        catch (const cv::Exception& e)
        {
            if (e.code != Error::GpuApiCallError)
                throw;
            // Nothing has run yet. Without a recording the result is the same, only slower.
            recordable_ = false;
            CV_LOG_WARNING(NULL, "ltrp: training on CUDA: a step could not be recorded and is launched piece by piece, "
                                 "which is slower: " << e.err);
        }
        return recording.get();
    }

    void calls(Part part) const
    {
        if (part != Update)
            batch();
        if (part != Batch)
            update();
    }

    void batch() const
    {
        const Stream stream = device_->stream();
        const AugmentItem* const items = reinterpret_cast<const AugmentItem*>(control_.get());
        const SampleKey* const keys = reinterpret_cast<const SampleKey*>(control_.get() + itemsBytes_);
        {
            const DeviceBackend::Scratch scratch(
                *backend_.scratch_,
                augmentScratch(setup_.batch, setup_.grid.width, setup_.grid.height, setup_.largestCrop, setup_.largestCrop));
            augment(stream, items, pixels_.get(), setup_.batch, setup_.grid.width, setup_.grid.height, setup_.largestCrop,
                    setup_.largestCrop, setup_.mean, setup_.deviation, scratch.get());
        }
        if (setup_.draws)
            sampleMasks(stream, setup_.seed, keys, drawn_.get(), setup_.batch, visible_, setup_.grid.count());
        device_->check("a batch's images and masks");
        const int* const keep = setup_.draws ? drawn_.get() : reinterpret_cast<const int*>(control_.get() + keepAt_);
        const int* const labels = setup_.labelled ? reinterpret_cast<const int*>(control_.get() + labelsAt_) : nullptr;
        const float* const targets = setup_.targets > 0 ? reinterpret_cast<const float*>(control_.get() + targetsAt_) : nullptr;
        pass_({pixels_.get(), keep, keys, setup_.batch, visible_, targets, labels}, gradients_.get(), loss_.get());
        addLoss(stream, loss_.get(), 1.0 / setup_.batchesPerStep, state_.get());
        device_->check("a batch's loss");
    }

    void update() const
    {
        const Stream stream = device_->stream();
        {
            const DeviceBackend::Scratch scratch(*backend_.scratch_, sumOfSquaresScratch(setup_.total));
            sumOfSquares(stream, gradients_.get(), &state_.get()->squares, setup_.total, scratch.get());
        }
        closeStep(stream, state_.get(), report_.get(), skip_.get());
        float* const weights = const_cast<float*>(
            backend_.parameters(setup_.weights, setup_.total));   // owned by the backend
        adamW(stream, weights, gradients_.get(), m_.get(), v_.get(), backend_.copyOf(weights), kind_.get(),
              rate_.get(), setup_.total, reinterpret_cast<const AdamWFactors*>(control_.get() + factorsAt_), skip_.get());
        device_->check("the optimizer");
        device_->zero(gradients_.get(), gradients_.bytes());
    }

    const DeviceBackend& backend_;
    const std::shared_ptr<const Device> device_;
    const TrainingSetup setup_;
    const Pass pass_;
    const size_t side_, itemsBytes_, factorsAt_, targetsAt_, labelsAt_, keepAt_,
        controlBytes_;   ///< data that differ from batch to batch: items, keys, factors, targets, labels, kept patches
    const Memory<float> gradients_, m_, v_;
    const Memory<uint8_t> kind_;
    const Memory<float> rate_;
    const Memory<uint8_t> control_;
    const Memory<float> pixels_;
    const Memory<int> drawn_;
    const Memory<double> loss_;
    const Memory<StepState> state_, report_;
    const Memory<int> skip_;
    const Memory<StepState> hostReport_;
    Slot slots_[2];
    int64_t staged_ = 0, run_ = 0;   ///< numbers of batches
    int visible_ = 0;                ///< of the batch that is computed
    bool settled_ = false, recordable_ = setup_.recordable;
    double gradientFactor_ = 1;
    std::unique_ptr<Recording> recordings_[parts];
};

std::unique_ptr<Training> DeviceBackend::training(const TrainingSetup& setup, const Training::Pass& pass) const
{
    CV_Assert(!frozen_);
    return std::unique_ptr<Training>(new DeviceTraining(*this, setup, pass));
}

}}}}  // namespace

#endif
