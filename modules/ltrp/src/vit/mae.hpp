// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_MAE_HPP
#define OPENCV_LTRP_VIT_MAE_HPP

#include "patches.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Forward and backward pass of the masked autoencoder. L = patches, Lv = visible, De / Dd = encoder / decoder width,
/// P = 3*p*p. Arrays are in the memory of the workspace's backend (Workspace::upload). Thread-safe; each thread needs
/// its own Workspace.
class Mae
{
public:
    /// `params` must be in maeLayout(config) order and outlive this object.
    Mae(const MaeConfig& config, const ParamArena& params);
    const MaeConfig& config() const { return config_; }

    /// Patch embedding plus position table of the patches ids (null: all): tokens [B, n, De], no class token.
    void embed(const float* pixels, int batch, const int* ids, int n, float* tokens, Workspace& ws) const;

    /// latent [B, 1+Lv, De] after the final norm. droppedToken [B]: number (1 + position among the visible) of the token
    /// that is masked in all attention, or -1; null: none.
    void encode(const float* pixels, int batch, const int* idsKeep, int visible, const int* droppedToken, float* latent,
                Workspace& ws) const;

    /// pred [B, L, P]. droppedToken [B]: number (1 + patch number) of the token that is masked in all attention, or -1;
    /// null: none.
    void decode(const float* latent, int batch, const int* idsKeep, int visible, const int* droppedToken, float* pred,
                Workspace& ws) const;

    /// One training pass: adds gradientScale * d loss / d parameter to grads (the arena's layout) and writes the loss
    /// (the published MAE loss over the masked patches) to *loss.
    void trainPass(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, double* loss, Workspace& ws,
                   float gradientScale = 1) const;
    /// The same; waits for the loss and returns it.
    double forwardBackward(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, Workspace& ws) const;

    /// The patches that are not in idsKeep, ascending, [B, L - Lv]; valid until the next call.
    const int* maskedPatches(const int* idsKeep, int batch, int visible, Workspace& ws) const;
    /// Input of the decoder: embedded latent and mask tokens with positions added, x [B, L+1, Dd].
    void decoderInput(const float* latent, int batch, const int* idsKeep, const int* idsRemoved, int visible,
                      ops::TokenOrder order, float* x, Workspace& ws) const;
    /// Weights of predict()'s last layer, for fused operations.
    ops::LinearWeights predictionWeights(const Workspace& ws) const;
    /// Final norm and prediction head of single decoder tokens: x [rows, Dd] -> pred [rows, P].
    void predict(const float* x, int rows, float* pred, Workspace& ws) const;

    const Transformer& encoder() const { return encoder_; }
    const Transformer& decoder() const { return decoder_; }
    const ParamArena& params() const { return params_; }

private:
    MaeConfig config_;
    const ParamArena& params_;
    Transformer encoder_, decoder_;
};

}}}  // namespace

#endif
