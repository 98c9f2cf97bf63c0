// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CUDA_BACKEND_HPP
#define OPENCV_LTRP_OPS_CUDA_BACKEND_HPP

#include "device.hpp"
#include "../training.hpp"

#include <mutex>
#include <unordered_map>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

/// Temporary memory of calls, released in reverse order. It is allocated per call; in training it is one block of the
/// largest size needed so far, so that a recorded step uses the same addresses and allocates nothing.
class ScratchMemory
{
public:
    explicit ScratchMemory(std::shared_ptr<const Device> device) : device_(std::move(device)) {}
    ~ScratchMemory() { device_->release(piece_); }
    ScratchMemory(const ScratchMemory&) = delete;
    ScratchMemory& operator=(const ScratchMemory&) = delete;

    void* take(size_t bytes);
    void giveBack(void* memory, size_t bytes);
    /// Starts to measure the size; single-threaded only.
    void measure() { measured_ = true; }
    /// Starts to use one block.
    void settle();
    size_t most() const { return most_; }   ///< largest number of bytes in use so far

    /// RAII: calls of this thread, on any backend, use this memory.
    class Redirect
    {
    public:
        explicit Redirect(ScratchMemory& to) : before_(redirected_) { redirected_ = &to; }
        ~Redirect() { redirected_ = before_; }
        Redirect(const Redirect&) = delete;
        Redirect& operator=(const Redirect&) = delete;

    private:
        ScratchMemory* const before_;
    };
    ScratchMemory& ofThisThread() { return redirected_ ? *redirected_ : *this; }

private:
    static thread_local ScratchMemory* redirected_;

    static size_t whole(size_t bytes) { return (bytes + 255) / 256 * 256; }

    const std::shared_ptr<const Device> device_;
    void* piece_ = nullptr;
    bool measured_ = false;
    size_t used_ = 0, most_ = 0, size_ = 0;   ///< bytes: in use, largest so far, of the block
};

/// Implements the operations by kernels and products of a Device. Thread-safe: all threads share one stream, and each
/// call keeps its temporary memory until all its launches are in the stream.
class DeviceBackend CV_FINAL : public Backend
{
public:
    DeviceBackend(std::shared_ptr<const Device> device, std::shared_ptr<ScratchMemory> scratch, Precision precision,
                  bool frozen);
    ~DeviceBackend() CV_OVERRIDE;
    std::shared_ptr<const Backend> companion(Precision precision, bool frozen) const CV_OVERRIDE;
    std::unique_ptr<Training> training(const TrainingSetup& setup, const Training::Pass& pass) const CV_OVERRIDE;
    std::unique_ptr<Replay> replay() const CV_OVERRIDE;

    bool onHost() const CV_OVERRIDE { return false; }
    std::shared_ptr<void> deviceGuard() const CV_OVERRIDE { return device_->deviceGuard(); }
    void* allocate(size_t bytes) const CV_OVERRIDE { return device_->allocate(bytes); }
    void release(void* memory) const CV_OVERRIDE { device_->release(memory); }
    void copy(const void* from, void* to, size_t bytes) const CV_OVERRIDE { device_->copy(from, to, bytes); }
    void zero(void* to, size_t bytes) const CV_OVERRIDE { device_->zero(to, bytes); }
    void upload(const void* host, void* to, size_t bytes) const CV_OVERRIDE { device_->upload(host, to, bytes); }
    void download(const void* from, void* host, size_t bytes) const CV_OVERRIDE
    {
        device_->download(from, host, bytes);
    }
    const float* parameters(const float* host, size_t count) const CV_OVERRIDE;
    int rowsAtOnce() const CV_OVERRIDE { return 1 << 18; }
    void weightsChanged() const CV_OVERRIDE;

    void patchify(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, PatchOrder order,
                  float* out) const CV_OVERRIDE;
    void patchTargets(const PatchGrid& grid, const float* pixels, int batch, const int* ids, int n, bool normalised,
                      float* out, float* deviation) const CV_OVERRIDE;
    void embedTokens(const float* tokens, const float* classToken, const float* positions, const int* ids, float* x,
                     int batch, int n, int dim) const CV_OVERRIDE;
    void embedTokensBackward(const float* dx, float* dTokens, float* dClass, int batch, int n,
                             int dim) const CV_OVERRIDE;
    void complement(const int* keep, int* masked, int batch, int visible, int patches) const CV_OVERRIDE;
    void decoderInput(const float* embedded, const float* maskToken, const float* positions, const int* keep,
                      const int* masked, TokenOrder order, float* x, int batch, int visible, int patches,
                      int dim) const CV_OVERRIDE;
    void decoderInputBackward(const float* dx, const int* keep, const int* masked, float* dEmbedded, float* dMask,
                              int batch, int visible, int patches, int dim) const CV_OVERRIDE;
    void gatherRows(const float* x, size_t itemStride, const int* ids, int base, float* y, int items, int n,
                    int dim) const CV_OVERRIDE;
    void scatterRows(const float* x, const int* ids, int base, float* y, size_t itemStride, int items, int n,
                     int dim) const CV_OVERRIDE;
    void repeatItems(const void* x, void* y, size_t items, size_t times, size_t bytes) const CV_OVERRIDE;

    void linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                Epilogue epilogue) const CV_OVERRIDE;
    void linearBackwardInput(const float* dy, const float* w, float* dx, int rows, int in, int out) const CV_OVERRIDE;
    void linearBackwardWeight(const float* dy, const float* x, float* dw, float* db, int rows, int in,
                              int out) const CV_OVERRIDE;
    void normLinear(const NormWeights& norm, const LinearWeights& linear, const float* x, float* y,
                    int rows) const CV_OVERRIDE;
    void runBlocks(const BlockWeights* blocks, int count, float* x, const int* droppedToken, int batch, int tokens,
                   int heads, int queries, float* qkv, float* attended) const CV_OVERRIDE;
    void runVariants(const BlockWeights* blocks, int count, const float* x0, int inputs, int variants,
                     const int* droppedToken, float* x, int tokens, int heads, int queries, float* qkv,
                     float* attended) const CV_OVERRIDE;
    void finishBlock(const BlockWeights& block, const float* attended, float* x, int rows) const CV_OVERRIDE;
    void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim, float* mean,
                   float* rstd) const CV_OVERRIDE;
    void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd,
                           float* dx, float* dw, float* db, int rows, int dim) const CV_OVERRIDE;
    void gelu(const float* x, float* y, size_t count) const CV_OVERRIDE;
    void geluBackward(const float* x, const float* dy, float* dx, size_t count) const CV_OVERRIDE;
    int probabilityStride(int) const CV_OVERRIDE { return 1; }   // the logarithm of the sum of exp(logits)
    void attention(const float* qkv, const int* droppedToken, float* out, float* probabilities, int batch, int tokens,
                   int dim, int heads, int sharedBy) const CV_OVERRIDE;
    void attentionBackward(const float* qkv, const float* out, const float* probabilities, const float* dOut,
                           float* dQkv, int batch, int tokens, int dim, int heads) const CV_OVERRIDE;
    void trainBlock(const BlockWeights& block, float* x, int batch, int tokens, int heads, float* tape,
                    float* scratch) const CV_OVERRIDE;
    void backwardBlock(const BlockWeights& block, const BlockGrads& grads, const float* tape, float* d, int batch,
                       int tokens, int heads, float* scratch) const CV_OVERRIDE;
    size_t tapeFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE;
    size_t blockScratchFloats(const BlockWeights& block, int batch, int tokens, int heads) const CV_OVERRIDE;
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
    void squaredLoss(const float* prediction, const float* target, size_t count, float* gradient, double* loss,
                     float gradientScale) const CV_OVERRIDE;
    void listMle(const ListMle& list) const CV_OVERRIDE;
    float gradientScale(size_t count) const CV_OVERRIDE;
    void storeAnchor(const NormWeights& norm, const LinearWeights& linear, const float* x, size_t itemStride,
                       int items, int rows, float* reference) const CV_OVERRIDE;
    void differencesFromReference(const NormWeights& norm, const LinearWeights& linear, const float* x,
                                  size_t itemStride, int items, int perReference, int rows, const float* reference,
                                  const float* scale, bool squared, double count, float* means) const CV_OVERRIDE;
    void prepareImages(const DeviceImage* images, int count, Size size, const double mean[3], const double deviation[3],
                       float* pixels) const CV_OVERRIDE;
    void waitForStream(void* stream) const CV_OVERRIDE { device_->waitForStream(stream); }
    void makeStreamWait(void* stream) const CV_OVERRIDE { device_->makeStreamWait(stream); }

private:
    friend class DeviceTraining;

    /// Temporary memory of one call.
    class Scratch
    {
    public:
        Scratch(ScratchMemory& from, size_t bytes)
            : from_(from.ofThisThread()), bytes_(bytes), data_(bytes ? from_.take(bytes) : nullptr)
        {
        }
        ~Scratch()
        {
            if (data_)
                from_.giveBack(data_, bytes_);
        }
        Scratch(const Scratch&) = delete;
        Scratch& operator=(const Scratch&) = delete;
        void* get() const { return data_; }

    private:
        ScratchMemory& from_;
        const size_t bytes_;
        void* const data_;
    };
    /// The device's copy of host parameters: floats, and 16-bit values if products use them.
    struct Mirror
    {
        float* values;
        void* half;
        size_t count;
        const float* host;
        bool stale;
    };

    size_t width() const { return element_ == DataType::Float32 ? 4 : 2; }   ///< bytes of an activation
    /// Returns floats in the type of products: unchanged, or rounded to `to` (activationScratch() bytes).
    Input toProductType(const float* x, size_t count, const Scratch& to) const;
    size_t roundedBytes(size_t count) const { return element_ == DataType::Float32 ? 0 : count * 2; }
    /// Returns parameters in the type of products; `own` receives them if they belong to no Mirror.
    Input weights(const float* w, size_t count, std::unique_ptr<Scratch>& own) const;
    /// The 16-bit copy of parameters(), for code that changes both; data null if products use floats.
    Output copyOf(const float* parameters) const;
    Output activation(void* memory) const { return Output(memory, element_); }
    void multiply(Product product) const;
    void norm(const NormWeights& norm, const float* x, size_t itemStride, size_t items, size_t rows, int dim,
              Output y) const;
    /// before (or data null): receives the input of GELU.
    void multiply(Input x, const LinearWeights& linear, Output y, int rows, bool add, bool gelu,
                  Output before = Output(nullptr, DataType::Float32)) const;
    // Parts of a block in training, in 16 bits. The gradients of a layer's weights and bias are added to `grads`. dx is
    // the gradient of its input, or with `before` that of the input of the GELU in front of it.
    void normKept(const NormWeights& norm, const float* x, Output y, float* mean, float* rstd, int rows, int dim) const;
    void weightGradient(Input dy, Input x, const ParamGrads& grads, Input biasFrom, int rows, int in, int out) const;
    void inputGradient(Input dy, const LinearWeights& linear, Output dx, int rows, Input before) const;
    void normGradient(Input dy, const float* x, const NormWeights& norm, const float* mean, const float* rstd,
                      float* dx, const ParamGrads& grads, int rows, int dim) const;
    void afterAttention(const BlockWeights& block, Input attended, float* x, int rows) const;
    void attend(Input qkv, const int* droppedToken, Output out, int batch, int tokens, int queries, int dim, int heads,
                int sharedBy) const;
    void upload(Mirror& mirror) const;

    const std::shared_ptr<const Device> device_;
    const std::shared_ptr<ScratchMemory> scratch_;
    const Precision precision_;
    const DataType element_;
    const bool frozen_;
    mutable std::mutex mutex_;   ///< mirrors_
    mutable std::unordered_map<const float*, Mirror> mirrors_;   ///< by the host's address
};

}}}}  // namespace

#endif
