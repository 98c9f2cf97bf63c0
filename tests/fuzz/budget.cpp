// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "budget.hpp"
#include "sanitizer.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include <sys/time.h>
#include <unistd.h>

namespace
{

std::atomic<long long> allocated{0}, most{0};
std::atomic<bool> measuring{false};
double begun = 0, longest = 0;

/// Must not allocate: it is called within malloc() and from a signal handler.
template <size_t N> [[noreturn]] void fail(const char (&text)[N])
{
    measuring = false;
    const ssize_t ignored = ::write(STDERR_FILENO, text, N - 1);
    (void)ignored;
    std::abort();
}

void onTime(int) { fail("the input takes more processor time than its budget\n"); }

#ifdef LTRP_FUZZ_ASAN
void onMalloc(const volatile void*, size_t bytes)
{
    const long long now = allocated += static_cast<long long>(bytes);
    if (!measuring)
        return;
    for (long long before = most; before < now && !most.compare_exchange_weak(before, now);) {}
    if (now > static_cast<long long>(budgetBytes))
        fail("the input takes more memory than its budget\n");
}

void onFree(const volatile void* block)
{
    if (block)
        allocated -= static_cast<long long>(__sanitizer_get_allocated_size(block));
}
#endif

double processorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void setTimer(double seconds)
{
    itimerval timer = {};
    timer.it_value.tv_sec = static_cast<time_t>(seconds);
    setitimer(ITIMER_PROF, &timer, nullptr);
}

}  // namespace

Budget::Budget()
{
    static const bool ready = []
    {
        std::signal(SIGPROF, onTime);
#ifdef LTRP_FUZZ_ASAN
        __sanitizer_install_malloc_and_free_hooks(onMalloc, onFree);
#endif
        return true;
    }();
    (void)ready;
    setTimer(budgetSeconds);
    begun = processorSeconds();
    allocated = 0;
    measuring = true;
}

Budget::~Budget()
{
    measuring = false;
    setTimer(0);
    longest = std::max(longest, processorSeconds() - begun);
}

size_t Budget::mostBytes() { return static_cast<size_t>(most.load()); }
double Budget::mostSeconds() { return longest; }
