// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "list_mle.hpp"
#include "backend.hpp"
#include "../../core/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp { namespace ops {

double logAddExp(double a, double b)
{
    const double high = std::max(a, b), low = std::min(a, b);
    if (std::isnan(a) || std::isnan(b))
        return std::numeric_limits<double>::quiet_NaN();
    if (std::isinf(high))
        return high;
    return high + std::log1p(std::exp(low - high));
}

std::vector<int> descendingPositions(const float* yTrue, const int* columns, int k)
{
    std::vector<int> order(k);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [yTrue, columns](int a, int b)
    {
        return columns ? yTrue[columns[a]] > yTrue[columns[b]] : yTrue[a] > yTrue[b];
    });
    return order;
}

std::vector<int> descendingColumns(const float* yTrue, const int* columns, int k)
{
    std::vector<int> order = descendingPositions(yTrue, columns, k);
    for (int& position : order)
        position = columns ? columns[position] : position;
    return order;
}

double listMle(const float* yPred, const std::vector<int>& order, double scale, double* grad)
{
    const double floorLog = std::log(1e-10);
    const size_t n = order.size();
    std::vector<double> denominator(n);
    double suffix = -std::numeric_limits<double>::infinity(), value = 0;
    for (size_t i = n; i-- > 0;)
    {
        const double y = yPred[order[i]];
        suffix = logAddExp(suffix, y);
        denominator[i] = logAddExp(suffix, floorLog);
        value += denominator[i] - y;
    }
    // d value / d y_j = sum_{i <= j} exp(y_j - denominator_i) - 1; the sum over i is also kept as a running logarithm.
    double prefix = -std::numeric_limits<double>::infinity();
    for (size_t j = 0; j < n; j++)
    {
        prefix = logAddExp(prefix, -denominator[j]);
        grad[order[j]] += scale * (std::exp(static_cast<double>(yPred[order[j]]) + prefix) - 1.0);
    }
    return value * scale;
}

void CpuBackend::listMle(const ListMle& list) const
{
    const size_t n = z(list.n), patches = z(list.patches);
    std::fill_n(list.dScores, z(list.batch) * patches, 0.f);
    *list.loss = std::numeric_limits<double>::quiet_NaN();
    if (!std::all_of(list.target, list.target + z(list.batch) * n, [](float target) { return std::isfinite(target); }))
        return;
    double total = 0;
    std::vector<float> scores(n);
    std::vector<double> gradient(n);
    std::vector<int> drawn(n);
    for (size_t i = 0; i < z(list.batch); ++i)
    {
        const int* keep = list.keep + i * n;
        for (size_t j = 0; j < n; ++j)
            scores[j] = list.scores[i * patches + z(keep[j])];
        if (list.drawn > 0)
        {
            std::iota(drawn.begin(), drawn.end(), 0);
            RandomStream(list.seed, RandomPurpose::Loss, list.keys[i].epoch, list.keys[i].sample).shuffle(drawn);
        }
        std::fill(gradient.begin(), gradient.end(), 0.0);
        const float* target = list.target + i * n;
        total += ops::listMle(scores.data(), list.drawn > 0 ? descendingColumns(target, drawn.data(), list.drawn)
                                                            : descendingColumns(target, nullptr, list.n),
                              1.0 / list.batch, gradient.data());
        for (size_t j = 0; j < n; ++j)
            list.dScores[i * patches + z(keep[j])] = static_cast<float>(gradient[j]) * list.gradientScale;
    }
    *list.loss = total;
}

}}}  // namespace
