// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The heads of several labels and of segmentation on the CPU, and their losses.
#include "backend.hpp"
#include "../../core/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace ops {

namespace
{

/// Rows `first` .. of one head as columns: out [width, tokens], so that products with a query run over neighbours.
void transposeHead(const float* rows, size_t stride, size_t tokens, size_t width, float* out)
{
    for (size_t j = 0; j < tokens; ++j)
        for (size_t c = 0; c < width; ++c)
            out[c * tokens + j] = rows[j * stride + c];
}

/// products [tokens]: of a vector with each column.
void columnProducts(const float* vector, const float* columns, size_t tokens, size_t width, float* products)
{
    std::fill(products, products + tokens, 0.f);
    for (size_t c = 0; c < width; ++c)
        for (size_t j = 0; j < tokens; ++j)
            products[j] += vector[c] * columns[c * tokens + j];
}

}  // namespace

void CpuBackend::crossAttention(const CrossAttention& sizes, const float* q, const float* kv, float* out, float* probabilities) const
{
    const size_t heads = z(sizes.heads), dim = z(sizes.dim), width = dim / heads, tokens = z(sizes.tokens), queries = z(sizes.queries);
    const float scale = 1.f / std::sqrt(static_cast<float>(width));
    parallelRanges(z(sizes.batch) * heads, 1, [&](size_t begin, size_t end)
    {
        std::vector<float> keys(width * tokens), row(tokens);
        for (size_t part = begin; part < end; ++part)
        {
            const size_t item = part / heads, column = part % heads * width;
            const float* const k = kv + item * tokens * 2 * dim + column;
            const float* const v = k + dim;
            transposeHead(k, 2 * dim, tokens, width, keys.data());
            for (size_t i = 0; i < queries; ++i)
            {
                float* const p = probabilities ? probabilities + (part * queries + i) * tokens : row.data();
                columnProducts(q + i * dim + column, keys.data(), tokens, width, p);
                const float largest = *std::max_element(p, p + tokens);
                float sum = 0;
                for (size_t j = 0; j < tokens; ++j)
                    sum += p[j] = std::exp(scale * (p[j] - largest));
                float* const to = out + (item * queries + i) * dim + column;
                std::fill(to, to + width, 0.f);
                for (size_t j = 0; j < tokens; ++j)
                {
                    p[j] /= sum;
                    for (size_t c = 0; c < width; ++c)
                        to[c] += p[j] * v[j * 2 * dim + c];
                }
            }
        }
    });
}

void CpuBackend::crossAttentionBackward(const CrossAttention& sizes, const float* q, const float* kv, float* probabilities,
                                        const float* dOut, float* dQ, float* dKv) const
{
    const size_t batch = z(sizes.batch), heads = z(sizes.heads), dim = z(sizes.dim), width = dim / heads;
    const size_t tokens = z(sizes.tokens), queries = z(sizes.queries);
    const float scale = 1.f / std::sqrt(static_cast<float>(width));
    parallelRanges(batch * heads, 1, [&](size_t begin, size_t end)
    {
        std::vector<float> values(width * tokens), d(tokens);
        for (size_t part = begin; part < end; ++part)
        {
            const size_t item = part / heads, column = part % heads * width, first = item * tokens * 2 * dim + column;
            transposeHead(kv + first + dim, 2 * dim, tokens, width, values.data());
            float* const dK = dKv + first;
            float* const dV = dK + dim;
            for (size_t j = 0; j < tokens; ++j)
                for (size_t c = 0; c < width; ++c)
                    dK[j * 2 * dim + c] = dV[j * 2 * dim + c] = 0;
            for (size_t i = 0; i < queries; ++i)
            {
                float* const p = probabilities + (part * queries + i) * tokens;
                const float* const from = dOut + (item * queries + i) * dim + column;
                columnProducts(from, values.data(), tokens, width, d.data());
                float mean = 0;
                for (size_t j = 0; j < tokens; ++j)
                    mean += p[j] * d[j];
                for (size_t j = 0; j < tokens; ++j)
                {
                    const float share = p[j], dScore = scale * share * (d[j] - mean);
                    p[j] = dScore;   // the queries' gradients are made of it below
                    for (size_t c = 0; c < width; ++c)
                    {
                        dK[j * 2 * dim + c] += dScore * q[i * dim + column + c];
                        dV[j * 2 * dim + c] += share * from[c];
                    }
                }
            }
        }
    });
    // A query's sum over the items has one order, whatever the threads.
    parallelRanges(queries * heads, 1, [&](size_t begin, size_t end)
    {
        for (size_t part = begin; part < end; ++part)
        {
            const size_t i = part / heads, head = part % heads, column = head * width;
            float* const to = dQ + i * dim + column;
            for (size_t item = 0; item < batch; ++item)
            {
                const float* const d = probabilities + ((item * heads + head) * queries + i) * tokens;
                const float* const k = kv + item * tokens * 2 * dim + column;
                for (size_t j = 0; j < tokens; ++j)
                    for (size_t c = 0; c < width; ++c)
                        to[c] += d[j] * k[j * 2 * dim + c];
            }
        }
    });
}

void CpuBackend::rowProducts(const float* x, const float* w, const float* b, float* y, int items, int n, int dim) const
{
    const size_t rows = z(n), d = z(dim);
    for (size_t i = 0; i < z(items) * rows; ++i)
    {
        const float* const weight = w + i % rows * d;
        double sum = b[i % rows];
        for (size_t c = 0; c < d; ++c)
            sum += static_cast<double>(x[i * d + c]) * weight[c];
        y[i] = static_cast<float>(sum);
    }
}

void CpuBackend::rowProductsBackward(const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items,
                                     int n, int dim) const
{
    const size_t rows = z(n), d = z(dim);
    for (size_t i = 0; i < z(items) * rows; ++i)
    {
        const size_t row = i % rows;
        db[row] += dy[i];
        for (size_t c = 0; c < d; ++c)
        {
            dw[row * d + c] += dy[i] * x[i * d + c];
            dx[i * d + c] = dy[i] * w[row * d + c];
        }
    }
}

void CpuBackend::shareEntropy(const ShareEntropy& args) const
{
    const size_t classes = z(args.classes), rows = z(args.rows);
    double weights = 0;
    for (size_t i = 0; i < rows * classes; ++i)
        weights += args.shares[i];
    const double factor = weights > 0 ? args.gradientScale / weights : 0, smoothing = args.smoothing;
    double total = 0;
    for (size_t i = 0; i < rows; ++i)
    {
        const float *logits = args.logits + i * classes, *shares = args.shares + i * classes;
        const double largest = *std::max_element(logits, logits + classes);
        double exponentials = 0, weight = 0;
        for (size_t c = 0; c < classes; ++c)
        {
            exponentials += std::exp(logits[c] - largest);
            weight += shares[c];
        }
        const double logSum = largest + std::log(exponentials);
        float* gradient = args.dLogits + i * classes;
        for (size_t c = 0; c < classes; ++c)
        {
            const double target = (1 - smoothing) * shares[c] + smoothing * weight / static_cast<double>(classes);
            const double logShare = logits[c] - logSum;
            total -= target * logShare;   // a logit that is not finite makes it NaN, in a row of weight 0, too
            gradient[c] = static_cast<float>(factor * (weight * std::exp(logShare) - target));
        }
    }
    *args.loss = weights > 0 ? total / weights : 0 * total;
}

void CpuBackend::asymmetricLoss(const AsymmetricLoss& args) const
{
    const double factor = args.gradientScale / static_cast<double>(args.batch), clip = args.clip;
    const double positive = args.positive, negative = args.negative;
    double total = 0;
    for (size_t i = 0; i < z(args.batch) * z(args.classes); ++i)
    {
        const double logit = args.logits[i], p = 1 / (1 + std::exp(-logit)), rest = 1 / (1 + std::exp(logit));   // 1 - p
        double loss = std::numeric_limits<double>::quiet_NaN(), gradient = loss;
        if (!std::isfinite(logit))
            ;
        else if (args.labels[i] > 0)
        {
            const double logP = std::min(logit, 0.) - std::log1p(std::exp(-std::fabs(logit))), focus = std::pow(rest, positive);
            loss = -focus * logP;
            gradient = focus * (positive * p * logP - rest);
        }
        else if (p <= clip)
            loss = gradient = 0;
        else
        {
            const double q = p - clip, logQ = std::log(rest + clip), focus = std::pow(q, negative);
            loss = -focus * logQ;
            gradient = p * rest * (focus / (rest + clip) - (negative > 0 ? negative * std::pow(q, negative - 1) * logQ : 0));
        }
        total += loss;
        args.dLogits[i] = static_cast<float>(factor * gradient);
    }
    *args.loss = total / args.batch;
}

}}}  // namespace
