// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "target.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp {

namespace {

ops::Precision askedFor(int target)
{
    switch (target)
    {
    case TARGET_CPU: return ops::Precision::FP32;
    case TARGET_CPU_BF16: return ops::Precision::BF16;
    case TARGET_CPU_INT8: return ops::Precision::INT8;
    default:
        LTRP_ERROR(Error::StsNotImplemented, "target: expected TARGET_CPU (" << int(TARGET_CPU) << "), TARGET_CPU_BF16 ("
                   << int(TARGET_CPU_BF16) << ") or TARGET_CPU_INT8 (" << int(TARGET_CPU_INT8) << "), found " << target
                   << ", which this build of ltrp does not have");
    }
}

}  // namespace

String missingForTarget(int target)
{
    return ops::cpuLacks(askedFor(target));
}

ops::Precision precisionOf(int target)
{
    const ops::Precision precision = askedFor(target);
    const std::string missing = ops::cpuLacks(precision);
    LTRP_REQUIRE(missing.empty(), Error::StsNotImplemented, "target " << target << " (" << ops::precisionName(precision)
                 << "): " << missing);
    return precision;
}

}}  // namespace
