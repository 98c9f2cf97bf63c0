// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_TRAIN_OPTIONS_HPP
#define LTRP_TOOL_TRAIN_OPTIONS_HPP

#include "common.hpp"

#include <opencv2/ltrp/train.hpp>

#include <functional>
#include <utility>

namespace tool
{

/// Options for a network's geometry: (name, destination), applied on top of a preset by applyGeometry().
typedef std::vector<std::pair<const char*, int*>> Geometry;

/// --out --resume --config and all hyper-parameters common to all trainings, with the defaults in `params`. initHelp:
/// help text of --init
void addTrainOptions(po::options_description& options, cv::ltrp::TrainParams& params, const char* initHelp);
/// Options of trainings that hide patches at random: --mask-ratio and --recipe.
void addMaskOptions(po::options_description& options, cv::ltrp::TrainParams& params);
/// One option per entry, with its default in the help text.
void addGeometryOptions(po::options_description& options, const Geometry& geometry,
                        const std::vector<const char*>& meanings);
void applyGeometry(const po::variables_map& values, const Geometry& geometry);
/// Sets values that the option parser cannot write itself: data, seed.
void finishTrainParams(const po::variables_map& values, cv::ltrp::TrainParams& params);

/// Prepares a training. Parameters that the trainer rejects are errors on the command line; errors in files are not.
cv::Ptr<cv::ltrp::Trainer> prepareTrainer(const std::function<cv::Ptr<cv::ltrp::Trainer>()>& prepare,
                                          const std::vector<std::string>& files);

/// Runs a training with its progress on stderr: a bar on a terminal, otherwise a line every half minute. Ctrl-C ends it
/// after the current update with a checkpoint. @return the exit status
int runTrainer(const cv::Ptr<cv::ltrp::Trainer>& trainer, const cv::ltrp::TrainParams& params);

}  // namespace tool

#endif
