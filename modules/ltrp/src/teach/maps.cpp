// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "maps.hpp"

#include <opencv2/imgproc.hpp>

namespace cv { namespace ltrp { namespace teach {

Mat toRanks(const Mat& scores)
{
    CV_Assert(scores.type() == CV_32FC1 && scores.isContinuous());
    const int count = static_cast<int>(scores.total());
    Mat order, result(scores.size(), CV_32F);
    sortIdx(scores.reshape(1, 1), order, SORT_EVERY_ROW | SORT_ASCENDING);
    const float* values = scores.ptr<float>();
    const int* at = order.ptr<int>();
    for (int first = 0, last; first < count; first = last)
    {
        for (last = first + 1; last < count && values[at[last]] == values[at[first]];)
            ++last;
        for (int i = first; i < last; ++i)
            result.ptr<float>()[at[i]] = static_cast<float>(first + last - 1) / static_cast<float>(2 * max(1, count - 1));
    }
    return result;
}

Mat smoothed(const Mat& scores, double sigma)
{
    if (sigma <= 0)
        return scores.clone();
    Mat result;
    GaussianBlur(scores, result, Size(), sigma, sigma, BORDER_REFLECT);
    return result;
}

}}}  // namespace
