// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_TRAINING_HPP
#define OPENCV_LTRP_OPS_TRAINING_HPP

#include "ops.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace ops {

/// One image of a batch, to be resized to the network's input; in host memory.
struct Crop
{
    const uint8_t* data;    ///< interleaved 8-bit RGB
    size_t step;            ///< bytes from row to row
    int width, height;      ///< 1 to TrainingSetup::largestCrop
    bool mirrored;
};

/// Adds up values of the workers that train together: in a GPU's memory, in the order of a stream (a cudaStream_t).
class DeviceSum
{
public:
    virtual ~DeviceSum() = default;
    /// values [count] become their sum over all workers, the same bits at each. All workers call in the same order.
    virtual void add(float* values, size_t count, void* stream) = 0;
    virtual void add(double* values, size_t count, void* stream) = 0;
};

struct TrainingSetup
{
    const float* weights;         ///< [total], the host's arena, as passed to Backend::parameters()
    size_t total;                 ///< a multiple of 16
    std::vector<uint8_t> kind;    ///< [total / 16], per 16 weights: 0 constant, 1 trained, 2 trained with weight decay
    std::vector<float> rate;      ///< [total / 16], per 16 weights: factor of the learning rate
    PatchGrid grid;
    float mean[3], deviation[3];  ///< of the network's input
    int batch, visible;           ///< images, and visible patches of each, at most
    bool draws = true;            ///< whether the visible patches are drawn here; false: stage() is told them
    bool labelled = false;        ///< whether each image has a class
    int batchesPerStep;           ///< batches whose losses are averaged, of all workers
    int largestCrop;              ///< in pixels, width and height
    int targets;                  ///< target values per image; 0: none
    uint64_t seed;                ///< of the masks
    /// Whether all batches have `visible` patches and the pass neither waits nor copies between host and device.
    bool recordable;
    /// With several workers: called between a step's last batch and its update, never recorded. gradients [total] and the
    /// mean loss, in the device's memory, become their sums over all workers in the order of `stream`. Null: one worker
    std::function<void(float* gradients, double* loss, void* stream)> sumOverWorkers;
};

/// Input of a network's pass, in the backend's memory.
struct Samples
{
    const float* pixels;      ///< [images, 3, side, side], normalised
    const int* keep;          ///< [images, visible], ascending in each row
    const SampleKey* keys;    ///< [images]
    int images, visible;
    const float* targets;     ///< [images, TrainingSetup::targets], or null
    const int* labels = nullptr;   ///< [images] classes, or null
};

/// A batch in the host's memory.
struct HostBatch
{
    const std::vector<Crop>& crops;        ///< [TrainingSetup::batch]
    const std::vector<SampleKey>& keys;    ///< [crops]
    const float* targets;                  ///< [crops, TrainingSetup::targets], or null
    const int* keep = nullptr;             ///< [crops, visible], ascending in each row; null with TrainingSetup::draws
    int visible = 0;                       ///< of keep; 1 to TrainingSetup::visible
    const int* labels = nullptr;           ///< [crops], or null
};

struct StepReport
{
    double loss;             ///< mean over the step's batches, of all workers
    double gradientNorm;     ///< of the gradients of the update
    int failedBatch;         ///< this worker's first batch of the step with a loss that is not finite; -1: none
};

/// A training with weights, gradients, optimizer state and images on a device. A step is a sequence of calls on its
/// stream: resize, mirror and normalise images, draw masks, run the network's pass, and after the last batch the
/// optimizer, which changes nothing if a loss or gradient is not finite. After the first step there are no allocations
/// or waits, and the device replays a recording.
class Training
{
public:
    /// Adds the gradients, times the pass's own factor, and writes the mean loss of the batch to *loss.
    typedef std::function<void(const Samples& samples, float* gradients, double* loss)> Pass;

    virtual ~Training() = default;
    /// Uploads the host's weights and the optimizer's moments.
    virtual void setState(const float* m, const float* v) = 0;
    /// Downloads them; waits.
    virtual void state(float* weights, float* m, float* v) const = 0;
    /// Queues the next batch; an earlier one may still be computed. The host memory can be reused on return.
    virtual void stage(const HostBatch& batch) = 0;
    /// Computes the batch that was queued first. last: it is the last of its step; the weights are then updated by
    /// these factors.
    virtual void run(bool last, const AdamWFactors& factors) = 0;
    /// The pass has changed. dropStaged: discard queued batches.
    virtual void passChanged(bool dropStaged) = 0;
    /// Waits for the last step.
    virtual StepReport wait() = 0;
};

}}}  // namespace

#endif
