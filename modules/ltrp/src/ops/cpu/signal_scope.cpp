// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "signal_scope.hpp"

#ifdef HAVE_LTRP_DNNL

#include <oneapi/dnnl/dnnl.hpp>
#include <omp.h>
#include <tuple>

namespace cv { namespace ltrp { namespace ops {

namespace {

bool needed()
{
    static const bool value = []() {
        const dnnl_version_t* v = dnnl_version();
        return std::make_tuple(v->major, v->minor, v->patch) < std::make_tuple(3, 11, 2);
    }();
    return value;
}

/// All asynchronous signals. Signals for the thread's own faults must still end the program.
const sigset_t& outside()
{
    static const sigset_t value = []() {
        sigset_t set;
        sigfillset(&set);
        for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT})
            sigdelset(&set, fault);
        return set;
    }();
    return value;
}

}  // namespace

SignalScope::SignalScope(int threads)
{
    if (!needed())
        return;
    pthread_sigmask(SIG_BLOCK, &outside(), &before_);
    if (threads == 1)
        return;
    // The pool's threads run OpenMP work only, so they can keep signals blocked. Which of them runs the next product is
    // not known, so it is set on each.
    #pragma omp parallel num_threads(threads)
    {
        thread_local bool blocked = false;
        if (omp_get_thread_num() != 0 && !blocked)
            blocked = pthread_sigmask(SIG_BLOCK, &outside(), nullptr) == 0;
    }
}

SignalScope::~SignalScope()
{
    if (needed())
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}}}  // namespace

#endif
