// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_TRANSFORMER_HPP
#define OPENCV_LTRP_VIT_TRANSFORMER_HPP

#include "params.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Scratch memory of one caller: named buffers that grow to the largest size asked for and are then reused.
class Workspace
{
public:
    /// At least `count` floats, 64-byte aligned, contents undefined when it has grown.
    float* get(const std::string& name, size_t count);
    size_t bytes() const;

private:
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

    /// Blocks from `first` on, without the final norm (leave-one-out shares the first block's q, k, v).
    void forwardBlocks(float* x, int batch, int tokens, const int* flagged, int first, int last, Workspace& ws) const;
    void finalNorm(const float* x, size_t rows, float* out) const;

    /// Keeps activations in ws under `tag`.
    void forwardTrain(float* x, int batch, int tokens, float* out, Workspace& ws, const std::string& tag) const;
    /// dOut [B,T,dim] -> dx [B,T,dim] (gradient at the stack's input; may be dOut itself); adds to grads (arena layout).
    void backward(const float* dOut, int batch, int tokens, float* dx, float* grads, Workspace& ws, const std::string& tag) const;

    const StackConfig& config() const { return config_; }

private:
    struct Block   // offsets into the arena
    {
        size_t norm1w, norm1b, qkvw, qkvb, projw, projb, norm2w, norm2b, fc1w, fc1b, fc2w, fc2b;
    };
    const float* p(size_t offset) const { return params_.data() + offset; }
    void attention(const float* x, float* out, const Block& block, int batch, int tokens, const int* flagged, Workspace& ws) const;

    StackConfig config_;
    float eps_;
    const ParamArena& params_;
    std::vector<Block> blocks_;
    size_t normw_ = 0, normb_ = 0;
};

}}}  // namespace

#endif
