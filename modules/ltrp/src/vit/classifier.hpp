// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_CLASSIFIER_HPP
#define OPENCV_LTRP_VIT_CLASSIFIER_HPP

#include "params.hpp"
#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

struct MergedTokens;

/// What the logits of a training pass are compared with, in the memory of the workspace's backend.
struct Truth
{
    const int* labels = nullptr;      ///< Task::Classify: [B]
    /// Task::Multilabel: [B, classes], 1 for the classes of an image, else 0; Task::Segment: [B, L, classes], each class's share
    /// of the pixels of each patch of the image, also of those that are not kept
    const float* targets = nullptr;
    float smoothing = 0;              ///< see ops::CrossEntropy, ops::ShareEntropy; not of Task::Multilabel
};

/// The classifier: class token + tokens of the kept patches, with their positions -> blocks -> norm -> the head of its task.
/// Task::Classify: class token or mean of the patches' tokens -> linear -> one logit per class.
/// Task::Segment: each patch's token -> linear -> one logit per class.
/// Task::Multilabel (after ML-Decoder, Ridnik et al., WACV 2023): patches' tokens -> linear, keys and values; a learned query for
/// each class -> attention to them, heads as the encoder's -> norm -> a linear layer of its own -> the class's logit.
/// Const and thread-safe if each thread has its own Workspace. Arrays are in the memory of the workspace's backend.
class Classifier
{
public:
    /// `params` must be in classifierLayout(config) order and outlive this object.
    Classifier(const ClassifierConfig& config, const ParamArena& params);
    const ClassifierConfig& config() const { return config_; }
    /// Rows of logits for each image with n kept patches.
    int rows(int n) const { return config_.task == Task::Segment ? n : 1; }

    /// logits [B, rows(n), classes]. ids [B, n]: numbers of the patches that are in the input; null: all, n = L.
    void forward(const float* pixels, int batch, const int* ids, int n, float* logits, Workspace& ws) const;

    /// The same on all patches, whose tokens are merged in each block (token_merging.hpp); on the host, not of
    /// Task::Segment. Pooling::Mean is weighted with the sizes of the merged tokens, and the attention of
    /// Task::Multilabel's head is proportional to them.
    void forwardMerging(const float* pixels, int batch, int perBlock, float* logits, Workspace& ws) const;

    /// One training pass: adds gradientScale * d loss / d parameter to grads (the arena's layout) and writes the batch's mean
    /// loss to *loss: cross entropy (Task::Segment: weighted by the labelled share of each patch), or the asymmetric loss.
    void trainPass(const float* pixels, int batch, const int* ids, int n, const Truth& truth, float* grads, double* loss,
                   Workspace& ws, float gradientScale = 1) const;

    /// Exponents of the asymmetric loss for labels and other classes, and its clip: the published ones.
    static constexpr float asymmetricPositive = 0, asymmetricNegative = 4, asymmetricClip = 0.05f;

private:
    /// Input of the head, pooled [B, rows, dim], from normalised tokens x [B, 1 + n, dim]; rows is n where the head reads the
    /// tokens of all patches.
    void pool(const float* x, int batch, int n, float* pooled, Workspace& ws) const;
    void unpool(const float* dPooled, int batch, int n, float* dx, Workspace& ws) const;
    int pooledRows(int n) const { return config_.task == Task::Classify ? 1 : n; }
    void head(const float* pooled, int batch, int n, float* logits, Workspace& ws, bool training,
              const MergedTokens* merged = nullptr) const;
    /// dLogits -> dPooled; adds to grads.
    void headBackward(const float* dLogits, const float* pooled, int batch, int n, float* dPooled, float* grads, Workspace& ws) const;
    void lossOf(float* logits, int batch, const int* ids, int n, const Truth& truth, double* loss, Workspace& ws, float gradientScale) const;
    ops::CrossAttention queriesOf(int batch, int n) const
    {
        return {batch, config_.classes, n, config_.encoder.dim, config_.encoder.heads};
    }

    ClassifierConfig config_;
    const ParamArena& params_;
    Transformer encoder_;
};

}}}  // namespace

#endif
