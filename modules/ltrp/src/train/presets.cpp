// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "opencv2/ltrp/train.hpp"

namespace cv { namespace ltrp {

namespace
{

struct Preset
{
    const char* name;
    int patch, dim, depth, heads, decoderDim, decoderDepth, decoderHeads;
};

const Preset presets[] = {{"tiny", 16, 192, 12, 3, 192, 4, 6},
                          {"small", 16, 384, 12, 6, 256, 4, 8},
                          {"base", 16, 768, 12, 12, 512, 8, 16},
                          {"large", 16, 1024, 24, 16, 512, 8, 16},
                          {"huge", 14, 1280, 32, 16, 512, 8, 16}};

const Preset& findPreset(const String& name)
{
    for (const Preset& preset : presets)
        if (name == preset.name)
            return preset;
    LTRP_ERROR(Error::StsBadArg, "preset '" << name << "' is not known, expected tiny, small, base, large or huge");
}

}  // namespace

TrainParams::TrainParams()
    : resume(false), seed(0), epochs(400), warmupEpochs(-1), batch(64), accumulate(0), baseLearningRate(1.5e-4),
      learningRate(0), minLearningRate(0), weightDecay(0.05), beta1(0.9), beta2(0.95), maskRatio(0.75), scaleMin(0.2),
      scaleMax(1), ratioMin(3.0 / 4), ratioMax(4.0 / 3), flip(0.5), reduceJpegs(true), target(TARGET_CPU),
      workers(2), threads(0), cacheMegabytes(2048), checkpointEvery(1000), checkpointMinutes(10), exportEvery(0), logEvery(10)
{
}

void TrainParams::setWholePhotos()
{
    scaleMin = scaleMax = 1;
    ratioMin = 0.5;
    ratioMax = 2;
}

MaePretrainParams::MaePretrainParams() : imageSize(224), normPixLoss(true)
{
    epochs = 800;
    setPreset("base");
}

void MaePretrainParams::setPreset(const String& name)
{
    const Preset& preset = findPreset(name);
    patchSize = preset.patch;
    embedDim = preset.dim;
    depth = preset.depth;
    heads = preset.heads;
    decoderEmbedDim = preset.decoderDim;
    decoderDepth = preset.decoderDepth;
    decoderHeads = preset.decoderHeads;
}

RankerTrainParams::RankerTrainParams()
    : head("token"), removal(REMOVAL_DECODER), metric(METRIC_L1), space(SPACE_DECODER), loss("list-mle-k"), listK(20), seesAll(false),
      scoreTarget(TARGET_CPU)
{
    weightDecay = 0.06;
    maskRatio = 0.9;
    setPreset("small");
}

void RankerTrainParams::setPreset(const String& name)
{
    const Preset& preset = findPreset(name);
    embedDim = preset.dim;
    depth = preset.depth;
    heads = preset.heads;
}

}}  // namespace
