// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention of variants that differ little from one another, included by kernels.inl: a few rows of keys and values are
// replaced, or one is removed.

void attentionAmong(const HeadArgs& h)
{
    const size_t width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    float* kt = h.scratch;
    float* v = kt + tp * wp;
    std::memcpy(kt, h.packed, 2 * tp * wp * sizeof(float));
    for (size_t i = 0; i < static_cast<size_t>(h.live); ++i)
    {
        const size_t tokenIndex = static_cast<size_t>(h.tokenIndices[i]);
        const float* from = h.k + i * h.stride;
        for (size_t j = 0; j < width; ++j)
            kt[j * tp + tokenIndex] = from[j];
        std::memcpy(v + tokenIndex * wp, h.v + i * h.stride, width * sizeof(float));
    }
    attendPacked(h, kt, v, v + tp * wp, -1);
}

#ifdef LTRP_BF16

void attentionAmongBf16(const HeadArgs& h)
{
    const size_t width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    uint32_t* keys = reinterpret_cast<uint32_t*>(h.scratch);
    uint32_t* values = keys + tp * wp / 2;
    std::memcpy(keys, h.packed, tp * wp * sizeof(uint32_t));
    uint16_t half[512] = {};
    for (size_t i = 0; i < static_cast<size_t>(h.live); ++i)
    {
        const size_t tokenIndex = static_cast<size_t>(h.tokenIndices[i]);
        toBf16(h.k + i * h.stride, half, width);
        for (size_t j = 0; j < wp / 2; ++j)
            keys[j * tp + tokenIndex] = static_cast<uint32_t>(half[2 * j + 1]) << 16 | half[2 * j];
        toBf16(h.v + i * h.stride, half, width);
        uint16_t* row = reinterpret_cast<uint16_t*>(values + tokenIndex / 2 * wp) + tokenIndex % 2;
        for (size_t j = 0; j < width; ++j)
            row[2 * j] = half[j];
    }
    attendPairs(h, keys, keys + tp * wp, -1);
}

#endif

/// Attention of query `row` without key h.droppedToken, computed directly.
LTRP_INLINE void attendOne(const HeadArgs& h, size_t row, float* out)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    float largestScore = -std::numeric_limits<float>::infinity(), total = 0;
    for (size_t t = 0; t < tokens; ++t)
    {
        float score = 0;
        for (size_t j = 0; j < width; ++j)
            score += h.q[row * h.stride + j] * h.k[t * h.stride + j];
        h.scratch[t] = score * h.scale;
        if (static_cast<int>(t) != h.droppedToken && h.scratch[t] > largestScore)
            largestScore = h.scratch[t];
    }
    for (size_t j = 0; j < width; ++j)
        out[j] = 0;
    for (size_t t = 0; t < tokens; ++t)
    {
        if (static_cast<int>(t) == h.droppedToken)
            continue;
        const float e = std::exp(h.scratch[t] - largestScore);
        total += e;
        for (size_t j = 0; j < width; ++j)
            out[j] += e * h.v[t * h.stride + j];
    }
    for (size_t j = 0; j < width; ++j)
        out[j] /= total;
}

void withoutKey(const HeadArgs& h)
{
    const size_t width = static_cast<size_t>(h.width), tp = static_cast<size_t>(paddedTokens(h.tokens));
    const float* gone = h.v + static_cast<size_t>(h.droppedToken) * h.stride;
    for (size_t i = 0; i < static_cast<size_t>(h.live); ++i)
    {
        const size_t row = static_cast<size_t>(h.tokenIndices[i]);
        const float weight = h.probabilities[row * tp + static_cast<size_t>(h.droppedToken)];
        const float* with = h.result + row * h.resultStride;
        float* out = h.out + i * h.outStride;
        if (static_cast<int>(row) == h.droppedToken)
            std::memset(out, 0, width * sizeof(float));
        else if (!(weight <= 0.5f))   // the correction would lose too many digits
            attendOne(h, row, out);
        else
        {
            const float rest = 1.f / (1.f - weight);
            size_t j = 0;
            for (; j + W <= width; j += W)
                store(out + j, (load(with + j) - load(gone + j) * weight) * rest);
            for (; j < width; ++j)
                out[j] = (with[j] - gone[j] * weight) * rest;
        }
    }
}
