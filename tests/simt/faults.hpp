// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_FAULTS_HPP
#define LTRP_SIMT_FAULTS_HPP

#include <cstddef>

/// Kernels with one fault each, and the same without it, to test that the emulation detects them.
namespace faults
{

enum class Fault
{
    None,
    MissingBarrier,
    MissingWarpBarrier,
    BarrierInBranch,
    TwoBarriers,
    EarlyEnd,
    ReadBeyond,
    WriteBefore,
    SharedBeyond,
    SharedNeverWritten,
    GlobalNeverWritten,
    MaskWithoutCaller,
    ShuffleFromOutside,
    BlocksOverlap,
    HostMemory,
    PlainBesideAtomic,
    Misaligned,
    SharedMisaligned,
    SharedTooLarge
};

/// out [blocks * 96] = the sum of each block's 96 values of x, computed with shared memory, shuffles and barriers. 96
/// threads.
void blockSums(Fault fault, const float* x, float* out, size_t count, unsigned blocks, const float* hostMemory);

/// *flag |= 1 << thread from every thread.
void raiseFlags(Fault fault, int* flag);

/// d [16, 8] = c + a [16, 16] b [16, 8] by one warp, with the fragments of mma.cuh; b is stored as [n][k].
void multiplyTile(const float* a, const float* b, const float* c, float* d, bool half);

}  // namespace faults

#endif
