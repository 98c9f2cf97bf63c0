// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_HPP
#define OPENCV_LTRP_OPS_HPP

#include "../precomp.hpp"
#include "step.hpp"

#include <functional>
#include <memory>

namespace cv { namespace ltrp { namespace ops {

/// How the result of a linear layer is stored.
enum class Epilogue
{
    Store,   ///< y = x w^T + b
    Add      ///< y += x w^T + b (a residual branch)
};

/// Precision of the matrix products in a forward pass. Sums, norms, softmax and the residual stream are always fp32.
enum class Precision
{
    FP32,
    BF16,   ///< weights and activations rounded to bfloat16, fp32 sums
    INT8,   ///< weights to 8 bits per output channel, activations to 8 bits per token, 32-bit integer sums; CPU only
    TF32,   ///< weights and activations rounded to 10 bits of mantissa inside the product; CUDA only
    FP16    ///< the same as BF16 in IEEE half precision; CUDA only
};
const char* precisionName(Precision precision);   ///< "FP32", "BF16", "INT8", "TF32", "FP16"

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

/// Destination of the parameters' gradients, which are added; fields as for the weights.
struct ParamGrads
{
    float* weight;
    float* bias;
};
struct BlockGrads
{
    ParamGrads norm1, qkv, proj, norm2, fc1, fc2;
};

/// Input of sampledDifferences(): one image's decoder tokens and the decoder's blocks.
struct SampledVariants
{
    const BlockWeights* blocks;
    int count;              ///< blocks, 1 or more
    NormWeights norm;       ///< after the last block
    LinearWeights head;     ///< predicts the values that are compared
    const float* x0;        ///< [tokens, dim], compared tokens first
    int tokens, compared, heads;
    const int* droppedToken;     ///< [variants], host memory: the token left out of each, `compared` or more
    int variants;
    double share;           ///< in (0, 1]: share of the compared tokens that are computed per variant, at least one
    const float* scale;     ///< [compared]: factor of a token's differences, or null
    bool squared;
};

/// The ranking loss ListMLE (cpu/list_mle.hpp) of a batch and its gradient. All arrays are in the backend's memory.
struct ListMle
{
    const float* scores;     ///< [batch, patches]
    const int* keep;         ///< [batch, n]: numbers of the compared patches
    const float* target;     ///< [batch, n]
    const SampleKey* keys;   ///< [batch]
    uint64_t seed;           ///< of the draws
    int batch, patches, n;   ///< n up to 1024 on a GPU
    int drawn;               ///< number of the n that are drawn for each sample; 0: all
    float gradientScale;
    float* dScores;          ///< [batch, patches]: the gradient times gradientScale
    double* loss;            ///< NaN if a target is not finite or a score is NaN
};

struct TrainingSetup;
struct Samples;
class Training;

/// A non-negative count as size_t, for products that may exceed an int.
inline size_t z(int n) { return static_cast<size_t>(n); }

/// Division of images of width x height pixels into square patches.
struct PatchGrid
{
    int width, height, patch;

    int columns() const { return width / patch; }
    int count() const { return columns() * (height / patch); }
    int values() const { return 3 * patch * patch; }   ///< in a patch vector
};

/// An image in device memory: interleaved 8-bit BGR, `step` bytes between rows.
struct DeviceImage
{
    const uint8_t* data;
    size_t step;
    int width, height;
};

/// The two orders of patch vectors: the convolution weight's (channel, row, column) or the decoder's (row, column, channel).
enum class PatchOrder { ChannelFirst, ChannelLast };

/// The two orders of the decoder's tokens: class token and patches in raster order; or masked patches, class token,
/// visible patches (each ascending), so that the compared ones are first.
enum class TokenOrder { Raster, MaskedFirst };

/// A sequence of operations that is repeated with the same sizes, addresses and weights.
class Replay
{
public:
    virtual ~Replay() = default;
    /// `calls` must make the same calls every time. It is run the first two times; from the third time on, a recording
    /// of the second may be replayed. Values at the addresses may change. One thread at a time.
    virtual void run(const std::function<void()>& calls) = 0;
};

/// The tensor operations of the networks: row-major fp32, one implementation per device. All are deterministic for a
/// given number of threads and thread-safe.
///
/// Pointers are to the backend's memory (on the CPU the host's) unless stated otherwise. On a device, operations may
/// still run when they return; they run in the order of their calls, and download() waits for them.
class Backend
{
public:
    virtual ~Backend() = default;

    /// Whether the backend uses host memory, so that values need not be copied.
    virtual bool onHost() const = 0;
    /// RAII guard for public functions that use this backend: restores the calling thread's current CUDA device. Null
    /// if there is nothing to restore.
    virtual std::shared_ptr<void> deviceGuard() const { return nullptr; }
    /// Uninitialised memory, aligned to 64 bytes at least. @throws Error::StsNoMem with the requested and the free size
    virtual void* allocate(size_t bytes) const = 0;
    virtual void release(void* memory) const = 0;   ///< null is allowed
    virtual void copy(const void* from, void* to, size_t bytes) const = 0;
    virtual void zero(void* to, size_t bytes) const = 0;
    virtual void upload(const void* host, void* to, size_t bytes) const = 0;   ///< host memory may change afterwards
    virtual void download(const void* from, void* host, size_t bytes) const = 0;
    /// Address in the backend's memory of the parameters at host[0 .. count): the same layout, and for weights that may
    /// change the same address as long as the backend exists.
    virtual const float* parameters(const float* host, size_t count) const = 0;
    /// Number of token rows per pass from which the products reach their full rate.
    virtual int rowsAtOnce() const = 0;

    /// Patch vectors out [batch, n, values] of pixels [batch, 3, height, width] for the patches ids [batch, n] (null:
    /// all, in order).
    virtual void patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, PatchOrder order,
                          float* out) const = 0;
    /// Targets of the decoder for these patches: patch vectors in (row, column, channel) order out [batch, n, values]
    /// (or null), if `normalised` less their own mean and divided by deviation = sqrt(var + 1e-6), var with divisor
    /// values - 1. deviation [batch, n] or null.
    virtual void patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, bool normalised,
                              float* out, float* deviation) const = 0;
    /// x [batch, 1 + n, dim]: classToken + positions[0], then tokens [batch, n, dim] + positions[1 + ids[...]] (null: in order).
    virtual void embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids, float* x,
                             int batch, int n, int dim) const = 0;
    /// dx [batch, 1 + n, dim] -> dTokens [batch, n, dim]; dClass [dim] += the class tokens' sum.
    virtual void embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n, int dim) const = 0;
    /// masked [batch, patches - visible]: the patches that are not in keep [batch, visible]; both ascending.
    virtual void complement(const int* keep, int* masked, int batch, int visible, int patches) const = 0;
    /// The decoder's tokens x [batch, 1 + patches, dim]: embedded [batch, 1 + visible, dim] (class token first) and mask
    /// tokens, positions [1 + patches, dim] added.
    virtual void decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                              const int* masked, TokenOrder order, float* x, int batch, int visible, int patches,
                              int dim) const = 0;
    /// dx [batch, 1 + patches, dim] in raster order -> dEmbedded; dMask [dim] += the sum over the masked patches.
    virtual void decoderInputBackward(const float* dx, const int* keep, const int* masked, float* dEmbedded, float* dMask,
                                      int batch, int visible, int patches, int dim) const = 0;
    /// Gathers rows: y [items, n, dim] = rows base + ids[i, j] (ids null: base + j) of item i of x, which begins at x +
    /// i * itemStride; a row of zeros if that number is negative.
    virtual void gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                            int dim) const = 0;
    /// Scatters rows: x [items, n, dim] to the rows base + ids[i, j] of y; other rows of y are not changed.
    virtual void scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                             int dim) const = 0;
    /// mean [items, dim] of the n rows of each item of x that begin with row `base`; n is 1 or more.
    virtual void meanRows(const float* x, size_t itemStride, int base, float* mean, int items, int n, int dim) const = 0;
    /// The gradient of meanRows(): each of these n rows of dx becomes dMean / n; other rows of dx are not changed.
    virtual void meanRowsBackward(const float* dMean, float* dx, size_t itemStride, int base, int items, int n,
                                  int dim) const = 0;
    /// Repeats each item of x [items, bytes] `times` times. bytes is a multiple of 4.
    virtual void repeatItems(const void* x, void* y, size_t items, size_t times, size_t bytes) const = 0;

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
    /// Runs `count` blocks on x [batch, tokens, dim], in place. droppedToken [batch] (or null): a masked token, which
    /// is no key and attends to nothing; -1: none. In the last block only the first `queries` tokens of each item are
    /// computed after keys and values; the others keep their input values. qkv [batch, tokens, 3*dim] and attended
    /// [batch, tokens, dim] are scratch.
    virtual void runBlocks(const BlockWeights* blocks, int count, float* x, const int* droppedToken, int batch, int tokens,
                           int heads, int queries, float* qkv, float* attended) const = 0;
    /// Runs the blocks `variants` times from each input x0 [inputs, tokens, dim]: x [inputs, variants, tokens, dim],
    /// each with its own masked token droppedToken [inputs, variants]. The first block's queries, keys and values are
    /// computed once per input. queries: as for runBlocks(); qkv [inputs, variants, tokens, 3*dim] and attended
    /// [inputs, variants, tokens, dim] are scratch.
    virtual void runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants,
                             const int* droppedToken, float* x, int tokens, int heads, int queries, float* qkv,
                             float* attended) const = 0;
    /// The part of a block after its attention, on rows of x [rows, dim] in place: x += proj(attended), then x +=
    /// fc2(gelu(fc1(LN(x)))).
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

    /// Floats per query that attention() stores for a head with `tokens` keys: on the CPU its weights and padding.
    virtual int probabilityStride(int tokens) const = 0;

    /// Multi-head attention: qkv [batch, tokens, 3*dim] (q, k, v, each head by head) -> out [batch, tokens, dim].
    /// droppedToken [batch] (or null): a token that is no key and whose output is zero; -1: none.
    /// Item b reads the qkv of item b / sharedBy, so that variants of one input share it.
    /// probabilities (or null) [batch, heads, tokens, probabilityStride]: values for the backward pass.
    virtual void attention(const float* qkv, const int* droppedToken, float* out, float* probabilities, int batch, int tokens,
                           int dim, int heads, int sharedBy = 1) const = 0;
    /// dOut [batch, tokens, dim] -> dQkv [batch, tokens, 3*dim] (no droppedToken tokens in training); out and probabilities as
    /// attention() left them.
    virtual void attentionBackward(const float* qkv, const float* out, const float* probabilities, const float* dOut, float* dQkv,
                                   int batch, int tokens, int dim, int heads) const = 0;

    /// Attention of shared queries q [queries, dim] to kv [batch, tokens, 2*dim] (k, v, each head by head), scale as in
    /// attention() -> out [batch, queries, dim]. probabilities [batch, heads, queries, tokens] for the backward pass, or null.
    virtual void crossAttention(const CrossAttention& sizes, const float* q, const float* kv, float* out,
                                float* probabilities) const = 0;
    /// dOut [batch, queries, dim] -> dKv [batch, tokens, 2*dim]; dQ [queries, dim] += the sum over the batch. probabilities: as
    /// crossAttention() left them; their content is lost.
    virtual void crossAttentionBackward(const CrossAttention& sizes, const float* q, const float* kv, float* probabilities,
                                        const float* dOut, float* dQ, float* dKv) const = 0;
    /// A linear layer with one output for each row of an item: y [items, n] = the products of the rows of x [items, n, dim] with
    /// those of w [n, dim], + b [n].
    virtual void rowProducts(const float* x, const float* w, const float* b, float* y, int items, int n, int dim) const = 0;
    /// dy [items, n] -> dx [items, n, dim]; dw, db += gradients.
    virtual void rowProductsBackward(const float* dy, const float* x, const float* w, float* dx, float* dw, float* db, int items,
                                     int n, int dim) const = 0;

    /// Forward pass of a block in training, on x [batch, tokens, dim] in place. tape [tapeFloats()]: values for
    /// backwardBlock(). These four are composed of the operations above unless a backend overrides them; the content of
    /// the tape then depends on the backend.
    virtual void trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                            float* scratch) const;
    /// Backward pass: d [batch, tokens, dim], in place, from the gradient at the block's output to that at its input;
    /// adds to `grads`.
    virtual void backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch,
                               int tokens, int heads, float* scratch) const;
    virtual size_t tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const;
    /// Size of the scratch memory of both, which all blocks may share.
    virtual size_t blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const;
    /// Must be called after each change of weights that a training backend has used.
    virtual void weightsChanged() const {}

    /// *loss (backend memory) = mean of (prediction - target)^2 over `count` values; gradient = gradientScale * d loss
    /// / d prediction; may be prediction.
    virtual void squaredLoss(const float* prediction, const float* target, size_t count, float* gradient, double* loss,
                             float gradientScale = 1) const = 0;
    virtual void crossEntropy(const CrossEntropy& args) const = 0;
    virtual void shareEntropy(const ShareEntropy& args) const = 0;
    virtual void asymmetricLoss(const AsymmetricLoss& args) const = 0;
    /// @throws Error::StsNotImplemented for lists that are too long
    virtual void listMle(const ListMle& list) const = 0;
    /// Scale for gradients of about 1 / count, a power of two, so that half precision neither overflows nor underflows.
    virtual float gradientScale(size_t count) const;

    /// Creates a backend for other weights on the same device; operations of both backends stay in order.
    virtual std::shared_ptr<const Backend> companion(Precision precision, bool frozen) const;
    /// Creates the training state on a device; null on the host, which uses train/optimizer.cpp. `pass` runs on this
    /// backend and its companions.
    virtual std::unique_ptr<Training> training(
        const TrainingSetup& setup, const std::function<void(const Samples&, float*, double*)>& pass) const;

    /// Null if recording saves nothing, or if the weights change.
    virtual std::unique_ptr<Replay> replay() const;

    /// Estimates for each variant the mean over compared tokens and values of |prediction - the anchor's prediction| *
    /// scale (squared: of its square); the anchor has all tokens. There are two approximations. A variant computes only
    /// a sample of the compared tokens, drawn deterministically: tokens that attend more to the dropped one in the
    /// first block are drawn more often and weighted less. Keys and values of the other tokens are the anchor's.
    /// @throws Error::StsNotImplemented on devices without it
    virtual void sampledDifferences(const SampledVariants& work, double* means) const;

    /// Computes the reference of differencesFromReference(): the last layer of `items` anchors, the first `rows` rows
    /// of each; item i begins at x + i * itemStride. reference [items, rows, max(in, out)]: its content depends on the
    /// backend.
    virtual void storeAnchor(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                               int items, int rows, float* reference) const = 0;
    /// means[i] = 1 / count * the sum over rows and outputs of |linear(layerNorm(x of item i)) - that of reference i /
    /// perReference| * scale[i / perReference, row] (squared: of its square), without storing the predictions. Item i
    /// begins at x + i * itemStride; scale [items / perReference, rows] or null.
    virtual void differencesFromReference(const NormWeights& norm, const LinearWeights& linear, const float* x,
                                          size_t itemStride, int items, int perReference, int rows, const float* reference,
                                          const float* scale, bool squared, double count, float* means) const = 0;

    /// Images in the backend's memory -> pixels [count, 3, size.height, size.width]: resized as
    /// image::resizeAntialiasedCubic() does and normalised; mean and deviation are those of R, G, B in [0, 1].
    /// @throws Error::StsNotImplemented on the host, which uses image/; Error::StsBadArg for memory of another device
    virtual void prepareImages(const DeviceImage* images, int count, Size size, const double mean[3], const double deviation[3],
                               float* pixels) const;
    /// waitForStream: later operations run after the work in `stream` (a cudaStream_t; null: the default one). makeStreamWait:
    /// later work in `stream` runs after the operations called so far. Neither waits. @throws as prepareImages()
    virtual void waitForStream(void* stream) const;
    virtual void makeStreamWait(void* stream) const;
};

/// The CPU implementation (oneDNN or cv::gemm products, own vectorised kernels).
const Backend& cpu();
/// The same for constant weights: normLinear(), finishBlock() and linear() without accumulation pack each weight matrix
/// once, in the layout and precision that is fastest to multiply.
/// @throws Error::StsNotImplemented if this processor or build lacks the precision, with the reason of cpuLacks()
std::shared_ptr<const Backend> frozenCpu(Precision precision);
/// For training: the products of trainBlock() and backwardBlock() are FP32 or BF16. In BF16 the operands of products
/// (weights once after each weightsChanged()) and values between two products are rounded; sums, weights, gradients of
/// weights, the residual stream and its gradient, norms and softmax are fp32.
/// @throws Error::StsNotImplemented as frozenCpu(), and for INT8
std::shared_ptr<const Backend> trainingCpu(Precision precision);
/// Empty if this processor and build have the precision, else the reason: "this processor has no AVX512_BF16
/// instructions".
std::string cpuLacks(Precision precision);

/// The same on the current CUDA device. frozen: the weights are constant; otherwise weightsChanged() updates the
/// device's copies. device (or null): receives its name.
/// @throws Error::GpuNotSupported with the reason of cudaLacks()
std::shared_ptr<const Backend> cudaBackend(Precision precision, bool frozen, std::string* device = nullptr);
/// Empty if CUDA is usable, else the reason: not built in, no driver, no device, a device too old.
std::string cudaLacks();
std::string cudaLibrary();   ///< "cuBLASLt 130001, CUDA 13.0"; empty if it is not built in

/// "oneDNN 2.6.3, AVX-512": library and instruction set in use by the CPU implementation.
std::string cpuLibrary();

/// Selects the widest kernel set of the processor (default), or a narrower one for tests: "avx512", "avx2", "baseline",
/// "auto". Must not run at the same time as operations. @throws Error::StsBadArg if the processor lacks it
void useKernels(const std::string& name);
std::string kernelsInUse();

/// Thread-seconds spent and FLOP done inside matrix products since the last call with reset = true; counted only while
/// profiling is on (all threads together: a product of 1 s on 2 threads counts 2 s).
struct MatmulProfile { double seconds = 0, flop = 0; uint64_t calls = 0; };
void profileMatmul(bool on);
MatmulProfile matmulProfile(bool reset);

}}}  // namespace

#endif
