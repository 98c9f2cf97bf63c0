// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Hooks for every access of a kernel: GCC and Clang call these functions in code compiled with -fsanitize=thread; here
// this file implements them instead of ThreadSanitizer's library.

#include "machine.hpp"

#include <cstring>

extern "C" char __executable_start, _end;

namespace simt
{

Running running;

namespace
{

uint64_t accesses = 0;

bool never(const Stamp& stamp) { return stamp.block == 0; }

/// Whether the current access is ordered after that one: true for other launches, and across a barrier.
bool ordered(const Stamp& before)
{
    if (before.block < running.launchFirst)
        return true;
    if (before.block != (running.blockSerial & ((1u << 27) - 1)))
        return false;
    if (before.thread == running.thread || before.barriers != running.barriers)
        return true;
    return before.thread / 32 == running.thread / 32 && before.warpBarriers != running.warpBarriers;
}

std::string describe(const Region& region, uintptr_t address, size_t size, const char* verb)
{
    const long long offset = static_cast<long long>(address) - static_cast<long long>(region.begin);
    return std::string(verb) + " " + std::to_string(size) + " bytes at byte " + std::to_string(offset) + " of '" +
           region.name + "' (" + std::to_string(region.bytes) + " bytes" + (region.shared ? ", shared)" : ")");
}

[[noreturn]] void failRace(const Region& region, uintptr_t address, size_t size, const char* verb, const Stamp& other,
                           const char* otherVerb)
{
    const bool elsewhere = other.block != running.blockSerial;
    fail(describe(region, address, size, verb) + ", which " + (elsewhere ? "another block" : "thread "
         + std::to_string(unsigned(other.thread))) + " " + otherVerb + " with no barrier between");
}

void check(Region& region, uintptr_t address, size_t size, bool write, bool atomic)
{
    const char* verb = atomic ? "changes" : write ? "writes" : "reads";
    if (!region.contains(address, size))
        fail(describe(region, address, size, verb) + ": out of bounds");
    Stamp now = {};
    now.block = running.blockSerial;
    now.barriers = running.barriers & 0x7fff;
    now.warpBarriers = running.warpBarriers & 0x7ff;
    now.thread = running.thread & 0x3ff;
    now.atomic = atomic;
    const size_t offset = address - region.begin, last = (offset + size - 1) >> region.shift;
    if (write && !atomic && size < size_t(1) << region.shift && region.shared)
        fail(describe(region, address, size, verb) + ": single bytes of shared memory are not followed");
    for (size_t i = offset >> region.shift; i <= last; ++i)
    {
        Cell& cell = region.cells[i];
        if ((!write || atomic) && never(cell.writer))
            fail(describe(region, address, size, verb) + ": uninitialised read");
        const bool bothAtomic = atomic && cell.writer.atomic;
        if (!never(cell.writer) && !bothAtomic && !ordered(cell.writer))
            failRace(region, address, size, verb, cell.writer, "wrote");
        if (write)
        {
            if (!atomic || !cell.writer.atomic)
            {
                if (!never(cell.reader) && !ordered(cell.reader))
                    failRace(region, address, size, verb, cell.reader, "read");
                if (!never(cell.otherReader) && !ordered(cell.otherReader))
                    failRace(region, address, size, verb, cell.otherReader, "read");
            }
            cell.writer = now;
            cell.reader = cell.otherReader = Stamp{};
        }
        else if (cell.reader.block != now.block || cell.reader.thread == now.thread || ordered(cell.reader))
            cell.reader = now;
        else
            cell.otherReader = now;
    }
}

void access(const void* pointer, size_t size, bool write, bool atomic)
{
    if (!running.inKernel)
    {
        if (deviceRegion(reinterpret_cast<uintptr_t>(pointer)))
            throw Failure("host code touches device memory");
        return;
    }
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    if (running.exchanging)
        return;
    if (address - running.stackBegin < running.stackBytes)
        return;
    ++accesses;
    if (address - running.sharedBegin < running.sharedBytes)
    {
        Region* nearest = nullptr;
        for (Region* region : running.sharedRegions)
            if (!nearest || region->begin <= address)
                nearest = region;
        if (nearest)
        {
            check(*nearest, address, size, write, atomic);
            return;
        }
    }
    if (Region* region = deviceRegion(address))
    {
        check(*region, address, size, write, atomic);
        return;
    }
    const uintptr_t imageBegin = reinterpret_cast<uintptr_t>(&__executable_start);
    if (!write && (address - running.argumentsBegin < running.argumentBytes ||
                   address - imageBegin < reinterpret_cast<uintptr_t>(&_end) - imageBegin))
        return;   // arguments and constants
    fail(std::string(write ? "writes " : "reads ") + std::to_string(size) +
         " bytes that are no device memory: a released array, "
         "memory of the host or another thread's own");
}

}  // namespace

uint64_t accessesSeen() { return accesses; }

void touch(const void* address, size_t bytes, bool write, bool atomic) { access(address, bytes, write, atomic); }

void requireAligned(const void* address, size_t alignment)
{
    if (reinterpret_cast<uintptr_t>(address) % alignment != 0)
        fail("an address that is no multiple of " + std::to_string(alignment) + " for an access of that many bytes");
}

void requireShared(const void* address)
{
    if (reinterpret_cast<uintptr_t>(address) - running.sharedBegin >= running.sharedBytes)
        fail("an address that is not in shared memory");
}

}  // namespace simt

extern "C"
{

#define SIMT_HOOKS(bytes)                                                                                            \
    void __tsan_read##bytes(void* p) { simt::requireAligned(p, bytes); simt::touch(p, bytes, false); }               \
    void __tsan_write##bytes(void* p) { simt::requireAligned(p, bytes); simt::touch(p, bytes, true); }               \
    void __tsan_unaligned_read##bytes(void* p) { simt::touch(p, bytes, false); }                                     \
    void __tsan_unaligned_write##bytes(void* p) { simt::touch(p, bytes, true); }                                     \
    void __tsan_volatile_read##bytes(void* p) { simt::touch(p, bytes, false); }                                      \
    void __tsan_volatile_write##bytes(void* p) { simt::touch(p, bytes, true); }                                      \
    void __tsan_read_write##bytes(void* p) { simt::touch(p, bytes, false); simt::touch(p, bytes, true); }            \
    void __tsan_unaligned_read_write##bytes(void* p) { simt::touch(p, bytes, false); simt::touch(p, bytes, true); }
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)
#undef SIMT_HOOKS
void __tsan_read_range(void* p, size_t bytes) { simt::touch(p, bytes, false); }
void __tsan_write_range(void* p, size_t bytes) { simt::touch(p, bytes, true); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void* __tsan_memcpy(void* to, const void* from, size_t bytes)   // Clang calls these for copies of structures
{
    simt::touch(from, bytes, false);
    simt::touch(to, bytes, true);
    return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes)
{
    simt::touch(from, bytes, false);
    simt::touch(to, bytes, true);
    return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes)
{
    simt::touch(to, bytes, true);
    return std::memset(to, value, bytes);
}

}
