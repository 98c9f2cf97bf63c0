// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_SIGNAL_SCOPE_HPP
#define OPENCV_LTRP_OPS_CPU_SIGNAL_SCOPE_HPP

#include <csignal>

namespace cv { namespace ltrp { namespace ops {

/// Blocks signals on this thread and its OpenMP threads while a matrix product runs.
///
/// Before version 3.11.2 oneDNN's fp32 kernels for x86-64 point the stack register at heap memory (uxlfoundation/oneDNN
/// issue 4845). A signal handler that runs on such a thread overwrites heap memory below it. Signals that arrive
/// meanwhile are delivered after the product, or to another thread at once.
class SignalScope
{
public:
    /// @param threads  number of threads of the product; 1: only the calling thread
    explicit SignalScope(int threads);
    ~SignalScope();
    SignalScope(const SignalScope&) = delete;
    SignalScope& operator=(const SignalScope&) = delete;

private:
    sigset_t before_;
};

}}}  // namespace

#endif
