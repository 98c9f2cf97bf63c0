// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_LEAVE_ONE_OUT_HPP
#define OPENCV_LTRP_VIT_LEAVE_ONE_OUT_HPP

#include "mae.hpp"
#include "opencv2/ltrp/scorer.hpp"

namespace cv { namespace ltrp { namespace vit {

struct LeaveOneOutOptions
{
    int removal = REMOVAL_DECODER;
    int metric = METRIC_L1;
    int space = SPACE_DECODER;
    /// Decoder removal with L1 / L2: omit the removed token from the sequence instead of masking it in attention (equal
    /// for the masked patches).
    bool dropToken = true;
    /// Below 1: each variant computes this share of the masked patches, and the scores are estimates (decoder removal
    /// with L1 / L2; see ops::Backend::sampledDifferences()).
    double sampleShare = 1;
};

/// Intermediate values for golden cases, in host memory; null pointers are skipped.
struct LeaveOneOutTrace
{
    float* anchor = nullptr;    ///< [B, L, P]
    float* removed = nullptr;   ///< [B, Lv, L, P]; the row of a dropped token is zero (dropToken form)
    float* raw = nullptr;       ///< [B, Lv]: SSIM or PSNR before scaling
};

/// Reason why scores cannot be estimated with these options; empty if they can.
std::string sampleLacks(const LeaveOneOutOptions& options);

/// Computes pseudo-scores [B, Lv] of the visible patches: the difference between the reconstruction without a patch and
/// the anchor. Arrays are in the memory of the workspace's backend.
class LeaveOneOut
{
public:
    explicit LeaveOneOut(const Mae& mae) : mae_(mae) {}
    void scores(const float* pixels, int batch, const int* idsKeep, int visible, const LeaveOneOutOptions& options,
                float* scores, Workspace& ws, const LeaveOneOutTrace* trace = nullptr) const;

private:
    const Mae& mae_;
};

}}}  // namespace

#endif
