// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_TRANSFORMER_HPP
#define OPENCV_LTRP_VIT_TRANSFORMER_HPP

#include "params.hpp"
#include "../ops/ops.hpp"

namespace cv { namespace ltrp { namespace vit {

/// What one caller brings along: the device that computes, and named scratch buffers that grow to the largest size asked
/// for and are then reused. Not to be shared by threads.
class Workspace
{
public:
    explicit Workspace(const ops::Backend& backend = ops::cpu()) : backend_(backend) {}
    explicit Workspace(std::shared_ptr<const ops::Backend> backend) : owned_(std::move(backend)), backend_(*owned_) {}

    const ops::Backend& ops() const { return backend_; }
    /// At least `count` floats, 64-byte aligned; contents undefined when it has grown.
    float* get(const std::string& name, size_t count);
    size_t bytes() const;   ///< held by all buffers

private:
    std::shared_ptr<const ops::Backend> owned_;
    const ops::Backend& backend_;
    std::unordered_map<std::string, cv::Mat> buffers_;
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
    /// flagged [B]: token that is neither key nor query, -1 for none; null: none in the batch.
    void forward(float* x, int batch, int tokens, const int* flagged, float* out, Workspace& ws) const;

    /// Blocks first .. last-1, without the final norm. Where only the first `queries` tokens of an item are read
    /// afterwards, the last of these blocks computes just them (0: all), and the others' values are no result.
    void forwardBlocks(float* x, int batch, int tokens, const int* flagged, int first, int last, Workspace& ws,
                       int queries = 0) const;
    ops::NormWeights finalNormWeights() const { return at(norm_); }
    std::vector<ops::BlockWeights> blockWeights() const;
    void finalNorm(const float* x, size_t rows, float* out, Workspace& ws) const;

    /// `variants` runs of all blocks from one input x0 [tokens, dim], each with its own flagged[v]: x [variants, tokens,
    /// dim], without the final norm. The first block's queries, keys and values are computed once for all. `queries` as
    /// for forwardBlocks().
    void forwardFlagged(const float* x0, int tokens, int variants, const int* flagged, float* x, Workspace& ws,
                        int queries = 0) const;
    /// The same with token dropped[v] left out of the sequence: x [variants, tokens - 1, dim].
    void forwardDropped(const float* x0, int tokens, int variants, const int* dropped, float* x, Workspace& ws) const;

    /// Keeps activations in ws under `tag`.
    void forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const;
    /// dOut [B,T,dim] -> dx [B,T,dim] (gradient at the stack's input; may be dOut itself); adds to grads (arena layout).
    void backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws, const std::string& tag) const;

    const StackConfig& config() const { return config_; }

private:
    struct Norm { size_t weight, bias; };
    struct Linear { size_t weight, bias; int in, out; };
    struct Block { Norm norm1; Linear qkv, proj; Norm norm2; Linear fc1, fc2; };

    ops::NormWeights at(const Norm& norm) const
    {
        return {params_.data() + norm.weight, params_.data() + norm.bias, eps_};
    }
    ops::LinearWeights at(const Linear& linear) const
    {
        return {params_.data() + linear.weight, params_.data() + linear.bias, linear.in, linear.out};
    }
    ops::BlockWeights at(const Block& b) const
    {
        return {at(b.norm1), at(b.qkv), at(b.proj), at(b.norm2), at(b.fc1), at(b.fc2)};
    }
    ops::BlockWeights block(int i) const { return at(blocks_[static_cast<size_t>(i)]); }
    float* tapeOf(int block, int batch, int tokens, Workspace& ws, const std::string& tag) const;

    StackConfig config_;
    float eps_;
    const ParamArena& params_;   ///< its values may move, so that only offsets into them are kept
    std::vector<Block> blocks_;
    Norm norm_;
};

}}}  // namespace

#endif
