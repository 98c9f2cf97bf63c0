// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TEACH_FEATURE_CONTRAST_HPP
#define OPENCV_LTRP_TEACH_FEATURE_CONTRAST_HPP

#include "../vit/mae.hpp"

namespace cv { namespace ltrp { namespace teach {

/// Scores patches by how much their attention keys, in a masked autoencoder's encoder, differ from those at the image's
/// border.
///
/// The encoder's input is the whole image. The mean key at each position over many photos is subtracted from a patch's
/// key, which removes the effect of the position, and the difference is scaled to length 1. A patch's score is the
/// negative mean cosine similarity to the `neighbours` most similar border patches other than itself. Scores of several
/// blocks are averaged as ranks. Border as background: Wei et al., ECCV 2012. Attention keys as patch features: Simeoni
/// et al., BMVC 2021.
class FeatureContrast
{
public:
    enum { neighbours = 3, leastPhotos = 16 };

    explicit FeatureContrast(const vit::Mae& mae) : mae_(mae) {}
    /// Adds the keys of one photo to the means. pixels [3, S, S], normalised, host memory.
    void addPhoto(const float* pixels, vit::Workspace& ws);
    int photos() const { return photos_; }
    /// blocks: distinct block numbers from 0; empty: usualBlocks(). @return CV_32FC1 of the grid's size, values in [0,
    /// 1]
    /// @throws Error::StsOutOfRange for other block numbers, Error::StsBadArg if fewer than leastPhotos photos were
    /// added or the grid is smaller than 3 x 3
    Mat map(const float* pixels, const std::vector<int>& blocks, vit::Workspace& ws) const;

    /// Blocks at 40, 60 and 70 % of the depth: 4, 6 and 7 of ten.
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
