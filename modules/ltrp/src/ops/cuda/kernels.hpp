// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Launch functions of the project's CUDA kernels. The host code (ops/cuda/*.cpp) and the kernels
// (ops/cuda/kernels/*.cu) share only this file, which includes neither OpenCV nor CUDA headers.
//
// Unless stated otherwise: pointers are to device memory; arrays are dense, row-major and aligned to their element
// only; sizes are positive, checked by the host, and need not be multiples of anything. A function launches on `stream`
// and returns. It neither allocates nor waits, so that it can be recorded into a graph. `scratch` has at least the
// bytes that the function's ...Scratch() returns, aligned to 256 bytes. Sums are deterministic: no floating-point
// atomics. Launch errors stay in the runtime; the host checks after each launch.
#ifndef OPENCV_LTRP_OPS_CUDA_KERNELS_HPP
#define OPENCV_LTRP_OPS_CUDA_KERNELS_HPP

#include "../step.hpp"

#include <cstddef>
#include <cstdint>

struct CUstream_st;   // what cudaStream_t points to

// The kernel emulation for CI (tests/simt) uses another namespace.
#ifndef LTRP_KERNELS_NAMESPACE
#define LTRP_KERNELS_NAMESPACE cuda
#endif

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

typedef CUstream_st* Stream;

/// Type of the values of an Input or Output array. Arithmetic is fp32 except in tensor cores.
enum class DataType : int { Float32 = 0, BFloat16 = 1, Float16 = 2 };

struct Input
{
    Input(const float* values) : data(values), element(DataType::Float32) {}
    Input(const void* values, DataType type) : data(values), element(type) {}
    const void* data;
    DataType element;
};

struct Output
{
    Output(float* values) : data(values), element(DataType::Float32) {}
    Output(void* values, DataType type) : data(values), element(type) {}
    void* data;
    DataType element;
};

// ---- Norms, activations, casts --------------------------------------------------------------------------------------

/// Per row: y = (x - mean) * rstd * weight + bias.
struct LayerNormArgs
{
    const float* x;            ///< [items, rows, dim], item i begins at x + i * itemStride
    size_t itemStride;         ///< in floats; rows * dim for dense items
    const float* weight;       ///< [dim]
    const float* bias;         ///< [dim]
    float eps;
    Output y;                  ///< [items, rows, dim] dense; may be x when itemStride is rows * dim
    float* mean;               ///< [items * rows] or null
    float* rstd;               ///< [items * rows] or null: 1 / sqrt(variance + eps)
    size_t items, rows;
    int dim;
};
/// Two passes over the row (mean, then squared differences), so that a row far from zero keeps its digits.
void layerNorm(Stream stream, const LayerNormArgs& args);

/// dx [rows, dim] += gradient at the norm's input; dWeight, dBias [dim] += theirs. dy and x are [rows, dim].
size_t layerNormBackwardScratch(size_t rows, int dim);
void layerNormBackward(Stream stream, Input dy, Input x, const float* weight, const float* mean, const float* rstd,
                       float* dx, float* dWeight, float* dBias, size_t rows, int dim, void* scratch);

/// y[i, r] = LN(x of item i, row r) - reference[i / perReference, r], LN as in layerNorm().
struct NormDifferenceArgs
{
    const float* x;            ///< item i begins at x + i * itemStride: [rows, dim]
    size_t itemStride;
    const float* reference;    ///< [items / perReference, rows, dim], normalised
    const float* weight;
    const float* bias;
    float eps;
    Output y;                  ///< [items, rows, dim]
    size_t items, perReference, rows;
    int dim;
};
void normDifference(Stream stream, const NormDifferenceArgs& args);

/// y = act(x + bias) with the exact (erf) GELU; bias [columns] or null; x and y [rows, columns]; y may be x (same
/// element). before (or data null): receives x + bias for geluBackward().
void gelu(Stream stream, Input x, const float* bias, Output before, Output y, size_t rows, int columns);
/// dx = dy * gelu'(before); dx may be dy (same element).
void geluBackward(Stream stream, Input before, Input dy, Output dx, size_t count);

/// sums [columns] += column sums of x [rows, columns].
size_t columnSumsScratch(size_t rows, int columns);
void columnSums(Stream stream, Input x, float* sums, size_t rows, int columns, void* scratch);

/// y = x, rounded to nearest even. count may be 0.
void cast(Stream stream, Input x, Output y, size_t count);

// ---- Attention ------------------------------------------------------------------------------------------------------

/// softmax(q k^T / sqrt(width)) v for every head, width = dim / heads, up to 256, any number of tokens. Optimised for
/// 32 and 64 (tensor cores for 16-bit elements).
struct AttentionArgs
{
    Input qkv;                 ///< [batch / sharedBy, tokens, 3 * dim]: q, k, v, each head by head
    Output out;                ///< [batch, queries, dim]; element as qkv's
    const int* droppedToken;        ///< [batch] or null: token that is no key and whose own output is 0; -1: none
    float* logSumExp;          ///< [batch, heads, queries] or null: log of the sum of exp(scaled logits), for the
                               ///< backward pass
    int batch, tokens;
    int queries;               ///< 1 .. tokens: only the first of each item's tokens are computed
    int dim, heads;
    int sharedBy;              ///< item b reads the qkv of b / sharedBy: variants of one input share it; batch is a
                               ///< multiple
};
void attention(Stream stream, const AttentionArgs& args);

/// No droppedToken tokens, queries == tokens, sharedBy == 1.
struct AttentionBackwardArgs
{
    Input qkv;                 ///< input of the forward pass
    Input out;                 ///< output of the forward pass, [batch, tokens, dim]
    Input dOut;                ///< [batch, tokens, dim]
    const float* logSumExp;    ///< [batch, heads, tokens]
    Output dQkv;               ///< [batch, tokens, 3 * dim], overwritten; element as qkv's
    int batch, tokens, dim, heads;
};
size_t attentionBackwardScratch(int batch, int tokens, int dim, int heads);
void attentionBackward(Stream stream, const AttentionBackwardArgs& args, void* scratch);

// ---- Leave-one-out's metric -----------------------------------------------------------------------------------------

/// means[i] = 1 / count * sum over rows r and outputs o of |x[i, r] . weight[o]| * scale[i / perScale, r] (squared: of
/// the square of that product): the mean difference of predictions whose normalised tokens differ by x. Products are
/// not stored; partial sums of a row are fp32, all others fp64.
struct ProductSumArgs
{
    Input x;                   ///< [items, rows, in]
    Input weight;              ///< [out, in], element as x's
    const float* scale;        ///< [items / perScale, rows] or null
    bool squared;
    double count;
    float* means;              ///< [items]
    size_t items, perScale, rows;
    int in, out;
};
size_t productSumScratch(size_t items, size_t rows, int in, int out);
void productSum(Stream stream, const ProductSumArgs& args, void* scratch);

// ---- Patches and tokens ---------------------------------------------------------------------------------------------

/// Patch vectors [batch, n, 3 * patch * patch] of the patches ids [batch, n] (null: all, in order) of pixels [batch, 3,
/// height, width]. channelLast false: (channel, row, column); true: (row, column, channel).
void patchify(Stream stream, const float* pixels, const int* ids, bool channelLast, Output out, int batch, int n,
              int width, int height, int patch);

/// Targets of the decoder for the patches ids [batch, n] (null: all): out [batch, n, P] patch vectors in (row, column,
/// channel) order, if normalised less their own mean and divided by deviation = sqrt(var + 1e-6), divisor of var P - 1.
/// out and deviation [batch * n] may be null. Mean and variance are exact to 1e-6 relative, for example summed in fp64.
void patchTargets(Stream stream, const float* pixels, const int* ids, bool normalised, float* out, float* deviation,
                  int batch, int n, int width, int height, int patch);

/// x [batch, 1 + n, dim]: row 0 = classToken + positions[0], row 1 + t = tokens[t] + positions[1 + ids[t]] (null: t).
void embedTokens(Stream stream, Input tokens, const float* classToken, const float* positions, const int* ids, float* x,
                 int batch, int n, int dim);
/// dx [batch, 1 + n, dim] -> dTokens [batch, n, dim] = rows 1 .., dClass [dim] += the sum of rows 0.
void embedTokensBackward(Stream stream, const float* dx, Output dTokens, float* dClass, int batch, int n, int dim);

/// masked [batch, L - visible] = the patches that are not in keep [batch, visible] (ascending), ascending.
void complementPatches(Stream stream, const int* keep, int* masked, int batch, int visible, int numPatches);

/// The decoder's tokens x [batch, 1 + L, dim] from embedded [batch, 1 + visible, dim], maskToken and positions [1 + L,
/// dim]. Raster order: the class token, then all patches. Masked first: the masked patches in their order, the class
/// token, the visible ones in their order. keep [batch, visible], masked [batch, L - visible]; both in range.
struct DecoderInputArgs
{
    Input embedded;
    const float* maskToken;
    const float* positions;
    const int* keep;
    const int* masked;
    bool maskedFirst;
    float* x;
    int batch, visible, numPatches, dim;
};
void decoderInput(Stream stream, const DecoderInputArgs& args);
/// Gradients in raster order: dEmbedded [batch, 1 + visible, dim] = dx at the class token and the kept patches; dMask
/// [dim] += the sum of dx [batch, 1 + L, dim] over all masked patches.
size_t decoderInputBackwardScratch(int batch, int visible, int numPatches, int dim);
void decoderInputBackward(Stream stream, const float* dx, const int* keep, const int* masked, Output dEmbedded,
                          float* dMask, int batch, int visible, int numPatches, int dim, void* scratch);

/// y [items, n, dim]: row j of item i is row base + ids[i, j] of x's item i (ids null: row base + j), which begins at
/// x + i * itemStride. A negative sum gives a row of zeros.
void gatherRows(Stream stream, Input x, size_t itemStride, const int* ids, int base, Output y, int items, int n,
                int dim);
/// The inverse: row base + ids[i, j] of y's item i = row j of x's item i, x [items, n, dim]; other rows are not
/// changed.
void scatterRows(Stream stream, Input x, const int* ids, int base, Output y, size_t itemStride, int items, int n,
                 int dim);
/// y [items * times, count]: each item of x [items, count] repeated `times` times.
void repeatItems(Stream stream, const float* x, float* y, size_t items, size_t times, size_t count);

// ---- Losses and the optimizer ---------------------------------------------------------------------------------------

/// *loss = mean over count of (prediction - target)^2; gradient = gradientScale * 2 (prediction - target) / count (may
/// be prediction if it is fp32; data null: not computed).
size_t squaredLossScratch(size_t count);
void squaredLoss(Stream stream, Input prediction, const float* target, Output gradient, double* loss, size_t count,
                 void* scratch, float gradientScale = 1);

/// The head of a classifier: as Backend::meanRows(), meanRowsBackward() and crossEntropy().
void meanRows(Stream stream, const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim);
void meanRowsBackward(Stream stream, const float* dMean, float* dx, size_t itemStride, int base, int items, int n, int dim);
size_t crossEntropyScratch(int batch);
void crossEntropy(Stream stream, const ops::CrossEntropy& args, void* scratch);
/// The heads of several labels and of segmentation: as the Backend's functions of the same names. `probabilities` and the
/// scratch memory of crossAttentionBackward() have crossAttentionScratch() bytes.
size_t crossAttentionScratch(const ops::CrossAttention& sizes);
void crossAttention(Stream stream, const ops::CrossAttention& sizes, const float* q, const float* kv, float* out, float* probabilities);
void crossAttentionBackward(Stream stream, const ops::CrossAttention& sizes, const float* q, const float* kv,
                            const float* probabilities, const float* dOut, float* dQ, float* dKv, void* scratch);
void rowProducts(Stream stream, const float* x, const float* w, const float* b, float* y, int items, int n, int dim);
void rowProductsBackward(Stream stream, const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items,
                         int n, int dim);
size_t shareEntropyScratch(int rows);
void shareEntropy(Stream stream, const ops::ShareEntropy& args, void* scratch);
size_t asymmetricLossScratch(int batch);
void asymmetricLoss(Stream stream, const ops::AsymmetricLoss& args, void* scratch);

using ops::AdamWFactors;
using ops::SampleKey;
/// keep [batch, visible]: equal to the loader's masks bit for bit (RandomStream(seed, Mask, epoch, sample): one
/// uniform() per patch, the `visible` smallest, ties by patch number, ascending). keys [batch]. numPatches up to 1024.
void sampleMasks(Stream stream, uint64_t seed, const SampleKey* keys, int* keep, int batch, int visible,
                 int numPatches);
/// columns [batch, k]: the first k of RandomStream(seed, Loss, epoch, sample).shuffle(0 .. n - 1). n up to 1024.
void drawColumns(Stream stream, uint64_t seed, const SampleKey* keys, int* columns, int batch, int n, int k);

/// ListMLE as in cpu/list_mle.cpp (listMle with stable descending order; log-sum-exp in logarithms, fp64 inside).
struct ListMleArgs
{
    const float* scores;       ///< [batch, numPatches]
    const int* keep;           ///< [batch, n]: patch numbers of the list's predictions in a row of scores
    const float* target;       ///< [batch, n]
    const int* columns;        ///< [batch, k] into the n, drawn order, repeats allowed; null: all n in order (k = n)
    double* loss;              ///< mean over the batch of each row's sum; NaN when any target is not finite or a
                               ///< prediction is NaN
    float* dScores;            ///< [batch, numPatches], overwritten: zero except for elements of the list
    int batch, numPatches, n, k;   ///< n, k up to 1024
    float gradientScale = 1;   ///< of dScores
};
size_t listMleScratch(int batch, int n, int k);
void listMle(Stream stream, const ListMleArgs& args, void* scratch);

/// AdamW over a flat arena of `total` floats (a multiple of 16), 64-byte aligned. kind [total / 16]: 0 these 16 are
/// constant, 1 no decay, 2 decay; rates [total / 16]: factor of the learning rate. skip (or null): nothing is changed if *skip is not 0. copy (or data null): 16-bit
/// copy of all of w, also written where kind is 0. factors are in device memory, so that a recorded step can be
/// replayed with other values.
void adamW(Stream stream, float* w, const float* gradient, float* m, float* v, Output copy, const uint8_t* kind,
           const float* rates, size_t total, const AdamWFactors* factors, const int* skip);

/// *sum = the sum of squares of x [count], fp64.
size_t sumOfSquaresScratch(size_t count);
void sumOfSquares(Stream stream, const float* x, double* sum, size_t count, void* scratch);

/// Result of a step, in device memory.
struct StepState
{
    double loss, squares;   ///< the losses' mean so far; sum of squared gradients
    int batches, failed;    ///< batches done; first batch with a loss that is not finite, or -1
};
/// Adds a batch's loss: state->loss += *loss * share.
void addLoss(Stream stream, const double* loss, double share, StepState* state);
/// Ends a step: *report = *state; *skip = 1 if a loss or the sum of squares is not finite, else 0; *state is reset to
/// its value before the first batch.
void closeStep(Stream stream, StepState* state, StepState* report, int* skip);

// ---- Augmentation ---------------------------------------------------------------------------------------------------

/// One image or crop of a batch. It is resized as by image::resizeAntialiasedCubic() (horizontally, then vertically,
/// 22-bit weights from double arithmetic, 8-bit rounding after each pass), mirrored and normalised. A direction of the
/// output's size is copied.
struct AugmentItem
{
    const uint8_t* data;   ///< device memory: interleaved 8-bit RGB
    size_t step;           ///< bytes between rows
    int width, height;
    int mirrored;          ///< 0 or 1
};
/// items [batch] in device memory, each at most maxWidth x maxHeight. out [batch, 3, height, width].
size_t augmentScratch(int batch, int width, int height, int maxWidth, int maxHeight);
void augment(Stream stream, const AugmentItem* items, float* out, int batch, int width, int height, int maxWidth,
             int maxHeight, const float mean[3], const float deviation[3], void* scratch);

}}}}  // namespace

#endif
