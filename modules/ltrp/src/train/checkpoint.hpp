// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_CHECKPOINT_HPP
#define OPENCV_LTRP_TRAIN_CHECKPOINT_HPP

#include "optimizer.hpp"

#include <functional>
#include <utility>

namespace cv { namespace ltrp { namespace train {

/// Every option that has an influence on the result, as (name on the command line, value), in a fixed order.
typedef std::vector<std::pair<std::string, std::string>> OptionList;

/// The options as a JSON object, in their order.
std::string optionsJson(const OptionList& options);

/// "checkpoint-00001200.safetensors" in a folder.
std::string checkpointPath(const std::string& folder, int64_t step);
/// Steps of the checkpoint files in a folder, newest first, whatever their state.
std::vector<int64_t> listCheckpoints(const std::string& folder);

/// Writes everything a training needs to go on: weights, AdamW's state, the step, and the options it belongs to. All
/// random draws are functions of the step, so there is no generator to keep. Atomic. `usable`: steps of the checkpoints that
/// this run has written or read, oldest first; the new one is added. With two of them all others are removed.
void writeCheckpoint(const std::string& folder, int64_t step, const OptionList& options, const vit::ParamArena& params,
                     const AdamW& optimizer, std::vector<int64_t>& usable);

/// What the newest checkpoint in a folder was made with; empty where there is none, or it does not say.
std::string storedOption(const std::string& folder, const std::string& name);

/// Reads the newest complete checkpoint into params and optimizer and returns its step, or -1 when there is no file of one.
/// One that is cut short or has another checksum is reported, and the one before it is tried. More epochs than it was made with
/// are reported and allowed.
/// @throws cv::Exception naming the first option that differs from the checkpoint's, with both values; naming a checkpoint that
/// cannot be read, is of another version, or holds values that no training leaves; and naming all when none is usable
int64_t readNewestCheckpoint(const std::string& folder, const OptionList& options, vit::ParamArena& params, AdamW& optimizer,
                             const std::function<void(const std::string&)>& report);

}}}  // namespace

#endif
