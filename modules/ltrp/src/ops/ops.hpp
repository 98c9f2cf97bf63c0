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

/// The ranking loss ListMLE (train/losses.hpp) of a batch, and its gradient. Everything lies in the backend's memory.
struct ListMle
{
    const float* scores;     ///< [batch, patches]
    const int* keep;         ///< [batch, n]: the places whose scores are compared
    const float* target;     ///< [batch, n]
    const SampleKey* keys;   ///< [batch]
    uint64_t seed;           ///< of the draws
    int batch, patches, n;   ///< n up to 1024
    int drawn;               ///< so many of the n are drawn for each sample; 0: all of them take part
    float gradientScale;
    float* dScores;          ///< [batch, patches]: the gradient times gradientScale
    double* loss;            ///< NaN when a target is not finite or a score is NaN
};

struct TrainingSetup;
struct Samples;
class Training;

/// A count that is not negative, for products that may exceed an int.
inline size_t z(int n) { return static_cast<size_t>(n); }

/// How images of width x height pixels are cut into square patches.
struct PatchGrid
{
    int width, height, patch;

    int columns() const { return width / patch; }
    int count() const { return columns() * (height / patch); }
    int values() const { return 3 * patch * patch; }   ///< in a patch vector
};

/// An image in the memory of a backend that is not the host: interleaved 8-bit BGR, `step` bytes from row to row.
struct DeviceImage
{
    const uint8_t* data;
    size_t step;
    int width, height;
};

/// The two orders of patch vectors: the convolution weight's (channel, row, column) or the decoder's (row, column, channel).
enum class PatchOrder { ChannelFirst, ChannelLast };

/// The two orders of the decoder's tokens: class token and grid places as they lie; or the hidden places, the class token,
/// the visible places (each ascending), so that what is compared stands first.
enum class TokenOrder { ByPlace, HiddenFirst };

/// Calls of operations that are made again and again with the same sizes, addresses and weights.
class Replay
{
public:
    virtual ~Replay() = default;
    /// `calls` makes the same calls every time; it may be run or, from the third time on, what it did the second time
    /// is done again. What lies at the addresses may have changed. For one thread at a time.
    virtual void run(const std::function<void()>& calls) = 0;
};

/// The operations that the networks are written in: row-major fp32, one implementation per device. All are
/// deterministic for a given number of threads, and safe to call from several threads at once.
///
/// Every pointer is to memory of the backend (the host's on the CPU) unless a host's is said. Operations on a device may
/// still run when they return; they run in the order of their calls, and download() waits for those before it.
class Backend
{
public:
    virtual ~Backend() = default;

    /// Whether memory of this backend is the host's, so that values need not be carried between the two.
    virtual bool onHost() const = 0;
    /// Held by what calls come in from outside while they use this backend: CUDA's current device, which belongs to the
    /// thread, is afterwards the caller's again. Null where there is nothing to be kept.
    virtual std::shared_ptr<void> visit() const { return nullptr; }
    /// Uninitialised, aligned to 64 bytes at least. @throws Error::StsNoMem saying how much was wanted of what there is
    virtual void* allocate(size_t bytes) const = 0;
    virtual void release(void* memory) const = 0;   ///< null is allowed
    virtual void copy(const void* from, void* to, size_t bytes) const = 0;
    virtual void zero(void* to, size_t bytes) const = 0;
    virtual void upload(const void* host, void* to, size_t bytes) const = 0;     ///< the host's may change after the call
    virtual void download(const void* from, void* host, size_t bytes) const = 0;
    /// Where this backend keeps the parameters that lie at host[0 .. count): the same layout, and for weights that may
    /// change the same place for as long as the backend lives.
    virtual const float* parameters(const float* host, size_t count) const = 0;
    /// Token rows that are best computed at once: enough for the products to reach their rate.
    virtual int rowsAtOnce() const = 0;

    /// Patch vectors out [batch, n, values] of pixels [batch, 3, height, width] at the grid places ids [batch, n] (null: all, in
    /// order).
    virtual void patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, PatchOrder order,
                          float* out) const = 0;
    /// What the decoder is to predict there: patch vectors in (row, column, channel) order out [batch, n, values] (null: not
    /// wanted), normalised by their own mean and deviation = sqrt(var + 1e-6), var with divisor values - 1, when
    /// `normalised`. deviation [batch, n] or null.
    virtual void patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, bool normalised,
                              float* out, float* deviation) const = 0;
    /// x [batch, 1 + n, dim]: classToken + positions[0], then tokens [batch, n, dim] + positions[1 + ids[...]] (null: in order).
    virtual void embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids, float* x,
                             int batch, int n, int dim) const = 0;
    /// dx [batch, 1 + n, dim] -> dTokens [batch, n, dim]; dClass [dim] += the class tokens' sum.
    virtual void embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n, int dim) const = 0;
    /// removed [batch, patches - visible]: the places that are not in keep [batch, visible]; both ascending.
    virtual void complement(const int* keep, int* removed, int batch, int visible, int patches) const = 0;
    /// The decoder's tokens x [batch, 1 + patches, dim]: embedded [batch, 1 + visible, dim] (class token first) and mask
    /// tokens, positions [1 + patches, dim] added.
    virtual void decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                              const int* removed, TokenOrder order, float* x, int batch, int visible, int patches,
                              int dim) const = 0;
    /// dx [batch, 1 + patches, dim] by place -> dEmbedded; dMask [dim] += the sum over the removed places.
    virtual void decoderInputBackward(const float* dx, const int* keep, const int* removed, float* dEmbedded, float* dMask,
                                      int batch, int visible, int patches, int dim) const = 0;
    /// y [items, n, dim]: row base + ids[i, j] (ids null: base + j) of item i of x, which begins at x + i * itemStride; a row
    /// of zeros where that number is negative.
    virtual void gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                            int dim) const = 0;
    /// The other way: x [items, n, dim] to the rows base + ids[i, j] of y; all other rows of y stay.
    virtual void scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                             int dim) const = 0;
    /// Each item of x [items, bytes] `times` times, one after the other. bytes is a multiple of 4.
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
    /// `count` blocks on x [batch, tokens, dim], in place. flagged [batch] (or null): a token that is no key for anyone and
    /// attends to nothing; -1 for none. Only the first `queries` tokens of each item go through the last block behind its
    /// keys and values: the others then hold what they were before it. qkv [batch, tokens, 3*dim] and
    /// attended [batch, tokens, dim] are scratch.
    virtual void runBlocks(const BlockWeights* blocks, int count, float* x, const int* flagged, int batch, int tokens,
                           int heads, int queries, float* qkv, float* attended) const = 0;
    /// `variants` runs of the blocks from each input x0 [inputs, tokens, dim]: x [inputs, variants, tokens, dim], each run with
    /// its own token flagged [inputs, variants]. The first block's queries, keys and values are computed once an input.
    /// queries as for runBlocks(); qkv [inputs, variants, tokens, 3*dim] and attended [inputs, variants, tokens, dim] are scratch.
    virtual void runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants,
                             const int* flagged, float* x, int tokens, int heads, int queries, float* qkv,
                             float* attended) const = 0;
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

    /// Floats that attention() keeps for each query of a head with `tokens` keys: on the CPU its weights and padding.
    virtual int probabilityStride(int tokens) const = 0;

    /// Multi-head attention: qkv [batch, tokens, 3*dim] (q, k, v, each head by head) -> out [batch, tokens, dim].
    /// flagged [batch] (or null): a token that is no key for anyone and whose own output is zero; -1 for none.
    /// Batch item b reads the qkv of item b / sharedBy, so that variants of one input share it.
    /// probabilities (or null) [batch, heads, tokens, probabilityStride] keeps what the backward pass needs.
    virtual void attention(const float* qkv, const int* flagged, float* out, float* probabilities, int batch, int tokens,
                           int dim, int heads, int sharedBy = 1) const = 0;
    /// dOut [batch, tokens, dim] -> dQkv [batch, tokens, 3*dim] (no flagged tokens in training); out and probabilities as
    /// attention() left them.
    virtual void attentionBackward(const float* qkv, const float* out, const float* probabilities, const float* dOut, float* dQkv,
                                   int batch, int tokens, int dim, int heads) const = 0;

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

    /// *loss (memory of the backend) = mean of (prediction - target)^2 over `count` values; gradient = gradientScale * d loss /
    /// d prediction, may be prediction.
    virtual void squaredLoss(const float* prediction, const float* target, size_t count, float* gradient, double* loss,
                             float gradientScale = 1) const = 0;
    /// @throws Error::StsNotImplemented on the host, where train/losses.cpp does it
    virtual void listMle(const ListMle& list) const;
    /// A power of two for gradients that are about 1 / count, so that what is rounded in their products stays in its range.
    virtual float gradientScale(size_t count) const;

    /// A backend for other weights on the same device, whose operations keep their order with this one's.
    virtual std::shared_ptr<const Backend> beside(Precision precision, bool frozen) const;
    /// Null on the host, which trains by train/optimizer.cpp. `pass` runs on this backend and those beside it.
    virtual std::unique_ptr<Training> training(
        const TrainingSetup& setup, const std::function<void(const Samples&, float*, double*)>& pass) const;

    /// Null where calls cost nothing worth saving, and for weights that change.
    virtual std::unique_ptr<Replay> replay() const;

    /// Estimates, for each variant, the mean over compared tokens and values of |prediction - that of the anchor, which lacks
    /// nothing| * scale (squared: of its square). Approximate in two ways. A variant computes only a sample of the compared
    /// tokens, drawn without chance: those that look more at the missing token in the first block are taken more often and
    /// count for less. And it takes the keys and values of the tokens it leaves out from the anchor.
    /// @throws Error::StsNotImplemented on devices that do not have it
    virtual void sampledDifferences(const SampledVariants& work, double* means) const;

    /// What differencesFromReference() compares with: the last layer of `items` anchors, the first `rows` rows of each, the
    /// first of which begins at x + i * itemStride. reference [items, rows, max(in, out)]: what it holds is the backend's own.
    virtual void keepReference(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                               int items, int rows, float* reference) const = 0;
    /// means[i] = 1 / count * the sum over rows and outputs of |linear(layerNorm(x of item i)) - that of reference
    /// i / perReference| * scale[i / perReference, row] (squared: of its square), without storing what is compared.
    /// x of item i begins at x + i * itemStride; scale [items / perReference, rows] or null.
    virtual void differencesFromReference(const NormWeights& norm, const LinearWeights& linear, const float* x,
                                          size_t itemStride, int items, int perReference, int rows, const float* reference,
                                          const float* scale, bool squared, double count, float* means) const = 0;

    /// Images of the backend's memory -> pixels [count, 3, size.height, size.width]: resized as image::resizeAntialiasedCubic() does and
    /// normalised; mean and deviation are those of R, G, B in [0, 1].
    /// @throws Error::StsNotImplemented on the host, which has image/ for it; Error::StsBadArg for memory of another place
    virtual void prepareImages(const DeviceImage* images, int count, Size size, const double mean[3], const double deviation[3],
                               float* pixels) const;
    /// Operations called from now on run behind what `stream` (a cudaStream_t; null: the default one) was told so far; and:
    /// what it is told from now on runs behind the operations called so far. Neither waits. @throws as prepareImages()
    virtual void startBehind(void* stream) const;
    virtual void letFollow(void* stream) const;
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

/// The same on the current CUDA device: frozen for weights that stay as they are, else weightsChanged() makes the device's
/// copies follow the host's. device (or null): receives what it is called.
/// @throws Error::GpuNotSupported saying what is missing, as cudaLacks()
std::shared_ptr<const Backend> cudaBackend(Precision precision, bool frozen, std::string* device = nullptr);
/// Empty, or why there is no CUDA here: not built in, no driver, no device, a device too old.
std::string cudaLacks();
std::string cudaLibrary();   ///< "cuBLASLt 130001, CUDA 13.0"; empty where it is not built in

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
