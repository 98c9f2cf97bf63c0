// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The passes of both networks, used by the layers (pixels from the host) and the device sessions (pixels on the
// device).
#ifndef OPENCV_LTRP_DNN_PASSES_HPP
#define OPENCV_LTRP_DNN_PASSES_HPP

#include "../vit/leave_one_out.hpp"
#include "../vit/ranker_net.hpp"

namespace cv { namespace ltrp {

/// pixels [images,3,H,W] -> scores [images, L], in the memory of the workspace's backend. The second call with the same
/// sizes and addresses may be recorded and later ones replayed.
void rankImages(const vit::RankerNet& net, const float* pixels, int images, float* scores, vit::Workspace& ws);

/// pixels [images,3,S,S], keep [images, visible] -> scores [images, visible], recorded likewise. SSIM and PSNR are
/// scaled within each row, so that rows are independent.
void scoreImages(const vit::Mae& net, const float* pixels, int images, const int* keep, int visible,
                 const vit::LeaveOneOutOptions& options, float* scores, vit::Workspace& ws);

}}  // namespace

#endif
