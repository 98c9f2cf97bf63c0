// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Types of a training step shared by host code and kernels. Depends on neither OpenCV nor CUDA.
#ifndef OPENCV_LTRP_OPS_STEP_HPP
#define OPENCV_LTRP_OPS_STEP_HPP

#include <cstdint>

namespace cv { namespace ltrp { namespace ops {

/// Key of a sample's random streams, with the seed and the purpose.
struct SampleKey
{
    uint32_t epoch, sample;
};

/// Factors of one AdamW step, bias corrections folded in; g is the gradient times `gradient`:
///   m = beta1 m + oneMinusBeta1 g; v = beta2 v + oneMinusBeta2 g g; w = keep w - rate m / (sqrt(v) inverseRoot2 + eps)
/// with keep = `decayed` where weight decay applies, else 1.
struct AdamWFactors
{
    float decayed, beta1, oneMinusBeta1, beta2, oneMinusBeta2, rate, inverseRoot2, eps, gradient;
};

/// The cross entropy of a batch with label smoothing, and its gradient. All arrays are in the backend's memory.
struct CrossEntropy
{
    const float* logits;     ///< [batch, classes]
    const int* labels;       ///< [batch], each 0 to classes - 1
    int batch, classes;
    float smoothing;         ///< in [0, 1): share of the target spread evenly over all classes; the label has the rest
    float gradientScale;
    float* dLogits;          ///< [batch, classes]: the gradient times gradientScale; may be logits
    double* loss;            ///< mean over the batch; not finite if a logit is not
};

}}}  // namespace

#endif
