// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "patches.hpp"
#include "../ops/cpu/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace cv { namespace ltrp { namespace vit {

void patchify(const InputConfig& input, const float* pixels, int batch, const int* ids, int n, PatchOrder order, float* out)
{
    const size_t side = static_cast<size_t>(input.imageSize), patch = static_cast<size_t>(input.patchSize);
    const size_t grid = static_cast<size_t>(input.grid()), plane = side * side;
    const size_t values = static_cast<size_t>(input.patchValues());
    ops::parallelRanges(static_cast<size_t>(batch) * static_cast<size_t>(n), 64, [&](size_t begin, size_t end) {
        for (size_t item = begin; item < end; ++item)
        {
            const size_t image = item / static_cast<size_t>(n);
            const size_t place = ids ? static_cast<size_t>(ids[item]) : item % static_cast<size_t>(n);
            const float* from = pixels + image * 3 * plane + place / grid * patch * side + place % grid * patch;
            float* to = out + item * values;
            for (size_t c = 0; c < 3; ++c)
                for (size_t y = 0; y < patch; ++y)
                {
                    const float* row = from + c * plane + y * side;
                    if (order == PatchOrder::ChannelFirst)
                        std::memcpy(to + (c * patch + y) * patch, row, patch * sizeof(float));
                    else
                        for (size_t x = 0; x < patch; ++x)
                            to[(y * patch + x) * 3 + c] = row[x];
                }
        }
    });
}

void unpatchify(const InputConfig& input, const float* patches, int batch, float* pixels)
{
    const size_t side = static_cast<size_t>(input.imageSize), patch = static_cast<size_t>(input.patchSize);
    const size_t grid = static_cast<size_t>(input.grid()), plane = side * side;
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
        for (size_t place = 0; place < grid * grid; ++place)
        {
            float* to = pixels + b * 3 * plane + place / grid * patch * side + place % grid * patch;
            const float* from = patches + (b * grid * grid + place) * static_cast<size_t>(input.patchValues());
            for (size_t y = 0; y < patch; ++y)
                for (size_t x = 0; x < patch; ++x)
                    for (size_t c = 0; c < 3; ++c)
                        to[c * plane + y * side + x] = from[(y * patch + x) * 3 + c];
        }
}

void patchStatistics(const float* patches, size_t rows, size_t values, float* mean, float* deviation)
{
    ops::parallelRanges(rows, 64, [&](size_t begin, size_t end) {
        for (size_t r = begin; r < end; ++r)
        {
            const float* p = patches + r * values;
            double total = 0;
            for (size_t i = 0; i < values; ++i)
                total += p[i];
            const double m = total / static_cast<double>(values);
            double squares = 0;
            for (size_t i = 0; i < values; ++i)
                squares += (p[i] - m) * (p[i] - m);
            mean[r] = static_cast<float>(m);
            deviation[r] = static_cast<float>(std::sqrt(squares / static_cast<double>(values - 1) + 1e-6));
        }
    });
}

void maskFromNoise(const float* noise, int numPatches, int visible, int* idsKeep)
{
    std::vector<int> order(static_cast<size_t>(numPatches));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [noise](int a, int b) { return noise[a] < noise[b]; });
    std::copy(order.begin(), order.begin() + visible, idsKeep);
    std::sort(idsKeep, idsKeep + visible);
}

void complement(const int* idsKeep, int visible, int numPatches, int* idsRemoved)
{
    int next = 0;
    for (int i = 0; i < numPatches; ++i)
        if (next < visible && idsKeep[next] == i)
            ++next;
        else
            *idsRemoved++ = i;
}

void embedPatches(const InputConfig& input, int dim, const ParamArena& params, const float* pixels, int batch, const int* ids,
                  int n, float* x, float* patches, Workspace& ws)
{
    const size_t d = static_cast<size_t>(dim), rows = static_cast<size_t>(batch) * static_cast<size_t>(n);
    if (!patches)
        patches = ws.get("patches", rows * static_cast<size_t>(input.patchValues()));
    float* tokens = ws.get("embedded", rows * d);
    patchify(input, pixels, batch, ids, n, PatchOrder::ChannelFirst, patches);
    ws.ops().linear(patches, params.at("patch_embed.proj.weight"), params.at("patch_embed.proj.bias"), tokens,
                    batch * n, input.patchValues(), dim);
    const float* positions = params.at("pos_embed");
    const float* classToken = params.at("cls_token");
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
    {
        float* to = x + b * static_cast<size_t>(n + 1) * d;
        for (size_t i = 0; i < d; ++i)
            to[i] = classToken[i] + positions[i];
        for (size_t t = 0; t < static_cast<size_t>(n); ++t)
        {
            const size_t item = b * static_cast<size_t>(n) + t;
            const float* position = positions + (1 + (ids ? static_cast<size_t>(ids[item]) : t)) * d;
            for (size_t i = 0; i < d; ++i)
                to[(1 + t) * d + i] = tokens[item * d + i] + position[i];
        }
    }
}

void embedBackward(const InputConfig& input, int dim, const ParamArena& params, const float* patches, const float* dx,
                   int batch, int n, float* grads, Workspace& ws)
{
    const size_t d = static_cast<size_t>(dim), count = static_cast<size_t>(n);
    float* dTokens = ws.get("embedded", static_cast<size_t>(batch) * count * d);
    float* dClass = grads + params.layout.at("cls_token").offset;
    for (size_t b = 0; b < static_cast<size_t>(batch); ++b)
    {
        const float* from = dx + b * (count + 1) * d;
        for (size_t i = 0; i < d; ++i)
            dClass[i] += from[i];
        std::memcpy(dTokens + b * count * d, from + d, count * d * sizeof(float));
    }
    ws.ops().linearBackwardWeight(dTokens, patches, grads + params.layout.at("patch_embed.proj.weight").offset,
                                  grads + params.layout.at("patch_embed.proj.bias").offset, batch * n, input.patchValues(), dim);
}

}}}  // namespace
