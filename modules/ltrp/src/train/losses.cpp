// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "losses.hpp"
#include "../core/words.hpp"
#include "../ops/cpu/list_mle.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp { namespace train {

namespace
{

using ops::descendingColumns;
using ops::logAddExp;

/// log(1 + exp(x)).
double softPlus(double x)
{
    return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

double logistic(double x)
{
    if (x >= 0)
        return 1.0 / (1.0 + std::exp(-x));
    const double e = std::exp(x);
    return e / (1.0 + e);
}

/// One ordered pair of RankNet in logit form: -(t log p + (1-t) log(1-p)) = softPlus(s d) - t s d, p = logistic(s d).
/// The difference of targets is computed in 32 bits, as in the published code, so that pairs at the threshold are
/// treated alike.
double rankNetPair(const float* yPred, const float* yTrue, int i, int j, const RankLossParams& params, double scale,
                   double* grad)
{
    const float difference = yTrue[i] - yTrue[j], threshold = static_cast<float>(params.threshold);
    const double target = difference >= threshold ? 1.0 : difference <= -threshold ? 0.0 : 0.5;
    const double logit = params.sigma * (static_cast<double>(yPred[i]) - yPred[j]);
    const double slope = scale * params.sigma * (logistic(logit) - target);
    grad[i] += slope;
    grad[j] -= slope;
    return scale * (softPlus(logit) - target * logit);
}

double rankNet(const float* yPred, const float* yTrue, int n, double scale, const RankLossParams& params, double* grad)
{
    double value = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            value += rankNetPair(yPred, yTrue, i, j, params, scale, grad);
    return value;
}

double logSumExp(const float* y, int n)
{
    double sum = -std::numeric_limits<double>::infinity();
    for (int i = 0; i < n; i++)
        sum = logAddExp(sum, y[i]);
    return sum;
}

double listNet(const float* yPred, const float* yTrue, int n, double scale, double* grad)
{
    const double logTrue = logSumExp(yTrue, n), logPred = logSumExp(yPred, n);
    double value = 0;
    for (int i = 0; i < n; i++)
    {
        const double target = std::exp(yTrue[i] - logTrue);
        value -= scale * target * (yPred[i] - logPred);
        grad[i] += scale * (std::exp(yPred[i] - logPred) - target);
    }
    return value;
}

double pointWise(const float* yPred, const float* yTrue, int n, double scale, double* grad)
{
    double value = 0;
    for (int i = 0; i < n; i++)
    {
        const double difference = static_cast<double>(yPred[i]) - yTrue[i];
        value += scale * difference * difference;
        grad[i] += 2 * scale * difference;
    }
    return value;
}

double focusedRank(const float* yPred, const float* yTrue, int n, int batch, int focused, double* grad)
{
    const std::vector<int> order = descendingColumns(yTrue, nullptr, n);
    const int best = std::min(focused, n);
    double value = ops::listMle(yPred, std::vector<int>(order.begin(), order.begin() + best), 1.0 / batch, grad);
    if (best == n)
        return value;   // the list contains all values, there is nothing to compare with
    const double scale = 0.5 / (static_cast<double>(batch) * best * (n - best));
    for (int i = 0; i < best; i++)
        for (int j = best; j < n; j++)
            value += rankNetPair(yPred, yTrue, order[i], order[j], RankLossParams(), scale, grad);
    return value;
}

void checkArguments(const float* yTrue, int batch, int n, const int* columns, int k, const RankLossParams& params)
{
    LTRP_REQUIRE(batch > 0 && n > 0, Error::StsBadArg, "ranking loss: batch " << batch << " and list length " << n
                 << " must be positive");
    LTRP_REQUIRE(params.focused > 0 && params.threshold >= 0 && std::isfinite(params.sigma), Error::StsBadArg,
                 "ranking loss: focused " << params.focused << ", threshold " << params.threshold << ", sigma "
                 << params.sigma << " out of range");
    for (size_t i = 0; i < static_cast<size_t>(batch) * n; i++)
        LTRP_REQUIRE(!std::isnan(yTrue[i]), Error::StsBadArg, "ranking loss: target " << i % n << " of row " << i / n
                     << " is not a number");
    if (!columns)
        return;
    LTRP_REQUIRE(k > 0, Error::StsBadArg, "ranking loss: " << k << " drawn columns, at least 1 needed");
    for (size_t i = 0; i < static_cast<size_t>(batch) * k; i++)
        LTRP_REQUIRE(columns[i] >= 0 && columns[i] < n, Error::StsOutOfRange, "ranking loss: drawn column "
                     << columns[i] << " outside 0 to " << n - 1);
}

}  // namespace

RankLoss parseRankLoss(const std::string& name)
{
    std::string known;
    for (size_t i = 0; i < std::size(words::losses); ++i)
    {
        if (name == words::losses[i])
            return static_cast<RankLoss>(i);
        known += std::string(known.empty() ? "" : ", ") + words::losses[i];
    }
    LTRP_ERROR(Error::StsBadArg, "unknown ranking loss '" << name << "', known are " << known);
}

double rankLoss(RankLoss loss, const float* yPred, const float* yTrue, int batch, int n, const int* columns, int k,
                float* grad, const RankLossParams& params)
{
    checkArguments(yTrue, batch, n, columns, k, params);
    double value = 0;
    std::vector<double> rowGrad(n);
    for (int b = 0; b < batch; b++)
    {
        const float* pred = yPred + static_cast<size_t>(b) * n;
        const float* target = yTrue + static_cast<size_t>(b) * n;
        std::fill(rowGrad.begin(), rowGrad.end(), 0.0);
        switch (loss)
        {
        case RankLoss::ListMleK:
        case RankLoss::ListMle:
            value += ops::listMle(pred, columns ? descendingColumns(target, columns + static_cast<size_t>(b) * k, k)
                                           : descendingColumns(target, nullptr, n), 1.0 / batch, rowGrad.data());
            break;
        case RankLoss::RankNet:
            value += rankNet(pred, target, n, 0.5 / (static_cast<double>(batch) * n * n), params, rowGrad.data());
            break;
        case RankLoss::ListNet:
            value += listNet(pred, target, n, 1.0 / (static_cast<double>(batch) * n), rowGrad.data());
            break;
        case RankLoss::PointWise:
            value += pointWise(pred, target, n, 1.0 / (static_cast<double>(batch) * n), rowGrad.data());
            break;
        case RankLoss::FocusedRank:
            value += focusedRank(pred, target, n, batch, params.focused, rowGrad.data());
            break;
        }
        if (grad)
            std::transform(rowGrad.begin(), rowGrad.end(), grad + static_cast<size_t>(b) * n,
                           [](double g) { return static_cast<float>(g); });
    }
    return value;
}

}}}  // namespace
