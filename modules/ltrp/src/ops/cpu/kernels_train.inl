// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Kernels used only in training, included by kernels.inl: gradients, and values stored as bfloat16 between two
// products.

void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd, float* dx,
                       float* dw, float* db, size_t rows, size_t dim)
{
    const size_t whole = dim / W * W, rest = dim - whole;
    const float inverse = 1.f / static_cast<float>(dim);
    for (size_t r = 0; r < rows; ++r, x += dim, dy += dim, dx += dim)
    {
        const VecF m = splat(mean[r]), rs = splat(rstd[r]);
        VecF g0 = VecF{}, g1 = VecF{};
        for (size_t i = 0; i < dim; i += W)
        {
            const bool part = i == whole && rest;
            const VecF d = part ? loadPart(dy + i, rest) : load(dy + i);
            const VecF xi = part ? loadPart(x + i, rest) : load(x + i);
            const VecF wi = part ? loadPart(w + i, rest) : load(w + i);
            const VecF h = (xi - m) * rs;   // in a partial vector, d is 0 in the unused lanes
            const VecF g = d * wi;
            g0 += g;
            g1 += g * h;
            if (part)
            {
                storePart(dw + i, loadPart(dw + i, rest) + d * h, rest);
                storePart(db + i, loadPart(db + i, rest) + d, rest);
            }
            else
            {
                store(dw + i, load(dw + i) + d * h);
                store(db + i, load(db + i) + d);
            }
        }
        const VecF a = splat(sum(g0) * inverse), c = splat(sum(g1) * inverse);
        for (size_t i = 0; i < dim; i += W)
        {
            const bool part = i == whole && rest;
            const VecF d = part ? loadPart(dy + i, rest) : load(dy + i);
            const VecF xi = part ? loadPart(x + i, rest) : load(x + i);
            const VecF wi = part ? loadPart(w + i, rest) : load(w + i);
            const VecF h = (xi - m) * rs;
            const VecF g = (d * wi - a - h * c) * rs;
            if (part)
                storePart(dx + i, loadPart(dx + i, rest) + g, rest);
            else
                store(dx + i, load(dx + i) + g);
        }
    }
}

/// GELU of v and its derivative: both come from the same exponential.
LTRP_INLINE void geluWithSlope(VecF v, VecF& value, VecF& slope)
{
    VecF cdf, bell;
    normalCdf(v, cdf, bell);
    value = v * cdf;
    slope = cdf + v * bell * 0.39894228f;   // 1 / sqrt(2 pi)
}

void geluBackward(const float* x, const float* dy, float* dx, float* y, size_t count)
{
    for (size_t i = 0; i < count; i += W)
    {
        const bool part = count - i < W;
        const VecF d = part ? loadPart(dy + i, count - i) : load(dy + i);
        VecF value, slope;
        geluWithSlope(part ? loadPart(x + i, count - i) : load(x + i), value, slope);
        if (part)
        {
            storePart(dx + i, d * slope, count - i);
            if (y)
                storePart(y + i, value, count - i);
            break;
        }
        store(dx + i, d * slope);
        if (y)
            store(y + i, value);
    }
}

void gelu16(const uint16_t* x, uint16_t* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)   // whole vectors separately: copies of a fixed size are single instructions
        store16(y + i, rounded16(roundedGelu(widened(load16(x + i)))));
    if (i < count)
        store16(y + i, rounded16(roundedGelu(widened(load16(x + i, count - i)))), count - i);
}

LTRP_INLINE void geluBackwardPart16(const uint16_t* x, const uint16_t* dy, uint16_t* dx, uint16_t* y, size_t n)
{
    VecF value, slope;
    geluWithSlope(widened(load16(x, n)), value, slope);
    const VecF d = widened(load16(dy, n));
    store16(y, rounded16(value), n);
    store16(dx, rounded16(d * slope), n);
}

void geluBackward16(const uint16_t* x, const uint16_t* dy, uint16_t* dx, uint16_t* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)
        geluBackwardPart16(x + i, dy + i, dx + i, y + i, W);
    if (i < count)
        geluBackwardPart16(x + i, dy + i, dx + i, y + i, count - i);
}

void fromBf16(const uint16_t* x, float* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)
        store(y + i, widened(load16(x + i)));
    if (i < count)
        storePart(y + i, widened(load16(x + i, count - i)), count - i);
}

void attentionBackward(const HeadArgs& h)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    float* vt = h.scratch;
    float* q = vt + tp * wp;
    float* k = q + tp * wp;
    float* d = k + tp * wp;
    float* result = d + tp * wp;
    float* ds = result + tp * wp;
    float* p = h.probabilities;
    packRows(h.q, h.stride, tokens, width, q, wp);
    if (!p)   // recomputed, which is faster than loading them from memory
    {
        p = ds + tp * tp;
        packTransposed(h.k, h.stride, tokens, width, vt, tp);
        smallProduct(q, wp, 1, vt, tp, p, tp, tokens, tp, width);
        for (size_t t = 0; t < tokens; ++t)
        {
            float* row = p + t * tp;
            const float inverse = exponentialRow(row, tokens, tp, h.scale, -1);
            for (size_t i = 0; i < tp; i += W)
                store(row + i, load(row + i) * inverse);
        }
    }
    packTransposed(h.v, h.stride, tokens, width, vt, tp);
    packRows(h.k, h.stride, tokens, width, k, wp);
    packRows(h.dOut, h.outStride, tokens, width, d, wp);
    smallProduct(d, wp, 1, vt, tp, ds, tp, tokens, tp, width);
    for (size_t t = 0; t < tokens; ++t)   // backward softmax: ds = p * (dp - sum(p * dp)) * scale
    {
        const float* weights = p + t * tp;
        float* row = ds + t * tp;
        VecF s = VecF{};
        for (size_t i = 0; i < tp; i += W)
            s += load(weights + i) * load(row + i);
        const VecF mean = splat(sum(s));
        for (size_t i = 0; i < tp; i += W)
            store(row + i, load(weights + i) * (load(row + i) - mean) * h.scale);
    }
    smallProduct(ds, tp, 1, k, wp, result, wp, tokens, wp, tokens);
    for (size_t t = 0; t < tokens; ++t)
        std::memcpy(h.dq + t * h.stride, result + t * wp, width * sizeof(float));
    smallProduct(ds, 1, tp, q, wp, result, wp, tokens, wp, tokens);
    for (size_t t = 0; t < tokens; ++t)
        std::memcpy(h.dk + t * h.stride, result + t * wp, width * sizeof(float));
    smallProduct(p, 1, tp, d, wp, result, wp, tokens, wp, tokens);
    for (size_t t = 0; t < tokens; ++t)
        std::memcpy(h.dv + t * h.stride, result + t * wp, width * sizeof(float));
}

void columnSums(const float* x, float* sums, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; ++r, x += columns)
    {
        size_t i = 0;
        for (; i + W <= columns; i += W)
            store(sums + i, load(sums + i) + load(x + i));
        for (; i < columns; ++i)
            sums[i] += x[i];
    }
}

void columnSums16(const uint16_t* x, float* sums, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; ++r, x += columns)
    {
        size_t i = 0;
        for (; i + W <= columns; i += W)
            store(sums + i, load(sums + i) + widened(load16(x + i)));
        if (i < columns)
            storePart(sums + i, loadPart(sums + i, columns - i) + widened(load16(x + i, columns - i)), columns - i);
    }
}

#ifdef LTRP_BF16

#include "attention_bf16_backward.inl"

#endif
