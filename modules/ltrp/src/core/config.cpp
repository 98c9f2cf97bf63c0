// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "config.hpp"
#include "words.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace vit {

namespace
{

// Far above every published model (ViT-G: 1664 wide, 48 blocks), far below what could overflow a size computation.
const int maxDim = 16384, maxHidden = 65536, maxDepth = 256, maxHeads = 512;
const int maxClasses = 65536;
const int maxImageSize = 8192, maxPatchSize = 512, maxGrid = 256;
// An arena is a one-row cv::Mat, whose length is an int.
const double maxParameters = 2.0e9;
const double maxBytesForOneImage = 4.0 * (1 << 30);

void checkRange(const char* what, int value, int low, int high, const std::string& where,
                Error::Code code = Error::StsBadArg)
{
    LTRP_REQUIRE(value >= low && value <= high, code,
                 where << ": " << what << " is " << value << ", expected " << low << " to " << high);
}

void checkInput(const InputConfig& input, const std::string& where)
{
    checkRange("image size", input.imageSize, 1, maxImageSize, where);
    checkRange("patch size", input.patchSize, 1, maxPatchSize, where);
    LTRP_REQUIRE(input.imageSize % input.patchSize == 0, Error::StsBadArg,
                 where << ": image size " << input.imageSize << " is not a multiple of patch size " << input.patchSize);
    checkRange("patches per side", input.grid(), 1, maxGrid, where);
    for (int c = 0; c < 3; c++)
    {
        LTRP_REQUIRE(std::isfinite(input.mean[c]), Error::StsBadArg, where << ": input mean is not finite");
        LTRP_REQUIRE(std::isfinite(input.std[c]) && input.std[c] > 0, Error::StsBadArg,
                     where << ": input standard deviation is " << input.std[c] << ", expected a positive number");
    }
}

/// Checks a stack and returns its number of parameters, final norm included.
double checkStack(const StackConfig& stack, const std::string& prefix, const std::string& where)
{
    checkRange((prefix + "embed dim").c_str(), stack.dim, 1, maxDim, where);
    checkRange((prefix + "depth").c_str(), stack.depth, 1, maxDepth, where);
    checkRange((prefix + "heads").c_str(), stack.heads, 1, maxHeads, where);
    checkRange((prefix + "MLP width").c_str(), stack.hidden, 1, maxHidden, where);
    LTRP_REQUIRE(stack.dim % stack.heads == 0, Error::StsBadArg,
                 where << ": " << prefix << "embed dim " << stack.dim << " is not a multiple of its " << stack.heads
                       << " heads");
    const double d = stack.dim, h = stack.hidden;
    return stack.depth * (4 * d * d + 2 * d * h + 9 * d + h) + 2 * d;
}

void checkTotal(double total, float layerNormEps, const std::string& where)
{
    LTRP_REQUIRE(total <= maxParameters, Error::StsBadArg,
                 where << ": a model of " << total << " parameters, more than " << maxParameters
                       << " are not supported");
    LTRP_REQUIRE(layerNormEps > 0 && layerNormEps <= 0.1f, Error::StsBadArg,
                 where << ": layer norm epsilon is " << layerNormEps << ", expected a number in (0, 0.1]");
}

/// Memory for one image in a network of this width: pixels, patches, embedded tokens, and three buffers of tokens, of
/// which that for queries, keys and values is three times as wide.
void checkMemory(const InputConfig& input, int dim, const std::string& where, Error::Code code)
{
    const double patches = input.numPatches(), values = input.patchValues(), d = dim;
    const double bytes = (2 * patches * values + patches * d + 5 * (patches + 1) * d) * sizeof(float);
    LTRP_REQUIRE(bytes <= maxBytesForOneImage, code,
                 where << ": an input of " << input.size().width << " x " << input.size().height << " pixels takes "
                       << std::llround(bytes / (1 << 20)) << " MiB for one image, expected at most "
                       << std::llround(maxBytesForOneImage / (1 << 20)));
}

void checkOtherSize(const RankerConfig& config, const std::string& where)
{
    const InputConfig& input = config.input;
    const Size size = input.otherSize;
    if (size == Size())
        return;
    LTRP_REQUIRE(config.head == Head::Token, Error::StsNotImplemented,
                 where << ": an input of " << size.width << " x " << size.height << " pixels: this ranker has a class head, which "
                       << "gives scores for the grid that it was trained on alone, expected " << input.imageSize << " x "
                       << input.imageSize << "; a ranker with a token head takes any grid");
    LTRP_REQUIRE(size.width > 0 && size.height > 0 && size.width % input.patchSize == 0 && size.height % input.patchSize == 0,
                 Error::StsOutOfRange, where << ": an input of " << size.width << " x " << size.height
                                             << " pixels, expected multiples of the patch size " << input.patchSize);
    checkRange("patch columns", input.columns(), 1, maxGrid, where, Error::StsOutOfRange);
    checkRange("patch rows", input.rows(), 1, maxGrid, where, Error::StsOutOfRange);
    checkMemory(input, config.encoder.dim, where, Error::StsOutOfRange);
}

}  // namespace

void checkConfig(const MaeConfig& config, const std::string& where)
{
    checkInput(config.input, where);
    double total = checkStack(config.encoder, "", where) + checkStack(config.decoder, "decoder ", where);
    const double tokens = config.input.numPatches() + 1., values = config.input.patchValues();
    const double de = config.encoder.dim, dd = config.decoder.dim;
    total += de * (tokens + 2 + values) + dd * (tokens + 2 + de + values) + values;
    checkTotal(total, config.layerNormEps, where);
    checkMemory(config.input, std::max(config.encoder.dim, config.decoder.dim), where, Error::StsBadArg);
}

void checkConfig(const RankerConfig& config, const std::string& where)
{
    checkInput(config.input, where);
    double total = checkStack(config.encoder, "", where);
    const double patches = config.input.trainedPatches(), values = config.input.patchValues(), d = config.encoder.dim;
    total += d * (patches + 3 + values) + config.headOutputs() * (d + 1);
    checkTotal(total, config.layerNormEps, where);
    checkOtherSize(config, where);
    checkMemory(config.input, config.encoder.dim, where, Error::StsBadArg);
}

void checkConfig(const ClassifierConfig& config, const std::string& where)
{
    checkInput(config.input, where);
    checkRange("number of classes", config.classes, 2, config.task == Task::Segment ? mostSegmentClasses : maxClasses, where);
    double total = checkStack(config.encoder, "", where);
    const double patches = config.input.trainedPatches(), values = config.input.patchValues(), d = config.encoder.dim;
    total += d * (patches + 3 + values) + config.classes * (d + 1);
    if (config.task == Task::Multilabel)
    {
        total += config.classes * d + d * (2 * d + 4);
        const double bytes = config.classes * (2 * d + config.encoder.heads * patches) * sizeof(float);
        LTRP_REQUIRE(bytes <= maxBytesForOneImage, Error::StsBadArg, where << ": the queries of " << config.classes << " classes take "
                     << std::llround(bytes / (1 << 20)) << " MiB for one image, expected at most "
                     << std::llround(maxBytesForOneImage / (1 << 20)));
    }
    checkTotal(total, config.layerNormEps, where);
    checkMemory(config.input, config.encoder.dim, where, Error::StsBadArg);
}

void setInputSize(RankerConfig& config, Size size, const std::string& where)
{
    LTRP_REQUIRE(size.width > 0 && size.height > 0, Error::StsOutOfRange,
                 where << ": an input of " << size.width << " x " << size.height << " pixels, expected multiples of the patch size "
                       << config.input.patchSize);
    config.input.otherSize = Size();
    if (size != config.input.size())
        config.input.otherSize = size;
    checkOtherSize(config, where);
}

Size fittingInputSize(const InputConfig& input, Size image, int patches)
{
    LTRP_REQUIRE(image.width > 0 && image.height > 0, Error::StsOutOfRange,
                 "the image is " << image.width << " x " << image.height << ", expected 1 x 1 or more");
    checkRange("number of patches", patches, 1, maxGrid * maxGrid, "input size", Error::StsOutOfRange);
    const bool wide = image.width >= image.height;
    const double aspect = wide ? static_cast<double>(image.width) / image.height : static_cast<double>(image.height) / image.width;
    const auto side = [](double length) { return static_cast<int>(std::min<double>(std::max(1.0, length), maxGrid)); };
    // Tries the integers around the exact values; the best pair has the least error in the number of patches and in
    // their shape.
    const double exact = std::sqrt(patches / aspect);
    int longer = 0, shorter = 0;
    double least = std::numeric_limits<double>::infinity();
    for (const int s : {side(std::floor(exact)), side(std::ceil(exact))})
        for (const int l : {side(std::floor(static_cast<double>(patches) / s)), side(std::ceil(static_cast<double>(patches) / s))})
        {
            const double miss = std::abs(std::log(static_cast<double>(s) * l / patches)) + std::abs(std::log(aspect * s / l));
            if (miss < least)
            {
                least = miss;
                longer = l;
                shorter = s;
            }
        }
    return Size(wide ? longer : shorter, wide ? shorter : longer) * input.patchSize;
}

const char* headName(Head head)
{
    return head == Head::Token ? "token" : "class";
}

Head parseHead(const std::string& name, const std::string& where)
{
    LTRP_REQUIRE(name == "token" || name == "class", Error::StsBadArg,
                 where << ": 'head' is '" << name.substr(0, 40) << "', expected token or class");
    return name == "token" ? Head::Token : Head::Class;
}

const char* taskName(Task task)
{
    return words::tasks[static_cast<int>(task)];
}

Task parseTask(const std::string& name, const std::string& where)
{
    std::string known;
    int number = 0;
    for (const char* const word : words::tasks)
    {
        if (name == word)
            return static_cast<Task>(number);
        known += (number++ ? ", " : "") + std::string(word);
    }
    LTRP_ERROR(Error::StsBadArg, where << ": 'task' is '" << name.substr(0, 40) << "', expected one of " << known);
}

const char* poolingName(Pooling pooling)
{
    return pooling == Pooling::Mean ? "mean" : "class";
}

Pooling parsePooling(const std::string& name, const std::string& where)
{
    LTRP_REQUIRE(name == "mean" || name == "class", Error::StsBadArg,
                 where << ": 'pool' is '" << name.substr(0, 40) << "', expected class or mean");
    return name == "mean" ? Pooling::Mean : Pooling::Class;
}

int visibleCount(int numPatches, double maskRatio)
{
    LTRP_REQUIRE(maskRatio >= 0 && maskRatio < 1, Error::StsOutOfRange,
                 "mask ratio is " << maskRatio << ", expected a number in [0, 1)");
    return static_cast<int>(numPatches * (1.0 - maskRatio));
}

}}}  // namespace
