// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_PATCHES_HPP
#define OPENCV_LTRP_VIT_PATCHES_HPP

#include "config.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Which of patch vectors' two orders: the convolution weight's (channel, row, column) or the decoder's (row, column, channel).
enum class PatchOrder { ChannelFirst, ChannelLast };

/// pixels [B,3,S,S] -> patches [B, n, 3*p*p] of the grid places ids [B,n] (null: all, n = L, raster order).
void patchify(const InputConfig& input, const float* pixels, int batch, const int* ids, int n, PatchOrder order, float* out);
/// The inverse for all L patches in ChannelLast order: patches [B, L, 3*p*p] -> pixels [B,3,S,S].
void unpatchify(const InputConfig& input, const float* patches, int batch, float* pixels);

/// Mean and sqrt(var + 1e-6) (var with divisor n - 1, as the MAE paper's targets) of patch vectors [rows, values].
void patchStatistics(const float* patches, size_t rows, size_t values, float* mean, float* deviation);

/// The visibleCount smallest of noise [L] (stable), ascending, as the paper's code masks: idsKeep [visible].
void maskFromNoise(const float* noise, int numPatches, int visible, int* idsKeep);
/// Patches not in idsKeep, ascending: [L - visible].
void complement(const int* idsKeep, int visible, int numPatches, int* idsRemoved);

/// Class token and embedded patches of the places ids (null: all): x [B, 1 + n, dim], positions added.
/// patches (or null): receives the patch vectors, [B, n, 3*p*p], for embedBackward.
void embedPatches(const InputConfig& input, int dim, const ParamArena& params, const float* pixels, int batch, const int* ids,
                  int n, float* x, float* patches, Workspace& ws);
/// dx [B, 1 + n, dim] -> adds the gradients of the class token and the patch embedding.
void embedBackward(const InputConfig& input, int dim, const ParamArena& params, const float* patches, const float* dx,
                   int batch, int n, float* grads, Workspace& ws);

}}}  // namespace

#endif
