// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_CORE_PARALLEL_HPP
#define OPENCV_LTRP_CORE_PARALLEL_HPP

#include "../precomp.hpp"

#include <functional>

namespace cv { namespace ltrp {

/// Number of threads of the next operation: cv::getNumThreads(), for all libraries.
int computeThreads();

/// To be called before other threads are woken. @throws cv::Exception in a process that was forked from one whose threads have
/// been at work: it would wait for them for ever
void requireOwnThreads();

/// Runs body(begin, end) over [0, count) in contiguous parts of at least `grain`, on the one thread pool that the
/// matrix products use too (OpenMP beside oneDNN, cv::parallel_for_ otherwise): two pools would fight for the cores.
void parallelRanges(size_t count, size_t grain, const std::function<void(size_t begin, size_t end)>& body);

/// Sums [width] of what body(begin, end, sums) adds for rows begin .. end - 1. The rows are divided into parts whose number
/// does not depend on the threads, so that the sums do not either.
std::vector<float> sumInParts(size_t rows, size_t width, const std::function<void(size_t, size_t, float*)>& body);

/// Runs body(phase, part, parts) for every phase from 0 on and every part, all parts of a phase before any of the next,
/// with the same number of parts throughout: at most `parts`, and at most computeThreads(). Beside OpenMP the threads are woken
/// once for all phases.
void parallelPhases(int phases, int parts, const std::function<void(int phase, int part, int parts)>& body);

}}  // namespace

#endif
