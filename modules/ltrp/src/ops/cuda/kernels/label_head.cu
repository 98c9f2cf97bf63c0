// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The heads of several labels and of segmentation: cross-attention of shared queries, row products, their gradients, and the
// losses. Sums are in a fixed order.
#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

const int perBlock = 128;

__device__ __forceinline__ size_t threadNumber() { return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

/// Sizes as the kernels count.
struct Cross
{
    size_t batch, queries, tokens, dim, heads, width;
    float scale;
};

/// A block has one query of one head of one item: blocks [batch, heads, queries]. p [batch, heads, queries, tokens].
__global__ void crossAttentionKernel(Cross s, const float* q, const float* kv, float* out, float* p)
{
    LTRP_SHARED(float, parts, 32);
    LTRP_SHARED(float, maxima, 32);
    const size_t i = blockIdx.x % s.queries, head = blockIdx.x / s.queries % s.heads, item = blockIdx.x / s.queries / s.heads;
    const float* const query = q + i * s.dim + head * s.width;
    const float* const k = kv + item * s.tokens * 2 * s.dim + head * s.width;
    float* const row = p + blockIdx.x * s.tokens;
    float largest = -INFINITY;
    for (size_t j = threadIdx.x; j < s.tokens; j += blockDim.x)
    {
        float score = 0;
        for (size_t c = 0; c < s.width; ++c)
            score += query[c] * k[j * 2 * s.dim + c];
        row[j] = score;
        largest = fmaxf(largest, score);
    }
    largest = warpMaximum(largest);
    if (threadIdx.x % 32 == 0)
        maxima[threadIdx.x / 32] = largest;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; ++w)
        largest = fmaxf(largest, maxima[w]);
    float sum = 0;
    for (size_t j = threadIdx.x; j < s.tokens; j += blockDim.x)
        sum += row[j] = expf(s.scale * (row[j] - largest));
    sum = blockSum(sum, parts);
    for (size_t j = threadIdx.x; j < s.tokens; j += blockDim.x)
        row[j] /= sum;
    __syncthreads();
    for (size_t c = threadIdx.x; c < s.width; c += blockDim.x)
    {
        float value = 0;
        for (size_t j = 0; j < s.tokens; ++j)
            value += row[j] * k[j * 2 * s.dim + s.dim + c];
        out[(item * s.queries + i) * s.dim + head * s.width + c] = value;
    }
}

/// Blocks as above: d, the gradients of the scores.
__global__ void crossScoresBackwardKernel(Cross s, const float* kv, const float* p, const float* dOut, float* d)
{
    LTRP_SHARED(float, parts, 32);
    const size_t i = blockIdx.x % s.queries, head = blockIdx.x / s.queries % s.heads, item = blockIdx.x / s.queries / s.heads;
    const float* const v = kv + item * s.tokens * 2 * s.dim + s.dim + head * s.width;
    const float* const from = dOut + (item * s.queries + i) * s.dim + head * s.width;
    const size_t first = blockIdx.x * s.tokens;
    float mean = 0;
    for (size_t j = threadIdx.x; j < s.tokens; j += blockDim.x)
    {
        float product = 0;
        for (size_t c = 0; c < s.width; ++c)
            product += from[c] * v[j * 2 * s.dim + c];
        d[first + j] = product;
        mean += p[first + j] * product;
    }
    mean = blockSum(mean, parts);
    for (size_t j = threadIdx.x; j < s.tokens; j += blockDim.x)
        d[first + j] = s.scale * p[first + j] * (d[first + j] - mean);
}

/// A thread has one channel of one token: dKv [batch, tokens, 2, dim].
__global__ void crossTokensBackwardKernel(Cross s, const float* q, const float* p, const float* d, const float* dOut, float* dKv)
{
    const size_t at = threadNumber();
    if (at >= s.batch * s.tokens * 2 * s.dim)
        return;
    const size_t channel = at % s.dim, j = at / (2 * s.dim) % s.tokens, item = at / (2 * s.dim) / s.tokens;
    const bool value = at / s.dim % 2;
    const size_t first = (item * s.heads + channel / s.width) * s.queries;
    float sum = 0;
    for (size_t i = 0; i < s.queries; ++i)
        sum += value ? p[(first + i) * s.tokens + j] * dOut[(item * s.queries + i) * s.dim + channel]
                     : d[(first + i) * s.tokens + j] * q[i * s.dim + channel];
    dKv[at] = sum;
}

/// A thread has one channel of one query.
__global__ void crossQueriesBackwardKernel(Cross s, const float* kv, const float* d, float* dQ)
{
    const size_t at = threadNumber();
    if (at >= s.queries * s.dim)
        return;
    const size_t channel = at % s.dim, i = at / s.dim;
    float sum = 0;
    for (size_t item = 0; item < s.batch; ++item)
    {
        const size_t first = ((item * s.heads + channel / s.width) * s.queries + i) * s.tokens;
        for (size_t j = 0; j < s.tokens; ++j)
            sum += d[first + j] * kv[(item * s.tokens + j) * 2 * s.dim + channel];
    }
    dQ[at] += sum;
}

__global__ void rowProductsKernel(const float* x, const float* w, const float* b, float* y, size_t count, size_t n, size_t dim)
{
    const size_t i = threadNumber();
    if (i >= count)
        return;
    float sum = b[i % n];
    for (size_t c = 0; c < dim; ++c)
        sum += x[i * dim + c] * w[i % n * dim + c];
    y[i] = sum;
}

/// A thread has one channel of one row of w; that of the first channel the row's b, too.
__global__ void rowProductsBackwardKernel(const float* dy, const float* x, const float* w, float* dx, float* dw, float* db,
                                          size_t items, size_t n, size_t dim)
{
    const size_t at = threadNumber(), row = at / dim, c = at % dim;
    if (row >= n)
        return;
    float weight = 0, bias = 0;
    for (size_t i = row; i < items * n; i += n)
    {
        weight += dy[i] * x[i * dim + c];
        bias += dy[i];
        dx[i * dim + c] = dy[i] * w[at];
    }
    dw[at] += weight;
    if (c == 0)
        db[row] += bias;
}

/// A block has one row: its weight, the sum of its shares.
__global__ void rowWeightsKernel(const float* shares, int classes, double* weights)
{
    LTRP_SHARED(double, parts, 32);
    double sum = 0;
    for (int c = static_cast<int>(threadIdx.x); c < classes; c += static_cast<int>(blockDim.x))
        sum += static_cast<double>(shares[blockIdx.x * static_cast<size_t>(classes) + static_cast<size_t>(c)]);
    sum = blockSum(sum, parts);
    if (threadIdx.x == 0)
        weights[blockIdx.x] = sum;
}

/// One block: *total = the sum of count values, times factor.
__global__ void totalKernel(const double* values, int count, double factor, double* total)
{
    LTRP_SHARED(double, parts, 32);
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
        sum += values[i];
    sum = blockSum(sum, parts);
    if (threadIdx.x == 0)
        *total = sum * factor;
}

/// A block has one row.
__global__ void shareEntropyKernel(ShareEntropy a, const double* weights, const double* allWeights, double* losses)
{
    LTRP_SHARED(double, parts, 32);
    LTRP_SHARED(float, maxima, 32);
    const size_t classes = static_cast<size_t>(a.classes), first = blockIdx.x * classes;
    float largest = -INFINITY;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
        largest = fmaxf(largest, a.logits[first + c]);
    largest = warpMaximum(largest);
    if (threadIdx.x % 32 == 0)
        maxima[threadIdx.x / 32] = largest;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; ++w)
        largest = fmaxf(largest, maxima[w]);
    double exponentials = 0;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
        exponentials += static_cast<double>(expf(a.logits[first + c] - largest));
    const float logSum = static_cast<float>(log(blockSum(exponentials, parts))), weight = static_cast<float>(weights[blockIdx.x]);
    const float all = static_cast<float>(*allWeights), factor = all > 0 ? a.gradientScale / all : 0.f;
    double loss = 0;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
    {
        const float target = (1 - a.smoothing) * a.shares[first + c] + a.smoothing * weight / static_cast<float>(a.classes);
        const float logShare = a.logits[first + c] - largest - logSum;
        loss -= static_cast<double>(target) * static_cast<double>(logShare);
        a.dLogits[first + c] = factor * (weight * expf(logShare) - target);
    }
    loss = blockSum(loss, parts);
    if (threadIdx.x == 0)
        losses[blockIdx.x] = all > 0 ? loss / static_cast<double>(all) : 0 * loss;
}

/// A block has one image.
__global__ void asymmetricLossKernel(AsymmetricLoss a, double* losses)
{
    LTRP_SHARED(double, parts, 32);
    const size_t classes = static_cast<size_t>(a.classes), first = blockIdx.x * classes;
    const float factor = a.gradientScale / static_cast<float>(a.batch);
    double total = 0;
    for (size_t c = threadIdx.x; c < classes; c += blockDim.x)
    {
        const float logit = a.logits[first + c], p = 1 / (1 + expf(-logit)), rest = 1 / (1 + expf(logit));   // 1 - p
        float loss = NAN, gradient = NAN;
        if (!(fabsf(logit) <= FLT_MAX))   // NaN, too
            ;
        else if (a.labels[first + c] > 0)
        {
            const float logP = fminf(logit, 0.f) - log1pf(expf(-fabsf(logit))), focus = powf(rest, a.positive);
            loss = -focus * logP;
            gradient = focus * (a.positive * p * logP - rest);
        }
        else if (p <= a.clip)
            loss = gradient = 0;
        else
        {
            const float q = p - a.clip, logQ = logf(rest + a.clip), focus = powf(q, a.negative);
            loss = -focus * logQ;
            gradient = p * rest * (focus / (rest + a.clip) - (a.negative > 0 ? a.negative * powf(q, a.negative - 1) * logQ : 0.f));
        }
        total += static_cast<double>(loss);
        a.dLogits[first + c] = factor * gradient;
    }
    total = blockSum(total, parts);
    if (threadIdx.x == 0)
        losses[blockIdx.x] = total;
}

Cross countedOf(const CrossAttention& sizes)
{
    Cross s;
    s.batch = size_t(sizes.batch);
    s.queries = size_t(sizes.queries);
    s.tokens = size_t(sizes.tokens);
    s.dim = size_t(sizes.dim);
    s.heads = size_t(sizes.heads);
    s.width = s.dim / s.heads;
    s.scale = 1.f / std::sqrt(static_cast<float>(s.width));
    return s;
}

}  // namespace

size_t crossAttentionScratch(const CrossAttention& s)
{
    return size_t(s.batch) * size_t(s.heads) * size_t(s.queries) * size_t(s.tokens) * sizeof(float);
}

void crossAttention(Stream stream, const CrossAttention& sizes, const float* q, const float* kv, float* out, float* probabilities)
{
    const Cross s = countedOf(sizes);
    launch(stream, "crossAttention", crossAttentionKernel, static_cast<unsigned>(s.batch * s.heads * s.queries), perBlock, 0, s, q, kv,
           out, probabilities);
}

void crossAttentionBackward(Stream stream, const CrossAttention& sizes, const float* q, const float* kv, const float* probabilities,
                            const float* dOut, float* dQ, float* dKv, void* scratch)
{
    const Cross s = countedOf(sizes);
    float* const d = static_cast<float*>(scratch);
    launch(stream, "crossAttentionBackward", crossScoresBackwardKernel, static_cast<unsigned>(s.batch * s.heads * s.queries), perBlock, 0,
           s, kv, probabilities, dOut, d);
    launch(stream, "crossAttentionBackward", crossTokensBackwardKernel, blocksFor(s.batch * s.tokens * 2 * s.dim, perBlock), perBlock, 0,
           s, q, probabilities, static_cast<const float*>(d), dOut, dKv);
    launch(stream, "crossAttentionBackward", crossQueriesBackwardKernel, blocksFor(s.queries * s.dim, perBlock), perBlock, 0, s, kv,
           static_cast<const float*>(d), dQ);
}

void rowProducts(Stream stream, const float* x, const float* w, const float* b, float* y, int items, int n, int dim)
{
    const size_t count = size_t(items) * size_t(n);
    launch(stream, "rowProducts", rowProductsKernel, blocksFor(count, perBlock), perBlock, 0, x, w, b, y, count, size_t(n), size_t(dim));
}

void rowProductsBackward(Stream stream, const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items,
                         int n, int dim)
{
    launch(stream, "rowProductsBackward", rowProductsBackwardKernel, blocksFor(size_t(n) * size_t(dim), perBlock), perBlock, 0, dy, x, w,
           dx, dw, db, size_t(items), size_t(n), size_t(dim));
}

size_t shareEntropyScratch(int rows) { return (2 * static_cast<size_t>(rows) + 1) * sizeof(double); }

void shareEntropy(Stream stream, const ShareEntropy& args, void* scratch)
{
    double* const losses = static_cast<double*>(scratch);
    double* const weights = losses + args.rows;
    double* const all = weights + args.rows;
    launch(stream, "shareEntropy", rowWeightsKernel, static_cast<unsigned>(args.rows), perBlock, 0, args.shares, args.classes, weights);
    launch(stream, "shareEntropy", totalKernel, 1, perBlock, 0, static_cast<const double*>(weights), args.rows, 1., all);
    launch(stream, "shareEntropy", shareEntropyKernel, static_cast<unsigned>(args.rows), perBlock, 0, args,
           static_cast<const double*>(weights), static_cast<const double*>(all), losses);
    launch(stream, "shareEntropy", totalKernel, 1, perBlock, 0, static_cast<const double*>(losses), args.rows, 1., args.loss);
}

size_t asymmetricLossScratch(int batch) { return static_cast<size_t>(batch) * sizeof(double); }

void asymmetricLoss(Stream stream, const AsymmetricLoss& args, void* scratch)
{
    double* const losses = static_cast<double*>(scratch);
    launch(stream, "asymmetricLoss", asymmetricLossKernel, static_cast<unsigned>(args.batch), perBlock, 0, args, losses);
    launch(stream, "asymmetricLoss", totalKernel, 1, perBlock, 0, static_cast<const double*>(losses), args.batch, 1. / args.batch, args.loss);
}

}}}}  // namespace
