// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_HPP
#define LTRP_SIMT_HPP

// Emulates a GPU's execution model on the CPU, for tests: kernels run unchanged, one fiber per thread, and errors that
// are silent on a device throw an exception here. See README.md in this folder.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

struct dim3
{
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace simt
{

/// An error of a kernel: which kernel, block and thread, and where in which buffer.
class Failure : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// The order in which threads run between barriers. Results must not depend on it.
struct Schedule
{
    bool shuffled = false;
    uint64_t seed = 0;
};
void setSchedule(const Schedule& schedule);

/// Number of accesses checked since the program began: lets tests verify that checking is active.
uint64_t accessesSeen();

/// Runs `kernel` for every thread of every block. `arguments` .. + `argumentBytes`: host memory that it may read.
/// @throws Failure
void run(const char* name, dim3 grid, dim3 block, size_t dynamicShared, void (*kernel)(const void*),
         const void* arguments, size_t argumentBytes);

/// If set: launches are not run but appended here, each with a copy of its current arguments, as in a CUDA graph.
typedef std::vector<std::function<void()>> Launches;
void setRecorder(Launches* to);

template <class... P>
struct Call
{
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    static void invoke(const void* self)
    {
        const Call* call = static_cast<const Call*>(self);
        std::apply(call->kernel, call->arguments);
    }
};

// ---- called by device code

const dim3& threadIndex();
const dim3& blockIndex();
const dim3& blockSize();
const dim3& gridSize();

/// Barrier for all threads of the block, at one place in the code. Ended threads and other places are failures.
void syncThreads(const char* site);
/// All lanes of `mask`; only the full mask orders memory.
void syncWarp(const char* site, unsigned mask);

/// A static __shared__ array: the same for all threads of a block, surrounded by guards; `tag` identifies it.
void* staticShared(const void* tag, const char* name, size_t bytes, size_t alignment);
void* dynamicShared();

/// One operation of a whole warp: every lane of `mask` passes `in` and receives `out`; the last to arrive calls
/// `compute`.
struct WarpOperation
{
    const void* in[32];
    void* out[32];
    unsigned mask;
};
void warpOperation(const char* site, unsigned mask, const void* in, void* out, void (*compute)(const WarpOperation&));

/// Reports a read or write of these bytes, for accesses that the compiler does not instrument.
void touch(const void* address, size_t bytes, bool write, bool atomic = false);
void requireAligned(const void* address, size_t alignment);
void requireShared(const void* address);
[[noreturn]] void fail(const std::string& message);

}  // namespace simt

#endif
