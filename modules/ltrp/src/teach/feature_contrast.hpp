// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_FEATURE_CONTRAST_HPP
#define OPENCV_LTRP_TEACH_FEATURE_CONTRAST_HPP

#include "../vit/mae.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Scores patches by how unlike the image's border they are, seen by the attention keys of a masked autoencoder's encoder.
///
/// The encoder sees the whole image. From the key of each patch the mean key at its place over many photos is taken away,
/// which removes what comes from the position alone, and the rest is scaled to length 1. A patch's score is minus the mean
/// cosine similarity to the `neighbours` border patches (itself excepted) that are most similar to it. Scores of several
/// blocks are averaged as ranks. That objects differ from the border is the old boundary prior of saliency detection (Wei et
/// al., ECCV 2012); attention keys as patch features are those of Simeoni et al., BMVC 2021.
class FeatureContrast
{
public:
    enum { neighbours = 3, leastPhotos = 16 };

    explicit FeatureContrast(const vit::Mae& mae) : mae_(mae) {}
    /// Adds the keys of one photo to the means. pixels [3, S, S], normalised, host memory.
    void addPhoto(const float* pixels, vit::Workspace& ws);
    int photos() const { return photos_; }
    /// CV_32FC1, the grid's size, values in [0, 1]. blocks: numbers from 0, or empty for the usual ones.
    /// @throws Error::StsBadArg for a number that is no block, and where fewer than leastPhotos photos were added
    Mat map(const float* pixels, const std::vector<int>& blocks, vit::Workspace& ws) const;

    /// At 40, 60 and 70 % of the encoder's depth: 4, 6 and 7 of ten blocks.
    static std::vector<int> usualBlocks(int depth);

private:
    /// Keys of the patches, CV_32FC1 [L, dim], in each of these blocks (ascending).
    std::vector<Mat> keys(const float* pixels, const std::vector<int>& blocks, vit::Workspace& ws) const;

    const vit::Mae& mae_;
    std::vector<Mat> sums_;   ///< of keys, CV_64FC1 [L, dim] per block
    int photos_ = 0;
};

}}}  // namespace

#endif
