// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_SHADOW_HPP
#define LTRP_SIMT_SHADOW_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt
{

/// When and by which thread memory was accessed, in 64 bits; 0: never. Blocks are numbered over the whole run, so that
/// the number also identifies the launch.
struct Stamp
{
    uint64_t block : 27, barriers : 15, warpBarriers : 11, thread : 10, atomic : 1;
};
const uint64_t writtenByHost = 1;   ///< block number of values written by the host

/// Last writer, and two readers since then, from different threads: at least one of two readers is another thread than
/// the next writer, so two are enough to detect every unordered pair.
struct Cell
{
    Stamp writer, reader, otherReader;
};

/// One array that kernels may access, and the state of its cells.
struct Region
{
    std::string name;
    uintptr_t begin = 0;
    size_t bytes = 0;
    unsigned shift = 1;   ///< cells of 2^shift bytes
    bool shared = false;
    std::vector<Cell> cells;

    void reset(const std::string& newName, uintptr_t newBegin, size_t newBytes, unsigned newShift, bool isShared);
    bool contains(uintptr_t address, size_t size) const { return address >= begin && address - begin + size <= bytes; }
};

/// The device array in whose range of addresses this one is, inside the array or not; null: no device memory.
Region* deviceRegion(uintptr_t address);

}  // namespace simt

#endif
