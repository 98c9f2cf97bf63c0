// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Number of kept patches: by count, by mass and by threshold, compared with references that try all sets of patches.

#include "precomp.hpp"
#include "ranking_cases.hpp"
#include "core/random.hpp"
#include "opencv2/ltrp/select.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

using namespace cv;
using namespace cv::ltrp;

namespace {

PatchRanking ranking(Size grid, uint64_t seed, int levels = 0)
{
    PatchRanking result;
    result.imageSize = Size(300, 200);
    result.scores.create(grid, CV_32F);
    RandomStream random(seed, RandomPurpose::Baseline);
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
        {
            const float value = 8 * random.uniform() - 3;
            result.scores.at<float>(y, x) = levels ? std::floor(value / 8 * static_cast<float>(levels)) : value;
        }
    return result;
}

std::vector<double> valuesOf(const PatchRanking& ranking)
{
    return std::vector<double>(ranking.scores.begin<float>(), ranking.scores.end<float>());
}

double sumOf(const std::vector<double>& shares, const std::vector<int>& patches)
{
    double sum = 0;
    for (int patch : patches)
        sum += shares[static_cast<size_t>(patch)];
    return sum;
}

/// The first patches by score, among equals those with the lower number, in raster order: determined by counting.
std::vector<int> firstByScore(const std::vector<double>& scores, size_t count)
{
    std::vector<int> kept;
    for (size_t i = 0; i < scores.size(); ++i)
    {
        size_t before = 0;
        for (size_t j = 0; j < scores.size(); ++j)
            before += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
        if (before < count)
            kept.push_back(static_cast<int>(i));
    }
    return kept;
}

void checkInts(const std::vector<int>& got, const std::vector<int>& want)
{
    BOOST_CHECK_EQUAL_COLLECTIONS(got.begin(), got.end(), want.begin(), want.end());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(selection_amount)

BOOST_AUTO_TEST_CASE(a_number_of_patches_goes_before_the_ratio)
{
    SelectParams params;
    for (int levels : {0, 3})
        for (int count : {1, 5, 29, 30})
        {
            params.count = count;
            const PatchRanking scores = ranking(Size(6, 5), 1, levels);
            checkInts(selectPatches(scores, params), firstByScore(valuesOf(scores), static_cast<size_t>(count)));
        }
    params.method = SELECT_CLUSTER;
    params.count = 17;
    BOOST_TEST(selectPatches(ranking(Size(6, 5), 2), params, Mat::zeros(200, 300, CV_8UC3)).size() == 17u);
}

BOOST_AUTO_TEST_CASE(no_smaller_set_holds_the_mass)
{
    SelectParams params;
    params.method = SELECT_MASS;
    for (int levels : {0, 3})
        for (double temperature : {0.2, 1.0, 5.0})
            for (double mass : {0.05, 0.3, 0.75, 0.95})
                BOOST_TEST_CONTEXT(levels << " levels, temperature " << temperature << ", mass " << mass)
                {
                    const PatchRanking scores = ranking(Size(4, 3), 7, levels);
                    const std::vector<double> shares = softmax(valuesOf(scores), temperature);
                    params.mass = mass;
                    params.temperature = temperature;
                    const std::vector<int> kept = selectPatches(scores, params);
                    BOOST_TEST(sumOf(shares, kept) >= mass - 1e-9);
                    size_t fewest = 12;
                    for (int set = 1; set < 1 << 12; ++set)
                    {
                        std::vector<int> patches;
                        for (int i = 0; i < 12; ++i)
                            if (set >> i & 1)
                                patches.push_back(i);
                        if (sumOf(shares, patches) >= mass - 1e-9)
                            fewest = std::min(fewest, patches.size());
                    }
                    BOOST_TEST(kept.size() == fewest);
                    checkInts(kept, firstByScore(valuesOf(scores), fewest));
                }
}

BOOST_AUTO_TEST_CASE(mass_follows_the_scores_and_not_their_scale)
{
    SelectParams params;
    params.method = SELECT_MASS;
    PatchRanking scores = ranking(Size(14, 14), 3), other = scores;
    other.scores = scores.scores * 250 - 1000;
    checkInts(selectPatches(scores, params), selectPatches(other, params));
    // One patch far above the others has more mass than many equal ones.
    PatchRanking peak = scores;
    peak.scores = Mat::zeros(14, 14, CV_32F);
    peak.scores.at<float>(6, 7) = 1;
    params.mass = 0.9;
    checkInts(selectPatches(peak, params), {6 * 14 + 7});
    // Equal scores share the mass equally, even where rounding could add a patch.
    PatchRanking flat = scores;
    flat.scores = Mat(10, 10, CV_32F, Scalar(0.1));
    for (int percent = 1; percent <= 100; ++percent)
    {
        params.mass = percent / 100.;
        BOOST_TEST(selectPatches(flat, params).size() == static_cast<size_t>(percent));
    }
    // Values at the limits of the float range.
    PatchRanking extreme = scores;
    extreme.scores = (Mat_<float>(1, 4) << -FLT_MAX, FLT_MAX, 0, FLT_MAX);
    params.mass = 0.5;
    params.temperature = 1e-300;
    checkInts(selectPatches(extreme, params), {1});
    params.mass = 0.9;
    checkInts(selectPatches(extreme, params), {1, 3});
    params.temperature = 1e300;
    checkInts(selectPatches(extreme, params), {0, 1, 2, 3});
}

BOOST_AUTO_TEST_CASE(a_threshold_keeps_what_reaches_it)
{
    SelectParams params;
    params.method = SELECT_THRESHOLD;
    const PatchRanking scores = ranking(Size(9, 7), 5, 6);
    for (double threshold : {-2.5, -1.0, 0.0, 1.0, 1.5})
    {
        std::vector<int> want;
        const std::vector<double> values = valuesOf(scores);
        for (size_t i = 0; i < values.size(); ++i)
            if (values[i] >= threshold)
                want.push_back(static_cast<int>(i));
        BOOST_REQUIRE(!want.empty());
        params.threshold = threshold;
        checkInts(selectPatches(scores, params), want);
    }
    params.threshold = 1e9;   // no score reaches it: the best one is kept
    checkInts(selectPatches(scores, params), firstByScore(valuesOf(scores), 1));
}

BOOST_AUTO_TEST_CASE(floor_and_ceiling_bound_the_number)
{
    const PatchRanking scores = ranking(Size(10, 10), 9, 4);
    const std::vector<double> values = valuesOf(scores);
    for (int method : {SELECT_MASS, SELECT_THRESHOLD})
    {
        SelectParams params;
        params.method = method;
        params.mass = 1e-6;
        params.threshold = 1e6;
        params.minRatio = 0.155;
        checkInts(selectPatches(scores, params), firstByScore(values, 15));
        params.minRatio = 0.001;
        checkInts(selectPatches(scores, params), firstByScore(values, 1));
        params.mass = 1;
        params.threshold = -1e6;
        checkInts(selectPatches(scores, params), firstByScore(values, 100));
        params.maxRatio = 0.299;
        checkInts(selectPatches(scores, params), firstByScore(values, 29));
        params.maxRatio = 1e-9;
        params.minRatio = 0;
        checkInts(selectPatches(scores, params), firstByScore(values, 1));
        params.minRatio = params.maxRatio = 0.5;
        checkInts(selectPatches(scores, params), firstByScore(values, 50));
    }
}

BOOST_AUTO_TEST_CASE(senseless_amounts_are_named)
{
    const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
    PatchRanking scores = ranking(Size(4, 4), 1);
    const auto refused = [&](int method, const std::string& words, double SelectParams::*member, double value)
    {
        SelectParams params;
        params.method = method;
        params.*member = value;
        try
        {
            selectPatches(scores, params);
            BOOST_ERROR("taken: " << words);
        }
        catch (const cv::Exception& error)
        {
            BOOST_CHECK_MESSAGE(error.err.find(words) != std::string::npos, error.err);
            BOOST_TEST(error.code == (words.find("infinite") == 0 ? Error::StsBadArg : Error::StsOutOfRange));
        }
    };
    for (double value : {0.0, -0.5, 1.01, nan, infinite})
        refused(SELECT_MASS, ", expected above 0 and at most 1", &SelectParams::mass, value);
    for (double value : {0.0, -1.0, nan, infinite})
        refused(SELECT_MASS, ", expected a finite number above 0", &SelectParams::temperature, value);
    for (double value : {nan, infinite, -infinite})
        refused(SELECT_THRESHOLD, ", expected a finite number", &SelectParams::threshold, value);
    for (int method : {SELECT_MASS, SELECT_THRESHOLD})
    {
        for (double value : {-0.1, 1.1, nan})
            refused(method, "lowest share of patches is ", &SelectParams::minRatio, value);
        for (double value : {0.0, 1.1, nan})
            refused(method, "highest share of patches is ", &SelectParams::maxRatio, value);
        SelectParams params;
        params.method = method;
        params.minRatio = 0.5;
        params.maxRatio = 0.4;
        BOOST_CHECK_EXCEPTION(selectPatches(scores, params), cv::Exception, [](const cv::Exception& error)
                              { return error.err.find("expected at most the highest share, 0.4") != std::string::npos; });
    }
    scores.scores.at<float>(2, 1) = -std::numeric_limits<float>::infinity();
    refused(SELECT_MASS, "infinite values", &SelectParams::mass, 0.5);
}

BOOST_AUTO_TEST_SUITE_END()
