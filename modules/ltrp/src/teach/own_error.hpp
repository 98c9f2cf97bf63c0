// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_OWN_ERROR_HPP
#define OPENCV_LTRP_TEACH_OWN_ERROR_HPP

#include "../vit/mae.hpp"

namespace cv { namespace ltrp { namespace teach {

/// How wrongly a masked autoencoder guesses each patch that it does not see.
/// pixels [B, 3, S, S], idsKeep [B, visible] ascending; host memory.
/// squared: mean squared instead of mean absolute difference. contrast: an autoencoder of normalised pixels is compared in
/// real pixel contrast, each patch's difference times the patch's own standard deviation.
/// errors [B, L], host memory: NaN for visible patches.
void ownErrors(const vit::Mae& mae, const float* pixels, int batch, const int* idsKeep, int visible, bool squared, bool contrast,
               float* errors, vit::Workspace& ws);

}}}  // namespace

#endif
