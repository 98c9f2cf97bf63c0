// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_RANKER_NET_HPP
#define OPENCV_LTRP_VIT_RANKER_NET_HPP

#include "params.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

/// The ranker: patch tokens + class token -> blocks -> norm -> class token -> linear -> one score per patch place.
/// Const and safe from many threads as long as each has its own Workspace.
class RankerNet
{
public:
    /// `params` must be in rankerLayout(config) order and outlive this object.
    RankerNet(const RankerConfig& config, const ParamArena& params);
    const RankerConfig& config() const { return config_; }

    /// scores [B, L]. ids [B, n]: only these patches go in (asymmetric training); null: all. cls (may be null) [B, dim]:
    /// the class token after the final norm.
    void forward(const float* pixels, int batch, const int* ids, int n, float* scores, float* cls, Workspace& ws) const;

    /// As forward, keeping what backward() needs in ws.
    void forwardTrain(const float* pixels, int batch, const int* ids, int n, float* scores, Workspace& ws) const;
    /// dScores [B, L] -> adds to grads (arena layout). Must follow forwardTrain with the same arguments and ws.
    void backward(const float* pixels, int batch, const int* ids, int n, const float* dScores, float* grads, Workspace& ws) const;

private:
    RankerConfig config_;
    const ParamArena& params_;
    Transformer encoder_;
};

}}}  // namespace

#endif
