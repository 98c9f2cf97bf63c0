// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_WORKERS_HPP
#define OPENCV_LTRP_TRAIN_WORKERS_HPP

#include "checkpoint.hpp"
#include "../ops/training.hpp"

#include <memory>
#include <mutex>

namespace cv { namespace ltrp { namespace train {

/// The processes that train one network together. Each holds all weights and computes its share of every update's
/// batches. Only worker 0 reads and writes the folder of the training.
///
/// The functions below program() are collective: all workers call them in the same order with the same sizes, and they
/// return when all have called. Implementations end the whole job if a worker does not call for `stallSeconds`. This
/// class itself is the implementation for a single worker.
class Workers
{
public:
    virtual ~Workers() = default;

    virtual int count() const { return 1; }
    virtual int index() const { return 0; }
    /// "worker 1 of 4 (process 4711 on host)"
    virtual std::string name(int index) const;
    /// Compute threads of each worker, so that the workers of a machine share its processors. The same for all
    virtual int threads() const { return getNumThreads(); }
    /// Identifies the program, because different programs may compute differently.
    virtual std::string program() const { return std::string(); }

    /// Copies the data of worker `from` to all.
    virtual void broadcast(void* data, size_t bytes, int from = 0);
    /// Adds element by element, in an order that depends only on the implementation, count() and `size`.
    virtual void sum(double* values, size_t size);
    virtual void sum(float* values, size_t size);
    /// The texts of all workers, in their order.
    virtual std::vector<std::string> gather(const std::string& text);
    /// Worker w receives values [bounds[w], bounds[w + 1]) of each of the workers 0 .. active - 1, concatenated.
    /// bounds: count() + 1 ascending positions
    virtual void exchangePieces(const float* values, const std::vector<size_t>& bounds, int active, float* received);
    /// Each worker w provides values [bounds[w], bounds[w + 1]); afterwards all workers have all values.
    virtual void shareOutPieces(float* values, const std::vector<size_t>& bounds);
    /// Assigns a GPU of this machine that no other worker has, and makes it the calling thread's current device.
    /// @throws cv::Exception if there are fewer GPUs than workers
    virtual void takeGpu() {}
    /// Sums in the memory of the current GPU; null: they must be copied to the host and back.
    virtual std::unique_ptr<ops::DeviceSum> deviceSum() { return nullptr; }
    /// The last call of a training: other workers no longer wait for this one.
    virtual void end();

    bool alone() const { return count() == 1; }
    bool first() const { return index() == 0; }
    /// Collective: whether `mine` is true on all workers.
    bool all(bool mine);

    /// Gradients are added in the order of the batches: the result is bit-identical to that of one worker. False: each
    /// worker adds those of its own batches, then sum() adds the workers' sums
    bool ordered = true;
    double stallSeconds = 600;   ///< 0: no time limit for workers that do not answer
};

/// The batches of an update that a worker computes: every count-th, beginning with its own index.
struct Share
{
    int index = 0, count = 1, batches = 1;

    int own() const { return (batches - index + count - 1) / count; }
    /// Number of this worker's batch number `i` in the training.
    int64_t number(int64_t i) const { return i / own() * batches + i % own() * count + index; }
};

/// Adds the gradients of an update's batches. A batch's gradient is complete before it is added to those of earlier
/// batches, so that rounding does not depend on which worker computed a batch.
class GradientSum
{
public:
    /// total: number of floats in the gradients; batches: per update
    GradientSum(Workers& workers, size_t total, int batches);

    /// Destination of the next batch's gradients: `total` floats.
    float* batch() { return alone_.empty() || !begun_ ? sum_.ptr<float>() : alone_.ptr<float>(); }
    /// Marks the batch as complete; `active`: number of workers (the first ones) that have computed one. Collective
    void add(int active);
    /// 1 x total, the sum over all batches of all workers; the caller sets it to zero before the next update.
    /// Collective
    Mat& finish();
    /// Discards the sums.
    void clear();

private:
    Workers& workers_;
    Mat sum_;                       ///< 1 x total
    Mat alone_;                     ///< with one worker: the batches after the first; else empty
    std::vector<size_t> bounds_;    ///< of each worker's piece; empty if sums are not ordered
    std::vector<float> received_;   ///< this worker's piece of every worker's batch
    std::vector<float> piece_;      ///< the sum of those so far
    bool begun_ = false;
};

/// Messages of a worker for worker 0, collected until they can be sent. Any thread may add.
class Notes
{
public:
    struct Note
    {
        bool skipped;   ///< true: an image was skipped; false: a warning about an image
        std::string path, what;
    };
    void add(const Note& note);
    /// Collective. Worker 0 receives the notes of all others, in their order; all notes are cleared.
    std::vector<Note> collect(Workers& workers);

private:
    std::mutex mutex_;
    std::vector<Note> notes_;
};

/// Collective. @throws cv::Exception naming the first worker whose list differs from worker 0's, the entry and both values
void requireEqual(Workers& workers, const OptionList& list);
/// Collective. @throws cv::Exception naming a worker whose weights differ from worker 0's
void requireEqualWeights(Workers& workers, const vit::ParamArena& params, int64_t step);
/// Copies worker 0's weights, optimizer state and step to all workers. Collective
void broadcastState(Workers& workers, vit::ParamArena& params, AdamW& optimizer, int64_t& step);

}}}  // namespace

#endif
