// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_MACHINE_HPP
#define LTRP_SIMT_MACHINE_HPP

#include "shadow.hpp"
#include "simt.hpp"

namespace simt
{

/// State used by the checks of each access; maintained by the scheduler (simt.cpp).
struct Running
{
    bool inKernel = false;
    bool exchanging = false;   ///< a warp's lanes exchange values: accesses are not checked
    unsigned thread = 0, barriers = 0, warpBarriers = 0;
    unsigned warpBarriersOf[32] = {};
    uint64_t blockSerial = writtenByHost, launchFirst = 0;
    uintptr_t stackBegin = 0, argumentsBegin = 0, sharedBegin = 0;
    size_t stackBytes = 0, argumentBytes = 0, sharedBytes = 0;
    std::vector<Region*> sharedRegions;
    dim3 threadIndex, blockIndex, blockSize, gridSize;
};
extern Running running;

}  // namespace simt

#endif
