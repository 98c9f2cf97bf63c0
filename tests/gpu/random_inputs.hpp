// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_RANDOM_INPUTS_HPP
#define LTRP_TESTS_RANDOM_INPUTS_HPP

#include "core/random.hpp"
#include "vit/patches.hpp"

#include <vector>

namespace inputs
{

typedef std::vector<float> Floats;

inline Floats noise(size_t count, uint32_t stream)
{
    cv::ltrp::RandomStream random(7, cv::ltrp::RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal());
    return values;
}

/// A random mask per image: the visible patches, ascending.
inline std::vector<int> masks(int batch, int patches, int visible)
{
    std::vector<int> keep(static_cast<size_t>(batch) * static_cast<size_t>(visible));
    for (int b = 0; b < batch; ++b)
        cv::ltrp::vit::maskFromNoise(noise(static_cast<size_t>(patches), 100 + static_cast<uint32_t>(b)).data(), patches, visible,
                                     keep.data() + b * visible);
    return keep;
}

}  // namespace inputs

#endif
