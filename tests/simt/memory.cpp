// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "memory.hpp"
#include "shadow.hpp"
#include "simt.hpp"

#include <sys/mman.h>

#include <cstring>
#include <memory>

namespace simt
{

namespace
{

// Address space is plentiful: each array gets a 64 MB range, and begins 16 MB into it.
const size_t stretch = size_t(64) << 20, lead = size_t(16) << 20, stretches = 2048;

struct Space
{
    uintptr_t begin = 0;
    std::vector<std::unique_ptr<Region>> regions;   ///< by range; null if free
    std::vector<Region*> owner;                     ///< of each range: a large array has several

    Space() : regions(stretches), owner(stretches)
    {
        void* got = mmap(nullptr, stretch * stretches, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED)
            throw Failure("no address space for the emulated device");
        begin = reinterpret_cast<uintptr_t>(got);
    }
};

Space& space()
{
    static Space one;
    return one;
}

Region& regionOf(const void* address, size_t bytes, const char* what)
{
    Region* region = deviceRegion(reinterpret_cast<uintptr_t>(address));
    if (!region || !region->contains(reinterpret_cast<uintptr_t>(address), bytes))
        throw Failure(std::string(what) + ": " + std::to_string(bytes) + " bytes lie outside device memory"
                      + (region ? ", near '" + region->name + "'" : ""));
    return *region;
}

}  // namespace

void Region::reset(const std::string& newName, uintptr_t newBegin, size_t newBytes, unsigned newShift, bool isShared)
{
    name = newName;
    begin = newBegin;
    bytes = newBytes;
    shift = newShift;
    shared = isShared;
    cells.assign((bytes >> shift) + 1, Cell{});
}

Region* deviceRegion(uintptr_t address)
{
    const Space& s = space();
    return address - s.begin < stretch * stretches ? s.owner[(address - s.begin) / stretch] : nullptr;
}

void* allocate(size_t bytes, const std::string& name, unsigned granule)
{
    Space& s = space();
    const size_t needed = (lead * 2 + bytes + stretch - 1) / stretch;
    static size_t next = 0;   // continues after the last one, so that released addresses are not reused soon
    for (size_t tried = 0; tried < stretches; ++tried)
    {
        const size_t first = (next + tried) % stretches;
        size_t n = 0;
        while (first + n < stretches && n < needed && !s.owner[first + n])
            ++n;
        if (n < needed)
            continue;
        const uintptr_t at = s.begin + first * stretch + lead;
        if (bytes && mprotect(reinterpret_cast<void*>(at), bytes, PROT_READ | PROT_WRITE) != 0)
            throw Failure("no memory for '" + name + "', " + std::to_string(bytes) + " bytes");
        s.regions[first].reset(new Region);
        s.regions[first]->reset(name, at, bytes, granule >= 4 ? 2 : granule == 2 ? 1 : 0, false);
        for (size_t i = 0; i < needed; ++i)
            s.owner[first + i] = s.regions[first].get();
        next = first + needed;
        return reinterpret_cast<void*>(at);
    }
    throw Failure("the emulated device has no room for '" + name + "'");
}

void release(void* address)
{
    Space& s = space();
    const size_t first = (reinterpret_cast<uintptr_t>(address) - s.begin) / stretch;
    Region* region = s.owner[first];
    // Frees the pages and protects them again, so that uses after release are detected.
    mmap(address, region->bytes ? region->bytes : 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
    for (size_t i = first; i < stretches && s.owner[i] == region; ++i)
        s.owner[i] = nullptr;
    s.regions[first].reset();
}

void upload(void* to, const void* from, size_t bytes)
{
    Region& region = regionOf(to, bytes, "upload");
    if (!bytes)
        return;
    std::memcpy(to, from, bytes);
    const size_t offset = reinterpret_cast<uintptr_t>(to) - region.begin;
    for (size_t i = offset >> region.shift; i <= (offset + bytes - 1) >> region.shift; ++i)
    {
        region.cells[i] = Cell{};
        region.cells[i].writer.block = writtenByHost;
    }
}

void download(void* to, const void* from, size_t bytes)
{
    regionOf(from, bytes, "download");
    if (bytes)
        std::memcpy(to, from, bytes);
}

void fill(void* to, int value, size_t bytes)
{
    const std::vector<unsigned char> values(bytes, static_cast<unsigned char>(value));
    upload(to, values.data(), bytes);
}

}  // namespace simt
