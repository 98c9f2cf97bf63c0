// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_LEAVE_ONE_OUT_HPP
#define OPENCV_LTRP_VIT_LEAVE_ONE_OUT_HPP

#include "mae.hpp"
#include "opencv2/ltrp/types.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace vit {

struct LeaveOneOutOptions
{
    int removal = REMOVAL_DECODER;
    int metric = METRIC_L1;
    int space = SPACE_DECODER;
    /// Below 1: each variant computes this share of the masked patches, and the scores are estimates (decoder removal
    /// with L1 / L2; see ops::Backend::sampledDifferences()).
    double sampleShare = 1;
};

/// Receives a prediction [L, P] in host memory, valid during the call: of image number `image` with all visible patches
/// (dropped = -1, the anchor, the first of its image) or without visible patch number `dropped`.
using OnReconstruction = std::function<void(int image, int dropped, const float* prediction)>;

/// Whether whole images are compared (SSIM, PSNR): this is done on the host, and the scores of a call are scaled
/// together.
bool comparesImages(const LeaveOneOutOptions& options);

/// Reason why scores cannot be estimated with these options; empty if they can.
std::string sampleLacks(const LeaveOneOutOptions& options);

/// Computes pseudo-scores [B, Lv] of the visible patches: the difference between the reconstruction without a patch and
/// the anchor. Arrays are in the memory of the workspace's backend.
class LeaveOneOut
{
public:
    explicit LeaveOneOut(const Mae& mae) : mae_(mae) {}
    void scores(const float* pixels, int batch, const int* idsKeep, int visible, const LeaveOneOutOptions& options,
                float* scores, Workspace& ws) const;

    /// SSIM or PSNR between the reconstruction without a patch and the anchor, [B, Lv], before scores() scales them.
    std::vector<double> similarities(const float* pixels, int batch, const int* idsKeep, int visible,
                                     const LeaveOneOutOptions& options, Workspace& ws) const;

    /// The reconstructions of all patches, for metrics that need them.
    void reconstructions(const float* pixels, int batch, const int* idsKeep, int visible, const LeaveOneOutOptions& options,
                         const OnReconstruction& receive, Workspace& ws) const;

private:
    const float* encoded(const float* pixels, int batch, const int* idsKeep, int visible, Workspace& ws) const;

    const Mae& mae_;
};

}}}  // namespace

#endif
