// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_SAMPLE_HPP
#define OPENCV_LTRP_OPS_CPU_SAMPLE_HPP

#include <vector>

namespace cv { namespace ltrp { namespace ops {

/// Some of many things, and how often each would be drawn.
struct Sample
{
    std::vector<int> items;             ///< distinct numbers, by descending weight
    std::vector<double> probabilities;  ///< of each of them: a sum over all things is near the sum of value / probability
};

/// `count` of weights.size() things, with probabilities in proportion to their weights (1 where that would be more), evenly
/// along their order by weight: the same weights give the same sample. Weights that are no positive numbers: all alike.
Sample sampleByWeight(const std::vector<double>& weights, int count);

}}}  // namespace

#endif
