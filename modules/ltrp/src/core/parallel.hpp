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

/// Must be called before other threads are woken. @throws cv::Exception in a process forked from one whose threads have
/// been started: it would wait for them forever
void requireOwnThreads();

/// Runs body(begin, end) over [0, count) in contiguous parts of at least `grain`, on the thread pool that the matrix
/// products use (OpenMP with oneDNN, otherwise cv::parallel_for_): two pools would compete for the cores.
void parallelRanges(size_t count, size_t grain, const std::function<void(size_t begin, size_t end)>& body);

/// Sums [width] of the contributions of body(begin, end, sums) for rows begin .. end - 1. The number of parts does not
/// depend on the threads, so neither do the sums.
std::vector<float> sumInParts(size_t rows, size_t width, const std::function<void(size_t, size_t, float*)>& body);

/// Runs body(phase, part, parts) for every phase from 0 on and every part. A phase begins when all parts of the
/// previous one are done. The number of parts is constant: at most `parts` and at most computeThreads(). With OpenMP
/// the threads are woken once for all phases.
void parallelPhases(int phases, int parts, const std::function<void(int phase, int part, int parts)>& body);

}}  // namespace

#endif
