// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_RANDOM_HPP
#define OPENCV_LTRP_CORE_RANDOM_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp {

/// One block of Philox 4x32 with 10 rounds: four uniform 32-bit words, a function of counter and key only.
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/// Purpose of a random stream: streams of different purposes never overlap.
enum class RandomPurpose : uint32_t
{
    Mask = 1, Augment = 2, Shuffle = 3, Loss = 4, Init = 5, Cluster = 6, Baseline = 7, Bootstrap = 8,
    Sample = 9, KeepRatio = 10, Selector = 11
};

/// Counter-based random numbers (Philox 4x32-10, Salmon et al., SC 2011): a stream is a function of (seed, purpose,
/// epoch, sample) only, whatever thread or worker draws from it.
class RandomStream
{
public:
    RandomStream(uint64_t seed, RandomPurpose purpose, uint32_t epoch = 0, uint32_t sample = 0);
    uint32_t next();           ///< uniform 32 bits
    float uniform();           ///< [0, 1), 24 bits
    double uniform(double low, double high);
    int below(int n);          ///< 0 .. n-1, n >= 1
    double normal();           ///< mean 0, variance 1
    void shuffle(std::vector<int>& values);

private:
    uint32_t key_[2], counter_[4], block_[4];
    int used_ = 4;
    double spare_ = 0;
    bool hasSpare_ = false;
};

}}  // namespace

#endif
