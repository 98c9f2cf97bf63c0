// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_CHECKPOINT_HPP
#define OPENCV_LTRP_TRAIN_CHECKPOINT_HPP

#include "optimizer.hpp"

#include <functional>
#include <utility>

namespace cv { namespace ltrp { namespace train {

/// All options that influence the result, as (name on the command line, value), in a fixed order.
typedef std::vector<std::pair<std::string, std::string>> OptionList;

/// The options as a JSON object, in their order.
std::string optionsJson(const OptionList& options);

/// "checkpoint-00001200.safetensors" in a folder.
std::string checkpointPath(const std::string& folder, int64_t step);
/// Steps of the checkpoint files in a folder, newest first, valid or not.
std::vector<int64_t> listCheckpoints(const std::string& folder);

/// The processes that compute the updates. Part of a checkpoint, but not an option: training can continue with another
/// setup.
struct WorkerSetup
{
    int workers = 1;
    bool ordered = true;   ///< gradients are added in the order of the batches, whichever worker computed them

    std::string text() const;
};

/// Writes a checkpoint atomically: weights, AdamW's state, the step, and the options. Random draws are functions of the
/// step, so no generator is stored. `usable`: steps of the checkpoints that this run has written or read, oldest first;
/// the new one is added. If there are two, all others are removed.
void writeCheckpoint(const std::string& folder, int64_t step, const OptionList& options, const WorkerSetup& workerSetup,
                     const vit::ParamArena& params, const AdamW& optimizer, std::vector<int64_t>& usable);

/// Value of an option in the newest checkpoint of a folder; empty if there is no checkpoint or no such option.
std::string storedOption(const std::string& folder, const std::string& name);

/// Reads the newest complete checkpoint into params and optimizer. @return its step, or -1 if there is no checkpoint
/// file. A truncated one, or one with a wrong checksum, is reported and the previous one is tried. More epochs than in
/// the checkpoint, and another number of workers, are reported and allowed.
/// @throws cv::Exception naming the first option that differs, with both values; naming a checkpoint that cannot be
/// read, has another version, or has values that no training produces; and naming all if none is usable
int64_t readNewestCheckpoint(const std::string& folder, const OptionList& options, const WorkerSetup& workerSetup,
                             vit::ParamArena& params, AdamW& optimizer,
                             const std::function<void(const std::string&)>& report);

}}}  // namespace

#endif
