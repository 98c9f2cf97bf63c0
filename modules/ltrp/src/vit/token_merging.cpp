// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "token_merging.hpp"
#include "../core/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cv { namespace ltrp { namespace vit {

namespace {

using ops::z;

/// The operations of attention have no argument for what is added to logits. So each head gets one more coordinate: 1
/// in queries, log(size) in keys, 0 in values.
struct WideHeads
{
    WideHeads(int dim, int count) : heads(z(count)), width(z(dim) / z(count)) {}
    size_t dim() const { return heads * width; }
    size_t wide() const { return heads * (width + 1); }

    /// The factor of attention, 1 / sqrt(width + 1), has to be 1 / sqrt(width) and 1.
    void query(const float* from, float* to) const
    {
        const float more = static_cast<float>(width + 1);
        widen(from, std::sqrt(more / static_cast<float>(width)), std::sqrt(more), to);
    }
    void key(const float* from, float size, float* to) const { widen(from, 1, std::log(size), to); }
    void value(const float* from, float* to) const { widen(from, 1, 0, to); }

    /// to [heads, width] += share * from [heads, width + 1] without the last coordinates.
    void addNarrowed(const float* from, float share, float* to) const
    {
        for (size_t head = 0; head < heads; ++head)
            for (size_t c = 0; c < width; ++c)
                to[head * width + c] += share * from[head * (width + 1) + c];
    }

    const size_t heads, width;

private:
    void widen(const float* from, float factor, float last, float* to) const
    {
        for (size_t head = 0; head < heads; ++head, from += width, to += width + 1)
        {
            for (size_t c = 0; c < width; ++c)
                to[c] = factor * from[c];
            to[width] = last;
        }
    }
};

/// The mean key over the heads at length 1.
void unitKey(const float* key, const WideHeads& heads, float* unit)
{
    std::fill(unit, unit + heads.width, 0.f);
    for (size_t head = 0; head < heads.heads; ++head)
        for (size_t c = 0; c < heads.width; ++c)
            unit[c] += key[head * heads.width + c];
    double squares = 0;
    for (size_t c = 0; c < heads.width; ++c)
        squares += static_cast<double>(unit[c]) * unit[c];
    const float factor = squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 0.f;
    for (size_t c = 0; c < heads.width; ++c)
        unit[c] *= factor;
}

/// For each of n tokens the number of the one that it becomes, or becomes a part of. A: tokens 0, 2, ...; B: tokens
/// 1, 3, ... similarity [A, B].
std::vector<size_t> matchTokens(const float* similarity, size_t n, size_t merged)
{
    const size_t inA = n - n / 2, inB = n / 2;
    std::vector<size_t> nearest(inA, 0), order(inA), result(n);
    std::vector<float> best(inA, -2.f);   // below all cosines: it stays if they are NaN, which has no order
    for (size_t i = 0; i < inA; ++i)
        for (size_t j = 0; j < inB; ++j)
            if (similarity[i * inB + j] > best[i])
            {
                best[i] = similarity[i * inB + j];
                nearest[i] = j;
            }
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return best[a] > best[b]; });
    const size_t left = inA - merged;
    for (size_t j = 0; j < inB; ++j)
        result[2 * j + 1] = left + j;
    for (size_t k = 0; k < merged; ++k)
        result[2 * order[k]] = left + nearest[order[k]];
    std::sort(order.begin() + static_cast<std::ptrdiff_t>(merged), order.end());
    for (size_t k = merged; k < inA; ++k)
        result[2 * order[k]] = k - merged;
    return result;
}

/// Merges the tokens of each image: now.x and the result of attention, wide [batch, 1 + n, wide heads], to x and
/// attended [batch, 1 + left, dim]. The projection of attention is applied to the merged rows, which is the same: it is
/// linear, and the weights of an average sum up to 1.
void mergeTokens(const MergedTokens& now, const float* qkv, const float* wide, const WideHeads& heads, size_t left,
                 float* x, float* attended, std::vector<float>& sizes, Workspace& ws)
{
    const size_t n = z(now.n), batch = now.sizes.size() / n, inA = n - n / 2, inB = n / 2;
    const size_t dim = heads.dim(), width = heads.width;
    float* const units = ws.get("merging.units", batch * n * width);
    float* const similarity = ws.get("merging.similarity", batch * inA * inB);
    parallelRanges(batch * n, 64, [&](size_t begin, size_t end)
    {
        for (size_t i = begin; i < end; ++i)
        {
            const size_t image = i / n, token = i % n, place = token / 2 + (token % 2 ? inA : 0);
            unitKey(qkv + (image * (1 + n) + 1 + token) * 3 * dim + dim, heads, units + (image * n + place) * width);
        }
    });
    for (size_t image = 0; image < batch && inB > 0; ++image)
    {
        const float* const a = units + image * n * width;
        // not the workspace's backend, which may take a second factor for weights that never change
        ops::cpu().linear(a, a + inA * width, nullptr, similarity + image * inA * inB, static_cast<int>(inA),
                          static_cast<int>(width), static_cast<int>(inB));
    }
    sizes.assign(batch * left, 0.f);
    parallelRanges(batch, 1, [&](size_t begin, size_t end)
    {
        for (size_t image = begin; image < end; ++image)
        {
            const std::vector<size_t> to = matchTokens(similarity + image * inA * inB, n, n - left);
            const float* const before = now.sizes.data() + image * n;
            float* const after = sizes.data() + image * left;
            for (size_t i = 0; i < n; ++i)
                after[to[i]] += before[i];
            const size_t from = image * (1 + n), first = image * (1 + left);
            std::fill(x + first * dim, x + (first + 1 + left) * dim, 0.f);
            std::fill(attended + first * dim, attended + (first + 1 + left) * dim, 0.f);
            for (size_t row = 0; row <= n; ++row)
            {
                const size_t target = first + (row == 0 ? 0 : 1 + to[row - 1]);
                const float share = row == 0 ? 1.f : before[row - 1] / after[to[row - 1]];
                for (size_t c = 0; c < dim; ++c)
                    x[target * dim + c] += share * now.x[(from + row) * dim + c];
                heads.addNarrowed(wide + (from + row) * heads.wide(), share, attended + target * dim);
            }
        }
    });
}

}  // namespace

double meanTokenShare(int patches, int depth, int perBlock)
{
    double sum = 0;
    for (int block = 0, n = patches; block < depth; ++block)
        sum += n = tokensAfterMerging(n, perBlock);
    return sum / depth / patches;
}

int mergesPerBlock(int patches, int depth, double share)
{
    const auto distance = [&](int perBlock) { return std::abs(meanTokenShare(patches, depth, perBlock) - share); };
    int best = 0;
    for (int perBlock = 1; perBlock <= patches / 2; ++perBlock)
        if (distance(perBlock) < distance(best))
            best = perBlock;
    return best;
}

MergedTokens forwardMerging(const Transformer& stack, float* x, int batch, int n, int perBlock, Workspace& ws)
{
    CV_Assert(ws.ops().onHost());
    const int heads = stack.config().heads;
    const WideHeads wide(stack.config().dim, heads);
    const size_t dim = wide.dim(), rows = z(batch) * z(1 + n);
    float* const qkv = ws.get("merging.qkv", rows * 3 * dim);
    float* const wideQkv = ws.get("merging.wide_qkv", rows * 3 * wide.wide());
    float* const wideAttended = ws.get("merging.wide_attended", rows * wide.wide());
    float* const attended = ws.get("merging.attended", rows * dim);
    float* other = ws.get("merging.x", rows * dim);
    MergedTokens now = {x, n, std::vector<float>(z(batch) * z(n), 1.f)};
    for (const ops::BlockWeights& block : stack.blockWeights(ws))
    {
        const int tokens = 1 + now.n;
        ws.ops().normLinear(block.norm1, block.qkv, now.x, qkv, batch * tokens);
        parallelRanges(z(batch) * z(tokens), 64, [&](size_t begin, size_t end)
        {
            for (size_t row = begin; row < end; ++row)
            {
                const size_t image = row / z(tokens), token = row % z(tokens);
                const float* const from = qkv + row * 3 * dim;
                float* const to = wideQkv + row * 3 * wide.wide();
                wide.query(from, to);
                wide.key(from + dim, token == 0 ? 1.f : now.sizes[image * z(now.n) + token - 1], to + wide.wide());
                wide.value(from + 2 * dim, to + 2 * wide.wide());
            }
        });
        ws.ops().attention(wideQkv, nullptr, wideAttended, nullptr, batch, tokens, static_cast<int>(wide.wide()),
                           heads);
        const int left = tokensAfterMerging(now.n, perBlock);
        MergedTokens next = {other, left, {}};
        mergeTokens(now, qkv, wideAttended, wide, z(left), next.x, attended, next.sizes, ws);
        ws.ops().finishBlock(block, attended, next.x, batch * (1 + left));
        other = now.x;
        now = std::move(next);
    }
    stack.finalNorm(now.x, z(batch) * z(1 + now.n), now.x, ws);
    return now;
}

void meanBySize(const MergedTokens& tokens, int batch, int dim, float* mean)
{
    const size_t n = z(tokens.n), d = z(dim);
    for (size_t image = 0; image < z(batch); ++image)
    {
        const float* const sizes = tokens.sizes.data() + image * n;
        const float patches = std::accumulate(sizes, sizes + n, 0.f);
        float* const to = mean + image * d;
        std::fill(to, to + d, 0.f);
        for (size_t i = 0; i < n; ++i)
            for (size_t c = 0; c < d; ++c)
                to[c] += sizes[i] / patches * tokens.x[(image * (1 + n) + 1 + i) * d + c];
    }
}

void crossAttentionBySize(const MergedTokens& tokens, const ops::CrossAttention& sizes, const float* q,
                          const float* kv, float* out, Workspace& ws)
{
    CV_Assert(ws.ops().onHost() && sizes.tokens == tokens.n);
    const WideHeads wide(sizes.dim, sizes.heads);
    const size_t dim = wide.dim(), queries = z(sizes.queries), rows = z(sizes.batch) * z(sizes.tokens);
    float* const wideQ = ws.get("merging.head_q", queries * wide.wide());
    float* const wideKv = ws.get("merging.head_kv", rows * 2 * wide.wide());
    float* const wideOut = ws.get("merging.head_out", z(sizes.batch) * queries * wide.wide());
    for (size_t i = 0; i < queries; ++i)
        wide.query(q + i * dim, wideQ + i * wide.wide());
    for (size_t row = 0; row < rows; ++row)
    {
        wide.key(kv + row * 2 * dim, tokens.sizes[row], wideKv + row * 2 * wide.wide());
        wide.value(kv + row * 2 * dim + dim, wideKv + (row * 2 + 1) * wide.wide());
    }
    ops::CrossAttention widened = sizes;
    widened.dim = static_cast<int>(wide.wide());
    ws.ops().crossAttention(widened, wideQ, wideKv, wideOut, nullptr);
    std::fill(out, out + z(sizes.batch) * queries * dim, 0.f);
    for (size_t i = 0; i < z(sizes.batch) * queries; ++i)
        wide.addNarrowed(wideOut + i * wide.wide(), 1, out + i * dim);
}

}}}  // namespace
