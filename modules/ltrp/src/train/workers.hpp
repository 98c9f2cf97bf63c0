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

/// The processes that train one network together. Each holds all weights and computes its share of every update's batches.
/// Worker 0 alone reads and writes the folder of the training.
///
/// The functions below program() are collective: all workers call them in the same order with the same sizes. They return when
/// all have called; an implementation ends the whole job when a worker does not call for `stallSeconds`.
/// This class itself is one worker alone.
class Workers
{
public:
    virtual ~Workers() = default;

    virtual int count() const { return 1; }
    virtual int index() const { return 0; }
    /// "worker 1 of 4 (process 4711 on host)"
    virtual std::string name(int index) const;
    /// Compute threads for each, so that the workers of a machine share its processors. The same for all
    virtual int threads() const { return getNumThreads(); }
    /// What differs between programs that may compute differently.
    virtual std::string program() const { return std::string(); }

    /// Copies the data of worker `from` to all.
    virtual void broadcast(void* data, size_t bytes, int from = 0);
    /// Adds up element by element, in an order of the implementation that depends on nothing but count() and `size`.
    virtual void sum(double* values, size_t size);
    virtual void sum(float* values, size_t size);
    /// The texts of all workers, in their order.
    virtual std::vector<std::string> gather(const std::string& text);
    /// Worker w receives values [bounds[w], bounds[w + 1]) of the workers 0 .. active - 1, one after the other.
    /// bounds: count() + 1 ascending positions
    virtual void exchangePieces(const float* values, const std::vector<size_t>& bounds, int active, float* received);
    /// Each worker w hands out values [bounds[w], bounds[w + 1]): all have all afterwards.
    virtual void shareOutPieces(float* values, const std::vector<size_t>& bounds);
    /// Makes one of this machine's GPUs, which no other worker has, the calling thread's current device. @throws cv::Exception if
    /// there are fewer than workers
    virtual void takeGpu() {}
    /// Sums in the memory of the current GPU; null: they have to be copied to the host and back.
    virtual std::unique_ptr<ops::DeviceSum> deviceSum() { return nullptr; }
    /// The last call of a training: what comes after it is not waited for.
    virtual void end();

    bool alone() const { return count() == 1; }
    bool first() const { return index() == 0; }
    /// Collective: whether `mine` is true at all workers.
    bool all(bool mine);

    /// Gradients are added in the order of the batches: the result is that of one worker, bit for bit. False: each worker adds
    /// up those of its own batches, and sum() the rest
    bool ordered = true;
    double stallSeconds = 600;   ///< 0: a worker that does not answer is waited for
};

/// Which batches a worker computes of an update's `batches`: every count-th, beginning with its own index.
struct Share
{
    int index = 0, count = 1, batches = 1;

    int own() const { return (batches - index + count - 1) / count; }
    /// Number of this worker's batch number `i` in the training.
    int64_t number(int64_t i) const { return i / own() * batches + i % own() * count + index; }
};

/// Adds up the gradients of an update's batches. What one batch adds is complete before it is added to that of the batches
/// before it, so that sums round alike wherever a batch was computed.
class GradientSum
{
public:
    /// total: floats of the gradients, batches: of an update
    GradientSum(Workers& workers, size_t total, int batches);

    /// Where the next batch adds its gradients: `total` floats.
    float* batch() { return alone_.empty() || !begun_ ? sum_.ptr<float>() : alone_.ptr<float>(); }
    /// The batch is complete; of the workers the first `active` have computed one. Collective
    void add(int active);
    /// 1 x total, the sum over all batches of all workers; to be set to zero before the next update. Collective
    Mat& finish();
    /// Forgets what was added.
    void clear();

private:
    Workers& workers_;
    Mat sum_;                       ///< 1 x total
    Mat alone_;                     ///< of one worker, the batches behind the first; else empty
    std::vector<size_t> bounds_;    ///< of each worker's piece; empty where sums are not ordered
    std::vector<float> received_;   ///< my piece of every worker's batch
    std::vector<float> piece_;      ///< the sum of those so far
    bool begun_ = false;
};

/// What a worker has to say to worker 0, collected until it can be handed over. Any thread may add.
class Notes
{
public:
    struct Note
    {
        bool skipped;   ///< an image that was skipped, else one with something odd about it
        std::string path, what;
    };
    void add(const Note& note);
    /// Collective. Worker 0 receives the notes of all others, in their order, and each note is forgotten.
    std::vector<Note> collect(Workers& workers);

private:
    std::mutex mutex_;
    std::vector<Note> notes_;
};

/// Collective. @throws cv::Exception naming the first worker whose list differs from worker 0's, the entry and both values
void requireEqual(Workers& workers, const OptionList& list);
/// Collective. @throws cv::Exception naming a worker that has other weights than worker 0
void requireEqualWeights(Workers& workers, const vit::ParamArena& params, int64_t step);
/// Worker 0's weights, optimizer state and step for all. Collective
void broadcastState(Workers& workers, vit::ParamArena& params, AdamW& optimizer, int64_t& step);

}}}  // namespace

#endif
