// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "../core/decimal.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace train {

namespace
{

void requireRange(const char* name, double value, bool good, const char* range)
{
    LTRP_REQUIRE(good && std::isfinite(value), Error::StsOutOfRange, name << " is " << value << ", expected " << range);
}

}  // namespace

std::string optionText(double value)
{
    for (int digits = 6; digits < 17; digits++)   // the shortest that is read back exactly
    {
        const std::string text = decimal(value, digits);
        if (parseDecimal(text) == value)
            return text;
    }
    return decimal(value, 17);
}

void checkParams(const TrainParams& p)
{
    LTRP_REQUIRE(!p.data.empty(), Error::StsBadArg, "data: name at least one folder, image or list file");
    LTRP_REQUIRE(!p.out.empty(), Error::StsBadArg, "out: no folder given");
    requireRange("epochs", p.epochs, p.epochs > 0 && p.epochs <= 1e6, "a number above 0, at most 1000000");
    requireRange("warmup-epochs", p.warmupEpochs, p.warmupEpochs < p.epochs, "less than epochs (below 0: chosen by it)");
    requireRange("batch", p.batch, p.batch >= 1 && p.batch <= 65536, "1 to 65536");
    requireRange("accumulate", p.accumulate, p.accumulate >= 0 && p.accumulate <= 16384, "1 to 16384, or 0 (chosen by the data)");
    requireRange("blr", p.baseLearningRate, p.baseLearningRate > 0 || p.learningRate > 0, "a number above 0");
    requireRange("lr", p.learningRate, p.learningRate >= 0, "0 (from blr) or more");
    requireRange("min-lr", p.minLearningRate, p.minLearningRate >= 0 && (p.learningRate == 0 || p.minLearningRate <= p.learningRate),
                 "0 or more, at most lr");
    requireRange("weight-decay", p.weightDecay, p.weightDecay >= 0, "0 or more");
    requireRange("beta1", p.beta1, p.beta1 >= 0 && p.beta1 < 1, "0 or more, below 1");
    requireRange("beta2", p.beta2, p.beta2 >= 0 && p.beta2 < 1, "0 or more, below 1");
    requireRange("mask-ratio", p.maskRatio, p.maskRatio > 0 && p.maskRatio < 1, "a number in (0, 1)");
    requireRange("scale-min", p.scaleMin, p.scaleMin > 0 && p.scaleMin <= p.scaleMax, "above 0, at most scale-max");
    requireRange("scale-max", p.scaleMax, p.scaleMax <= 1, "at most 1");
    requireRange("ratio-min", p.ratioMin, p.ratioMin > 0 && p.ratioMin <= p.ratioMax, "above 0, at most ratio-max");
    requireRange("ratio-max", p.ratioMax, p.ratioMax <= 100, "at most 100");
    requireRange("flip", p.flip, p.flip >= 0 && p.flip <= 1, "0 to 1");
    requireRange("workers", p.workers, p.workers >= 0 && p.workers <= 256, "0 to 256");
    requireRange("threads", p.threads, p.threads >= 0 && p.threads <= 4096, "0 (as set) to 4096");
    requireRange("cache-mb", p.cacheMegabytes, p.cacheMegabytes >= 0, "0 or more");
    requireRange("checkpoint-every", p.checkpointEvery, p.checkpointEvery >= 1, "1 or more");
    requireRange("checkpoint-minutes", p.checkpointMinutes, p.checkpointMinutes >= 0, "0 (not by time) or more");
    requireRange("export-every", p.exportEvery, p.exportEvery >= 0, "0 or more");
    requireRange("log-every", p.logEvery, p.logEvery >= 1, "1 or more");
}

void chooseDefaults(TrainParams& params, int64_t images, bool onHost)
{
    if (params.accumulate == 0)
    {
        const double stored = params.resume ? parseDecimal(storedOption(params.out, "accumulate")) : 0;
        const int old = stored >= 1 && stored <= 16384 ? static_cast<int>(stored) : 0;
        const int64_t most = onHost ? 512 : 4096;
        const int64_t wanted = std::min(most, images / 16);   // at least 16 updates an epoch
        params.accumulate = old > 0 ? old : static_cast<int>(std::max<int64_t>(1, wanted / params.batch));
    }
    if (params.warmupEpochs < 0)
    {
        const std::string old = params.resume ? storedOption(params.out, "warmup-epochs") : std::string();
        params.warmupEpochs = old.empty() ? std::min(40.0, params.epochs / 10) : parseDecimal(old);
    }
}

OptionList runOptions(const TrainParams& params, const Objective& objective, double rate, const std::string& data)
{
    OptionList options = objective.options();
    const std::pair<const char*, double> numbers[] = {
        {"epochs", params.epochs}, {"warmup-epochs", params.warmupEpochs}, {"batch", params.batch},
        {"accumulate", params.accumulate}, {"lr", rate}, {"min-lr", params.minLearningRate},
        {"weight-decay", params.weightDecay}, {"beta1", params.beta1}, {"beta2", params.beta2},
        {"mask-ratio", params.maskRatio}, {"scale-min", params.scaleMin}, {"scale-max", params.scaleMax},
        {"ratio-min", params.ratioMin}, {"ratio-max", params.ratioMax}, {"flip", params.flip}};
    for (const auto& number : numbers)
        if (number.first != std::string("mask-ratio") || objective.masks())
            options.emplace_back(number.first, optionText(number.second));
    options.emplace_back("seed", std::to_string(params.seed));
    options.emplace_back("jpeg", params.reduceJpegs ? "reduced" : "full");
    options.emplace_back("data", data);
    // Matrix libraries split long sums among their threads: another number rounds differently, and so does a GPU.
    options.emplace_back("threads", objective.backend().onHost() ? std::to_string(getNumThreads()) : "those of a GPU");
    return options;
}

}}}  // namespace
