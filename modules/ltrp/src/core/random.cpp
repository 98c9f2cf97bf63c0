// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "random.hpp"

#include <cmath>

namespace cv { namespace ltrp {

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    const uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
    const uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round)
    {
        const uint64_t product0 = static_cast<uint64_t>(multiplier0) * c0;
        const uint64_t product1 = static_cast<uint64_t>(multiplier1) * c2;
        c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ k0;
        c1 = static_cast<uint32_t>(product1);
        c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ k1;
        c3 = static_cast<uint32_t>(product0);
        k0 += weyl0;
        k1 += weyl1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

RandomStream::RandomStream(uint64_t seed, RandomPurpose purpose, uint32_t epoch, uint32_t sample)
{
    key_[0] = static_cast<uint32_t>(seed);
    key_[1] = static_cast<uint32_t>(seed >> 32);
    // Words 0 and 1 hold a 56-bit block number below the purpose, so that streams of any length do not overlap.
    counter_[0] = 0;
    counter_[1] = static_cast<uint32_t>(purpose) << 24;
    counter_[2] = epoch;
    counter_[3] = sample;
    block_[0] = block_[1] = block_[2] = block_[3] = 0;
}

uint32_t RandomStream::next()
{
    if (used_ == 4)
    {
        philox4x32(counter_, key_, block_);
        if (++counter_[0] == 0)
            ++counter_[1];
        used_ = 0;
    }
    return block_[used_++];
}

float RandomStream::uniform()
{
    return static_cast<float>(next() >> 8) * (1.f / 16777216.f);
}

double RandomStream::uniform(double low, double high)
{
    const uint64_t upper = next() >> 5, lower = next() >> 6;   // 27 + 26 = 53 bits, all a double can hold
    const double unit = static_cast<double>((upper << 26) | lower) * (1. / 9007199254740992.);
    return low + (high - low) * unit;
}

int RandomStream::below(int n)
{
    LTRP_REQUIRE(n >= 1, Error::StsOutOfRange, "random number below " << n << ": the bound must be at least 1");
    // The high word of a 32 x 32 bit product is uniform if the few low words that would bias the result are redrawn.
    const uint32_t bound = static_cast<uint32_t>(n);
    const uint32_t biased = (0u - bound) % bound;
    uint64_t product = static_cast<uint64_t>(next()) * bound;
    while (static_cast<uint32_t>(product) < biased)
        product = static_cast<uint64_t>(next()) * bound;
    return static_cast<int>(product >> 32);
}

double RandomStream::normal()
{
    if (hasSpare_)
    {
        hasSpare_ = false;
        return spare_;
    }
    // Box-Muller; 1 - u lies in (0, 1], where the logarithm is finite.
    const double radius = std::sqrt(-2. * std::log(1. - uniform(0., 1.)));
    const double angle = uniform(0., 2. * CV_PI);
    spare_ = radius * std::sin(angle);
    hasSpare_ = true;
    return radius * std::cos(angle);
}

void RandomStream::shuffle(std::vector<int>& values)
{
    for (size_t left = values.size(); left > 1; --left)
        std::swap(values[left - 1], values[static_cast<size_t>(below(static_cast<int>(left)))]);
}

}}  // namespace
