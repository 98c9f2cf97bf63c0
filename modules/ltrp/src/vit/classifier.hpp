// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_CLASSIFIER_HPP
#define OPENCV_LTRP_VIT_CLASSIFIER_HPP

#include "params.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

/// The classifier: class token + tokens of the kept patches, with their positions -> blocks -> norm -> class token or
/// mean of the patches' tokens -> linear -> one logit per class.
/// Const and thread-safe if each thread has its own Workspace. Arrays are in the memory of the workspace's backend.
class Classifier
{
public:
    /// `params` must be in classifierLayout(config) order and outlive this object.
    Classifier(const ClassifierConfig& config, const ParamArena& params);
    const ClassifierConfig& config() const { return config_; }

    /// logits [B, classes]. ids [B, n]: numbers of the patches that are in the input; null: all, n = L.
    void forward(const float* pixels, int batch, const int* ids, int n, float* logits, Workspace& ws) const;

    /// One training pass: adds gradientScale * d loss / d parameter to grads (the arena's layout) and writes the mean
    /// cross entropy over the batch to *loss. labels [B]; smoothing: see ops::CrossEntropy.
    void trainPass(const float* pixels, int batch, const int* ids, int n, const int* labels, float smoothing, float* grads,
                   double* loss, Workspace& ws, float gradientScale = 1) const;

private:
    /// Input of the head, pooled [B, dim], from normalised tokens x [B, 1 + n, dim].
    void pool(const float* x, int batch, int n, float* pooled, Workspace& ws) const;
    void head(const float* pooled, int batch, float* logits, Workspace& ws) const;

    ClassifierConfig config_;
    const ParamArena& params_;
    Transformer encoder_;
};

}}}  // namespace

#endif
