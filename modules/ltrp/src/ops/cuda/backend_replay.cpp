// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Recorded inference of one shape.
#if defined(HAVE_LTRP_CUDA) || defined(LTRP_SIMT)   // file globs ignore which parts a build has

#include "backend.hpp"

#include <opencv2/core/utils/logger.hpp>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

thread_local ScratchMemory* ScratchMemory::redirected_ = nullptr;

namespace {

/// The first call measures its temporary memory, the second is recorded with its own memory block, later ones replay
/// it.
class DeviceReplay CV_FINAL : public Replay
{
public:
    explicit DeviceReplay(std::shared_ptr<const Device> device)
        : device_(std::move(device)), scratch_(new ScratchMemory(device_))
    {
        scratch_->measure();
    }
    ~DeviceReplay() CV_OVERRIDE
    {
        try
        {
            if (recording_)
                device_->synchronize();   // it may be running
        }
        catch (const cv::Exception&)
        {
            return;   // the error has been reported by the call that failed
        }
    }

    void run(const std::function<void()>& calls) CV_OVERRIDE
    {
        if (!scratch_)
            calls();
        else if (!settled_)
            measure(calls);
        else
        {
            if (!recording_)
                record(calls);
            if (recording_)
                recording_->launch();
            else
                calls();
        }
    }

private:
    /// Limit on the temporary memory kept for one shape. Beyond it kernels run far longer than launching them takes.
    static constexpr size_t mostScratch = size_t(256) << 20;

    void measure(const std::function<void()>& calls)
    {
        {
            const ScratchMemory::Redirect redirect(*scratch_);
            calls();
        }
        if (scratch_->most() > mostScratch)
        {
            scratch_.reset();
            return;
        }
        scratch_->settle();
        settled_ = true;
    }

    void record(const std::function<void()>& calls)
    {
        try
        {
            const ScratchMemory::Redirect redirect(*scratch_);
            recording_ = device_->record(calls);
        }
        catch (const cv::Exception& e)
        {
            if (e.code != Error::GpuApiCallError)
                throw;
            // Nothing has run yet. Without a recording the result is the same, only slower.
            scratch_.reset();
            CV_LOG_WARNING(NULL, "ltrp: CUDA: a network could not be recorded and is launched kernel by kernel, which "
                                 "is slower: " << e.err);
        }
    }

    const std::shared_ptr<const Device> device_;
    std::unique_ptr<ScratchMemory> scratch_;   ///< null: calls are not recorded
    bool settled_ = false;
    std::unique_ptr<Recording> recording_;
};

}  // namespace

std::unique_ptr<Replay> DeviceBackend::replay() const
{
    if (!frozen_)
        return nullptr;
    return std::unique_ptr<Replay>(new DeviceReplay(device_));
}

}}}}  // namespace

#endif
