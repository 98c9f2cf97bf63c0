// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "loader.hpp"
#include "../image/preprocess.hpp"
#include "../vit/mae.hpp"

#include <algorithm>
#include <numeric>
#include <system_error>

namespace cv { namespace ltrp { namespace train {

namespace
{

/// Batches in flight: enough to hide one slow image, few enough that memory stays small.
const size_t batchesAhead = 4;

}  // namespace

std::vector<int> epochOrder(uint64_t seed, uint32_t epoch, int count, const std::vector<int>& groups, int window)
{
    const auto ascending = [](size_t size)
    {
        std::vector<int> numbers(size);
        std::iota(numbers.begin(), numbers.end(), 0);
        return numbers;
    };
    RandomStream random(seed, RandomPurpose::Shuffle, epoch);
    std::vector<int> order = ascending(groups.empty() ? static_cast<size_t>(count) : groups.size());
    random.shuffle(order);
    if (groups.empty())
        return order;
    std::vector<int> images;
    for (const int group : order)
    {
        const size_t next = static_cast<size_t>(group) + 1;
        const int end = next < groups.size() ? groups[next] : count;
        for (int image = groups[static_cast<size_t>(group)]; image < end; image++)
            images.push_back(image);
    }
    const int64_t windows = (int64_t(count) + window - 1) / window;   // of equal sizes
    for (int64_t w = 0; w < windows; w++)
    {
        const auto first = images.begin() + static_cast<std::ptrdiff_t>(w * count / windows);
        std::vector<int> part(first, images.begin() + static_cast<std::ptrdiff_t>((w + 1) * count / windows));
        random.shuffle(part);
        std::copy(part.begin(), part.end(), first);
    }
    return images;
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options, int64_t firstBatch, const Skipped& skipped)
    : dataset_(dataset), groups_(dataset.groups()), options_(options), onSkipped_(skipped), nextBatch_(firstBatch), consumed_(firstBatch),
      claimBatch_(firstBatch), cache_(dataset.paths.size()), state_(dataset.paths.size(), State::New)
{
    CV_Assert(!dataset.paths.empty() && options.batch > 0 && options.batchesPerEpoch > 0 && firstBatch >= 0);
    slots_.resize(options.workers > 0 ? batchesAhead : 1);
    const size_t samples = static_cast<size_t>(options.batch);
    for (Slot& slot : slots_)
    {
        if (options.largestCrop > 0)
            slot.batch.crops.resize(samples);
        else
            slot.batch.pixels.resize(samples * 3 * static_cast<size_t>(options.input.imageSize) *
                                     static_cast<size_t>(options.input.imageSize));
        if (options.largestCrop == 0 || options.choose)
            slot.batch.idsKeep.resize(samples * static_cast<size_t>(options.visible));
        slot.batch.targets.resize(samples * static_cast<size_t>(options.targetValues));
        if (!dataset.labels.empty())
            slot.batch.labels.resize(samples);
        slot.batch.keys.resize(samples);
        slot.batch.images.resize(samples);
    }
    // More threads than samples in flight would only take room.
    startThreads(std::min(options.workers, cv::saturate_cast<int>(int64_t(batchesAhead) * options.batch)));
}

void Loader::startThreads(int wanted)
{
    for (int count = wanted; count > 0;)
    {
        // Threads wait for the lock: none has begun a sample when one cannot be started.
        std::unique_lock<std::mutex> lock(mutex_);
        try
        {
            while (static_cast<int>(threads_.size()) < count)
                threads_.emplace_back(&Loader::work, this);
            return;
        }
        catch (const std::system_error& error)
        {
            const int started = static_cast<int>(threads_.size());
            lock.unlock();
            stop();
            threads_.clear();
            stop_ = false;
            if (started == 0)
                LTRP_ERROR(Error::StsError, "workers: no thread for reading can be started (" << error.what()
                           << "); expected room for one, or workers 0");
            count = std::max(1, started / 2);   // the other half's room is left to decoding
        }
    }
}

Loader::~Loader()
{
    stop();
}

void Loader::stop()
{
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
    }
    workReady_.notify_all();
    for (std::thread& thread : threads_)
        thread.join();
}

const Batch& Loader::next()
{
    const int64_t number = nextBatch_;
    Slot& slot = slots_[static_cast<size_t>(number) % slots_.size()];
    if (threads_.empty())
    {
        slot.batch.visible = visibleIn(number);
        for (int place = 0; place < options_.batch; place++)
            makeSample(number, place, slot.batch);
        nextBatch_++;
        return slot.batch;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    consumed_ = number;   // the batch handed out before this one is free again
    workReady_.notify_all();
    batchReady_.wait(lock, [&] { return failure_ || (slot.number == number && slot.done == options_.batch); });
    if (failure_)
        std::rethrow_exception(failure_);
    nextBatch_++;
    return slot.batch;
}

void Loader::work()
{
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;)
    {
        workReady_.wait(lock, [this]
                        { return stop_ || claimBatch_ < consumed_ + static_cast<int64_t>(slots_.size()); });
        if (stop_)
            return;
        const int64_t number = claimBatch_;
        const int place = claimPlace_;
        Slot& slot = slots_[static_cast<size_t>(number) % slots_.size()];
        if (place == 0)
        {
            slot.number = number;
            slot.done = 0;
            slot.batch.visible = visibleIn(number);
        }
        if (++claimPlace_ == options_.batch)
        {
            claimPlace_ = 0;
            claimBatch_++;
        }
        lock.unlock();
        std::exception_ptr failure;
        try
        {
            makeSample(number, place, slot.batch);
        }
        catch (...)
        {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure)
        {
            failure_ = failure;
            stop_ = true;
            workReady_.notify_all();
            batchReady_.notify_all();
            return;
        }
        if (++slot.done == options_.batch)
            batchReady_.notify_all();
    }
}

int Loader::visibleIn(int64_t numberInShare) const
{
    if (!options_.visibleOf)
        return options_.visible;
    const int64_t number = options_.share.number(numberInShare);
    return options_.visibleOf(static_cast<uint32_t>(number / options_.batchesPerEpoch),
                              static_cast<uint32_t>(number % options_.batchesPerEpoch));
}

void Loader::makeSample(int64_t numberInShare, int place, Batch& batch)
{
    const int64_t batchNumber = options_.share.number(numberInShare);
    const size_t p = static_cast<size_t>(place);
    const int count = static_cast<int>(dataset_.paths.size());
    const uint32_t epoch = static_cast<uint32_t>(batchNumber / options_.batchesPerEpoch);
    // A data set smaller than an epoch's batches is gone through again; positions stay different.
    const int64_t position = batchNumber % options_.batchesPerEpoch * options_.batch + place;
    batch.keys[p] = {epoch, static_cast<uint32_t>(position)};
    const Mat rgb = usableImage((*order(epoch))[static_cast<size_t>(position % count)], batch.images[p]);
    if (!dataset_.labels.empty())
        batch.labels[p] = dataset_.labels[static_cast<size_t>(batch.images[p])];

    const size_t side = static_cast<size_t>(options_.input.imageSize), patches = static_cast<size_t>(options_.input.numPatches());
    RandomStream augmentation(options_.seed, RandomPurpose::Augment, epoch, static_cast<uint32_t>(position));
    const Crop drawn = drawCrop(rgb, options_.augment, augmentation);
    if (options_.target)
        options_.target(batch.images[p], rgb.size(), drawn, batch.targets.data() + p * static_cast<size_t>(options_.targetValues));
    int* const keep = batch.idsKeep.data() + p * static_cast<size_t>(batch.visible);
    if (options_.choose)
    {
        Mat mirrored;   // not into drawn.pixels, which is a part of an image that others use
        if (drawn.mirrored)
            flip(drawn.pixels, mirrored, 1);
        options_.choose(drawn.mirrored ? mirrored : drawn.pixels, batch.keys[p], batch.visible, keep);
    }
    if (options_.largestCrop > 0)
    {
        Crop& crop = batch.crops[p];
        crop = drawn;
        if (std::max(crop.pixels.cols, crop.pixels.rows) > options_.largestCrop)
        {
            Mat resized;   // not into crop.pixels, which is a part of an image that others use
            image::resizeAntialiasedCubic(crop.pixels, resized, Size(options_.input.imageSize, options_.input.imageSize));
            crop.pixels = resized;
        }
        return;
    }
    resizeCrop(drawn, options_.input, batch.pixels.data() + p * 3 * side * side);
    if (options_.choose)
        return;
    std::vector<float> noise(patches);
    RandomStream mask(options_.seed, RandomPurpose::Mask, epoch, static_cast<uint32_t>(position));
    for (float& value : noise)
        value = mask.uniform();
    vit::maskFromNoise(noise.data(), options_.input.numPatches(), batch.visible, keep);
}

Mat Loader::usableImage(int index, int& used)
{
    const int count = static_cast<int>(dataset_.paths.size());
    for (int i = 0; i < count; i++)
    {
        used = (index + i) % count;
        Mat rgb = imageAt(used);
        if (!rgb.empty())
            return rgb;
    }
    LTRP_ERROR(Error::StsBadArg, "none of the " << count << " images can be read, beginning with "
               << dataset_.paths[0]);
}

Mat Loader::imageAt(int index)
{
    const size_t i = static_cast<size_t>(index);
    bool checked = false;
    {
        std::lock_guard<std::mutex> lock(cacheMutex_);
        if (state_[i] == State::Bad || !cache_[i].empty())
            return cache_[i];
        checked = state_[i] == State::Good;
    }
    std::string reason;
    Mat rgb = readImage(dataset_, index, reason, options_.reduceJpegs ? Reduction([this](Size size) {
        return reductionFor(size, options_.input.imageSize, options_.augment);
    }) : Reduction(), checked);
    bool report = false;
    {
        std::lock_guard<std::mutex> lock(cacheMutex_);
        if (rgb.empty())
        {
            report = state_[i] != State::Bad;   // two threads may have met it at once
            state_[i] = State::Bad;
        }
        else
        {
            report = state_[i] == State::New && !reason.empty();
            state_[i] = State::Good;
        }
        if (!rgb.empty() && cache_[i].empty())
        {
            const size_t bytes = rgb.total() * rgb.elemSize();
            if (cached_ + bytes <= options_.cacheBytes)
            {
                cached_ += bytes;
                cache_[i] = rgb;
            }
        }
    }
    const Skipped& tell = rgb.empty() ? onSkipped_ : options_.odd;
    if (report && tell)
    {
        std::lock_guard<std::mutex> lock(reportMutex_);
        tell(dataset_.paths[i], reason);
    }
    return rgb;
}

std::shared_ptr<const std::vector<int>> Loader::order(uint32_t epoch)
{
    std::lock_guard<std::mutex> lock(cacheMutex_);
    std::shared_ptr<const std::vector<int>>& entry = orders_[epoch];
    if (!entry)
    {
        entry = std::make_shared<const std::vector<int>>(
            epochOrder(options_.seed, epoch, static_cast<int>(dataset_.paths.size()), groups_));
        orders_.erase(orders_.begin(), orders_.lower_bound(epoch > 1 ? epoch - 1 : 0));
    }
    return entry;
}

size_t Loader::cachedBytes() const
{
    std::lock_guard<std::mutex> lock(cacheMutex_);
    return cached_;
}

}}}  // namespace
