// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention on bfloat16 pairs, included by kernels.inl if the instruction set has bfloat16 products: a 32-bit lane
// holds two neighbours along the summed dimension, low one first; one instruction adds both products to an fp32 lane.

LTRP_INLINE VecF addPairs(VecF s, VecI a, VecI b)
{
    return (VecF)_mm512_dpbf16_ps((__m512)s, (__m512bh)a, (__m512bh)b);
}

LTRP_INLINE VecI loadPairs(const uint32_t* p)
{
    return (VecI)_mm512_loadu_si512(p);
}

/// c [R, NV * W] = a [R, pairs] b [pairs, NV * W] over bfloat16 pairs. TURNED: a is stored as [pairs, R] with row
/// stride aRow.
template <int R, int NV, bool TURNED>
LTRP_INLINE void tilePairs(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, float* c, size_t cRow, size_t pairs)
{
    VecF s[R][NV];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            s[r][v] = VecF{};
    for (size_t i = 0; i < pairs; ++i)
    {
        VecI bv[NV];
        for (int v = 0; v < NV; ++v)
            bv[v] = loadPairs(b + i * bRow + static_cast<size_t>(v) * W);
        for (int r = 0; r < R; ++r)
        {
            const VecI av = (VecI)_mm512_set1_epi32(static_cast<int>(TURNED ? a[i * aRow + static_cast<size_t>(r)] : a[static_cast<size_t>(r) * aRow + i]));
            for (int v = 0; v < NV; ++v)
                s[r][v] = addPairs(s[r][v], av, bv[v]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            store(c + static_cast<size_t>(r) * cRow + static_cast<size_t>(v) * W, s[r][v]);
}

template <int R, int NV, bool TURNED>
LTRP_INLINE void columnPairs(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, float* c, size_t cRow, size_t m,
                             size_t pairs)
{
    const size_t step = TURNED ? 1 : aRow;
    size_t i = 0;
    for (; i + R <= m; i += R)
        tilePairs<R, NV, TURNED>(a + i * step, aRow, b, bRow, c + i * cRow, cRow, pairs);
    for (; i + 2 <= m; i += 2)
        tilePairs<2, NV, TURNED>(a + i * step, aRow, b, bRow, c + i * cRow, cRow, pairs);
    for (; i < m; ++i)
        tilePairs<1, NV, TURNED>(a + i * step, aRow, b, bRow, c + i * cRow, cRow, pairs);
}

/// c [m, n] = a [m, pairs] b [pairs, n]; n a multiple of 16. Tiles fill the 32 vector registers.
template <bool TURNED>
void productPairs(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, float* c, size_t cRow, size_t m, size_t n,
                  size_t pairs)
{
    size_t j = 0;
    for (; j + 4 * W <= n; j += 4 * W)
        columnPairs<6, 4, TURNED>(a, aRow, b + j, bRow, c + j, cRow, m, pairs);
    for (; j + 2 * W <= n; j += 2 * W)
        columnPairs<12, 2, TURNED>(a, aRow, b + j, bRow, c + j, cRow, m, pairs);
    for (; j < n; j += W)
        columnPairs<12, 1, TURNED>(a, aRow, b + j, bRow, c + j, cRow, m, pairs);
}

/// exponentialRow() with bfloat16 output; its relative error of 1e-4 is below the format's.
LTRP_INLINE float exponentialPairs(float* row, uint16_t* out, size_t tokens, size_t padded, float scale, int droppedToken)
{
    const float factor = scale * 1.44269504f;   // exponents of 2 from here on
    const VecF offset = splat(-maskRow(row, tokens, padded, droppedToken) * factor), magic = splat(12582912.f);
    VecF total = VecF{};
    for (size_t i = 0; i < padded; i += W)
    {
        const VecF x = maximum(load(row + i) * factor + offset, splat(-126.f));
        const VecF shifted = x + magic;
        const VecF r = x - (shifted - magic);
        const VecF power = ((r * 0.05517155f + 0.24261136f) * r + 0.69326102f) * r + 0.99992806f;
        const VecF e = (VecF)((VecI)power + ((VecI)shifted << 23));
        total += e;
        const VecH half = rounded16(e);
        std::memcpy(out + i, &half, sizeof(half));
    }
    if (droppedToken >= 0)
        out[droppedToken] = 0;   // the values of padding tokens are zero
    return 1.f / sum(total);
}

LTRP_INLINE void copy16(const float* x, uint16_t* y, size_t count) { toBf16(x, y, count); }
LTRP_INLINE void copy16(const uint16_t* x, uint16_t* y, size_t count) { std::memcpy(y, x, count * sizeof(uint16_t)); }

LTRP_INLINE void expectRow(const uint16_t* p, size_t stride, size_t ahead, size_t width)
{
    for (size_t i = 0; i < width; i += 32)
        __builtin_prefetch(p + ahead * stride + i);
}

/// Copies one row as 16 bits, padded with zeros; all zeros if the row does not exist.
template <class Value>
LTRP_INLINE void halfRow(const Value* x, bool present, size_t width, uint16_t* row, size_t padded)
{
    std::memset(row, 0, padded * sizeof(uint16_t));
    if (present)
        copy16(x, row, width);
}

/// Rows [tokens, width] with a stride -> pairs along the width, [padded width / 2, padded tokens].
template <class Value>
void packWidthPairs(const Value* x, size_t stride, size_t tokens, size_t width, uint32_t* out, size_t tp, size_t wp)
{
    uint16_t row[512];
    for (size_t t = 0; t < tp; ++t)
    {
        expectRow(x + t * stride, stride, 12, width);
        halfRow(x + t * stride, t < tokens, width, row, wp);
        for (size_t i = 0; i < wp / 2; ++i)
            out[i * tp + t] = static_cast<uint32_t>(row[2 * i + 1]) << 16 | row[2 * i];
    }
}

/// Rows [tokens, width] with a stride -> pairs along the tokens, [padded tokens / 2, padded width].
template <class Value>
void packTokenPairs(const Value* x, size_t stride, size_t tokens, size_t width, uint32_t* out, size_t tp, size_t wp)
{
    uint16_t row[2][512];
    for (size_t t = 0; t < tp; t += 2)
    {
        for (size_t k = 0; k < 2; ++k)
        {
            expectRow(x + (t + k) * stride, stride, 12, width);
            halfRow(x + (t + k) * stride, t + k < tokens, width, row[k], wp);
        }
        for (size_t i = 0; i < wp; ++i)
            out[t / 2 * wp + i] = static_cast<uint32_t>(row[1][i]) << 16 | row[0][i];
    }
}

LTRP_INLINE void scaledRow(const float* x, float factor, uint16_t* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)
        store16(y + i, rounded16(load(x + i) * factor));
    if (i < count)
        store16(y + i, rounded16(load(x + i) * factor), count - i);   // x is padded, so that whole vectors can be read
}

/// Keys [width pairs, padded tokens], then values [token pairs, padded width], in half the memory of packKeys().
template <class Value>
LTRP_INLINE void packPairs(const HeadArgsOf<Value>& h, uint32_t* out)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    packWidthPairs(h.k, h.stride, tokens, width, out, tp, wp);
    packTokenPairs(h.v, h.stride, tokens, width, out + tp * wp / 2, tp, wp);
}

void packKeysBf16(const HeadArgs& h, float* out)
{
    packPairs(h, reinterpret_cast<uint32_t*>(out));
}

/// Attention to packed keys and values; the output of query `silent` is zero. scratch: for a block of queries.
template <class Value>
LTRP_INLINE void attendPairs(const HeadArgsOf<Value>& h, const uint32_t* packed, uint32_t* scratch, int silent)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    const size_t widthPairs = wp / 2, tokenPairs = tp / 2;
    const uint32_t* keys = packed;
    const uint32_t* values = packed + widthPairs * tp;
    uint32_t* queries = scratch;                                 // [block, width pairs]
    uint32_t* weights = queries + attentionBlock * widthPairs;   // [block, token pairs]
    float* rows = reinterpret_cast<float*>(weights + attentionBlock * tokenPairs);
    float* result = rows + attentionBlock * tp;
    const size_t last = static_cast<size_t>(h.lastQuery);
    for (size_t i = static_cast<size_t>(h.firstQuery); i < last; i += attentionBlock)
    {
        const size_t n = last - i < attentionBlock ? last - i : attentionBlock;
        float inverse[attentionBlock];
        for (size_t r = 0; r < n; ++r)
        {
            expectRow(h.q + (i + r) * h.stride, h.stride, 12, width);
            halfRow(h.q + (i + r) * h.stride, true, width, reinterpret_cast<uint16_t*>(queries + r * widthPairs), wp);
        }
        productPairs<false>(queries, widthPairs, keys, tp, rows, tp, n, tp, widthPairs);
        for (size_t r = 0; r < n; ++r)
        {
            uint16_t* row = reinterpret_cast<uint16_t*>(weights + r * tokenPairs);
            if (static_cast<int>(i + r) == silent)
            {
                std::memset(row, 0, tp * sizeof(uint16_t));
                inverse[r] = 0.f;
                continue;
            }
            inverse[r] = exponentialPairs(rows + r * tp, row, tokens, tp, h.scale, h.droppedToken);
        }
        productPairs<false>(weights, tokenPairs, values, wp, result, wp, n, wp, tokenPairs);
        for (size_t r = 0; r < n; ++r)
            scaledRow(result + r * wp, inverse[r], h.out + (i + r) * h.outStride, width);
    }
}

template <class Value>
void attentionPairs(const HeadArgsOf<Value>& h)
{
    uint32_t* packed = reinterpret_cast<uint32_t*>(h.scratch);   // the fp32 scratch size is twice what pairs need
    packPairs(h, packed);
    attendPairs(h, packed, packed + static_cast<size_t>(paddedTokens(h.tokens)) * static_cast<size_t>(paddedWidth(h.width)),
                h.droppedToken);
}
