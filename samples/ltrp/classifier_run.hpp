// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_CLASSIFIER_RUN_HPP
#define LTRP_TOOL_CLASSIFIER_RUN_HPP

#include "common.hpp"

#include "../../modules/ltrp/src/ops/target.hpp"
#include "../../modules/ltrp/src/io/model_file.hpp"
#include "../../modules/ltrp/src/select/selector.hpp"
#include "../../modules/ltrp/src/vit/classifier.hpp"

namespace tool
{

/// A trained classifier, and which patches it sees.
class ClassifierRun
{
public:
    /// target: cv::ltrp::ComputeTarget; keep: share of the patches, in (0, 1]
    ClassifierRun(const std::string& model, int target, std::shared_ptr<const cv::ltrp::select::Selector> selector, double keep);

    /// run() merges the tokens of all patches from now on; keep must be 1. share: mean over the blocks of the number of
    /// tokens that enter the MLP, in (0, 1]. Returns the nearest possible share, which is used.
    /// @throws UsageError if the share is too small, and for Task::Segment and targets other than TARGET_CPU
    double merge(double share);

    const std::vector<std::string>& classes() const { return model_.classes; }
    cv::ltrp::vit::Task task() const { return model_.classifier.task; }
    cv::Size grid() const { return grid_; }

    /// An image as the network sees it.
    struct Prepared
    {
        std::vector<float> pixels;   ///< [3, S, S]
        std::vector<int> patches;    ///< kept ones, ascending
    };
    /// Thread-safe. photo: as for Ranker::rank; the whole photo is resized to the network's square.
    Prepared prepare(const cv::Mat& photo, const cv::ltrp::select::Draw& draw) const;
    /// For each image CV_32FC1 with a column for each class: a row of probabilities, or of segmentation the logits, a row for each
    /// kept patch.
    std::vector<cv::Mat> run(const std::vector<Prepared>& images);

private:
    cv::ltrp::io::Model model_;
    std::shared_ptr<const cv::ltrp::select::Selector> selector_;
    cv::ltrp::vit::Classifier classifier_;
    cv::ltrp::ComputeDevice computing_;
    cv::ltrp::vit::Workspace workspace_;
    cv::Size grid_;
    int count_;
    int merged_ = -1;   ///< tokens per block; -1: no merging
};

/// @throws UsageError, beginning with `option`, if tokens cannot be merged to the share
void checkMergedShare(cv::ltrp::vit::Task task, int patches, int depth, double share, const std::string& option);

/// Keys of a photo's random selections: seed, and a checksum of the names of the file and its folder.
cv::ltrp::select::Draw drawOf(uint64_t seed, const std::string& path);

}  // namespace tool

#endif
