// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "sampling.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace cv { namespace ltrp { namespace select {

std::vector<double> valuesOf(const Mat& scores, const std::vector<int>& patches)
{
    std::vector<double> values;
    for (int patch : patches)
        values.push_back(scores.at<float>(patch / scores.cols, patch % scores.cols));
    return values;
}

std::vector<double> logWeights(const std::vector<double>& values, double temperature)
{
    LTRP_REQUIRE(std::isfinite(values.front()) && std::isfinite(values.back()), Error::StsBadArg,
                 "the scores hold infinite values, which have no softmax");
    LTRP_REQUIRE(temperature > 0 && std::isfinite(temperature), Error::StsOutOfRange,
                 "temperature is " << temperature << ", expected a finite number above 0");
    double mean = 0, variance = 0;
    for (double value : values)
        mean += value / static_cast<double>(values.size());
    for (double value : values)
        variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
    const double deviation = std::sqrt(variance);
    std::vector<double> result;
    for (double value : values)   // the mean cancels out
        result.push_back(deviation > 0 ? (value - values.front()) / deviation / temperature : 0.0);
    return result;
}

/// Patches in order of arrival, where each arrives after an exponentially distributed time whose rate is its weight:
/// the next arrival is one of the remaining patches with probability proportional to its weight (Efraimidis and
/// Spirakis, IPL 2006; with logarithms of the times this is the Gumbel top-k trick).
std::vector<int> sampledOrder(const Mat& scores, const std::vector<int>& order, double temperature, RandomStream random)
{
    const std::vector<double> weights = logWeights(valuesOf(scores, order), temperature);
    std::vector<double> logTimes(order.size());   // by patch number: the noise of a patch does not depend on its rank
    for (double& time : logTimes)
        time = std::log(std::max(-std::log1p(-random.uniform(0., 1.)), DBL_MIN));
    for (size_t i = 0; i < order.size(); ++i)
        logTimes[static_cast<size_t>(order[i])] -= weights[i];
    std::vector<int> kept = order;   // stable sort: if a tiny temperature makes times infinite, the best are first
    std::stable_sort(kept.begin(), kept.end(), [&](int a, int b)
                     { return logTimes[static_cast<size_t>(a)] < logTimes[static_cast<size_t>(b)]; });
    return kept;
}

}}}  // namespace
