// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_ATTENTION_MAPS_HPP
#define OPENCV_LTRP_VIT_ATTENTION_MAPS_HPP

#include "transformer.hpp"

namespace cv { namespace ltrp { namespace vit {

// What a network's attention and gradients say about its input's tokens: class token, then patches. Everything is in
// host memory, and the workspace's backend is on the host. The blocks' own attention keeps no probabilities: they are
// computed here once more. Thread-safe as the networks are.

/// Attention probabilities of a block, mean over its heads: CV_32FC1 [queries, tokens] for its first `queries` tokens.
/// x [tokens, dim]: the block's input.
Mat meanAttention(const Transformer& stack, int block, const float* x, int tokens, int queries, Workspace& ws);

/// How much what the head reads attends to each patch in the last block, [n]: the class token, the criterion of Liang et
/// al., "Not All Patches are What You Need" (EViT), ICLR 2022; with Pooling::Mean the mean over the patches' tokens.
/// x [1 + n, dim], the blocks' input, is overwritten.
Mat lastAttention(const Transformer& stack, Pooling pooling, float* x, int n, Workspace& ws);

/// Attention rollout, Abnar & Zuidema, ACL 2020: the row of what the head reads, as above, in the product over the blocks
/// of 0.5 A + 0.5 I, A the mean over the heads; [n]. x is overwritten.
Mat attentionRollout(const Transformer& stack, Pooling pooling, float* x, int n, Workspace& ws);

/// What Grad-CAM needs.
struct LastBlock
{
    Mat tokens;      ///< [1 + n, dim]: input of the last block
    Mat gradient;    ///< [1 + n, dim]: gradient of the winner's logit at `tokens`
    Mat logits;      ///< [1, classes]
    int winner = 0;  ///< class with the largest logit
};
/// `stack` holds the blocks of a classifier with these parameters. x [1 + n, dim] is overwritten.
LastBlock lastBlock(const ClassifierConfig& config, const ParamArena& params, const Transformer& stack, float* x, int n,
                    Workspace& ws);

/// Grad-CAM, Selvaraju et al., ICCV 2017, on patch tokens, [n]: the channels of the tokens that enter the last block,
/// weighted by the mean over the patches of the gradient of the winner's logit. (A head that reads the class token alone
/// has no gradient at the patches that leave the last block.) Grad-CAM shows values above zero only, the others as zero;
/// here they stay, so that patches without evidence have an order, too.
Mat gradCam(const LastBlock& last);

}}}  // namespace

#endif
