// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_HPP
#define OPENCV_LTRP_OPS_HPP

#include "../precomp.hpp"

#include <memory>

namespace cv { namespace ltrp { namespace ops {

/// What happens to the result of a linear layer before it is stored.
enum class Epilogue
{
    Store,   ///< y = x w^T + b
    Add      ///< y += x w^T + b (a residual branch)
};

/// What the matrix products of a forward pass multiply; sums, norms, softmax and the residual stream are fp32 always.
enum class Precision
{
    FP32,
    BF16,   ///< weights and activations rounded to bfloat16, fp32 sums
    INT8    ///< weights to 8 bits per output channel, activations to 8 bits per token, 32-bit integer sums
};
const char* precisionName(Precision precision);   ///< "FP32", "BF16", "INT8"

struct NormWeights
{
    const float* weight;
    const float* bias;
    float eps;
};

/// w [out, in], b [out] or null.
struct LinearWeights
{
    const float* weight;
    const float* bias;
    int in, out;
};

/// One pre-norm transformer block.
struct BlockWeights
{
    NormWeights norm1;
    LinearWeights qkv, proj;
    NormWeights norm2;
    LinearWeights fc1, fc2;
};

/// Where gradients of parameters are added to, field by field as for the weights.
struct ParamGrads
{
    float* weight;
    float* bias;
};
struct BlockGrads
{
    ParamGrads norm1, qkv, proj, norm2, fc1, fc2;
};

/// What sampledDifferences() works on: one image's decoder without its input.
struct SampledVariants
{
    const BlockWeights* blocks;
    int count;              ///< blocks, 1 or more
    NormWeights norm;       ///< behind the last block
    LinearWeights head;     ///< predicts the values that are compared
    const float* x0;        ///< [tokens, dim]: those that are compared first
    int tokens, compared, heads;
    const int* flagged;     ///< [variants], host memory: the token each lacks, `compared` or more
    int variants;
    double share;           ///< in (0, 1]: of the compared tokens, how many each variant really computes (1 at least)
    const float* scale;     ///< [compared]: factor of a token's differences, or null
    bool squared;
};

/// The operations that the networks are written in: row-major fp32, one implementation per device. All are
/// deterministic for a given number of threads, and safe to call from several threads at once.
class Backend
{
public:
    virtual ~Backend() = default;

    /// x [rows, in], w [out, in], b [out] or null -> y [rows, out].
    virtual void linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                        Epilogue epilogue = Epilogue::Store) const = 0;
    /// dx [rows, in] = dy [rows, out] w.
    virtual void linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const = 0;
    /// dw [out, in] += dy^T x; db [out] += column sums of dy (db may be null).
    virtual void linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                                      int out) const = 0;

    /// y [rows, out] = linear(layerNorm(x [rows, in])).
    virtual void normLinear(const NormWeights& norm, const LinearWeights& linear, const float* x, float* y,
                            int rows) const = 0;
    /// `count` blocks on x [batch, tokens, dim], in place. flagged [batch] (or null): a token that is no key for anyone and
    /// attends to nothing; -1 for none. Only the first `queries` tokens of each item go through the last block behind its
    /// keys and values: the others then hold what they were before it. qkv [batch, tokens, 3*dim] and
    /// attended [batch, tokens, dim] are scratch.
    virtual void runBlocks(const BlockWeights* blocks, int count, float* x, const int* flagged, int batch, int tokens,
                           int heads, int queries, float* qkv, float* attended) const = 0;
    /// A block behind its attention, rows of x [rows, dim] in place: x += proj(attended), then x += fc2(gelu(fc1(LN(x)))).
    virtual void finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const = 0;

    /// y = (x - mean) * rstd * w + b per row; mean and rstd [rows] are stored when not null. y may be x.
    virtual void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim,
                           float* mean = nullptr, float* rstd = nullptr) const = 0;
    /// dx += gradient at the norm's input; dw, db [dim] += gradients of weight and bias.
    virtual void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd,
                                   float* dx, float* dw, float* db, int rows, int dim) const = 0;

    /// Exact GELU x * Phi(x); y may be x.
    virtual void gelu(const float* x, float* y, size_t count) const = 0;
    /// dx = dy * gelu'(x); dx may be dy.
    virtual void geluBackward(const float* x, const float* dy, float* dx, size_t count) const = 0;

    /// Row stride of the attention weights that attention() stores for `tokens` keys.
    virtual int probabilityStride(int tokens) const = 0;

    /// Multi-head attention: qkv [batch, tokens, 3*dim] (q, k, v, each head by head) -> out [batch, tokens, dim].
    /// flagged [batch] (or null): a token that is no key for anyone and whose own output is zero; -1 for none.
    /// Batch item b reads the qkv of item b / sharedBy, so that variants of one input share it.
    /// probabilities (or null) [batch, heads, tokens, probabilityStride] keeps the weights for the backward pass.
    virtual void attention(const float* qkv, const int* flagged, float* out, float* probabilities, int batch, int tokens,
                           int dim, int heads, int sharedBy = 1) const = 0;
    /// dOut [batch, tokens, dim] -> dQkv [batch, tokens, 3*dim] (no flagged tokens in training).
    virtual void attentionBackward(const float* qkv, const float* probabilities, const float* dOut, float* dQkv, int batch,
                                   int tokens, int dim, int heads) const = 0;

    /// A block in training, on x [batch, tokens, dim] in place. tape [tapeFloats()] keeps what backwardBlock() will read.
    /// These four are written in the operations above unless a device knows better, and with it what its tape holds.
    virtual void trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                            float* scratch) const;
    /// d [batch, tokens, dim], in place: from the gradient behind the block to the one before it; adds to `grads`.
    virtual void backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch,
                               int tokens, int heads, float* scratch) const;
    virtual size_t tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const;
    /// Of the scratch of both, which all blocks may share.
    virtual size_t blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const;
    /// To be called whenever the values of weights have changed that a backend for training has met before.
    virtual void weightsChanged() const {}

    /// Mean over `count` values of |a-b| * scale (squared: (a-b)^2 * scale^2), scale [count / perScale] or null; in
    /// fp32 products and double sums.
    virtual double meanDifference(const float* a, const float* b, size_t count, const float* scale, size_t perScale,
                                  bool squared) const = 0;

    /// sums[i] of item i: sum over its `rows` of |linear(layerNorm(x)) - reference| * scale[row] (squared: of the square),
    /// without storing what is compared. x of item i begins at x + i * itemStride; reference [rows, out]; scale [rows] or null.
    virtual void sumDifferences(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                                int items, int rows, const float* reference, const float* scale, bool squared,
                                double* sums) const = 0;

    /// Estimates, for each variant, the mean over compared tokens and values of |prediction - that of the anchor, which lacks
    /// nothing| * scale (squared: of its square). Approximate in two ways. A variant computes only a sample of the compared
    /// tokens, drawn without chance: those that look more at the missing token in the first block are taken more often and
    /// count for less. And it takes the keys and values of the tokens it leaves out from the anchor.
    /// @throws Error::StsNotImplemented on devices that do not have it
    virtual void sampledDifferences(const SampledVariants& work, double* means) const;
};

/// The CPU implementation (oneDNN or cv::gemm products, own vectorised kernels).
const Backend& cpu();
/// The same for weights that stay as they are while the backend lives: normLinear(), finishBlock() and linear() without
/// accumulation keep each weight matrix they meet in the form and precision that is fastest to multiply.
/// @throws Error::StsNotImplemented when this processor or build cannot do it: cpuLacks() says why.
std::shared_ptr<const Backend> frozenCpu(Precision precision);
/// For training: the products of trainBlock() and backwardBlock() multiply in FP32 or BF16. In BF16 what goes into a
/// product is rounded, weights once after each weightsChanged(), and so is what waits between two products; sums, the
/// weights themselves, their gradients, the residual stream and its gradient, norms and softmax are fp32.
/// @throws Error::StsNotImplemented as frozenCpu(), and for INT8
std::shared_ptr<const Backend> trainingCpu(Precision precision);
/// Empty, or what this processor or build lacks for that precision: "this processor has no AVX512_BF16 instructions".
std::string cpuLacks(Precision precision);

/// "oneDNN 2.6.3, AVX-512": the library and instruction set the CPU implementation really uses.
std::string cpuLibrary();
/// Threads that the next operation may use: cv::getNumThreads(), for every library underneath.
int threads();

/// Chooses the widest kernel set the processor has (default), or a narrower one for tests: "avx512", "avx2", "baseline",
/// "auto". Not to be called beside running operations. @throws Error::StsBadArg when the processor lacks it.
void useKernels(const std::string& name);
std::string kernelsInUse();

/// Thread-seconds spent and FLOP done inside matrix products since the last call with reset = true; counted only while
/// profiling is on (all threads together: a product of 1 s on 2 threads counts 2 s).
struct MatmulProfile { double seconds = 0, flop = 0; uint64_t calls = 0; };
void profileMatmul(bool on);
MatmulProfile matmulProfile(bool reset);

}}}  // namespace

#endif
