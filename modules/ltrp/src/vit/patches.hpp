// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_PATCHES_HPP
#define OPENCV_LTRP_VIT_PATCHES_HPP

#include "../core/config.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

inline ops::PatchGrid gridOf(const InputConfig& input)
{
    return {input.size().width, input.size().height, input.patchSize};
}

/// On the host, the inverse of patchify() for all L patches in (row, column, channel) order: patches [B, L, 3*p*p] -> pixels
/// [B,3,S,S].
void unpatchify(const InputConfig& input, const float* patches, int batch, float* pixels);

/// On the host: selects the `visible` smallest of noise [L] (stable), ascending, as in the paper's code: idsKeep
/// [visible].
void maskFromNoise(const float* noise, int numPatches, int visible, int* idsKeep);

/// Class token and embedded patches at the positions ids (null: all) with position embeddings: x [B, 1 + n, dim].
/// patches (or null): receives the patch vectors, [B, n, 3*p*p], for embedBackward. positions (null: the stored ones):
/// a table in the backend's memory.
void embedPatches(const InputConfig& input, int dim, const ParamArena& params, const float* pixels, int batch, const int* ids,
                  int n, float* x, float* patches, Workspace& ws, const float* positions = nullptr);
/// dx [B, 1 + n, dim] -> adds the gradients of the class token and the patch embedding.
void embedBackward(const InputConfig& input, int dim, const ParamArena& params, const float* patches, const float* dx,
                   int batch, int n, float* grads, Workspace& ws);

}}}  // namespace

#endif
