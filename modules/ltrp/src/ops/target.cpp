// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "target.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp {

namespace {

struct Target
{
    int number;
    const char* name;
    ops::Precision precision;
    bool cuda;
};

const Target targets[] = {{TARGET_CPU, "TARGET_CPU", ops::Precision::FP32, false},
                          {TARGET_CPU_BF16, "TARGET_CPU_BF16", ops::Precision::BF16, false},
                          {TARGET_CPU_INT8, "TARGET_CPU_INT8", ops::Precision::INT8, false},
                          {TARGET_CUDA, "TARGET_CUDA", ops::Precision::FP32, true},
                          {TARGET_CUDA_FP16, "TARGET_CUDA_FP16", ops::Precision::FP16, true},
                          {TARGET_CUDA_BF16, "TARGET_CUDA_BF16", ops::Precision::BF16, true},
                          {TARGET_CUDA_TF32, "TARGET_CUDA_TF32", ops::Precision::TF32, true}};

const Target& find(int number)
{
    std::ostringstream known;
    for (const Target& target : targets)
    {
        if (target.number == number)
            return target;
        known << (known.tellp() > 0 ? ", " : "") << target.name << " (" << target.number << ")";
    }
    LTRP_ERROR(Error::StsNotImplemented, "target: expected one of " << known.str() << "; found " << number
               << ", which this build of ltrp does not have");
}

std::string missing(const Target& target)
{
    return target.cuda ? ops::cudaLacks() : ops::cpuLacks(target.precision);
}

const Target& available(int number)
{
    const Target& target = find(number);
    const std::string lacks = missing(target);
    LTRP_REQUIRE(lacks.empty(), target.cuda ? Error::GpuNotSupported : Error::StsNotImplemented,
                 "target " << number << " (" << target.name << ", " << ops::precisionName(target.precision) << "): " << lacks);
    return target;
}

}  // namespace

String missingForTarget(int target)
{
    return missing(find(target));
}

void ComputeDevice::set(int wanted)
{
    const Target& found = available(wanted);
    std::string name = "CPU";
    backend = found.cuda ? ops::cudaBackend(found.precision, true, &name) : ops::frozenCpu(found.precision);
    target = wanted;
    precision = found.precision;
    device = name;
}

ComputeDevice ComputeDevice::forTraining(int wanted)
{
    LTRP_REQUIRE(wanted != TARGET_CPU_INT8, Error::StsNotImplemented, "target is " << wanted
                 << " (TARGET_CPU_INT8), in which no network is trained; expected TARGET_CPU, TARGET_CPU_BF16 or one of TARGET_CUDA");
    const Target& found = available(wanted);
    ComputeDevice made;
    made.backend = found.cuda ? ops::cudaBackend(found.precision, false, &made.device) : ops::trainingCpu(found.precision);
    made.target = wanted;
    made.precision = found.precision;
    return made;
}

ComputeDevice ComputeDevice::companion(int wanted) const
{
    const Target& found = available(wanted);
    LTRP_REQUIRE(found.cuda == onCuda(), Error::StsBadArg, "the autoencoder's target is " << wanted << " (" << found.name
                 << "), the ranker's " << target << " (" << find(target).name << "); expected both on the CPU or both on CUDA");
    ComputeDevice made = *this;
    made.backend = backend->companion(found.precision, true);
    made.target = wanted;
    made.precision = found.precision;
    return made;
}

}}  // namespace
