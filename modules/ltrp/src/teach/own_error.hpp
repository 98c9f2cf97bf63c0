// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_OWN_ERROR_HPP
#define OPENCV_LTRP_TEACH_OWN_ERROR_HPP

#include "../vit/mae.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Reconstruction error of each masked patch.
/// pixels [B, 3, S, S], idsKeep [B, visible] ascending; host memory.
/// squared: mean squared instead of mean absolute difference. contrast: for autoencoders of normalised pixels,
/// multiplies each patch's difference by its standard deviation.
/// errors [B, L], host memory: NaN for visible patches.
void ownErrors(const vit::Mae& mae, const float* pixels, int batch, const int* idsKeep, int visible, bool squared, bool contrast,
               float* errors, vit::Workspace& ws);

}}}  // namespace

#endif
