// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_TOKEN_MERGING_HPP
#define OPENCV_LTRP_VIT_TOKEN_MERGING_HPP

#include "transformer.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace vit {

// Token merging, Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023, written from the paper. A block merges
// tokens of patches between its attention and its MLP. They are split alternately into the sets A and B. Each token of
// A has an edge to the token of B with the most similar key (cosine of the means over the heads). The tokens of the
// most similar edges are merged by averages, weighted with the tokens' sizes: the numbers of patches that they stand
// for. The next block's tokens are what is left of A, then B. The class token is never merged. Attention is
// proportional: log(size) is added to a key's logits. Inference only, on the host, fp32. Thread-safe as the networks
// are.

/// Tokens of patches that enter the MLP of a block which n enter: at most half of them are merged.
inline int tokensAfterMerging(int n, int perBlock) { return n - std::min(perBlock, n / 2); }
/// Mean over the blocks of the number of these tokens, as a share of all patches. It falls with perBlock, which is 0 to
/// patches / 2.
double meanTokenShare(int patches, int depth, int perBlock);
/// The number of merged tokens per block with the nearest mean; of two the smaller one.
int mergesPerBlock(int patches, int depth, double share);

struct MergedTokens
{
    float* x;                   ///< [batch, 1 + n, dim]: class and merged tokens; memory of the input or the workspace
    int n;
    std::vector<float> sizes;   ///< [batch, n]
};
/// All blocks and the final norm. x [batch, 1 + n, dim] is overwritten.
MergedTokens forwardMerging(const Transformer& stack, float* x, int batch, int n, int perBlock, Workspace& ws);
/// The mean over an image's patches, mean [batch, dim]: that of its tokens, weighted with their sizes.
void meanBySize(const MergedTokens& tokens, int batch, int dim, float* mean);
/// ops::Backend::crossAttention() to merged tokens, proportional: kv [batch, n, 2 * dim].
void crossAttentionBySize(const MergedTokens& tokens, const ops::CrossAttention& sizes, const float* q,
                          const float* kv, float* out, Workspace& ws);

}}}  // namespace

#endif
