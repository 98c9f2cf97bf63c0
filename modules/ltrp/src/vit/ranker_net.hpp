// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_RANKER_NET_HPP
#define OPENCV_LTRP_VIT_RANKER_NET_HPP

#include "params.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

/// The ranker: class token + patch tokens -> blocks -> norm -> linear -> one score per patch. The linear layer reads
/// the class token (Head::Class) or each patch's token (Head::Token).
/// Const and thread-safe if each thread has its own Workspace.
class RankerNet
{
public:
    /// `params` must be in rankerLayout(config) order and outlive this object. Images are of config.input.size(); if
    /// that differs from the size in training, the position table is computed for it.
    RankerNet(const RankerConfig& config, const ParamArena& params);
    const RankerConfig& config() const { return config_; }

    /// scores [B, L]. ids [B, n]: only these patches are in the input (asymmetric training); null: all. With
    /// Head::Token a patch that is not in ids has the score 0 and no gradient. cls (may be null) [B, dim]: the class
    /// token after the final norm.
    void forward(const float* pixels, int batch, const int* ids, int n, float* scores, float* cls, Workspace& ws) const;

    /// As forward(); stores activations for backward() in ws.
    void forwardTrain(const float* pixels, int batch, const int* ids, int n, float* scores, Workspace& ws) const;
    /// dScores [B, L] -> adds to grads (arena layout). Must follow forwardTrain with the same arguments and ws.
    void backward(const float* pixels, int batch, const int* ids, int n, const float* dScores, float* grads, Workspace& ws) const;

private:
    const float* positions(Workspace& ws) const
    {
        return positions_.empty() ? nullptr : ws.constants(positionsName_, positions_);
    }
    /// Head::Token: the scores of normalised tokens x [B, 1 + n, dim].
    void tokenScores(const float* x, int batch, const int* ids, int n, float* scores, Workspace& ws) const;
    /// dScores [B, L] -> dOut [B, 1 + n, dim], the gradient after the final norm; adds the head's to grads.
    void classHeadBackward(int batch, int n, const float* dScores, float* dOut, float* grads, Workspace& ws) const;
    void tokenHeadBackward(int batch, const int* ids, int n, const float* dScores, float* dOut, float* grads,
                           Workspace& ws) const;

    RankerConfig config_;
    const ParamArena& params_;
    Transformer encoder_;
    const std::vector<float> positions_;   ///< for another grid than in training; empty: those of params_
    std::string positionsName_;   ///< one buffer per size, because a recorded pass reads it again
};

}}}  // namespace

#endif
