// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_MAE_HPP
#define OPENCV_LTRP_VIT_MAE_HPP

#include "params.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Which of patch vectors' two orders: the convolution weight's (channel, row, column) or the decoder's (row, column, channel).
enum class PatchOrder { ChannelFirst, ChannelLast };

/// pixels [B,3,S,S] -> patches [B, n, 3*p*p] of the grid places ids [B,n] (null: all, n = L, raster order).
void patchify(const InputConfig& input, const float* pixels, int batch, const int* ids, int n, PatchOrder order, float* out);

/// Visible places as (sorted ids of the visible, ids of the removed in raster order).
/// noise [L]: the visibleCount smallest (stable) stay, ascending, as the paper's code masks.
void maskFromNoise(const float* noise, int numPatches, int visible, int* idsKeep);
/// ids of the patches not in idsKeep, ascending: [L - visible].
void complement(const int* idsKeep, int visible, int numPatches, int* idsRemoved);

/// The masked autoencoder's forward pass, and its gradient. L = patches, Lv = visible, De / Dd = encoder / decoder width,
/// P = 3*p*p. Const and safe from many threads as long as each has its own Workspace.
class Mae
{
public:
    /// `params` must be in maeLayout(config) order and outlive this object.
    Mae(const MaeConfig& config, const ParamArena& params);
    const MaeConfig& config() const { return config_; }

    /// Patch embedding plus position table of the places ids (null: all): tokens [B, n, De], no class token.
    void embed(const float* pixels, int batch, const int* ids, int n, float* tokens, Workspace& ws) const;

    /// latent [B, 1+Lv, De] after the final norm. flagged [B]: token number (1 + position among the visible) that is
    /// switched off in every attention, or -1; null: none.
    void encode(const float* pixels, int batch, const int* idsKeep, int visible, const int* flagged, float* latent,
                Workspace& ws) const;

    /// pred [B, L, P]. flagged [B]: token number (1 + grid place) switched off in every attention, or -1; null: none.
    void decode(const float* latent, int batch, const int* idsKeep, int visible, const int* flagged, float* pred,
                Workspace& ws) const;

    /// Reconstruction loss of given predictions (published MAE loss over the removed patches).
    double loss(const float* pixels, int batch, const int* idsKeep, int visible, const float* pred) const;

    /// One training pass: returns the loss, adds d loss / d parameter to grads (the arena layout).
    double forwardBackward(const float* pixels, int batch, const int* idsKeep, int visible, float* grads, Workspace& ws) const;

private:
    friend class LeaveOneOut;
    MaeConfig config_;
    const ParamArena& params_;
    Transformer encoder_, decoder_;
};

}}}  // namespace

#endif
