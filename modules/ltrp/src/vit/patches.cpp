// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "patches.hpp"

#include <algorithm>
#include <numeric>

namespace cv { namespace ltrp { namespace vit {

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

void maskFromNoise(const float* noise, int numPatches, int visible, int* idsKeep)
{
    std::vector<int> order(static_cast<size_t>(numPatches));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [noise](int a, int b) { return noise[a] < noise[b]; });
    std::copy(order.begin(), order.begin() + visible, idsKeep);
    std::sort(idsKeep, idsKeep + visible);
}

void embedPatches(const InputConfig& input, int dim, const ParamArena& params, const float* pixels, int batch, const int* ids,
                  int n, float* x, float* patches, Workspace& ws, const float* positions)
{
    const size_t rows = static_cast<size_t>(batch) * static_cast<size_t>(n);
    if (!patches)
        patches = ws.get("patches", rows * static_cast<size_t>(input.patchValues()));
    float* tokens = ws.get("embedded", rows * static_cast<size_t>(dim));
    ws.ops().patchify(gridOf(input), pixels, batch, ids, n, ops::PatchOrder::ChannelFirst, patches);
    ws.ops().linear(patches, ws.at(params, "patch_embed.proj.weight"), ws.at(params, "patch_embed.proj.bias"), tokens,
                    batch * n, input.patchValues(), dim);
    ws.ops().embedTokens(tokens, ws.at(params, "cls_token"), positions ? positions : ws.at(params, "pos_embed"), ids, x, batch, n, dim);
}

void embedBackward(const InputConfig& input, int dim, const ParamArena& params, const float* patches, const float* dx,
                   int batch, int n, float* grads, Workspace& ws)
{
    float* dTokens = ws.get("embedded", static_cast<size_t>(batch) * static_cast<size_t>(n) * static_cast<size_t>(dim));
    ws.ops().embedTokensBackward(dx, dTokens, grads + params.layout.at("cls_token").offset, batch, n, dim);
    ws.ops().linearBackwardWeight(dTokens, patches, grads + params.layout.at("patch_embed.proj.weight").offset,
                                  grads + params.layout.at("patch_embed.proj.bias").offset, batch * n, input.patchValues(), dim);
}

}}}  // namespace
