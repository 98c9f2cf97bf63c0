// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Default implementations of Backend; trainBlock() and related functions: train_block.cpp.
#include "training.hpp"

namespace cv { namespace ltrp { namespace ops {

namespace {

[[noreturn]] void onHostOnly()
{
    LTRP_ERROR(Error::StsNotImplemented, "images in a GPU's memory: the network runs on the CPU");
}

}  // namespace

const char* precisionName(Precision precision)
{
    static const char* const names[] = {"FP32", "BF16", "INT8", "TF32", "FP16"};
    return names[static_cast<int>(precision)];
}

void Backend::sampledDifferences(const SampledVariants&, double*) const
{
    LTRP_ERROR(Error::StsNotImplemented, "approximate scores: this device computes exact ones only");
}

float Backend::gradientScale(size_t) const { return 1; }

std::shared_ptr<const Backend> Backend::companion(Precision precision, bool frozen) const
{
    return frozen ? frozenCpu(precision) : trainingCpu(precision);
}

std::unique_ptr<Training> Backend::training(const TrainingSetup&, const Training::Pass&) const { return nullptr; }

std::unique_ptr<Replay> Backend::replay() const { return nullptr; }

void Backend::prepareImages(const DeviceImage*, int, Size, const double*, const double*, float*) const { onHostOnly(); }
void Backend::waitForStream(void*) const { onHostOnly(); }
void Backend::makeStreamWait(void*) const { onHostOnly(); }

}}}  // namespace
