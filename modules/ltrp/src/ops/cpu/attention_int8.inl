// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Attention in 8 bits, included by kernels.inl if the instruction set has byte products: a 32-bit lane holds four
// neighbours along the summed dimension, and one instruction adds their four products to a 32-bit integer. Sums are
// exact; the factors are rounded: queries to 0 .. 255 over each one's range, keys to -127 .. 127 of each one's largest
// value, values likewise of the largest in their column, weights to 255ths of the largest weight of the query.

// These instructions belong to neither AVX-512 table's instruction set. This code runs only if matmulLacks() has
// confirmed that the processor has them.
#ifdef __clang__
#pragma clang attribute pop   // with two target attributes a function would use the first
#pragma clang attribute push(__attribute__((target(LTRP_TARGET ",avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512vnni")
#endif

/// a unsigned, b signed.
LTRP_INLINE VecI addQuads(VecI s, VecI a, VecI b)
{
    return (VecI)_mm512_dpbusd_epi32((__m512i)s, (__m512i)a, (__m512i)b);
}

LTRP_INLINE VecI loadQuads(const uint32_t* p) { return (VecI)_mm512_loadu_si512(p); }
LTRP_INLINE void storeQuads(uint32_t* p, VecI v) { _mm512_storeu_si512(p, (__m512i)v); }
LTRP_INLINE VecI nearest(VecF v) { return (VecI)_mm512_maskz_cvtps_epi32(0xffff, (__m512)v); }

LTRP_INLINE void storeBytes(void* p, VecI v)
{
    const VecB b = __builtin_convertvector(v, VecB);
    std::memcpy(p, &b, sizeof(b));
}

/// Values i .. i + 15 of a row, zeros from `width` on.
LTRP_INLINE VecF loadUpTo(const float* row, size_t i, size_t width)
{
    const unsigned there = i >= width ? 0u : width - i < W ? (1u << (width - i)) - 1 : 0xffffu;
    return (VecF)_mm512_maskz_loadu_ps(static_cast<__mmask16>(there), row + i);
}

/// Converts integer sums to floats: sum * rows[r] * columns[c] + rowLows[r] * columnLows[c].
struct Factors
{
    const float* rows;
    const float* columns;
    const float* rowLows;   ///< null: no second term
    const float* columnLows;
};

/// c [R, NV * W] = a [R, quads] b [quads, NV * W] over quads of bytes. LOWS: with the factors' second term.
template <int R, int NV, bool LOWS>
LTRP_INLINE void tileQuads(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, const Factors& f, size_t row,
                           size_t column, float* c, size_t cRow, size_t quads)
{
    VecI s[R][NV];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            s[r][v] = VecI{};
    for (size_t i = 0; i < quads; ++i)
    {
        VecI bv[NV];
        for (int v = 0; v < NV; ++v)
            bv[v] = loadQuads(b + i * bRow + static_cast<size_t>(v) * W);
        for (int r = 0; r < R; ++r)
        {
            const VecI av = (VecI)_mm512_set1_epi32(static_cast<int>(a[static_cast<size_t>(r) * aRow + i]));
            for (int v = 0; v < NV; ++v)
                s[r][v] = addQuads(s[r][v], av, bv[v]);
        }
    }
    for (int v = 0; v < NV; ++v)
    {
        const size_t at = static_cast<size_t>(v) * W;
        const VecF factor = load(f.columns + column + at);
        for (int r = 0; r < R; ++r)
        {
            const size_t y = static_cast<size_t>(r);
            VecF x = __builtin_convertvector(s[r][v], VecF) * (factor * f.rows[row + y]);
            if (LOWS)
                x += load(f.columnLows + column + at) * f.rowLows[row + y];
            store(c + y * cRow + at, x);
        }
    }
}

template <int R, int NV, bool LOWS>
LTRP_INLINE void columnQuads(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, const Factors& f, size_t column,
                             float* c, size_t cRow, size_t m, size_t quads)
{
    size_t i = 0;
    for (; i + R <= m; i += R)
        tileQuads<R, NV, LOWS>(a + i * aRow, aRow, b, bRow, f, i, column, c + i * cRow, cRow, quads);
    for (; i + 2 <= m; i += 2)
        tileQuads<2, NV, LOWS>(a + i * aRow, aRow, b, bRow, f, i, column, c + i * cRow, cRow, quads);
    for (; i < m; ++i)
        tileQuads<1, NV, LOWS>(a + i * aRow, aRow, b, bRow, f, i, column, c + i * cRow, cRow, quads);
}

/// c [m, n] = a [m, quads] b [quads, n]; n a multiple of 16. Tiles fill the 32 vector registers.
template <bool LOWS>
void productQuads(const uint32_t* a, size_t aRow, const uint32_t* b, size_t bRow, const Factors& f, float* c, size_t cRow,
                  size_t m, size_t n, size_t quads)
{
    size_t j = 0;
    for (; j + 4 * W <= n; j += 4 * W)
        columnQuads<6, 4, LOWS>(a, aRow, b + j, bRow, f, j, c + j, cRow, m, quads);
    for (; j + 2 * W <= n; j += 2 * W)
        columnQuads<12, 2, LOWS>(a, aRow, b + j, bRow, f, j, c + j, cRow, m, quads);
    for (; j < n; j += W)
        columnQuads<12, 1, LOWS>(a, aRow, b + j, bRow, f, j, c + j, cRow, m, quads);
}

/// Rows [tokens, width] with a stride -> quads along the width, [quads, padded tokens], zero padded; a row's values are
/// `scales` * factor of its bytes, and `sums` is the sum of such a row.
void packWidthQuads(const float* x, size_t stride, size_t tokens, size_t width, float factor, uint32_t* out, size_t tp,
                    size_t quads, float* scales, float* sums)
{
    uint32_t row[512 / 4];
    for (size_t t = 0; t < tp; ++t)
    {
        VecF most = VecF{};
        if (t < tokens)
        {
            expectRow(x + t * stride, stride, 12, width);
            for (size_t i = 0; i < width; i += W)
                most = maximum(most, absolute(loadUpTo(x + t * stride, i, width)));
        }
        const float top = largest(most), inverse = top > 0 ? 127.f / top : 0.f;
        scales[t] = top * (factor / 127.f);
        if (t < tokens)
            for (size_t i = 0; i < width; i += W)
                storeBytes(row + i / 4, nearest(loadUpTo(x + t * stride, i, width) * inverse));
        else
            std::memset(row, 0, sizeof(row));
        for (size_t i = 0; i < quads; ++i)
            out[i * tp + t] = row[i];
    }
    const VecI ones = VecI{} + 0x01010101;
    for (size_t t = 0; t < tp; t += W)
    {
        VecI s = VecI{};
        for (size_t i = 0; i < quads; ++i)
            s = addQuads(s, ones, loadQuads(out + i * tp + t));
        store(sums + t, __builtin_convertvector(s, VecF) * load(scales + t));
    }
}

/// Columns first .. first + NV * W - 1 of packTokenQuads().
template <int NV>
LTRP_INLINE void packTokenQuadColumns(const float* x, size_t stride, size_t tokens, size_t width, size_t first, uint32_t* out,
                                      size_t wp, float* scales)
{
    VecF most[NV], inverse[NV];
    for (int v = 0; v < NV; ++v)
        most[v] = VecF{};
    for (size_t t = 0; t < tokens; ++t)
    {
        expectRow(x + t * stride + first, stride, 12, NV * W);
        for (int v = 0; v < NV; ++v)
            most[v] = maximum(most[v], absolute(loadUpTo(x + t * stride, first + static_cast<size_t>(v) * W, width)));
    }
    for (int v = 0; v < NV; ++v)
    {
        store(scales + first + static_cast<size_t>(v) * W, most[v] * (1 / 127.f));
        inverse[v] = select(most[v] > VecF{}, 127.f / most[v], VecF{});
    }
    for (size_t t = 0; t < tokens; t += 4)
        for (int v = 0; v < NV; ++v)
        {
            const size_t column = first + static_cast<size_t>(v) * W;
            VecI quad = VecI{};
            for (size_t k = 0; k < 4; ++k)
            {
                const VecF there = loadUpTo(x + (t + k) * stride, column, t + k < tokens ? width : 0);
                quad |= (nearest(there * inverse[v]) & 0xff) << (8 * static_cast<int>(k));
            }
            storeQuads(out + t / 4 * wp + column, quad);
        }
}

/// Rows [tokens, width] with a stride -> quads along the tokens, [padded tokens / 4, padded width], zero padded; a
/// column's values are `scales` of its bytes.
void packTokenQuads(const float* x, size_t stride, size_t tokens, size_t width, uint32_t* out, size_t wp, float* scales)
{
    size_t i = 0;
    for (; i + 4 * W <= wp; i += 4 * W)
        packTokenQuadColumns<4>(x, stride, tokens, width, i, out, wp, scales);
    for (; i < wp; i += W)
        packTokenQuadColumns<1>(x, stride, tokens, width, i, out, wp, scales);
}

/// Scores as exponents of 2 -> bytes in proportion to the softmax, zero for `droppedToken` and padding; returns 1 /
/// their sum, so that the rounded weights also add up to one.
LTRP_INLINE float exponentialBytes(float* row, uint8_t* out, size_t tokens, size_t padded, int droppedToken)
{
    const VecF offset = splat(7.99435344f - maskRow(row, tokens, padded, droppedToken));   // the largest becomes 255
    const VecF magic = splat(12582912.f);
    // Dithering: each lane rounds with its own offset. Rounded to nearest, many small weights next to one large weight
    // would all become zero; this way a proportional share of them is kept.
    const VecF roundingOffsets = {1 / 32.f, 17 / 32.f, 9 / 32.f, 25 / 32.f, 5 / 32.f, 21 / 32.f, 13 / 32.f, 29 / 32.f,
                                  3 / 32.f, 19 / 32.f, 11 / 32.f, 27 / 32.f, 7 / 32.f, 23 / 32.f, 15 / 32.f, 31 / 32.f};
    VecI total = VecI{};
    for (size_t i = 0; i < padded; i += W)
    {
        const VecF x = maximum(load(row + i) + offset, splat(-126.f));
        const VecF shifted = x + magic;
        const VecF r = x - (shifted - magic);
        const VecF power = ((r * 0.05517155f + 0.24261136f) * r + 0.69326102f) * r + 0.99992806f;
        const VecF e = (VecF)((VecI)power + ((VecI)shifted << 23));
        const VecI level = __builtin_convertvector(minimum(e + roundingOffsets, splat(255.f)), VecI);
        total += level;
        storeBytes(out + i, level);
    }
    return 1.f / sum(__builtin_convertvector(total, VecF));
}

void attentionInt8(const HeadArgs& h)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    const size_t widthQuads = (width + 3) / 4, tokenQuads = (tokens + 3) / 4;
    float* keyScales = h.scratch;           // [tokens]
    float* keySums = keyScales + tp;        // [tokens]
    float* valueScales = keySums + tp;      // [width]
    float* rows = valueScales + wp;         // [block, tokens]
    float* result = rows + attentionBlock * tp;
    uint32_t* keys = reinterpret_cast<uint32_t*>(result + attentionBlock * wp);
    uint32_t* values = keys + wp / 4 * tp;
    uint32_t* queries = values + tp / 4 * wp;                 // [block, width quads]
    uint32_t* weights = queries + attentionBlock * wp / 4;    // [block, padded tokens / 4]
    packWidthQuads(h.k, h.stride, tokens, width, h.scale * 1.44269504f, keys, tp, widthQuads, keyScales, keySums);
    packTokenQuads(h.v, h.stride, tokens, width, values, wp, valueScales);
    float scales[attentionBlock], lows[attentionBlock], inverse[attentionBlock];
    const Factors ofScores = {scales, keyScales, lows, keySums}, ofResult = {inverse, valueScales, nullptr, nullptr};
    const size_t last = static_cast<size_t>(h.lastQuery);
    for (size_t i = static_cast<size_t>(h.firstQuery); i < last; i += attentionBlock)
    {
        const size_t n = last - i < attentionBlock ? last - i : attentionBlock;
        for (size_t r = 0; r < n; ++r)
        {
            expectRow(h.q + (i + r) * h.stride, h.stride, 12, width);
            queries[(r + 1) * widthQuads - 1] = 0;   // it may extend past the row
            quantise(h.q + (i + r) * h.stride, reinterpret_cast<uint8_t*>(queries + r * widthQuads), scales + r, lows + r, 1,
                     width);
        }
        productQuads<true>(queries, widthQuads, keys, tp, ofScores, rows, tp, n, tp, widthQuads);
        for (size_t r = 0; r < n; ++r)
        {
            uint8_t* row = reinterpret_cast<uint8_t*>(weights + r * tp / 4);
            inverse[r] = 0.f;
            if (static_cast<int>(i + r) == h.droppedToken)
                std::memset(row, 0, tp);
            else
                inverse[r] = exponentialBytes(rows + r * tp, row, tokens, tp, h.droppedToken);
        }
        float* to = h.out + i * h.outStride;
        if (width == wp)
            productQuads<false>(weights, tp / 4, values, wp, ofResult, to, h.outStride, n, wp, tokenQuads);
        else
        {
            productQuads<false>(weights, tp / 4, values, wp, ofResult, result, wp, n, wp, tokenQuads);
            for (size_t r = 0; r < n; ++r)
                std::memcpy(to + r * h.outStride, result + r * wp, width * sizeof(float));
        }
    }
}

#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target(LTRP_TARGET))), apply_to = function)
#else
#pragma GCC pop_options
#endif
