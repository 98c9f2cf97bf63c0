// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_CONFIG_HPP
#define OPENCV_LTRP_VIT_CONFIG_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace vit {

/// One stack of pre-norm transformer blocks.
struct StackConfig
{
    int dim = 0;      ///< token width
    int depth = 0;    ///< number of blocks
    int heads = 0;    ///< attention heads; dim is a multiple of it
    int hidden = 0;   ///< width of the MLP's hidden layer (4 * dim in every published model)
};

/// What a network sees: an RGB image cut into square patches.
struct InputConfig
{
    int imageSize = 224;   ///< side in pixels of the square that it was trained on, a multiple of patchSize
    int patchSize = 16;
    double mean[3] = {0.485, 0.456, 0.406};   ///< R, G, B, for values in [0, 1]
    double std[3] = {0.229, 0.224, 0.225};

    Size otherSize;        ///< what it is given instead (setInputSize(), rankers alone); empty: that square

    Size size() const { return otherSize.empty() ? Size(imageSize, imageSize) : otherSize; }
    int columns() const { return size().width / patchSize; }
    int rows() const { return size().height / patchSize; }
    int numPatches() const { return columns() * rows(); }
    int grid() const { return imageSize / patchSize; }            ///< patches a side of the square that it was trained on
    int trainedPatches() const { return grid() * grid(); }
    int patchValues() const { return 3 * patchSize * patchSize; }
};

/// Masked autoencoder (He et al., CVPR 2022). Defaults: ViT-B/16.
struct MaeConfig
{
    InputConfig input;
    StackConfig encoder{768, 12, 12, 3072};
    StackConfig decoder{512, 8, 16, 2048};
    float layerNormEps = 1e-6f;
    bool normPixLoss = true;   ///< the decoder predicts pixels normalised per patch
};

/// Where a ranker's scores come from, behind the final norm.
enum class Head
{
    Class,   ///< one linear layer maps the class token to the scores of all places (the paper's)
    Token    ///< one linear layer maps each patch's token to its score
};
const char* headName(Head head);   ///< "class", "token"
/// @throws Error::StsBadArg beginning with `where`
Head parseHead(const std::string& name, const std::string& where);

/// Patch ranker: a ViT that gives one score per patch. Defaults: ViT-Ti/16.
struct RankerConfig
{
    InputConfig input;
    StackConfig encoder{192, 12, 3, 768};
    float layerNormEps = 1e-5f;
    Head head = Head::Class;

    int headOutputs() const { return head == Head::Token ? 1 : input.trainedPatches(); }   ///< rows of head.weight
};

/// Throw Error::StsBadArg naming what is wrong (`where` begins the message: a file name or "options").
void checkConfig(const MaeConfig& config, const std::string& where);
void checkConfig(const RankerConfig& config, const std::string& where);

/// Lets a ranker see images of `size` pixels instead of the square that it was trained on.
/// @throws cv::Exception beginning with `where`: Error::StsOutOfRange for sides that are no multiples of the patch size or too
/// many patches, Error::StsNotImplemented for another size where the head is Head::Class
void setInputSize(RankerConfig& config, Size size, const std::string& where);

/// About as many patches as `patches`, with columns / rows near the image's width / height: the size in pixels.
Size fittingInputSize(const InputConfig& input, Size image, int patches);

/// int(numPatches * (1 - maskRatio)) truncated in double arithmetic, as the paper's code counts.
int visibleCount(int numPatches, double maskRatio);

}}}  // namespace

#endif
