// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include <unistd.h>

#ifdef HAVE_LTRP_DNNL
#include <omp.h>
#else
#include <opencv2/core/utility.hpp>
#endif

namespace cv { namespace ltrp {

namespace {

/// Process ID in which threads have been started; 0: none yet.
std::atomic<long> worker{0};

}  // namespace

int computeThreads()
{
#ifdef HAVE_LTRP_DNNL
    if (omp_in_parallel())
        return 1;   // the other threads are already busy
#endif
    return std::max(1, cv::getNumThreads());
}

/// A forked child has the memory of its parent's threads but not the threads themselves: it would wait for them
/// forever.
void requireOwnThreads()
{
    if (computeThreads() == 1)
        return;
    const long here = static_cast<long>(::getpid());
    long before = 0;
    if (worker.load() == here || worker.compare_exchange_strong(before, here))
        return;
    LTRP_ERROR(Error::StsError, "this process was forked from one whose threads have computed already, and has none of them; "
               "expected a fresh process (in Python: multiprocessing's start method \"spawn\"), or setNumThreads(1) before "
               "anything is computed here");
}

void parallelRanges(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body)
{
    if (count == 0)
        return;
    const size_t parts = std::min<size_t>(static_cast<size_t>(computeThreads()), (count + grain - 1) / grain);
    if (parts <= 1)
    {
        body(0, count);
        return;
    }
    requireOwnThreads();
#ifdef HAVE_LTRP_DNNL
    std::exception_ptr failure;   // an exception must not leave an OpenMP region
    std::mutex guard;             // OpenMP's "critical" would add a global symbol to a static library
    #pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(parts))
    for (int part = 0; part < static_cast<int>(parts); ++part)
    {
        try
        {
            body(count * static_cast<size_t>(part) / parts, count * (static_cast<size_t>(part) + 1) / parts);
        }
        catch (...)
        {
            const std::lock_guard<std::mutex> lock(guard);
            failure = std::current_exception();
        }
    }
    if (failure)
        std::rethrow_exception(failure);
#else
    cv::parallel_for_(Range(0, static_cast<int>(parts)), [&](const Range& range) {
        for (int part = range.start; part < range.end; ++part)
            body(count * static_cast<size_t>(part) / parts, count * (static_cast<size_t>(part) + 1) / parts);
    }, static_cast<double>(parts));
#endif
}

std::vector<float> sumInParts(size_t rows, size_t width, const std::function<void(size_t, size_t, float*)>& body)
{
    const size_t parts = std::min<size_t>(16, std::max<size_t>(1, rows / 64));
    std::vector<float> partial(parts * width, 0.f);
    parallelRanges(parts, 1, [&](size_t begin, size_t end) {
        for (size_t part = begin; part < end; ++part)
            body(rows * part / parts, rows * (part + 1) / parts, partial.data() + part * width);
    });
    for (size_t part = 1; part < parts; ++part)
        for (size_t i = 0; i < width; ++i)
            partial[i] += partial[part * width + i];
    partial.resize(width);
    return partial;
}

#ifdef HAVE_LTRP_DNNL

namespace {

/// A barrier that spins, because waits are usually short, and yields if they are not.
class Barrier
{
public:
    explicit Barrier(int parts) : parts_(parts) {}

    /// Returns false if another part has failed and will not arrive.
    bool wait()
    {
        const int round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parts_)
        {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return !failed_.load(std::memory_order_acquire);
        }
        for (int turns = 0; round_.load(std::memory_order_acquire) == round; ++turns)
        {
            if (failed_.load(std::memory_order_acquire))
                return false;
            if (turns < 20000)
                pause();
            else
                std::this_thread::yield();
        }
        return !failed_.load(std::memory_order_acquire);
    }

    void fail() { failed_.store(true, std::memory_order_release); }

private:
    static void pause()
    {
#if defined(__x86_64__) && defined(__GNUC__)
        __builtin_ia32_pause();
#endif
    }

    const int parts_;
    std::atomic<int> arrived_{0}, round_{0};
    std::atomic<bool> failed_{false};
};

}  // namespace

void parallelPhases(int phases, int parts, const std::function<void(int, int, int)>& body)
{
    parts = std::min(parts, computeThreads());
    if (parts <= 1)
    {
        for (int phase = 0; phase < phases; ++phase)
            body(phase, 0, 1);
        return;
    }
    requireOwnThreads();
    std::exception_ptr failure;
    std::mutex guard;
    std::unique_ptr<Barrier> barrier;
    #pragma omp parallel num_threads(parts)
    {
        #pragma omp single
        barrier.reset(new Barrier(omp_get_num_threads()));   // the actual number; "single" ends with a barrier
        const int part = omp_get_thread_num(), all = omp_get_num_threads();
        try
        {
            for (int phase = 0; phase < phases; ++phase)
            {
                if (phase > 0 && !barrier->wait())
                    break;
                body(phase, part, all);
            }
        }
        catch (...)
        {
            const std::lock_guard<std::mutex> lock(guard);
            failure = std::current_exception();
            barrier->fail();
        }
    }
    if (failure)
        std::rethrow_exception(failure);
}

#else

void parallelPhases(int phases, int parts, const std::function<void(int, int, int)>& body)
{
    parts = std::max(1, std::min(parts, computeThreads()));
    for (int phase = 0; phase < phases; ++phase)
        parallelRanges(static_cast<size_t>(parts), 1, [&](size_t begin, size_t end) {
            for (size_t part = begin; part < end; ++part)
                body(phase, static_cast<int>(part), parts);
        });
}

#endif

}}  // namespace
