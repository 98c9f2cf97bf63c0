// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_OPTIMIZER_HPP
#define OPENCV_LTRP_TRAIN_OPTIMIZER_HPP

#include "../ops/step.hpp"
#include "../vit/params.hpp"

namespace cv { namespace ltrp { namespace train {

struct AdamWParams
{
    double learningRate = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weightDecay = 0.05;
};

/// What update number `step` (from 1) multiplies with. @throws Error::StsOutOfRange for options out of range
ops::AdamWFactors adamWFactors(const AdamWParams& options, int64_t step);

/// Decoupled AdamW over a flat arena: tensors that are not trainable stay, those with `decay` false are not decayed.
class AdamW
{
public:
    explicit AdamW(const vit::ParamLayout& layout);
    /// clear: the gradients are zero afterwards, for the next update to add to; done on the way, which saves a pass.
    void step(vit::ParamArena& params, float* grads, const AdamWParams& options, bool clear = false);

    Mat m, v;            ///< 1 x layout.total(), CV_32F: state, part of a checkpoint
    int64_t steps = 0;   ///< updates done, part of a checkpoint
};

/// Length of all gradients together; sums do not depend on the threads.
double gradientNorm(const Mat& grads);

/// Learning rate at a fractional epoch: linear warm-up from 0, then a half-cosine from base to minimum.
double learningRate(double base, double minimum, double warmupEpochs, double epochs, double epoch);

}}}  // namespace

#endif
