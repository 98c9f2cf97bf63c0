// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "core/random.hpp"
#include "core/words.hpp"
#include "ops/cpu/list_mle.hpp"
#include "train/losses.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cv;
using namespace cv::ltrp::train;

namespace
{

std::string nameOf(RankLoss loss) { return cv::ltrp::words::losses[static_cast<int>(loss)]; }

const RankLoss allLosses[] = {RankLoss::ListMleK, RankLoss::ListMle, RankLoss::RankNet, RankLoss::ListNet,
                              RankLoss::PointWise, RankLoss::FocusedRank};

struct Lists
{
    int batch = 0, n = 0;
    std::vector<float> pred, target;
};

/// Values on a grid of 2^-10, so that the steps of the differences below are exact in 32 bits.
Lists randomLists(int batch, int n, double predScale, double predShift, int targetLevels, uint64_t seed)
{
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Loss);
    Lists lists;
    lists.batch = batch;
    lists.n = n;
    for (int i = 0; i < batch * n; i++)
    {
        lists.pred.push_back(static_cast<float>(std::round((random.normal() * predScale + predShift) * 1024) / 1024));
        lists.target.push_back(targetLevels > 0 ? static_cast<float>(random.below(targetLevels)) * 0.25f
                                                : static_cast<float>(random.normal()));
    }
    return lists;
}

double value(RankLoss loss, const Lists& lists, const std::vector<int>& columns, std::vector<float>* grad = nullptr,
             const RankLossParams& params = RankLossParams())
{
    return rankLoss(loss, lists.pred.data(), lists.target.data(), lists.batch, lists.n,
                    columns.empty() ? nullptr : columns.data(), static_cast<int>(columns.size()) / lists.batch,
                    grad ? grad->data() : nullptr, params);
}

void checkGradient(RankLoss loss, Lists lists, const std::vector<int>& columns, const std::string& what,
                   const RankLossParams& params = RankLossParams())
{
    std::vector<float> grad(lists.pred.size());
    BOOST_REQUIRE(std::isfinite(value(loss, lists, columns, &grad, params)));
    const float h = 1.f / 1024;
    double error = 0;
    for (size_t i = 0; i < lists.pred.size(); i++)
    {
        const float kept = lists.pred[i];
        lists.pred[i] = kept + h;
        const double above = value(loss, lists, columns, nullptr, params);
        lists.pred[i] = kept - h;
        const double difference = (above - value(loss, lists, columns, nullptr, params)) / (2.0 * h);
        lists.pred[i] = kept;
        error = std::max(error, std::abs(grad[i] - difference) / (1 + std::abs(difference)));
    }
    BOOST_CHECK_MESSAGE(error < 2e-6, nameOf(loss) << ", " << what << ": gradient off by " << error);
}

/// The published formula in double precision, without care for overflow.
double plainListMle(const Lists& lists, const std::vector<int>& columns)
{
    const int k = static_cast<int>(columns.size()) / lists.batch;
    double total = 0;
    for (int b = 0; b < lists.batch; b++)
    {
        const float *pred = &lists.pred[b * lists.n], *target = &lists.target[b * lists.n];
        std::vector<int> order(columns.begin() + b * k, columns.begin() + (b + 1) * k);
        std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return target[i] > target[j]; });
        for (int i = 0; i < k; i++)
        {
            double sum = 0;
            for (int j = i; j < k; j++)
                sum += std::exp(static_cast<double>(pred[order[j]]));
            total += std::log(sum + 1e-10) - pred[order[i]];
        }
    }
    return total / lists.batch;
}

double plainRankNet(const Lists& lists)
{
    double total = 0;
    for (int b = 0; b < lists.batch; b++)
        for (int i = 0; i < lists.n; i++)
            for (int j = 0; j < lists.n; j++)
            {
                const float difference = lists.target[b * lists.n + i] - lists.target[b * lists.n + j];
                const double t = difference >= 0.001f ? 1 : difference <= -0.001f ? 0 : 0.5;
                const double logit = static_cast<double>(lists.pred[b * lists.n + i]) - lists.pred[b * lists.n + j];
                const double p = 1 / (1 + std::exp(-logit));
                total -= (t * std::log(p) + (1 - t) * std::log(1 - p)) / 2;
            }
    return total / lists.batch / lists.n / lists.n;
}

std::vector<int> allColumns(const Lists& lists)
{
    std::vector<int> columns;
    for (int i = 0; i < lists.batch * lists.n; i++)
        columns.push_back(i % lists.n);
    return columns;
}

std::vector<int> drawnColumns(const Lists& lists, int k, uint64_t seed)
{
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Shuffle);
    std::vector<int> columns;
    for (int i = 0; i < lists.batch * k; i++)
        columns.push_back(random.below(lists.n));   // with repeats
    return columns;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(losses)

BOOST_AUTO_TEST_CASE(gradients_match_finite_differences)
{
    const std::pair<const char*, Lists> lists[] = {
        {"typical", randomLists(3, 19, 1, 0, 0, 1)},
        {"tied targets", randomLists(2, 24, 1, 0, 4, 2)},
        {"equal targets", randomLists(2, 13, 1, 0, 1, 3)},
        {"one item", randomLists(2, 1, 1, 0, 0, 4)},
        {"ten items, as many as the focused list", randomLists(2, 10, 1, 0, 0, 5)},
        {"eleven items", randomLists(1, 11, 1, 0, 0, 6)},
        {"wide", randomLists(2, 22, 30, 0, 0, 7)},
        {"overflow", randomLists(2, 21, 60, 400, 0, 8)},
        {"underflow", randomLists(2, 21, 1, -120, 0, 9)},
        {"near the floor of the logarithm", randomLists(2, 21, 2, -23, 0, 10)}};
    for (const auto& item : lists)
        for (RankLoss loss : allLosses)
            checkGradient(loss, item.second, {}, item.first);
}

BOOST_AUTO_TEST_CASE(gradients_on_drawn_columns)
{
    const Lists lists = randomLists(3, 15, 1, 0, 5, 11);
    for (RankLoss loss : {RankLoss::ListMleK, RankLoss::ListMle})
        for (int k : {1, 7, 20})
            checkGradient(loss, lists, drawnColumns(lists, k, 12 + k), std::to_string(k) + " drawn columns");
}

BOOST_AUTO_TEST_CASE(gradients_with_other_parameters)
{
    RankLossParams params;
    params.threshold = 0.5;
    params.sigma = 2.5;
    params.focused = 4;
    const Lists lists = randomLists(2, 17, 1, 0, 0, 21);
    checkGradient(RankLoss::RankNet, lists, {}, "threshold 0.5, sigma 2.5", params);
    checkGradient(RankLoss::FocusedRank, lists, {}, "four best", params);
    BOOST_CHECK_GT(std::abs(value(RankLoss::RankNet, lists, {}, nullptr, params) -
                            value(RankLoss::RankNet, lists, {})), 1e-3);
    BOOST_CHECK_GT(std::abs(value(RankLoss::FocusedRank, lists, {}, nullptr, params) -
                            value(RankLoss::FocusedRank, lists, {})), 1e-3);
}

BOOST_AUTO_TEST_CASE(values_equal_the_plain_formulas_where_those_are_finite)
{
    for (double shift : {0.0, -23.0, -60.0})
    {
        const Lists lists = randomLists(3, 18, 2, shift, 6, 31);
        const std::vector<int> drawn = drawnColumns(lists, 9, 32);
        BOOST_CHECK_CLOSE(value(RankLoss::ListMle, lists, {}), plainListMle(lists, allColumns(lists)), 1e-9);
        BOOST_CHECK_CLOSE(value(RankLoss::ListMleK, lists, drawn), plainListMle(lists, drawn), 1e-9);
        BOOST_CHECK_CLOSE(value(RankLoss::RankNet, lists, {}), plainRankNet(lists), 1e-9);
    }
}

BOOST_AUTO_TEST_CASE(list_mle_floor)
{
    // exp(-150) vanishes next to 1e-10: every position costs log(1e-10) + 150.
    Lists lists = randomLists(1, 3, 0, -150, 0, 41);
    BOOST_CHECK_CLOSE(value(RankLoss::ListMle, lists, {}), 3 * (std::log(1e-10) + 150), 1e-10);
    // and a single large value dominates: log(exp(500)) - 500 is 0.
    lists = randomLists(1, 1, 0, 500, 0, 42);
    BOOST_CHECK_SMALL(value(RankLoss::ListMle, lists, {}), 1e-12);
}

BOOST_AUTO_TEST_CASE(huge_predictions_stay_finite)
{
    for (RankLoss loss : {RankLoss::ListMleK, RankLoss::ListMle, RankLoss::RankNet, RankLoss::ListNet,
                          RankLoss::FocusedRank})
    {
        Lists lists = randomLists(2, 14, 1e30, 0, 0, 51);
        std::vector<float> grad(lists.pred.size());
        BOOST_CHECK_MESSAGE(std::isfinite(value(loss, lists, {}, &grad)), nameOf(loss));
        for (float g : grad)
            BOOST_CHECK_MESSAGE(std::isfinite(g), nameOf(loss) << ": gradient " << g);
    }
}

BOOST_AUTO_TEST_CASE(the_right_order_costs_least)
{
    for (RankLoss loss : allLosses)
    {
        Lists lists = randomLists(1, 16, 1, 0, 0, 61);
        lists.pred = lists.target;
        const double right = value(loss, lists, {});
        std::vector<float> reversed(lists.target);
        for (float& v : reversed)
            v = -v;
        lists.pred = reversed;
        BOOST_CHECK_MESSAGE(right < value(loss, lists, {}), nameOf(loss));
    }
}

BOOST_AUTO_TEST_CASE(ties_keep_their_order)
{
    const float targets[] = {1, 2, 1, 2, 0};
    const int columns[] = {4, 2, 3, 0, 1};
    const std::vector<int> plain = cv::ltrp::ops::descendingPositions(targets, nullptr, 5);
    const std::vector<int> drawn = cv::ltrp::ops::descendingPositions(targets, columns, 5);
    const std::vector<int> plainWanted = {1, 3, 0, 2, 4}, drawnWanted = {2, 4, 1, 3, 0};
    BOOST_TEST(plain == plainWanted, boost::test_tools::per_element());
    BOOST_TEST(drawn == drawnWanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(rows_are_averaged)
{
    for (RankLoss loss : allLosses)
    {
        const Lists both = randomLists(2, 12, 1, 0, 0, 71);
        double sum = 0;
        for (int b = 0; b < 2; b++)
        {
            Lists one;
            one.batch = 1;
            one.n = both.n;
            one.pred.assign(both.pred.begin() + b * both.n, both.pred.begin() + (b + 1) * both.n);
            one.target.assign(both.target.begin() + b * both.n, both.target.begin() + (b + 1) * both.n);
            sum += value(loss, one, {});
        }
        BOOST_CHECK_CLOSE(value(loss, both, {}), sum / 2, 1e-10);
    }
}

BOOST_AUTO_TEST_CASE(names)
{
    for (const char* name : {"list-mle-k", "list-mle", "rank-net", "list-net", "point-wise", "focused-rank"})
        BOOST_CHECK_EQUAL(nameOf(parseRankLoss(name)), name);
    BOOST_CHECK(parseRankLoss("list-mle-k") == RankLoss::ListMleK);
    BOOST_CHECK(parseRankLoss("focused-rank") == RankLoss::FocusedRank);
    BOOST_CHECK_EXCEPTION(parseRankLoss("listmle"), cv::Exception, [](const cv::Exception& error)
    {
        return error.err.find("'listmle'") != std::string::npos && error.err.find("focused-rank") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(bad_arguments)
{
    Lists lists = randomLists(2, 5, 1, 0, 0, 81);
    BOOST_CHECK_THROW(value(RankLoss::ListMleK, lists, {0, 5}), cv::Exception);
    BOOST_CHECK_THROW(value(RankLoss::ListMleK, lists, {0, -1}), cv::Exception);
    BOOST_CHECK_THROW(rankLoss(RankLoss::ListNet, nullptr, nullptr, 0, 5, nullptr, 0, nullptr), cv::Exception);

    const float nan = std::numeric_limits<float>::quiet_NaN();
    Lists badPrediction = lists;
    badPrediction.pred[3] = nan;
    for (RankLoss loss : allLosses)   // the caller reports where the non-finite loss came from
        BOOST_CHECK(std::isnan(value(loss, badPrediction, {})));
    lists.target[3] = nan;
    for (RankLoss loss : allLosses)
        BOOST_CHECK_THROW(value(loss, lists, {}), cv::Exception);
}

BOOST_AUTO_TEST_SUITE_END()
