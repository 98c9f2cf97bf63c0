// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The vectorised kernels, compiled once per instruction set by kernels_*.cpp, which define LTRP_VECTOR (floats per
// vector), LTRP_KERNELS (the function that returns the table) and LTRP_KERNELS_NAME. They use GCC and Clang vector
// extensions, so that the same source serves every width.

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"   // vectors are passed between inlined functions of this file only
#endif

namespace cv { namespace ltrp { namespace ops {

namespace {

typedef float VecF __attribute__((vector_size(LTRP_VECTOR * 4)));
typedef int VecI __attribute__((vector_size(LTRP_VECTOR * 4)));
typedef unsigned VecN __attribute__((vector_size(LTRP_VECTOR * 4)));
typedef unsigned short VecH __attribute__((vector_size(LTRP_VECTOR * 2)));   // bfloat16 values
typedef unsigned char VecB __attribute__((vector_size(LTRP_VECTOR)));
typedef float VecU __attribute__((vector_size(LTRP_VECTOR * 4), aligned(4), may_alias));   // unaligned access
typedef double VecD __attribute__((vector_size(LTRP_VECTOR * 4)));
typedef double VecDU __attribute__((vector_size(LTRP_VECTOR * 4), aligned(8), may_alias));

#define LTRP_INLINE inline __attribute__((always_inline))

const size_t W = LTRP_VECTOR;

LTRP_INLINE VecF load(const float* p) { return *reinterpret_cast<const VecU*>(p); }
LTRP_INLINE void store(float* p, VecF v) { *reinterpret_cast<VecU*>(p) = v; }
LTRP_INLINE VecF splat(float x) { return x - VecF{}; }
LTRP_INLINE VecF select(VecI mask, VecF a, VecF b) { return (VecF)((mask & (VecI)a) | (~mask & (VecI)b)); }
#if LTRP_VECTOR == 16   // one instruction, for which GCC emits two here
LTRP_INLINE VecF maximum(VecF a, VecF b) { return (VecF)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b); }
LTRP_INLINE VecF minimum(VecF a, VecF b) { return (VecF)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b); }
#else
LTRP_INLINE VecF maximum(VecF a, VecF b) { return a > b ? a : b; }
LTRP_INLINE VecF minimum(VecF a, VecF b) { return a < b ? a : b; }
#endif
LTRP_INLINE VecF absolute(VecF a) { return (VecF)((VecI)a & (VecI{} + 0x7fffffff)); }

/// Combines halves until one value is left: four dependent steps for 16 values instead of fifteen. HALF is a
/// compile-time constant, so that everything stays in registers.
template <size_t HALF, class Combine>
LTRP_INLINE float foldHalves(float* t, const Combine& combine)
{
    for (size_t i = 0; i < HALF; ++i)
        t[i] = combine(t[i], t[i + HALF]);
    if constexpr (HALF > 1)
        return foldHalves<HALF / 2>(t, combine);
    else
        return t[0];
}

template <class Combine>
LTRP_INLINE float fold(VecF v, const Combine& combine)
{
    float t[LTRP_VECTOR];
    store(t, v);
    return foldHalves<LTRP_VECTOR / 2>(t, combine);
}

LTRP_INLINE float sum(VecF v)
{
    return fold(v, [](float a, float b) __attribute__((always_inline)) { return a + b; });
}

LTRP_INLINE float largest(VecF v)
{
    return fold(v, [](float a, float b) __attribute__((always_inline)) { return a > b ? a : b; });
}

/// The first n < W values, then zeros.
LTRP_INLINE VecF loadPart(const float* p, size_t n)
{
    float t[LTRP_VECTOR] = {};
    std::memcpy(t, p, n * sizeof(float));
    return load(t);
}

LTRP_INLINE void storePart(float* p, VecF v, size_t n)
{
    float t[LTRP_VECTOR];
    store(t, v);
    std::memcpy(p, t, n * sizeof(float));
}

/// e^x, relative error below 1e-7; 0 below -87.3, clamped above 88.
LTRP_INLINE VecF exponential(VecF x)
{
    const VecI tiny = x < splat(-87.3f);
    x = minimum(maximum(x, splat(-87.3f)), splat(88.f));
    const VecF magic = splat(12582912.f);   // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const VecF shifted = x * 1.44269504f + magic;
    const VecF n = shifted - magic;
    const VecF r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    VecF q = splat(1.3946446563886494e-3f);
    q = q * r + 8.36915169419642e-3f;
    q = q * r + 4.16662631360476e-2f;
    q = q * r + 1.66665159889041e-1f;
    q = q * r + 5.000000080806988e-1f;
    const VecF power = q * r * r + r + 1.f;
    const VecI bits = (((VecI)shifted - (VecI)magic) + 127) << 23;
    return select(tiny, VecF{}, power * (VecF)bits);
}

/// Phi(x) = (1 + erf(x / sqrt 2)) / 2 and e^(-x*x/2), which the derivative needs too. erfc(z) = t p(t) e^(-z*z) with
/// t = 1 / (1 + 0.45 z); p fitted to an absolute error of 1e-9.
LTRP_INLINE void normalCdf(VecF x, VecF& cdf, VecF& bell)
{
    bell = exponential(x * x * -0.5f);
    const VecF t = 1.f / (absolute(x) * (0.45f * 0.70710678f) + 1.f);
    VecF p = splat(9.25697607399473e-2f);
    p = p * t - 4.941048771863394e-1f;
    p = p * t + 8.571688260644545e-1f;
    p = p * t - 3.7580383745458346e-1f;
    p = p * t + 4.60171202843633e-1f;
    p = p * t + 2.0100921824274132e-1f;
    p = p * t + 2.5898970779853364e-1f;
    const VecF tail = p * t * bell * 0.5f;
    cdf = select(x > VecF{}, 1.f - tail, tail);
}

/// GELU to 1e-4, for results that are rounded to 16 or 8 bits: Phi(x) = 0.5 + x p(x^2), p fitted for |x| <= 4.
LTRP_INLINE VecF roundedGelu(VecF x)
{
    const VecF near = maximum(minimum(x, splat(4.f)), splat(-4.f));
    const VecF u = near * near * 0.0625f;
    VecF p = splat(-0.42433061f);
    p = p * u + 2.04194433f;
    p = p * u - 4.30003006f;
    p = p * u + 5.28659067f;
    p = p * u - 4.29343503f;
    p = p * u + 2.47420589f;
    p = p * u - 1.05880591f;
    p = p * u + 0.39884751f;
    return x * (near * p + 0.5f);
}

struct Moments
{
    float mean, rstd;
};

/// Mean and 1 / sqrt(variance + eps) of a row.
LTRP_INLINE Moments momentsOf(const float* x, size_t dim, float eps)
{
    const size_t whole = dim / W * W;
    VecF s0 = VecF{};
    for (size_t i = 0; i < whole; i += W)
        s0 += load(x + i);
    float total = sum(s0);
    for (size_t i = whole; i < dim; ++i)
        total += x[i];
    const float m = total / static_cast<float>(dim);
    const VecF mv = splat(m);
    VecF s1 = VecF{};
    for (size_t i = 0; i < whole; i += W)
    {
        const VecF d = load(x + i) - mv;
        s1 += d * d;
    }
    float squares = sum(s1);
    for (size_t i = whole; i < dim; ++i)
        squares += (x[i] - m) * (x[i] - m);
    return {m, 1.f / std::sqrt(squares / static_cast<float>(dim) + eps)};
}

void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, size_t rows, size_t dim, float* mean,
               float* rstd)
{
    const size_t whole = dim / W * W, rest = dim - whole;
    for (size_t r = 0; r < rows; ++r, x += dim, y += dim)
    {
        const Moments moments = momentsOf(x, dim, eps);
        const VecF mv = splat(moments.mean);
        for (size_t i = 0; i < whole; i += W)
            store(y + i, (load(x + i) - mv) * moments.rstd * load(w + i) + load(b + i));
        if (rest)
            storePart(y + whole, (loadPart(x + whole, rest) - mv) * moments.rstd * loadPart(w + whole, rest)
                                     + loadPart(b + whole, rest), rest);
        if (mean)
        {
            mean[r] = moments.mean;
            rstd[r] = moments.rstd;
        }
    }
}

void gelu(const float* x, float* y, size_t count)
{
    for (size_t i = 0; i < count; i += W)
    {
        const bool part = count - i < W;
        const VecF v = part ? loadPart(x + i, count - i) : load(x + i);
        VecF cdf, bell;
        normalCdf(v, cdf, bell);
        if (part)
            storePart(y + i, v * cdf, count - i);
        else
            store(y + i, v * cdf);
    }
}

/// Rounds to bfloat16, nearest, ties to even. NaN is handled separately: the addition could turn its bits into a
/// number.
LTRP_INLINE VecH rounded16(VecF v)
{
#ifdef LTRP_BF16
    return (VecH)_mm512_cvtneps_pbh((__m512)v);
#else
    const VecN bits = (VecN)v;
    const VecN nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const VecN nan = (VecN)(v != v);
    return __builtin_convertvector((nan & ((bits >> 16) | 0x40u)) | (~nan & nearest), VecH);
#endif
}

LTRP_INLINE VecH load16(const uint16_t* p, size_t n = W)
{
    VecH h = VecH{};
    std::memcpy(&h, p, n * sizeof(uint16_t));
    return h;
}

LTRP_INLINE void store16(uint16_t* p, VecH h, size_t n = W)
{
    std::memcpy(p, &h, n * sizeof(uint16_t));
}

LTRP_INLINE VecF widened(VecH h) { return (VecF)(__builtin_convertvector(h, VecN) << 16); }

template <bool GELU>
LTRP_INLINE void convertBf16(const float* x, uint16_t* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)   // whole vectors separately: copies of a fixed size are single instructions
        store16(y + i, rounded16(GELU ? roundedGelu(load(x + i)) : load(x + i)));
    if (i == count)
        return;
    const VecF v = loadPart(x + i, count - i);
    store16(y + i, rounded16(GELU ? roundedGelu(v) : v), count - i);
}

void toBf16(const float* x, uint16_t* y, size_t count)
{
    convertBf16<false>(x, y, count);
}

void geluBf16(const float* x, uint16_t* y, size_t count)
{
    convertBf16<true>(x, y, count);
}

#include "kernels_int8.inl"

/// c [R, N] = a [R, K] b [K, N] for R rows and NV vectors of columns kept in registers.
template <int R, int NV>
LTRP_INLINE void tile(const float* a, size_t aRow, size_t aColumn, const float* b, size_t bRow, float* c, size_t cRow, size_t k)
{
    VecF s[R][NV];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            s[r][v] = VecF{};
    for (size_t i = 0; i < k; ++i)
    {
        VecF bv[NV];
        for (int v = 0; v < NV; ++v)
            bv[v] = load(b + i * bRow + static_cast<size_t>(v) * W);
        for (int r = 0; r < R; ++r)
        {
            const VecF av = splat(a[static_cast<size_t>(r) * aRow + i * aColumn]);
            for (int v = 0; v < NV; ++v)
                s[r][v] += av * bv[v];
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < NV; ++v)
            store(c + static_cast<size_t>(r) * cRow + static_cast<size_t>(v) * W, s[r][v]);
}

template <int NV>
LTRP_INLINE void tileColumn(const float* a, size_t aRow, size_t aColumn, const float* b, size_t bRow, float* c, size_t cRow,
                            size_t m, size_t k)
{
    size_t i = 0;
    for (; i + 6 <= m; i += 6)
        tile<6, NV>(a + i * aRow, aRow, aColumn, b, bRow, c + i * cRow, cRow, k);
    for (; i + 2 <= m; i += 2)
        tile<2, NV>(a + i * aRow, aRow, aColumn, b, bRow, c + i * cRow, cRow, k);
    for (; i < m; ++i)
        tile<1, NV>(a + i * aRow, aRow, aColumn, b, bRow, c + i * cRow, cRow, k);
}

/// c [m, n] = a [m, k] b [k, n]; n a multiple of 16; a's element (i, j) at i * aRow + j * aColumn.
void smallProduct(const float* a, size_t aRow, size_t aColumn, const float* b, size_t bRow, float* c, size_t cRow, size_t m,
                  size_t n, size_t k)
{
    size_t j = 0;
    for (; j + 2 * W <= n; j += 2 * W)
        tileColumn<2>(a, aRow, aColumn, b + j, bRow, c + j, cRow, m, k);
    for (; j < n; j += W)
        tileColumn<1>(a, aRow, aColumn, b + j, bRow, c + j, cRow, m, k);
}

/// The rows of one head are pages apart, so the hardware does not prefetch the next one. Prefetches the row `ahead` of
/// p.
LTRP_INLINE void expectRow(const float* p, size_t stride, size_t ahead, size_t width)
{
    for (size_t i = 0; i < width; i += 16)
        __builtin_prefetch(p + ahead * stride + i);
}

/// Rows [tokens, width] with a stride -> dense rows padded with zeros.
void packRows(const float* x, size_t stride, size_t tokens, size_t width, float* out, size_t padded)
{
    for (size_t t = 0; t < tokens; ++t)
    {
        expectRow(x + t * stride, stride, 12, width);
        std::memcpy(out + t * padded, x + t * stride, width * sizeof(float));
        for (size_t i = width; i < padded; ++i)
            out[t * padded + i] = 0.f;
    }
}

/// Rows [tokens, width] with a stride -> [width, padded tokens], zero padded.
void packTransposed(const float* x, size_t stride, size_t tokens, size_t width, float* out, size_t padded)
{
    for (size_t first = 0; first < padded; first += 16)   // 16 rows at a time: each is read once
    {
        const size_t last = first + 16 < tokens ? first + 16 : tokens;
        for (size_t t = first; t < last; ++t)
            expectRow(x + t * stride, stride, 16, width);
        for (size_t i = 0; i < width; ++i)
        {
            float* to = out + i * padded;
            for (size_t t = first; t < last; ++t)
                to[t] = x[t * stride + i];
            for (size_t t = last > first ? last : first; t < first + 16; ++t)
                to[t] = 0.f;
        }
    }
}

/// Returns the largest of the first `tokens` entries except `droppedToken`; sets that entry and those up to `padded` to
/// -infinity.
LTRP_INLINE float maskRow(float* row, size_t tokens, size_t padded, int droppedToken)
{
    const float lowest = -std::numeric_limits<float>::infinity();
    for (size_t i = tokens; i < padded; ++i)
        row[i] = lowest;
    if (droppedToken >= 0)
        row[droppedToken] = lowest;
    VecF top = load(row);
    for (size_t i = W; i < padded; i += W)
        top = maximum(load(row + i), top);
    return largest(top);
}

/// e^(scale * (row - largest)) without `droppedToken`, zeros up to `padded`; returns 1 / sum, which makes it the softmax.
LTRP_INLINE float exponentialRow(float* row, size_t tokens, size_t padded, float scale, int droppedToken)
{
    const VecF shift = splat(maskRow(row, tokens, padded, droppedToken));
    VecF total = VecF{};
    for (size_t i = 0; i < padded; i += W)
    {
        const VecF e = exponential((load(row + i) - shift) * scale);
        total += e;
        store(row + i, e);
    }
    return 1.f / sum(total);
}

LTRP_INLINE void scaledRow(const float* x, float factor, float* y, size_t count)
{
    size_t i = 0;
    for (; i + W <= count; i += W)
        store(y + i, load(x + i) * factor);
    for (; i < count; ++i)
        y[i] = x[i] * factor;
}

/// attention() after packing keys and values; the output of query `silent` is zero. rows: scratch for a block of
/// queries.
LTRP_INLINE void attendPacked(const HeadArgs& h, const float* kt, const float* v, float* rows, int silent)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    float* result = rows + attentionBlock * tp;
    const size_t last = static_cast<size_t>(h.lastQuery);
    for (size_t i = static_cast<size_t>(h.firstQuery); i < last; i += attentionBlock)
    {
        const size_t n = last - i < attentionBlock ? last - i : attentionBlock;
        float* p = h.probabilities ? h.probabilities + i * tp : rows;
        float inverse[attentionBlock];
        smallProduct(h.q + i * h.stride, h.stride, 1, kt, tp, p, tp, n, tp, width);
        for (size_t r = 0; r < n; ++r)
        {
            float* row = p + r * tp;
            inverse[r] = 1.f;
            if (static_cast<int>(i + r) == silent)
            {
                std::memset(row, 0, tp * sizeof(float));
                continue;
            }
            inverse[r] = exponentialRow(row, tokens, tp, h.scale, h.droppedToken);
            if (!h.probabilities)
                continue;   // the result, which is narrower, is scaled instead
            for (size_t j = 0; j < tp; j += W)
                store(row + j, load(row + j) * inverse[r]);
            inverse[r] = 1.f;
        }
        smallProduct(p, tp, 1, v, wp, result, wp, n, wp, tokens);
        for (size_t r = 0; r < n; ++r)
            scaledRow(result + r * wp, inverse[r], h.out + (i + r) * h.outStride, width);
    }
}

/// Keys [padded width, padded tokens], then values [padded tokens, padded width].
void packKeys(const HeadArgs& h, float* out)
{
    const size_t tokens = static_cast<size_t>(h.tokens), width = static_cast<size_t>(h.width);
    const size_t tp = static_cast<size_t>(paddedTokens(h.tokens)), wp = static_cast<size_t>(paddedWidth(h.width));
    packTransposed(h.k, h.stride, tokens, width, out, tp);
    packRows(h.v, h.stride, tokens, width, out + tp * wp, wp);
}

void attention(const HeadArgs& h)
{
    const size_t size = static_cast<size_t>(paddedTokens(h.tokens)) * static_cast<size_t>(paddedWidth(h.width));
    packKeys(h, h.scratch);
    attendPacked(h, h.scratch, h.scratch + size, h.scratch + 2 * size, h.droppedToken);
}

#ifdef LTRP_BF16

#include "attention_bf16.inl"

#endif

#ifdef LTRP_VNNI

#include "attention_int8.inl"

#endif

#include "attention_among.inl"
#include "kernels_train.inl"

double sumDifference(const float* a, const float* b, size_t count, float scale, bool squared)
{
    double total = 0;
    for (size_t start = 0; start < count; start += 1024)   // fp32 within a run, double between runs
    {
        const size_t end = count - start < 1024 ? count : start + 1024;
        VecF s = VecF{};
        size_t i = start;
        for (; i + W <= end; i += W)
        {
            const VecF d = (load(a + i) - load(b + i)) * scale;
            s += squared ? d * d : absolute(d);
        }
        float rest = 0;
        for (; i < end; ++i)
        {
            const float d = (a[i] - b[i]) * scale;
            rest += squared ? d * d : std::fabs(d);
        }
        total += static_cast<double>(sum(s)) + static_cast<double>(rest);
    }
    return total;
}

/// Eight chains of additions per pair for every instruction set; a tile of R x C pairs loads R + C rows instead of 2 R
/// C.
template <int R, int C>
LTRP_INLINE void distanceTile(const double* a, const double* b, size_t columns, double* out, size_t outStride)
{
    const size_t lanes = W / 2;
    const int parts = static_cast<int>(8 / lanes);
    VecD s[R][C][parts];
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            for (int p = 0; p < parts; ++p)
                s[r][c][p] = VecD{};
    for (size_t i = 0; i < columns; i += 8)
        for (int p = 0; p < parts; ++p)
        {
            const size_t at = i + static_cast<size_t>(p) * lanes;
            VecD x[R];
            for (int r = 0; r < R; ++r)
                x[r] = *reinterpret_cast<const VecDU*>(a + static_cast<size_t>(r) * columns + at);
            for (int c = 0; c < C; ++c)
            {
                const VecD y = *reinterpret_cast<const VecDU*>(b + static_cast<size_t>(c) * columns + at);
                for (int r = 0; r < R; ++r)
                {
                    const VecD d = x[r] - y;
                    s[r][c][p] += d * d;
                }
            }
        }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
        {
            double t[8];
            for (int p = 0; p < parts; ++p)
                *reinterpret_cast<VecDU*>(t + static_cast<size_t>(p) * lanes) = s[r][c][p];
            out[static_cast<size_t>(r) * outStride + static_cast<size_t>(c)] =
                ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
        }
}

template <int R, int C>
LTRP_INLINE void distanceRows(const double* a, const double* b, size_t rowsB, size_t columns, double* out, size_t outStride)
{
    size_t j = 0;
    for (; j + C <= rowsB; j += C)
        distanceTile<R, C>(a, b + j * columns, columns, out + j, outStride);
    for (; j < rowsB; ++j)
        distanceTile<R, 1>(a, b + j * columns, columns, out + j, outStride);
}

void squaredDistances(const double* a, size_t rowsA, const double* b, size_t rowsB, size_t columns, double* out,
                      size_t outStride)
{
    const int tallest = LTRP_VECTOR == 16 ? 4 : LTRP_VECTOR == 8 ? 2 : 1, widest = LTRP_VECTOR == 16 ? 4 : 2;   // registers
    size_t i = 0;
    for (; i + tallest <= rowsA; i += tallest)
        distanceRows<tallest, widest>(a + i * columns, b, rowsB, columns, out + i * outStride, outStride);
    for (; i < rowsA; ++i)
        distanceRows<1, widest>(a + i * columns, b, rowsB, columns, out + i * outStride, outStride);
}

}  // namespace

const Kernels& LTRP_KERNELS()
{
    static const Kernels table = {LTRP_KERNELS_NAME, LTRP_VECTOR, layerNorm, layerNormBackward, gelu, geluBackward,
                                  attention, attentionBackward, columnSums, sumDifference, squaredDistances, toBf16, geluBf16,
                                  quantise, normQuantise, dequantise, geluQuantise,
                                  packKeys, attentionAmong, withoutKey,
#ifdef LTRP_VNNI
                                  attentionInt8,
#else
                                  nullptr,
#endif
#ifdef LTRP_BF16
                                  attentionPairs<float>, packKeysBf16, attentionAmongBf16, fromBf16, gelu16, geluBackward16,
                                  columnSums16,
                                  attentionPairs<uint16_t>, attentionBackward16};
#else
                                  nullptr, nullptr, nullptr, fromBf16, gelu16, geluBackward16, columnSums16, nullptr, nullptr};
#endif
    return table;
}

}}}  // namespace
