// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_TRAIN_STEP_HPP
#define OPENCV_LTRP_TRAIN_TRAIN_STEP_HPP

#include "loader.hpp"
#include "objective.hpp"
#include "optimizer.hpp"
#include "workers.hpp"
#include "../ops/training.hpp"

namespace cv { namespace ltrp { namespace train {

/// Result of an update.
struct UpdateResult
{
    double loss = 0, gradientNorm = 0;
    double waited = 0;            ///< seconds spent waiting for images
    const char* failed = nullptr; ///< "loss" or "gradient norm" if it was not finite; nothing was then changed
    double value = 0;             ///< the value that failed
    bool stopped = false;         ///< abandoned between two batches or within one; nothing was changed
    std::vector<int> images;      ///< of the batch whose loss failed: indices in the data set
    int worker = 0;               ///< that computed this batch
};

/// Updates the weights of an objective with batches of a loader: on the host, or on the objective's device, which then
/// holds weights, gradients and optimizer state.
class TrainStep
{
public:
    virtual ~TrainStep() = default;
    /// Sets the loader options that these updates need.
    virtual void prepare(LoaderOptions& options) const = 0;
    /// Reads weights and optimizer state from the host.
    virtual void begin() = 0;
    /// Called after each batch but the last, with the number of batches done; false: the update is abandoned.
    typedef std::function<bool(int)> GoOn;
    /// more: another update follows; its batches may be requested in advance.
    virtual UpdateResult update(Loader& loader, const AdamWParams& adam, bool more, const GoOn& goOn) = 0;
    /// After an update with finite losses and gradients that are not: whether a smaller gradient factor is left to try.
    /// The next call of update() uses it and starts with the same batches, requested again. The call after that uses
    /// the usual factor, so that an update depends only on weights, optimizer state and batches.
    virtual bool again() { return false; }
    /// Writes weights and optimizer state to the host.
    virtual void fetch() = 0;
};

/// What a device must know of a network to train it: weights, which of them decay, patch grid, normalisation and the
/// largest crop. What an update is made of (batch, visible patches, seed) is left to the caller.
ops::TrainingSetup setupOf(const vit::ParamArena& params, const vit::InputConfig& input);

/// Creates the updates for the objective's backend. loading: seed, batch, visible patches and crops of the training. With
/// several workers update() is collective, and its result is the same for all except `waited`.
std::unique_ptr<TrainStep> makeTrainStep(Objective& objective, AdamW& optimizer, const LoaderOptions& loading, int accumulate,
                                         Workers& workers);

}}}  // namespace

#endif
