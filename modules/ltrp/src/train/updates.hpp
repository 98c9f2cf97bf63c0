// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_UPDATES_HPP
#define OPENCV_LTRP_TRAIN_UPDATES_HPP

#include "loader.hpp"
#include "objective.hpp"
#include "optimizer.hpp"

namespace cv { namespace ltrp { namespace train {

/// What came of an update.
struct UpdateResult
{
    double loss = 0, gradientNorm = 0;
    double waited = 0;            ///< seconds, for images
    const char* failed = nullptr; ///< "loss" or "gradient norm": what was not finite, so that nothing was changed
    double value = 0;             ///< of what failed
    bool stopped = false;         ///< given up between two batches or within one: nothing was changed
    std::vector<int> images;      ///< of the batch whose loss failed, by their place in the data set
};

/// Updates of an objective's weights, each from so many batches of a loader: on the host, or on the device of the
/// objective's backend, where weights, gradients and optimizer then live.
class Updates
{
public:
    virtual ~Updates() = default;
    /// Has the loader prepare what this kind of updates takes.
    virtual void prepare(LoaderOptions& options) const = 0;
    /// Takes over weights and optimizer as they are on the host.
    virtual void begin() = 0;
    /// Asked after each batch but the last, with the number of batches done; false: the update is given up.
    typedef std::function<bool(int)> GoOn;
    /// more: another one will follow, whose batches may be asked for already.
    virtual UpdateResult update(Loader& loader, const AdamWParams& adam, bool more, const GoOn& goOn) = 0;
    /// After an update whose gradients were not finite though its losses were: whether they may be with a smaller factor, by
    /// which the next call of update() multiplies them; it begins with the same batches, asked for once more. The one after
    /// it has the usual factor, so that an update depends on nothing but weights, optimizer and batches.
    virtual bool again() { return false; }
    /// Brings weights and optimizer to the host.
    virtual void fetch() = 0;
};

/// By the objective's backend. loading: seed, batch, visible patches and crops of the training.
std::unique_ptr<Updates> makeUpdates(Objective& objective, AdamW& optimizer, const LoaderOptions& loading, int accumulate);

}}}  // namespace

#endif
