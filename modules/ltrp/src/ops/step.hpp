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

/// The same with a distribution over the classes instead of a label for each row, and a weight. All arrays are in the
/// backend's memory.
struct ShareEntropy
{
    const float* logits;     ///< [rows, classes]
    const float* shares;     ///< [rows, classes], 0 or more: the target, times the row's weight, which is their sum
    int rows, classes;
    float smoothing;         ///< as in CrossEntropy, of the target
    float gradientScale;
    float* dLogits;          ///< [rows, classes]: the gradient times gradientScale; may be logits
    double* loss;            ///< weighted mean over the rows, 0 if no row has a weight; not finite if a logit is not
};

/// The asymmetric loss of several labels (Ridnik et al., ICCV 2021) and its gradient. With p = sigmoid(logit), a label's is
/// -(1 - p)^positive log p, that of a class which is no label -q^negative log(1 - q), q = max(p - clip, 0). All arrays are in the
/// backend's memory.
struct AsymmetricLoss
{
    const float* logits;     ///< [batch, classes]
    const float* labels;     ///< [batch, classes]: 1 for a label, else 0
    int batch, classes;
    float positive, negative, clip;   ///< 0 or more; clip in (0, 1)
    float gradientScale;
    float* dLogits;          ///< [batch, classes]: the gradient times gradientScale; may be logits
    double* loss;            ///< sum over the classes, mean over the batch; not finite if a logit is not
};

/// Sizes of crossAttention(): each item's `queries` queries, which all items share, attend to its own `tokens` tokens.
struct CrossAttention
{
    int batch, queries, tokens, dim, heads;
};

}}}  // namespace

#endif
