// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "passes.hpp"

namespace cv { namespace ltrp {

void rankImages(const vit::RankerNet& net, const float* pixels, int images, float* scores, vit::Workspace& ws)
{
    const Size size = net.config().input.size();
    ws.repeat(format("%d of %d x %d", images, size.width, size.height),
              [&] { net.forward(pixels, images, nullptr, net.config().input.numPatches(), scores, nullptr, ws); });
}

void scoreImages(const vit::Mae& net, const float* pixels, int images, const int* keep, int visible,
                 const vit::LeaveOneOutOptions& options, float* scores, vit::Workspace& ws)
{
    const vit::LeaveOneOut leaveOneOut(net);
    if (!vit::comparesImages(options))
    {
        ws.repeat(format("%d of %d, %d %d %d", images, visible, options.removal, options.metric, options.space),
                  [&] { leaveOneOut.scores(pixels, images, keep, visible, options, scores, ws); });
        return;
    }
    // SSIM and PSNR compare images on the host, which cannot be recorded, and scale each call as a whole.
    const size_t side = static_cast<size_t>(net.config().input.imageSize);
    for (int row = 0; row < images; row++, pixels += 3 * side * side, keep += visible, scores += visible)
        leaveOneOut.scores(pixels, 1, keep, visible, options, scores, ws);
}

}}  // namespace
