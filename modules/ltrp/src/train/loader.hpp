// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_LOADER_HPP
#define OPENCV_LTRP_TRAIN_LOADER_HPP

#include "augment.hpp"
#include "dataset.hpp"
#include "targets.hpp"
#include "../ops/step.hpp"

#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace cv { namespace ltrp { namespace train {

/// One batch, ready to compute on.
struct Batch
{
    std::vector<float> pixels;           ///< [B, 3, S, S], normalised; empty with LoaderOptions::largestCrop
    std::vector<int> idsKeep;            ///< [B, visible], ascending in each row; likewise
    std::vector<Crop> crops;             ///< [B] with LoaderOptions::largestCrop
    std::vector<ops::SampleKey> keys;    ///< [B] epoch, and place of each sample in it: what keys its random streams
    std::vector<float> targets;          ///< [B, L] with LoaderOptions::targets
    std::vector<int> images;             ///< [B] which image of the data set it came from
};

struct LoaderOptions
{
    vit::InputConfig input;
    AugmentOptions augment;
    uint64_t seed = 0;
    int batch = 1;
    int visible = 1;              ///< patches that stay visible
    int64_t batchesPerEpoch = 1;
    int workers = 2;              ///< 0: next() does the work itself
    size_t cacheBytes = 0;
    bool reduceJpegs = false;     ///< see reductionFor()
    /// For who resizes and masks by himself: batches hold crops of at most that many pixels in either direction in place of
    /// pixels and masks. Larger ones come at the network's size. 0: off
    int largestCrop = 0;
    const TargetStore* targets = nullptr;   ///< score maps whose crops go with the images; null: none
    /// (path, what is odd about an image that is used all the same); once an image, as for Loader::Skipped
    std::function<void(const std::string&, const std::string&)> odd;
};

/// Which image is at each position of an epoch: a permutation, a function of (seed, epoch) alone.
std::vector<int> epochOrder(uint64_t seed, uint32_t epoch, int count);

/// Hands out the batches of a training in order, read ahead by worker threads.
///
/// A sample is a function of (data, options, seed, its batch number and place): the shuffle, the crop and the mask come
/// from counter-based streams, so neither the number of workers, nor the cache, nor a start in the middle changes a
/// value.
/// An unreadable image is reported once, and the next readable one of the data set takes its place everywhere.
class Loader
{
public:
    /// (path, reason); called with no lock of the caller's held, from any worker, one call at a time.
    typedef std::function<void(const std::string&, const std::string&)> Skipped;

    Loader(const Dataset& dataset, const LoaderOptions& options, int64_t firstBatch, const Skipped& skipped);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader& operator=(const Loader&) = delete;

    /// The next batch; valid until the next call. @throws what a worker threw: no image of the data set is readable
    const Batch& next();
    int skipped() const;           ///< unreadable images met so far
    size_t cachedBytes() const;

private:
    struct Slot
    {
        Batch batch;
        int64_t number = -1;   ///< batch number
        int done = 0;          ///< samples finished
    };

    enum class State : uint8_t { New, Good, Bad };   ///< of an image: not read yet, read, unreadable

    void work();
    void startThreads(int wanted);
    void stop();
    void makeSample(int64_t batchNumber, int place, Batch& batch);
    Mat usableImage(int index, int& used);
    Mat imageAt(int index);        ///< empty when unreadable
    std::shared_ptr<const std::vector<int>> order(uint32_t epoch);

    const Dataset& dataset_;
    const LoaderOptions options_;
    const Skipped onSkipped_;

    mutable std::mutex mutex_;            ///< slots and positions
    std::condition_variable workReady_, batchReady_;
    std::vector<Slot> slots_;
    int64_t nextBatch_ = 0, consumed_ = 0, claimBatch_ = 0;
    int claimPlace_ = 0;
    bool stop_ = false;
    std::exception_ptr failure_;
    std::vector<std::thread> threads_;

    mutable std::mutex cacheMutex_;       ///< images and orders
    std::vector<Mat> cache_;
    std::vector<State> state_;
    size_t cached_ = 0;
    int skipped_ = 0;
    std::mutex reportMutex_;
    std::map<uint32_t, std::shared_ptr<const std::vector<int>>> orders_;
};

}}}  // namespace

#endif
