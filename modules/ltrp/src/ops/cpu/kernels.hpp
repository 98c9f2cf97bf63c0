// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_KERNELS_HPP
#define OPENCV_LTRP_OPS_CPU_KERNELS_HPP

#include <cstddef>
#include <cstdint>

namespace cv { namespace ltrp { namespace ops {

/// One head of one batch item: q, k, v rows are `stride` values apart. Values are floats, or bfloat16 (uint16_t).
template <class Value>
struct HeadArgsOf
{
    const Value* q = nullptr;
    const Value* k = nullptr;
    const Value* v = nullptr;
    size_t stride = 0;
    int tokens = 0;
    int firstQuery = 0;               ///< forward: rows firstQuery .. lastQuery - 1 are computed
    int lastQuery = 0;
    int width = 0;        ///< head width
    float scale = 1.f;
    int droppedToken = -1;
    float* probabilities = nullptr;   ///< [tokens, probabilityStride] (forward: written; backward: read) or null
    Value* out = nullptr;             ///< forward: rows `outStride` apart
    size_t outStride = 0;
    const Value* dOut = nullptr;      ///< backward: rows `outStride` apart
    Value* dq = nullptr;              ///< backward: rows `stride` apart, overwritten
    Value* dk = nullptr;
    Value* dv = nullptr;
    float* scratch = nullptr;         ///< headScratch() or backwardScratch() floats, 64-byte aligned
    const float* packed = nullptr;    ///< attentionAmong(): result of packKeys() for all tokens
    const int* tokenIndices = nullptr;   ///< attentionAmong(), withoutKey(): `live` token numbers
    int live = 0;
    const float* result = nullptr;    ///< withoutKey(): attention() of all tokens, rows `resultStride` apart
    size_t resultStride = 0;
};
typedef HeadArgsOf<float> HeadArgs;
typedef HeadArgsOf<uint16_t> HeadArgs16;

/// Single-threaded vectorised kernels over a range of rows. One table per instruction set, all compiled from
/// kernels.inl.
struct Kernels
{
    const char* name;
    int width;   ///< floats per vector
    void (*layerNorm)(const float* x, const float* w, const float* b, float eps, float* y, size_t rows, size_t dim,
                      float* mean, float* rstd);
    void (*layerNormBackward)(const float* dy, const float* x, const float* w, const float* mean, const float* rstd,
                              float* dx, float* dw, float* db, size_t rows, size_t dim);
    void (*gelu)(const float* x, float* y, size_t count);
    /// y receives GELU(x) if it is not null.
    void (*geluBackward)(const float* x, const float* dy, float* dx, float* y, size_t count);
    void (*attention)(const HeadArgs& args);
    void (*attentionBackward)(const HeadArgs& args);
    void (*columnSums)(const float* x, float* sums, size_t rows, size_t columns);   ///< sums += ...
    double (*sumDifference)(const float* a, const float* b, size_t count, float scale, bool squared);
    /// out[i * outStride + j] = sum of (a_i - b_j)^2 over `columns`, a multiple of 8; a and b are contiguous. The order
    /// of additions is the same for all pairs, so that pairs of equal rows have equal sums.
    void (*squaredDistances)(const double* a, size_t rowsA, const double* b, size_t rowsB, size_t columns, double* out,
                             size_t outStride);
    void (*toBf16)(const float* x, uint16_t* y, size_t count);     ///< to nearest, ties to even; NaN stays NaN
    void (*geluBf16)(const float* x, uint16_t* y, size_t count);   ///< GELU within 1e-4 before it is rounded
    /// Per row: x = scale * q + low, q in 0 .. 255.
    void (*quantise)(const float* x, uint8_t* q, float* scale, float* low, size_t rows, size_t columns);
    /// quantise(layerNorm(x)); row: scratch for `dim` floats.
    void (*normQuantise)(const float* x, const float* w, const float* b, float eps, uint8_t* q, float* scale, float* low,
                         float* row, size_t rows, size_t dim);
    /// y = (sums * scale + low * weightSums) * weightScales + bias (+ y when add); one scale and low per row.
    void (*dequantise)(const int32_t* sums, const float* scale, const float* low, const float* weightScales,
                       const float* weightSums, const float* bias, float* y, size_t rows, size_t columns, bool add);
    /// quantise(GELU(dequantise(sums))), GELU within 1e-4; row: scratch for `columns` floats.
    void (*geluQuantise)(const int32_t* sums, const float* scale, const float* low, const float* weightScales,
                         const float* weightSums, const float* bias, uint8_t* q, float* scaleOut, float* lowOut, float* row,
                         size_t rows, size_t columns);
    /// Packs keys and values of all tokens for attentionAmong(): packedKeys() floats.
    void (*packKeys)(const HeadArgs& args, float* packed);
    /// Attention of queries firstQuery .. lastQuery - 1 to the packed keys and values; rows i of k and v replace those
    /// of token tokenIndices[i], and key `droppedToken` is masked.
    void (*attentionAmong)(const HeadArgs& args);
    /// Result of attention() for queries tokenIndices[i] with key `droppedToken` masked (zeros for the query
    /// `droppedToken`), computed from the probabilities and the result of the unmasked attention by a rank-one correction.
    void (*withoutKey)(const HeadArgs& args);
    /// attention() with queries, keys, values and weights rounded to 8 bits, exact sums and fp32 softmax; does not
    /// store probabilities. Heads of at most 512 values, at most 65536 tokens (sums have 31 bits). Requires
    /// AVX512_VNNI; null for instruction sets that never include it.
    void (*attentionInt8)(const HeadArgs& args);
    /// attention() with queries, keys, values and weights rounded to bfloat16, fp32 sums and softmax; does not store
    /// probabilities. Null if the instruction set has no bfloat16 products.
    void (*attentionBf16)(const HeadArgs& args);
    void (*packKeysBf16)(const HeadArgs& args, float* packed);
    void (*attentionAmongBf16)(const HeadArgs& args);
    // Training in bfloat16: values between two products are stored in 16 bits, computations are fp32.
    void (*fromBf16)(const uint16_t* x, float* y, size_t count);
    void (*gelu16)(const uint16_t* x, uint16_t* y, size_t count);   ///< GELU within 1e-4 before it is rounded
    void (*geluBackward16)(const uint16_t* x, const uint16_t* dy, uint16_t* dx, uint16_t* y, size_t count);
    void (*columnSums16)(const uint16_t* x, float* sums, size_t rows, size_t columns);   ///< sums += ...
    /// attentionBf16 and its gradient for 16-bit arrays; no stored probabilities. Null if attentionBf16 is.
    void (*attention16)(const HeadArgs16& args);
    void (*attentionBackward16)(const HeadArgs16& args);
};

/// Keys are padded to a multiple of 16 for any vector width, so that stored attention weights have one layout.
inline int paddedTokens(int tokens) { return (tokens + 15) / 16 * 16; }
inline int paddedWidth(int width) { return (width + 15) / 16 * 16; }
/// Query rows per block of the attention kernels.
constexpr size_t attentionBlock = 24;
/// Scratch floats per head without gradients: linear in the number of tokens, which in a file may be large.
inline size_t headScratch(int tokens, int width)
{
    const size_t t = static_cast<size_t>(paddedTokens(tokens)), w = static_cast<size_t>(paddedWidth(width));
    return 6 * t * w + (attentionBlock + 8) * (2 * t + w);
}

/// The same for gradients.
inline size_t backwardScratch(int tokens, int width)
{
    const size_t t = static_cast<size_t>(paddedTokens(tokens));
    return headScratch(tokens, width) + 2 * t * t;
}

inline size_t packedKeys(int tokens, int width)
{
    return 2 * static_cast<size_t>(paddedTokens(tokens)) * static_cast<size_t>(paddedWidth(width));
}

const Kernels& kernelsBaseline();
#if defined(__x86_64__) && defined(__GNUC__)
const Kernels& kernelsAvx2();
const Kernels& kernelsAvx512();
const Kernels& kernelsAvx512Bf16();
#endif

/// The table in use.
const Kernels& kernels();

}}}  // namespace

#endif
