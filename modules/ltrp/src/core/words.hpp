// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Names of option values, in the order of their enumerations: for the command line, log files, checkpoints and score
// maps.
#ifndef OPENCV_LTRP_CORE_WORDS_HPP
#define OPENCV_LTRP_CORE_WORDS_HPP

namespace cv { namespace ltrp { namespace words {

constexpr const char* removals[] = {"decoder", "encoder"};      // Removal
constexpr const char* metrics[] = {"l1", "l2", "ssim", "psnr"};   // ScoreMetric
constexpr const char* spaces[] = {"decoder", "pixel"};          // ScoreSpace
constexpr const char* averages[] = {"score", "rank"};           // ScoreAverage
constexpr const char* contexts[] = {"uniform", "border"};       // ScoreContext
constexpr const char* rankerInputs[] = {"visible", "all"};      // RankerTrainParams::seesAll
constexpr const char* tasks[] = {"classify", "multilabel", "segment"};   // vit::Task
constexpr const char* losses[] = {"list-mle-k", "list-mle", "rank-net", "list-net", "point-wise", "focused-rank"};   // RankLoss

}}}  // namespace

#endif
