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
    /// Decoder removal with L1 / L2: leave the removed token out of the sequence instead of masking it in attention
    /// (the masked patches see the same; golden cases run both).
    bool dropToken = true;
    /// Below 1: each variant computes only that share of the masked patches, and the scores are estimates (decoder removal
    /// with L1 / L2; see ops::Backend::sampledDifferences()).
    double sampleShare = 1;
};

/// What the golden cases look at besides the scores, in host memory; leave pointers null where not wanted.
struct LeaveOneOutTrace
{
    float* anchor = nullptr;    ///< [B, L, P]
    float* removed = nullptr;   ///< [B, Lv, L, P]; the row of a dropped token is zero (dropToken form)
    float* raw = nullptr;       ///< [B, Lv]: SSIM or PSNR before scaling
};

/// Why scores cannot be estimated with these options, or an empty text.
std::string sampleLacks(const LeaveOneOutOptions& options);

/// Pseudo-scores [B, Lv] of every visible patch: compare the reconstruction without it with the anchor. Arrays lie in the
/// memory of the workspace's backend.
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
