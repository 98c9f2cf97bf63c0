// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_TRAINING_HPP
#define OPENCV_LTRP_OPS_TRAINING_HPP

#include "ops.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace ops {

/// One image of a batch: what is to be resized to the network's input, in host memory.
struct Crop
{
    const uint8_t* data;    ///< interleaved 8-bit RGB
    size_t step;            ///< bytes from row to row
    int width, height;      ///< 1 to TrainingSetup::largestCrop
    bool mirrored;
};

struct TrainingSetup
{
    const float* weights;         ///< [total], the host's arena, which is the argument of Backend::parameters()
    size_t total;                 ///< a multiple of 16
    std::vector<uint8_t> kind;    ///< [total / 16]: 0 these 16 stay as they are, 1 are trained, 2 with weight decay
    PatchGrid grid;
    float mean[3], deviation[3];  ///< of the network's input
    int batch, visible;           ///< images at a time and how many of their patches stay visible
    int batchesPerStep;           ///< whose losses are averaged
    int largestCrop;              ///< pixels, in either direction
    int targets;                  ///< values of a target that come with each image; 0: none
    uint64_t seed;                ///< of the masks
    bool recordable;              ///< the pass neither waits nor carries values between host and device
};

/// A batch as the networks' passes take it, in the backend's memory.
struct Samples
{
    const float* pixels;      ///< [images, 3, side, side], normalised
    const int* keep;          ///< [images, visible], ascending in each row
    const SampleKey* keys;    ///< [images]
    int images, visible;
    const float* targets;     ///< [images, patches], or null
};

struct StepReport
{
    double loss;             ///< mean over the step's batches
    double gradientNorm;     ///< of the gradients that the weights moved by
    int failedBatch;         ///< of the step, the first whose loss was not finite; -1: none
};

/// A training whose weights, gradients, optimizer state and images are on a device. A step is a run of calls on its stream:
/// images resized, mirrored and normalised, masks drawn, the network's pass, and after a step's last batch the optimizer,
/// which leaves everything as it is when a loss or gradient is not finite. After the first step nothing is allocated in it,
/// nothing waits for anything, and the device repeats a recording of it.
class Training
{
public:
    /// Adds the gradients, times a factor that it knows, and puts the mean loss of the batch into *loss.
    typedef std::function<void(const Samples& samples, float* gradients, double* loss)> Pass;

    virtual ~Training() = default;
    /// Takes over the host's weights, and the optimizer's moments.
    virtual void setState(const float* m, const float* v) = 0;
    /// Brings them to the host; waits.
    virtual void state(float* weights, float* m, float* v) const = 0;
    /// Hands over the next batch while the one before it may still be computed; the host's memory is free again afterwards.
    /// targets [crops, TrainingSetup::targets], or null.
    virtual void stage(const std::vector<Crop>& crops, const std::vector<SampleKey>& keys, const float* targets) = 0;
    /// Computes on the batch that was handed over first; `last` of its step: then updates the weights by these factors.
    virtual void run(bool last, const AdamWFactors& factors) = 0;
    /// The pass computes otherwise from now on. dropStaged: what was handed over and not run yet will not be run.
    virtual void passChanged(bool dropStaged) = 0;
    /// Waits for the step that was run last.
    virtual StepReport wait() = 0;
};

}}}  // namespace

#endif
