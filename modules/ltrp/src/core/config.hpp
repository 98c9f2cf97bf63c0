// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_CONFIG_HPP
#define OPENCV_LTRP_CORE_CONFIG_HPP

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

/// Input of a network: an RGB image divided into square patches.
struct InputConfig
{
    int imageSize = 224;   ///< side in pixels of the square in training, a multiple of patchSize
    int patchSize = 16;
    double mean[3] = {0.485, 0.456, 0.406};   ///< R, G, B, for values in [0, 1]
    double std[3] = {0.229, 0.224, 0.225};

    Size otherSize;        ///< other input size (setInputSize(), rankers only); empty: that square

    Size size() const { return otherSize.empty() ? Size(imageSize, imageSize) : otherSize; }
    int columns() const { return size().width / patchSize; }
    int rows() const { return size().height / patchSize; }
    int numPatches() const { return columns() * rows(); }
    int grid() const { return imageSize / patchSize; }            ///< patches per side of the square in training
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

/// Head of a ranker, after the final norm.
enum class Head
{
    Class,   ///< one linear layer maps the class token to the scores of all patches (the paper's)
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

/// What the head of a classifier reads, after the final norm.
enum class Pooling
{
    Class,   ///< the class token
    Mean     ///< the mean of the patches' tokens
};
const char* poolingName(Pooling pooling);   ///< "class", "mean"
/// @throws Error::StsBadArg beginning with `where`
Pooling parsePooling(const std::string& name, const std::string& where);

/// Classifier: a ViT applied to the kept patches of an image, and one linear layer.
struct ClassifierConfig
{
    InputConfig input;
    StackConfig encoder{192, 12, 3, 768};
    float layerNormEps = 1e-6f;
    Pooling pooling = Pooling::Class;
    int classes = 0;   ///< 2 or more
};

/// Throw Error::StsBadArg naming the invalid value (`where`, a file name or "options", begins the message).
void checkConfig(const MaeConfig& config, const std::string& where);
void checkConfig(const RankerConfig& config, const std::string& where);
void checkConfig(const ClassifierConfig& config, const std::string& where);

/// Sets the input size of a ranker in pixels.
/// @throws cv::Exception beginning with `where`: Error::StsOutOfRange if a side is not a multiple of the patch size or
/// there are too many patches, Error::StsNotImplemented for another size with Head::Class
void setInputSize(RankerConfig& config, Size size, const std::string& where);

/// Returns the size in pixels with about `patches` patches and columns / rows near the image's width / height.
Size fittingInputSize(const InputConfig& input, Size image, int patches);

/// int(numPatches * (1 - maskRatio)) truncated in double arithmetic, as the paper's code counts.
int visibleCount(int numPatches, double maskRatio);

}}}  // namespace

#endif
