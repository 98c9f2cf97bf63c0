// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_SELECTOR_HPP
#define OPENCV_LTRP_SELECT_SELECTOR_HPP

#include "../precomp.hpp"
#include "opencv2/ltrp/types.hpp"

#include <memory>

namespace cv { namespace ltrp { namespace select {

/// Keys of a selector's random numbers. An image has the same order whenever it is drawn with the same ones.
struct Draw
{
    uint64_t seed = 0;
    uint32_t epoch = 0, sample = 0;
};

/// Orders the patches of an image: those to be kept come first. Thread-safe.
class Selector
{
public:
    virtual ~Selector() = default;
    const std::string& name() const { return name_; }
    /// What the order depends on beside the image, for the options of a training: the name, and a checksum of the weights.
    virtual std::string text() const { return name_; }
    /// PatchRanking::order() is the order. image: as for Ranker::rank; grid: columns and rows of the result.
    virtual PatchRanking rank(const Mat& image, Size grid, const Draw& draw) const = 0;
    /// `count` patches to keep: the first of that order, but for "ranker_clusters", whose choice depends on the number.
    virtual std::vector<int> first(const Mat& image, Size grid, int count, const Draw& draw) const;

protected:
    explicit Selector(const std::string& name) : name_(name) {}

private:
    std::string name_;
};

/// What selectors with a network need.
struct SelectorModels
{
    std::string ranker, mae, classifier;   ///< weight files
    int target = 0;   ///< cv::ltrp::ComputeTarget of rankers and score maps; the rest is computed by TARGET_CPU

    const std::string& file(const std::string& kind) const   ///< kind: as selectorModel() gives it, not empty
    {
        return kind == "rank" ? ranker : kind == "mae" ? mae : classifier;
    }
};

/// The names of all selectors: "all" (raster order), those of teach::baselines() and
///
///  name               | weights    | order of the patches
///  -------------------|------------|---------------------
///  dpc_knn            | none       | density peaks of the pixels: Du et al., Knowledge-Based Systems 99 (2016)
///  own_error          | mae        | reconstruction error in a score map
///  leave_one_out      | mae        | score map
///  ranker             | rank       | score
///  ranker_sample      | rank       | SELECT_SAMPLE with temperature 1
///  ranker_clusters    | rank       | score; first(): SELECT_CLUSTER
///  class_attention    | classifier | attention of the class token in the last block: EViT, Liang et al., ICLR 2022
///  encoder_attention  | mae        | the same in the encoder, which learnt without labels
///  grad_cam           | classifier | Grad-CAM of the winning class: Selvaraju et al., ICCV 2017
///  attention_rollout  | classifier | attention rollout: Abnar & Zuidema, ACL 2020
///  kmeans_features    | mae        | k-means of the encoder's patch tokens, the tokens nearest to the centres first
const std::vector<std::string>& selectorNames();
/// The same as a text: "all, random, ...".
std::string knownSelectors();
/// The weights that a selector needs: "rank", "mae", "classifier" or "".
std::string selectorModel(const std::string& name);
/// Selector::text() of that selector.
std::string selectorText(const std::string& name, const SelectorModels& models);
/// @throws Error::StsBadArg listing the names, and for a file of another kind or no classifier's; Error::StsNotImplemented
/// if the build lacks it; and as Ranker::create and Scorer::create
std::shared_ptr<const Selector> makeSelector(const std::string& name, const SelectorModels& models);

/// Numbers of the first `count` patches in a selector's order, ascending.
std::vector<int> firstPatches(const Selector& selector, const Mat& image, Size grid, int count, const Draw& draw);

}}}  // namespace

#endif
