// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "core/random.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

using cv::ltrp::RandomPurpose;
using cv::ltrp::RandomStream;

namespace
{

using Words = std::array<uint32_t, 4>;

Words philox(const Words& counter, const std::array<uint32_t, 2>& key)
{
    Words out;
    cv::ltrp::philox4x32(counter.data(), key.data(), out.data());
    return out;
}

Words firstFour(RandomStream stream)
{
    Words out;
    for (uint32_t& word : out)
        word = stream.next();
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(RandomNumbers)

// kat_vectors of the authors' Random123 library, "philox4x32 10".
BOOST_AUTO_TEST_CASE(philoxGivesThePublishedVectors)
{
    BOOST_TEST(philox({0, 0, 0, 0}, {0, 0}) == (Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
    const uint32_t ones = 0xffffffffu;
    BOOST_TEST(philox({ones, ones, ones, ones}, {ones, ones}) ==
               (Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
    BOOST_TEST(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}) ==
               (Words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

BOOST_AUTO_TEST_CASE(streamIsPhiloxOfSeedPurposeEpochAndSample)
{
    const uint64_t seed = 0x299f31d0a4093822u;
    RandomStream stream(seed, RandomPurpose::Augment, 7, 9);
    for (uint32_t block = 0; block < 3; ++block)
    {
        const Words expected = philox({block, 2u << 24, 7, 9}, {0xa4093822u, 0x299f31d0u});
        for (const uint32_t word : expected)
            BOOST_TEST(stream.next() == word);
    }
}

BOOST_AUTO_TEST_CASE(streamsOfDifferentPlacesDiffer)
{
    std::set<Words> seen;
    size_t made = 0;
    for (const uint64_t seed : {0ull, 1ull, 1ull << 32})
        for (const RandomPurpose purpose : {RandomPurpose::Mask, RandomPurpose::Augment, RandomPurpose::Shuffle})
            for (const uint32_t epoch : {0u, 1u, 1u << 31})
                for (const uint32_t sample : {0u, 1u, 1u << 31})
                {
                    seen.insert(firstFour(RandomStream(seed, purpose, epoch, sample)));
                    ++made;
                }
    BOOST_TEST(seen.size() == made);
}

BOOST_AUTO_TEST_CASE(uniformStaysInItsRangeAndFillsIt)
{
    RandomStream stream(3, RandomPurpose::Init);
    double sum = 0, lowest = 1, highest = 0, wideSum = 0;
    const int draws = 100000;
    for (int i = 0; i < draws; ++i)
    {
        const float narrow = stream.uniform();
        BOOST_REQUIRE((narrow >= 0.f && narrow < 1.f));
        lowest = std::min<double>(lowest, narrow);
        highest = std::max<double>(highest, narrow);
        sum += narrow;
        const double wide = stream.uniform(-2., 6.);
        BOOST_REQUIRE((wide >= -2. && wide <= 6.));
        wideSum += wide;
    }
    // Standard errors of the means: 0.0009 and 0.0073.
    BOOST_TEST(std::abs(sum / draws - 0.5) < 0.005);
    BOOST_TEST(std::abs(wideSum / draws - 2.) < 0.04);
    BOOST_TEST(lowest < 0.001);
    BOOST_TEST(highest > 0.999);
}

BOOST_AUTO_TEST_CASE(belowIsUniform)
{
    RandomStream stream(5, RandomPurpose::Loss);
    std::vector<int> counts(7);
    for (int i = 0; i < 70000; ++i)
    {
        const int value = stream.below(7);
        BOOST_REQUIRE((value >= 0 && value < 7));
        ++counts[static_cast<size_t>(value)];
    }
    for (const int count : counts)
        BOOST_TEST(std::abs(count - 10000) < 500);   // five standard deviations are 463
}

// 3/8 of 2^32: mapping words without redrawing would give every third value two words, the others three.
BOOST_AUTO_TEST_CASE(belowHasNoBiasForLargeBounds)
{
    const int bound = 0x60000000;
    RandomStream stream(6, RandomPurpose::Loss);
    int thirds[3] = {0, 0, 0};
    for (int i = 0; i < 60000; ++i)
        ++thirds[stream.below(bound) % 3];
    for (const int count : thirds)
        BOOST_TEST(std::abs(count - 20000) < 700);
}

BOOST_AUTO_TEST_CASE(belowOneIsZeroAndBelowZeroIsRefused)
{
    RandomStream stream(1, RandomPurpose::Mask);
    BOOST_TEST(stream.below(1) == 0);
    BOOST_CHECK_THROW(stream.below(0), cv::Exception);
    BOOST_CHECK_THROW(stream.below(-5), cv::Exception);
}

BOOST_AUTO_TEST_CASE(normalHasTheMomentsOfTheNormalDistribution)
{
    RandomStream stream(8, RandomPurpose::Init);
    const int draws = 200000;
    double moments[5] = {0, 0, 0, 0, 0};
    int beyondTwo = 0;
    for (int i = 0; i < draws; ++i)
    {
        const double value = stream.normal();
        BOOST_REQUIRE(std::isfinite(value));
        for (int k = 1; k <= 4; ++k)
            moments[k] += std::pow(value, k) / draws;
        beyondTwo += std::abs(value) > 2;
    }
    BOOST_TEST(std::abs(moments[1]) < 0.012);
    BOOST_TEST(std::abs(moments[2] - 1) < 0.016);
    BOOST_TEST(std::abs(moments[3]) < 0.045);
    BOOST_TEST(std::abs(moments[4] - 3) < 0.12);
    BOOST_TEST(std::abs(beyondTwo / double(draws) - 0.0455) < 0.0025);
}

BOOST_AUTO_TEST_CASE(shuffleIsAPermutationAndReachesEveryOne)
{
    std::set<std::vector<int>> seen;
    for (uint32_t sample = 0; sample < 600; ++sample)
    {
        std::vector<int> values{0, 1, 2, 3};
        RandomStream(2, RandomPurpose::Shuffle, 0, sample).shuffle(values);
        std::vector<int> sorted = values;
        std::sort(sorted.begin(), sorted.end());
        BOOST_REQUIRE(sorted == (std::vector<int>{0, 1, 2, 3}));
        seen.insert(values);
    }
    BOOST_TEST(seen.size() == 24u);

    std::vector<int> none;
    RandomStream(2, RandomPurpose::Shuffle).shuffle(none);
    BOOST_TEST(none.empty());
}

BOOST_AUTO_TEST_SUITE_END()
