// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_BACKEND_HPP
#define OPENCV_LTRP_OPS_CPU_BACKEND_HPP

#include "../ops.hpp"
#include "kernels.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace ops {

class PackedMatrix;

/// Scratch memory of the calling thread for one attention head: `count` floats, 64-byte aligned, reused by later calls.
float* threadScratch(size_t count);

/// Arguments of one head: sizes set, pointers null.
template <class Value>
HeadArgsOf<Value> headArgs(int tokens, int dim, int heads)
{
    HeadArgsOf<Value> args;
    args.stride = 3 * static_cast<size_t>(dim);
    args.outStride = static_cast<size_t>(dim);
    args.tokens = args.lastQuery = tokens;
    args.width = dim / heads;
    args.scale = 1.f / std::sqrt(static_cast<float>(dim / heads));
    return args;
}

/// The operations on the CPU, for weights that may change between calls.
class CpuBackend : public Backend
{
public:
    bool onHost() const CV_OVERRIDE { return true; }
    void* allocate(size_t bytes) const CV_OVERRIDE;
    void release(void* memory) const CV_OVERRIDE;
    void copy(const void* from, void* to, size_t bytes) const CV_OVERRIDE;
    void zero(void* to, size_t bytes) const CV_OVERRIDE;
    void upload(const void* host, void* to, size_t bytes) const CV_OVERRIDE;
    void download(const void* from, void* host, size_t bytes) const CV_OVERRIDE;
    const float* parameters(const float* host, size_t) const CV_OVERRIDE { return host; }
    int rowsAtOnce() const CV_OVERRIDE;
    void patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, PatchOrder order,
                  float* out) const CV_OVERRIDE;
    void patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, bool normalised,
                      float* out, float* deviation) const CV_OVERRIDE;
    void embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids, float* x,
                     int batch, int n, int dim) const CV_OVERRIDE;
    void embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n, int dim) const CV_OVERRIDE;
    void complement(const int* keep, int* masked, int batch, int visible, int patches) const CV_OVERRIDE;
    void decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                      const int* masked, TokenOrder order, float* x, int batch, int visible, int patches,
                      int dim) const CV_OVERRIDE;
    void decoderInputBackward(const float* dx, const int* keep, const int* masked, float* dEmbedded, float* dMask, int batch,
                              int visible, int patches, int dim) const CV_OVERRIDE;
    void gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                    int dim) const CV_OVERRIDE;
    void scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                     int dim) const CV_OVERRIDE;
    void repeatItems(const void* x, void* y, size_t items, size_t times, size_t bytes) const CV_OVERRIDE;
    void meanRows(const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim) const CV_OVERRIDE;
    void meanRowsBackward(const float* dMean, float* dx, size_t itemStride, int base, int items, int n,
                          int dim) const CV_OVERRIDE;
    void crossEntropy(const CrossEntropy& args) const CV_OVERRIDE;
    void shareEntropy(const ShareEntropy& args) const CV_OVERRIDE;
    void asymmetricLoss(const AsymmetricLoss& args) const CV_OVERRIDE;
    void crossAttention(const CrossAttention& sizes, const float* q, const float* kv, float* out,
                        float* probabilities) const CV_OVERRIDE;
    void crossAttentionBackward(const CrossAttention& sizes, const float* q, const float* kv, float* probabilities,
                                const float* dOut, float* dQ, float* dKv) const CV_OVERRIDE;
    void rowProducts(const float* x, const float* w, const float* b, float* y, int items, int n, int dim) const CV_OVERRIDE;
    void rowProductsBackward(const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items, int n,
                             int dim) const CV_OVERRIDE;
    void listMle(const ListMle& list) const CV_OVERRIDE;
    void squaredLoss(const float* prediction, const float* target, size_t count, float* gradient, double* loss,
                     float gradientScale) const CV_OVERRIDE;

    void linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                Epilogue epilogue) const CV_OVERRIDE;
    void linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const CV_OVERRIDE;
    void linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                              int out) const CV_OVERRIDE;
    void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim, float* mean,
                   float* rstd) const CV_OVERRIDE;
    void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd, float* dx,
                           float* dw, float* db, int rows, int dim) const CV_OVERRIDE;
    void gelu(const float* x, float* y, size_t count) const CV_OVERRIDE;
    void geluBackward(const float* x, const float* dy, float* dx, size_t count) const CV_OVERRIDE;
    int probabilityStride(int tokens) const CV_OVERRIDE;
    void attention(const float* qkv, const int* droppedToken, float* out, float* probabilities, int batch, int tokens, int dim,
                   int heads, int sharedBy) const CV_OVERRIDE;
    void attentionBackward(const float* qkv, const float* out, const float* probabilities, const float* dOut, float* dQkv, int batch,
                           int tokens, int dim, int heads) const CV_OVERRIDE;
    void normLinear(const NormWeights& norm, const LinearWeights& linear, const float* x, float* y,
                    int rows) const CV_OVERRIDE;
    void runBlocks(const BlockWeights* blocks, int count, float* x, const int* droppedToken, int batch, int tokens, int heads,
                   int queries, float* qkv, float* attended) const CV_OVERRIDE;
    void finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const CV_OVERRIDE;
    void trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                    float* scratch) const CV_OVERRIDE;
    void backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch, int tokens,
                       int heads, float* scratch) const CV_OVERRIDE;
    size_t tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE;
    size_t blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE;
    void sampledDifferences(const SampledVariants& work, double* means) const CV_OVERRIDE;
    void runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants, const int* droppedToken,
                     float* x, int tokens, int heads, int queries, float* qkv, float* attended) const CV_OVERRIDE;
    void storeAnchor(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride, int items,
                       int rows, float* reference) const CV_OVERRIDE;
    void differencesFromReference(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                                  int items, int perReference, int rows, const float* reference, const float* scale,
                                  bool squared, double count, float* means) const CV_OVERRIDE;

protected:
    friend class SampledRun;
    /// One head of one item of attention(): queries first .. last - 1.
    void attendHead(const float* qkv, const int* droppedToken, float* out, float* probabilities, int item, int tokens, int dim,
                    int heads, int sharedBy, int first, int last) const;
    /// out [inputs * variants, tokens, dim]: each input's attention without its variants' tokens `droppedToken` (-1: none).
    void attendVariants(const float* qkv, const int* droppedToken, float* out, int inputs, int variants, int tokens, int dim,
                        int heads) const;
    /// Precision of the products in normLinear() and finishBlock().
    virtual Precision precision() const { return Precision::FP32; }
    /// Returns these weights in packed form; null: they are multiplied unpacked, in fp32.
    virtual const PackedMatrix* packed(const LinearWeights&) const { return nullptr; }
};

}}}  // namespace

#endif
