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

/// Factors of update number `step` (from 1). @throws Error::StsOutOfRange for options out of range
ops::AdamWFactors adamWFactors(const AdamWParams& options, int64_t step);

/// AdamW with decoupled weight decay over a flat arena. Tensors that are not trainable are constant, those with `decay`
/// false are not decayed.
class AdamW
{
public:
    explicit AdamW(const vit::ParamLayout& layout);
    /// clear: also sets the gradients to zero.
    void step(vit::ParamArena& params, float* grads, const AdamWParams& options, bool clear = false);

    Mat m, v;            ///< 1 x layout.total(), CV_32F: state, part of a checkpoint
    int64_t steps = 0;   ///< updates done, part of a checkpoint
};

/// L2 norm of all gradients; independent of the number of threads.
double gradientNorm(const Mat& grads);

/// Learning rate at a fractional epoch: linear warm-up from 0, then a half-cosine from base to minimum.
double learningRate(double base, double minimum, double warmupEpochs, double epochs, double epoch);

}}}  // namespace

#endif
