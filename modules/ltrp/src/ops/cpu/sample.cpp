// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../precomp.hpp"
#include "sample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cv { namespace ltrp { namespace ops {

Sample sampleByWeight(const std::vector<double>& weights, int count)
{
    const size_t n = weights.size();
    CV_Assert(count >= 1 && static_cast<size_t>(count) <= n);
    std::vector<double> w(weights);
    double total = 0;
    for (double value : w)
        total += value;
    const bool usable = std::isfinite(total) && std::all_of(w.begin(), w.end(), [](double value) { return value >= 0; })
        && std::count_if(w.begin(), w.end(), [](double value) { return value > 0; }) >= count;
    if (!usable)
        w.assign(n, 1.0);
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return w[a] > w[b]; });

    // From the heaviest on: items whose expected count exceeds 1 are certain, and the others share the remaining draws.
    double rest = std::accumulate(w.begin(), w.end(), 0.0);
    size_t certain = 0;
    while (certain < static_cast<size_t>(count)
           && w[order[certain]] * (count - static_cast<double>(certain)) >= rest)
        rest -= w[order[certain++]];
    Sample sample;
    double sum = 0;
    for (size_t i = 0; i < n && sample.items.size() < static_cast<size_t>(count); ++i)
    {
        const double probability = i < certain ? 1 : w[order[i]] * (count - static_cast<double>(certain)) / rest;
        // Takes an item whenever the running sum passes k + 1/2 for an integer k. The last items are taken if rounding
        // has left too few.
        const bool passed = std::floor(sum + probability + 0.5) > std::floor(sum + 0.5);
        const bool needed = n - i <= static_cast<size_t>(count) - sample.items.size();
        sum += probability;
        if (!passed && !needed)
            continue;
        sample.items.push_back(static_cast<int>(order[i]));
        sample.probabilities.push_back(std::min(1.0, probability));
    }
    return sample;
}

}}}  // namespace
