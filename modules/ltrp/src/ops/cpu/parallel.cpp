// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "parallel.hpp"

#include <algorithm>
#include <exception>

#ifdef HAVE_LTRP_DNNL
#include <omp.h>
#else
#include <opencv2/core/utility.hpp>
#endif

namespace cv { namespace ltrp { namespace ops {

int threads()
{
#ifdef HAVE_LTRP_DNNL
    if (omp_in_parallel())
        return 1;   // the others are at work already
#endif
    return std::max(1, cv::getNumThreads());
}

void parallelRanges(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body)
{
    if (count == 0)
        return;
    const size_t parts = std::min<size_t>(static_cast<size_t>(threads()), (count + grain - 1) / grain);
    if (parts <= 1)
    {
        body(0, count);
        return;
    }
#ifdef HAVE_LTRP_DNNL
    std::exception_ptr failure;   // an exception must not leave an OpenMP region
    #pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(parts))
    for (int part = 0; part < static_cast<int>(parts); ++part)
    {
        try
        {
            body(count * static_cast<size_t>(part) / parts, count * (static_cast<size_t>(part) + 1) / parts);
        }
        catch (...)
        {
            #pragma omp critical(ltrp_parallel_failure)
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

}}}  // namespace
