// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Gradients of attention on bfloat16 pairs, included by kernels_train.inl. Scores and weights are recomputed from
// queries and keys. They and their gradients are rounded to 16 bits for products; sums and softmax are fp32.

/// Rows of an operand in 16 bits, padded, for productPairs.
LTRP_INLINE void packRows16(const uint16_t* x, size_t stride, size_t n, size_t width, uint32_t* out, size_t pairs)
{
    for (size_t r = 0; r < n; ++r)
        halfRow(x + r * stride, true, width, reinterpret_cast<uint16_t*>(out + r * pairs), 2 * pairs);
}

/// Backward softmax of one row: scores become gradients ds = p * (dp - sum(p * dp)) * scale; both are written as 16
/// bits.
LTRP_INLINE void softmaxBackward16(float* scores, const float* dp, size_t tokens, size_t padded, float scale, uint16_t* p,
                                   uint16_t* ds)
{
    const float inverse = exponentialRow(scores, tokens, padded, scale, -1);
    VecF s = VecF{};
    for (size_t i = 0; i < padded; i += W)
    {
        const VecF weight = load(scores + i) * inverse;
        store(scores + i, weight);
        store16(p + i, rounded16(weight));
        s += weight * load(dp + i);
    }
    const VecF mean = splat(sum(s));
    for (size_t i = 0; i < padded; i += W)
        store16(ds + i, rounded16(load(scores + i) * (load(dp + i) - mean) * scale));
}

/// Interleaves two rows into one row of pairs.
LTRP_INLINE void interleave16(const uint16_t* first, const uint16_t* second, uint32_t* out, size_t count)
{
    for (size_t i = 0; i < count; i += W)
    {
        const VecN pairs = __builtin_convertvector(load16(first + i), VecN)
                         | (__builtin_convertvector(load16(second + i), VecN) << 16);
        std::memcpy(out + i, &pairs, sizeof(pairs));
    }
}

LTRP_INLINE void storeRows16(const float* x, size_t padded, size_t rows, size_t width, uint16_t* out, size_t stride)
{
    for (size_t r = 0; r < rows; ++r)
        scaledRow(x + r * padded, 1.f, out + r * stride, width);
}

void attentionBackward16(const HeadArgs16& h)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    const size_t widthPairs = wp / 2, tokenPairs = tp / 2, block = attentionBlock;
    uint32_t* keysAcross = reinterpret_cast<uint32_t*>(h.scratch);   // [width pairs, tokens]
    uint32_t* valuesAcross = keysAcross + widthPairs * tp;
    uint32_t* keys = valuesAcross + widthPairs * tp;                 // [token pairs, width]
    uint32_t* queries = keys + tokenPairs * wp;
    uint32_t* grads = queries + tokenPairs * wp;                     // of the output
    uint32_t* weights = grads + tokenPairs * wp;                     // [query pairs, tokens]
    uint32_t* dScores = weights + tokenPairs * tp;
    uint32_t* row = dScores + tokenPairs * tp;                       // [block, width pairs]
    uint32_t* dRow = row + block * widthPairs;                       // [block, token pairs], also of the weights
    float* scores = reinterpret_cast<float*>(dRow + 2 * block * tokenPairs);   // [block, tokens]
    float* dWeights = scores + block * tp;
    float* result = dWeights + block * tp;                           // [tokens, width]
    packWidthPairs(h.k, h.stride, tokens, width, keysAcross, tp, wp);
    packWidthPairs(h.v, h.stride, tokens, width, valuesAcross, tp, wp);
    packTokenPairs(h.k, h.stride, tokens, width, keys, tp, wp);
    packTokenPairs(h.q, h.stride, tokens, width, queries, tp, wp);
    packTokenPairs(h.dOut, h.outStride, tokens, width, grads, tp, wp);
    for (size_t i = 0; i < tokens; i += block)
    {
        const size_t n = tokens - i < block ? tokens - i : block;
        packRows16(h.q + i * h.stride, h.stride, n, width, row, widthPairs);
        productPairs<false>(row, widthPairs, keysAcross, tp, scores, tp, n, tp, widthPairs);
        packRows16(h.dOut + i * h.outStride, h.outStride, n, width, row, widthPairs);
        productPairs<false>(row, widthPairs, valuesAcross, tp, dWeights, tp, n, tp, widthPairs);
        uint16_t* d = reinterpret_cast<uint16_t*>(dRow);
        uint16_t* p = d + block * tp;
        for (size_t r = 0; r < n; ++r)
            softmaxBackward16(scores + r * tp, dWeights + r * tp, tokens, tp, h.scale, p + r * tp, d + r * tp);
        if (n % 2)   // pair of an odd last row
        {
            std::memset(d + n * tp, 0, tp * sizeof(uint16_t));
            std::memset(p + n * tp, 0, tp * sizeof(uint16_t));
        }
        for (size_t r = 0; r < n; r += 2)
        {
            interleave16(d + r * tp, d + (r + 1) * tp, dScores + (i + r) / 2 * tp, tp);
            interleave16(p + r * tp, p + (r + 1) * tp, weights + (i + r) / 2 * tp, tp);
        }
        productPairs<false>(dRow, tokenPairs, keys, wp, result, wp, n, wp, tokenPairs);
        storeRows16(result, wp, n, width, h.dq + i * h.stride, h.stride);
    }
    const size_t queryPairs = (tokens + 1) / 2;
    productPairs<true>(dScores, tp, queries, wp, result, wp, tokens, wp, queryPairs);
    storeRows16(result, wp, tokens, width, h.dk, h.stride);
    productPairs<true>(weights, tp, grads, wp, result, wp, tokens, wp, queryPairs);
    storeRows16(result, wp, tokens, width, h.dv, h.stride);
}
