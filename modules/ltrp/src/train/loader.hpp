// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_LOADER_HPP
#define OPENCV_LTRP_TRAIN_LOADER_HPP

#include "augment.hpp"
#include "dataset.hpp"
#include "workers.hpp"
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
    int visible = 0;                     ///< patches that stay visible
    /// [B, visible] and more, ascending in each row; empty with LoaderOptions::largestCrop, unless `choose` is set.
    std::vector<int> idsKeep;
    std::vector<Crop> crops;             ///< [B] with LoaderOptions::largestCrop
    std::vector<ops::SampleKey> keys;    ///< [B] epoch and position of each sample: keys of its random streams
    std::vector<float> targets;          ///< [B, LoaderOptions::targetValues]
    std::vector<int> images;             ///< [B] index of the image in the data set
    std::vector<int> labels;             ///< [B] with Dataset::labels
};

struct LoaderOptions
{
    vit::InputConfig input;
    AugmentOptions augment;
    uint64_t seed = 0;
    int batch = 1;
    int visible = 1;              ///< patches that stay visible, at most
    /// Visible patches of a batch, 1 to `visible`, by epoch and number in it; null: `visible`.
    std::function<int(uint32_t, uint32_t)> visibleOf;
    /// Chooses the visible patches of a sample by its crop, 8-bit RGB, mirrored if the sample is: keep [visible],
    /// ascending. Called by all reading threads. Null: drawn at random
    std::function<void(const Mat& crop, const ops::SampleKey& key, int visible, int* keep)> choose;
    int64_t batchesPerEpoch = 1;
    Share share;                  ///< which batches of each update are returned
    int workers = 2;              ///< 0: next() reads in the calling thread
    size_t cacheBytes = 0;
    bool reduceJpegs = false;     ///< see reductionFor()
    /// For devices that resize and mask themselves: batches hold crops of at most that many pixels in either direction
    /// instead of pixels and drawn masks. Larger ones are resized to the network's input. 0: off
    int largestCrop = 0;
    /// Writes what goes with a sample: its number in the data set, the size at which the image was read, its crop, out
    /// [targetValues]. Called by all reading threads. Null: nothing
    std::function<void(int image, Size size, const Crop& crop, float* out)> target;
    int targetValues = 0;
    /// (path, irregularity of a usable image); once per image, as for Loader::Skipped
    std::function<void(const std::string&, const std::string&)> odd;
};

/// Index of the image at each position of an epoch: a permutation, a function of (seed, epoch).
/// groups: ascending numbers of first images, from 0 (Dataset::groups()). If there are any, the groups follow each other in a
/// random order, and images are shuffled within windows of at most `window` images of that sequence.
std::vector<int> epochOrder(uint64_t seed, uint32_t epoch, int count, const std::vector<int>& groups = {},
                            int window = shuffleWindow);

/// Delivers the batches of a training in order, read ahead by worker threads.
///
/// A sample is a function of (data, options, seed, batch number, position): shuffle, crop and mask come from
/// counter-based streams. Number of workers, cache and a start in the middle do not change a value.
/// An unreadable image is reported once and replaced everywhere by the next readable one.
class Loader
{
public:
    /// (path, reason); called from any worker, one call at a time, without locks of the caller.
    typedef std::function<void(const std::string&, const std::string&)> Skipped;

    /// firstBatch: number of the share's batches before the first one that is returned
    Loader(const Dataset& dataset, const LoaderOptions& options, int64_t firstBatch, const Skipped& skipped);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader& operator=(const Loader&) = delete;

    /// Returns the next batch, valid until the next call. @throws the exception of a worker: no image of the data set
    /// is readable
    const Batch& next();
    size_t cachedBytes() const;

private:
    struct Slot
    {
        Batch batch;
        int64_t number = -1;   ///< batch number within the share
        int done = 0;          ///< samples finished
    };

    enum class State : uint8_t { New, Good, Bad };   ///< of an image: not read, readable, unreadable

    void work();
    void startThreads(int wanted);
    void stop();
    void makeSample(int64_t numberInShare, int place, Batch& batch);
    int visibleIn(int64_t numberInShare) const;
    Mat usableImage(int index, int& used);
    Mat imageAt(int index);        ///< empty when unreadable
    std::shared_ptr<const std::vector<int>> order(uint32_t epoch);

    const Dataset& dataset_;
    const std::vector<int> groups_;
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
    std::mutex reportMutex_;
    std::map<uint32_t, std::shared_ptr<const std::vector<int>>> orders_;
};

}}}  // namespace

#endif
