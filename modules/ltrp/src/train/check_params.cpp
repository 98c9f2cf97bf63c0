// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "trainer.hpp"
#include "option_table.hpp"
#include "../core/decimal.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace train {

std::string optionText(double value)
{
    for (int digits = 6; digits < 17; digits++)   // the shortest text that reads back exactly
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
    for (const TrainOption& option : trainOptions())
        LTRP_REQUIRE(option.valid(p) && std::isfinite(option.value(p)), Error::StsOutOfRange, option.name << " is "
                     << option.value(p) << ", expected " << option.range);
}

void chooseDefaults(TrainParams& params, int64_t images, bool onHost)
{
    if (params.accumulate == 0)
    {
        const double stored = params.resume ? parseDecimal(storedOption(params.out, "accumulate")) : 0;
        const int old = stored >= 1 && stored <= 16384 ? static_cast<int>(stored) : 0;
        const int64_t most = onHost ? 512 : 4096;
        const int64_t wanted = std::min(most, images / 16);   // at least 16 updates per epoch
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
    for (const TrainOption& option : trainOptions())
        if (option.decidesResult && (option.real != &TrainParams::maskRatio || objective.masks()))
            options.emplace_back(option.name, optionText(option.real == &TrainParams::learningRate ? rate : option.value(params)));
    options.emplace_back("seed", std::to_string(params.seed));
    options.emplace_back("jpeg", params.reduceJpegs ? "reduced" : "full");
    options.emplace_back("data", data);
    // Matrix libraries split long sums among their threads: another number of threads rounds differently, and so does a
    // GPU.
    options.emplace_back("threads", objective.backend().onHost() ? std::to_string(getNumThreads()) : "those of a GPU");
    return options;
}

}}}  // namespace
