// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_TRANSFORMER_HPP
#define OPENCV_LTRP_VIT_TRANSFORMER_HPP

#include "params.hpp"
#include "../ops/ops.hpp"

#include <exception>
#include <functional>

namespace cv { namespace ltrp { namespace vit {

/// Thrown when a workspace's `stop` returns true: the current work is cancelled.
class Stopped : public std::exception
{
public:
    const char* what() const noexcept override { return "stopped"; }
};

/// The resources of one caller: the backend, and named scratch buffers that grow to the largest requested size and are
/// reused. Must not be shared between threads.
class Workspace
{
public:
    explicit Workspace(const ops::Backend& backend = ops::cpu()) : backend_(backend) {}
    explicit Workspace(std::shared_ptr<const ops::Backend> backend) : owned_(std::move(backend)), backend_(*owned_) {}
    ~Workspace();
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    const ops::Backend& ops() const { return backend_; }
    std::function<bool()> stop;   ///< if set, called at each pause(); true: cancels the work
    /// Called between two parts of a long computation. @throws Stopped
    void pause() const
    {
        if (stop && stop())
            throw Stopped();
    }
    /// At least `count` values in the backend's memory, 64-byte aligned; contents undefined when it has grown.
    float* get(const std::string& name, size_t count) { return static_cast<float*>(buffer(name, count, sizeof(float))); }
    int* ints(const std::string& name, size_t count) { return static_cast<int*>(buffer(name, count, sizeof(int))); }
    double* doubles(const std::string& name, size_t count)
    {
        return static_cast<double*>(buffer(name, count, sizeof(double)));
    }
    size_t bytes() const;   ///< total size of all buffers

    /// Address of all parameters, or of one, in the backend's memory.
    const float* parameters(const ParamArena& params) const
    {
        return backend_.parameters(params.data(), params.layout.total());
    }
    const float* at(const ParamArena& params, const std::string& name) const
    {
        return parameters(params) + params.layout.at(name).offset;
    }

    /// Copies the host's values to the backend's memory, buffer `name`; on the CPU returns the values themselves.
    const float* upload(const std::string& name, const float* host, size_t count);
    const int* upload(const std::string& name, const int* host, size_t count);
    /// The same for values that rarely change: copied only after a change. They must live as long as the result.
    const int* indices(const std::string& name, const std::vector<int>& host);
    const float* constants(const std::string& name, const std::vector<float>& host);
    /// Copies values to the host, after all earlier operations; on the CPU returns `from`. The copy is valid until the
    /// next download with this name.
    const float* download(const std::string& name, const float* from, size_t count);
    /// Memory of the backend for values that finish() copies to the host; on the CPU the host memory itself.
    float* result(const std::string& name, float* host, size_t count)
    {
        return backend_.onHost() ? host : get(name, count);
    }
    void finish(const float* from, float* host, size_t count) const
    {
        if (!backend_.onHost())
            backend_.download(from, host, count * sizeof(float));
    }

    /// Runs `calls`, or replays a recording of them on a device. They must neither wait nor copy between host and
    /// device; `key` must describe their sizes and their addresses outside this workspace.
    void repeat(const std::string& key, const std::function<void()>& calls);

private:
    struct Buffer
    {
        void* data = nullptr;
        size_t bytes = 0;
    };
    void* buffer(const std::string& name, size_t count, size_t size);

    std::shared_ptr<const ops::Backend> owned_;
    const ops::Backend& backend_;
    std::unordered_map<std::string, Buffer> buffers_;
    std::unordered_map<std::string, std::vector<int>> indices_;      ///< content of the upload buffers by name
    std::unordered_map<std::string, std::vector<float>> constants_;
    std::unordered_map<std::string, std::vector<float>> downloads_;
    struct Repeated
    {
        std::unique_ptr<ops::Replay> replay;
        int64_t buffers = 0;   ///< growths_ at its creation
    };
    static constexpr size_t mostRepeated = 8;   ///< number of recordings kept
    int64_t growths_ = 0;                       ///< number of reallocations of buffers
    std::unordered_map<std::string, Repeated> repeated_;
};

/// A stack of pre-norm blocks followed by a final layer norm:
/// x += proj(attention(LN(x))); x += fc2(gelu(fc1(LN(x)))). Exact (erf) GELU, scale headDim^-0.5.
class Transformer
{
public:
    /// `blocks`, `norm`: parameter name prefixes, "blocks." and "norm." or "decoder_blocks." and "decoder_norm.".
    Transformer(const StackConfig& config, float layerNormEps, const ParamArena& params, const std::string& blocks,
                const std::string& norm);

    /// x [B, T, dim] is overwritten by the blocks; out [B, T, dim] receives LN(x) (may be x itself).
    /// droppedToken [B]: token that is neither key nor query, -1 for none; null: none in the batch.
    void forward(float* x, int batch, int tokens, const int* droppedToken, float* out, Workspace& ws) const;

    /// Blocks first .. last-1, without the final norm. queries: the last of these blocks computes only the first
    /// `queries` tokens of each item (0: all); the others are then undefined.
    void forwardBlocks(float* x, int batch, int tokens, const int* droppedToken, int first, int last, Workspace& ws,
                       int queries = 0) const;
    ops::NormWeights finalNormWeights(const Workspace& ws) const { return at(ws, norm_); }
    std::vector<ops::BlockWeights> blockWeights(const Workspace& ws) const;
    void finalNorm(const float* x, size_t rows, float* out, Workspace& ws) const;

    /// Runs all blocks `variants` times from each input x0 [inputs, tokens, dim], each with its own dropped token
    /// [inputs, variants]: x [inputs, variants, tokens, dim], without the final norm. The first block's queries, keys
    /// and values are computed once per input. `queries` as for forwardBlocks().
    void forwardVariants(const float* x0, int inputs, int tokens, int variants, const int* droppedToken, float* x, Workspace& ws,
                        int queries = 0) const;

    /// Keeps activations in ws under `tag`.
    void forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const;
    /// dOut [B,T,dim] -> dx [B,T,dim] (gradient at the stack's input; may be dOut itself); adds to grads (arena layout).
    void backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws, const std::string& tag) const;

    const StackConfig& config() const { return config_; }

private:
    struct Norm { size_t weight, bias; };
    struct Linear { size_t weight, bias; int in, out; };
    struct Block { Norm norm1; Linear qkv, proj; Norm norm2; Linear fc1, fc2; };

    ops::NormWeights at(const Workspace& ws, const Norm& norm) const
    {
        const float* p = ws.parameters(params_);
        return {p + norm.weight, p + norm.bias, eps_};
    }
    ops::LinearWeights at(const Workspace& ws, const Linear& linear) const
    {
        const float* p = ws.parameters(params_);
        return {p + linear.weight, p + linear.bias, linear.in, linear.out};
    }
    ops::BlockWeights block(const Workspace& ws, int i) const
    {
        const Block& b = blocks_[static_cast<size_t>(i)];
        return {at(ws, b.norm1), at(ws, b.qkv), at(ws, b.proj), at(ws, b.norm2), at(ws, b.fc1), at(ws, b.fc2)};
    }
    float* tapeOf(int block, int batch, int tokens, Workspace& ws, const std::string& tag) const;

    StackConfig config_;
    float eps_;
    const ParamArena& params_;   ///< its values may move, so only offsets are kept
    std::vector<Block> blocks_;
    Norm norm_;
};

}}}  // namespace

#endif
