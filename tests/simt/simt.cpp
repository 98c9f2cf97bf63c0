// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#undef _FORTIFY_SOURCE   // its longjmp does not allow changing stacks
#include "simt.hpp"
#include "shadow.hpp"
#include "machine.hpp"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <vector>

namespace simt
{

namespace
{

// Shared memory per block on every device from compute capability 8.0 on, including consumer cards.
const size_t mostShared = 99 << 10;

const size_t stackBytes = 64 << 10, guardBytes = 4096;
const unsigned everyLane = 0xffffffffu;

enum class State { Ready, AtBarrier, AtWarp, Ended };

struct Thread
{
    unsigned char* stack = nullptr;
    ucontext_t start;
    jmp_buf place;
    bool begun = false;
    State state = State::Ready;
    const char* site = "";
    dim3 index;
    unsigned mask = 0;
    const void* in = nullptr;
    void* out = nullptr;
};

/// A small, repeatable generator; its quality hardly matters here.
struct Shuffler
{
    uint64_t state;
    uint64_t next()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    template <class T>
    void shuffle(std::vector<T>& values)
    {
        for (size_t left = values.size(); left > 1; --left)
            std::swap(values[left - 1], values[next() % left]);
    }
};

Launches* recorder = nullptr;

/// State of the running block, and state that outlives it.
struct Machine
{
    std::vector<Thread> threads;
    jmp_buf scheduler;
    Schedule schedule;
    const char* kernelName = "";
    void (*kernel)(const void*) = nullptr;
    const void* arguments = nullptr;
    dim3 grid, size, block;
    unsigned count = 0, current = 0, ended = 0, waiting = 0;
    std::string failure;
    std::vector<unsigned char> sharedBytes;
    size_t sharedUsed = 0;
    std::vector<std::pair<const void*, Region*>> statics;
    std::vector<std::unique_ptr<Region>> sharedRegions;   ///< reused from block to block
};

Machine& machine()
{
    static Machine one;
    return one;
}

std::string where()
{
    const Machine& m = machine();
    std::ostringstream text;
    const dim3& t = m.threads[m.current].index;
    text << m.kernelName << ", block (" << m.block.x << ", " << m.block.y << ", " << m.block.z << "), thread (" << t.x
         << ", " << t.y << ", " << t.z << "): ";
    return text.str();
}

__attribute__((noinline)) void toScheduler()
{
    Machine& m = machine();
    Thread& self = m.threads[m.current];
    running.inKernel = false;
    if (!_setjmp(self.place))
        _longjmp(m.scheduler, 1);
    running.inKernel = true;
}

void threadMain()
{
    Machine& m = machine();
    running.inKernel = true;
    m.kernel(m.arguments);
    running.inKernel = false;
    m.threads[m.current].state = State::Ended;
    ++m.ended;
    _longjmp(m.scheduler, 1);
}

__attribute__((noinline)) void resume(unsigned index)
{
    Machine& m = machine();
    m.current = index;
    Thread& t = m.threads[index];
    running.thread = index;
    running.threadIndex = t.index;
    running.stackBegin = reinterpret_cast<uintptr_t>(t.stack);
    running.warpBarriers = running.warpBarriersOf[index / 32];
    if (_setjmp(m.scheduler))
        return;
    if (t.begun)
        _longjmp(t.place, 1);
    t.begun = true;
    getcontext(&t.start);
    t.start.uc_stack.ss_sp = t.stack;
    t.start.uc_stack.ss_size = stackBytes;
    t.start.uc_link = nullptr;
    makecontext(&t.start, threadMain, 0);
    setcontext(&t.start);
}

void prepareThreads()
{
    Machine& m = machine();
    while (m.threads.size() < m.count)
    {
        void* memory = mmap(nullptr, stackBytes + guardBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, guardBytes, PROT_NONE) != 0)
            throw Failure("no memory for the stacks of the emulated threads");
        m.threads.emplace_back();
        m.threads.back().stack = static_cast<unsigned char*>(memory) + guardBytes;
    }
    for (unsigned i = 0; i < m.count; ++i)
    {
        Thread& t = m.threads[i];
        t.begun = false;
        t.state = State::Ready;
        t.index = dim3(i % m.size.x, i / m.size.x % m.size.y, i / m.size.x / m.size.y);
    }
}

/// Reports where the threads of a block wait.
void reportDeadlock()
{
    Machine& m = machine();
    std::ostringstream text;
    text << m.kernelName << ", block (" << m.block.x << ", " << m.block.y << ", " << m.block.z
         << "): deadlock: " << m.ended << " of " << m.count << " threads have ended";
    std::vector<std::pair<std::string, unsigned>> places;
    for (unsigned i = 0; i < m.count; ++i)
        if (m.threads[i].state != State::Ended)
        {
            const std::string place = std::string(m.threads[i].state == State::AtBarrier ? "at the barrier "
                                                                                         : "in the warp's ") +
                                      m.threads[i].site;
            const auto found = std::find_if(places.begin(), places.end(),
                                            [&](const auto& p) { return p.first == place; });
            if (found == places.end())
                places.emplace_back(place, 1);
            else
                ++found->second;
        }
    for (const auto& place : places)
        text << ", " << place.second << " wait " << place.first;
    m.failure = text.str();
}

void runBlock(Shuffler& shuffler)
{
    Machine& m = machine();
    prepareThreads();
    m.ended = m.waiting = 0;
    std::vector<unsigned> warps((m.count + 31) / 32), lanes;
    for (unsigned i = 0; i < warps.size(); ++i)
        warps[i] = i;
    while (m.ended < m.count)
    {
        bool moved = false;
        if (m.schedule.shuffled)
            shuffler.shuffle(warps);
        for (const unsigned warp : warps)
            for (bool again = true; again;)   // a warp runs until all its threads wait for the block
            {
                again = false;
                lanes.clear();
                for (unsigned i = warp * 32; i < std::min(m.count, warp * 32 + 32); ++i)
                    if (m.threads[i].state == State::Ready)
                        lanes.push_back(i);
                if (m.schedule.shuffled)
                    shuffler.shuffle(lanes);
                for (const unsigned i : lanes)
                {
                    resume(i);
                    if (!m.failure.empty())
                        return;
                    moved = again = true;
                }
            }
        if (!moved)
        {
            reportDeadlock();
            return;
        }
    }
}

/// In a fiber: stores the failure and does not return.
[[noreturn]] void failHere(const std::string& message)
{
    Machine& m = machine();
    m.failure = message;
    running.inKernel = running.exchanging = false;
    _longjmp(m.scheduler, 1);
}

}  // namespace

void setSchedule(const Schedule& schedule) { machine().schedule = schedule; }

void setRecorder(Launches* to) { recorder = to; }

void run(const char* name, dim3 grid, dim3 block, size_t dynamicBytes, void (*kernel)(const void*),
         const void* arguments, size_t argumentBytes)
{
    if (recorder)
    {
        const std::shared_ptr<void> copy(::operator new(argumentBytes), [](void* p) { ::operator delete(p); });
        std::memcpy(copy.get(), arguments, argumentBytes);
        recorder->push_back([=] { run(name, grid, block, dynamicBytes, kernel, copy.get(), argumentBytes); });
        return;
    }
    Machine& m = machine();
    const uint64_t threads = uint64_t(block.x) * block.y * block.z, blocks = uint64_t(grid.x) * grid.y * grid.z;
    if (threads < 1 || threads > 1024 || block.z > 64 || blocks < 1 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535)
        throw Failure(std::string(name) + ": no device takes a launch of " + std::to_string(blocks) + " blocks of "
                      + std::to_string(threads) + " threads");
    const size_t sharedSpace = 512 << 10;
    if (dynamicBytes > mostShared)
        throw Failure(std::string(name) + ": " + std::to_string(dynamicBytes) + " bytes of shared memory");
    m.kernelName = name;
    m.kernel = kernel;
    m.arguments = arguments;
    m.grid = grid;
    m.size = block;
    m.count = static_cast<unsigned>(threads);
    m.sharedBytes.resize(sharedSpace + 256);
    m.failure.clear();
    running.argumentsBegin = reinterpret_cast<uintptr_t>(arguments);
    running.argumentBytes = argumentBytes;
    running.stackBytes = stackBytes;
    running.blockSize = block;
    running.gridSize = grid;
    running.launchFirst = running.blockSerial + 1;
    Shuffler shuffler{m.schedule.seed * 2654435761u + 88172645463325252ull};
    std::vector<uint64_t> order(blocks);
    for (uint64_t i = 0; i < blocks; ++i)
        order[i] = i;
    if (m.schedule.shuffled)
        shuffler.shuffle(order);
    for (const uint64_t i : order)
    {
        ++running.blockSerial;
        m.block = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                       static_cast<unsigned>(i / grid.x / grid.y));
        running.blockIndex = m.block;
        running.barriers = 0;
        std::fill(running.warpBarriersOf, running.warpBarriersOf + 32, 0u);
        m.statics.clear();
        running.sharedRegions.clear();
        m.sharedUsed = 0;
        std::fill(m.sharedBytes.begin(), m.sharedBytes.end(),
                  static_cast<unsigned char>(0xff));   // uninitialised values read as NaN
        if (dynamicBytes)
            staticShared(nullptr, "dynamic shared memory", dynamicBytes, 16);
        runBlock(shuffler);
        if (!m.failure.empty())
        {
            const std::string failure = m.failure;
            throw Failure(failure);
        }
    }
}

const dim3& threadIndex() { return running.threadIndex; }
const dim3& blockIndex() { return running.blockIndex; }
const dim3& blockSize() { return running.blockSize; }
const dim3& gridSize() { return running.gridSize; }

void fail(const std::string& message)
{
    if (!running.inKernel)
        throw Failure(message);
    failHere(where() + message);
}

void* staticShared(const void* tag, const char* name, size_t bytes, size_t alignment)
{
    Machine& m = machine();
    for (const auto& known : m.statics)
        if (known.first == tag)
        {
            if (known.second->bytes != bytes)
                fail(std::string("two sizes of the shared array ") + name);
            return reinterpret_cast<void*>(known.second->begin);
        }
    size_t used = bytes;
    for (const auto& known : m.statics)
        used += known.second->bytes;
    if (used > mostShared)
        fail(std::to_string(used) + " bytes of shared memory with " + name);
    const size_t guard = 1024, rounded = (bytes + 255) / 256 * 256;
    if (m.sharedUsed + guard * 2 + 256 + rounded > m.sharedBytes.size() - 256)
        fail(std::string("shared memory is used up by ") + name);
    if (m.sharedRegions.size() <= m.statics.size())
        m.sharedRegions.emplace_back(new Region);
    Region* region = m.sharedRegions[m.statics.size()].get();
    const uintptr_t base = (reinterpret_cast<uintptr_t>(m.sharedBytes.data()) + 255) / 256 * 256;
    region->reset(name, base + m.sharedUsed + guard + alignment, bytes, 1, true);   // no better aligned than declared
    m.sharedUsed += guard + 256 + rounded;
    m.statics.emplace_back(tag, region);
    running.sharedRegions.push_back(region);
    running.sharedBegin = base;
    running.sharedBytes = m.sharedBytes.size() - 256;
    return reinterpret_cast<void*>(region->begin);
}

void* dynamicShared()
{
    Machine& m = machine();
    if (m.statics.empty() || m.statics[0].first != nullptr)
        fail("launched without dynamic shared memory");
    return reinterpret_cast<void*>(m.statics[0].second->begin);
}

void syncThreads(const char* site)
{
    Machine& m = machine();
    Thread& self = m.threads[m.current];
    if (m.ended)
        failHere(where() + "barrier " + site + " after " + std::to_string(m.ended) +
                 " threads of the block have ended");
    for (unsigned i = 0; m.waiting && i < m.count; ++i)
        if (m.threads[i].state == State::AtBarrier)
        {
            if (std::strcmp(m.threads[i].site, site) != 0)
                failHere(where() + "barrier " + site + " while thread " + std::to_string(i) + " waits at " +
                         m.threads[i].site);
            break;
        }
    self.site = site;
    if (++m.waiting < m.count)
    {
        self.state = State::AtBarrier;
        toScheduler();
        return;
    }
    m.waiting = 0;
    for (unsigned i = 0; i < m.count; ++i)
        m.threads[i].state = State::Ready;
    if (++running.barriers >= 1u << 15)
        failHere(where() + "more barriers than the emulation counts");
    std::fill(running.warpBarriersOf, running.warpBarriersOf + 32, 0u);
    running.warpBarriers = 0;
}

void warpOperation(const char* site, unsigned mask, const void* in, void* out, void (*compute)(const WarpOperation&))
{
    Machine& m = machine();
    const unsigned first = m.current / 32 * 32, lane = m.current % 32;
    if (!(mask >> lane & 1))
        failHere(where() + site + ": the mask leaves out the calling lane");
    Thread& self = m.threads[m.current];
    self.site = site;
    self.mask = mask;
    self.in = in;
    self.out = out;
    self.state = State::AtWarp;
    for (unsigned i = 0; i < 32; ++i)
    {
        if (!(mask >> i & 1))
            continue;
        if (first + i >= m.count || m.threads[first + i].state == State::Ended)
            failHere(where() + site + ": lane " + std::to_string(i) + " of the mask has ended or does not exist");
        const Thread& other = m.threads[first + i];
        if (other.state == State::AtBarrier)
            failHere(where() + site + ": lane " + std::to_string(i) + " of the mask waits at the barrier " +
                     other.site);
        if (other.state != State::AtWarp)
        {
            toScheduler();   // the last lane to arrive does the work
            return;
        }
        if (std::strcmp(other.site, site) != 0 || other.mask != mask)
            failHere(where() + site + ": lane " + std::to_string(i) + " of the mask is at " + other.site
                     + " or names another mask");
    }
    WarpOperation operation = {};
    operation.mask = mask;
    for (unsigned i = 0; i < 32; ++i)
        if (mask >> i & 1)
        {
            Thread& t = m.threads[first + i];
            operation.in[i] = t.in;
            operation.out[i] = t.out;
            t.state = State::Ready;
        }
    running.exchanging = true;
    compute(operation);
    running.exchanging = false;
}

void syncWarp(const char* site, unsigned mask)
{
    if (mask != everyLane)
        fail(std::string(site) + ": a barrier of part of a warp");
    warpOperation(site, mask, nullptr, nullptr, [](const WarpOperation&) {
        const unsigned warp = machine().current / 32;
        if (++running.warpBarriersOf[warp] >= 1u << 11)
            failHere(where() + "more warp barriers than the emulation counts");
        running.warpBarriers = running.warpBarriersOf[warp];
    });
}

}  // namespace simt
