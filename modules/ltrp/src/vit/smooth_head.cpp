// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "smooth_head.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace vit {

void smoothHead(const RankerConfig& config, double sigma, ParamArena& params)
{
    const int grid = config.input.grid(), reach = static_cast<int>(std::ceil(3 * sigma));
    LTRP_REQUIRE(sigma > 0 && sigma <= grid, Error::StsOutOfRange,
                 "smoothing over " << sigma << " patches, expected more than 0 and at most " << grid);
    const size_t dim = static_cast<size_t>(config.encoder.dim);
    float* weight = params.at("head.weight");
    float* bias = params.at("head.bias");
    const size_t patches = static_cast<size_t>(config.input.numPatches());
    const std::vector<float> oldWeight(weight, weight + patches * dim), oldBias(bias, bias + patches);
    std::vector<double> row(dim);
    for (int y = 0; y < grid; ++y)
        for (int x = 0; x < grid; ++x)
        {
            double total = 0, offset = 0;
            std::fill(row.begin(), row.end(), 0.0);
            for (int v = std::max(0, y - reach); v <= std::min(grid - 1, y + reach); ++v)
                for (int u = std::max(0, x - reach); u <= std::min(grid - 1, x + reach); ++u)
                {
                    const double share = std::exp(-((u - x) * (u - x) + (v - y) * (v - y)) / (2 * sigma * sigma));
                    const size_t from = static_cast<size_t>(v * grid + u);
                    for (size_t i = 0; i < dim; ++i)
                        row[i] += share * oldWeight[from * dim + i];
                    offset += share * oldBias[from];
                    total += share;
                }
            const size_t to = static_cast<size_t>(y * grid + x);
            for (size_t i = 0; i < dim; ++i)
                weight[to * dim + i] = static_cast<float>(row[i] / total);
            bias[to] = static_cast<float>(offset / total);
        }
}

}}}  // namespace
