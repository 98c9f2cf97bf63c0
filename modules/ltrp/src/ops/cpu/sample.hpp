// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_SAMPLE_HPP
#define OPENCV_LTRP_OPS_CPU_SAMPLE_HPP

#include <vector>

namespace cv { namespace ltrp { namespace ops {

/// A random sample with inclusion probabilities.
struct Sample
{
    std::vector<int> items;             ///< distinct item numbers, by descending weight
    std::vector<double> probabilities;  ///< inclusion probabilities; sum of value / probability estimates the total
};

/// Draws `count` of weights.size() items with probabilities proportional to the weights, at most 1, by systematic
/// sampling along the order by weight. The same weights give the same sample. If a weight is negative or not finite, or
/// fewer than `count` are positive, all items get the same weight.
Sample sampleByWeight(const std::vector<double>& weights, int count);

}}}  // namespace

#endif
