// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_BRIGHT_BOX_HPP
#define LTRP_TESTS_BRIGHT_BOX_HPP

#include <opencv2/core.hpp>

/// cv::boundingRect() of the nonzero pixels; that function is in another module since OpenCV 5.
inline cv::Rect brightBox(const cv::Mat& mask)
{
    std::vector<cv::Point> points;
    cv::findNonZero(mask, points);
    cv::Rect box;
    for (const cv::Point& point : points)
        box |= cv::Rect(point, cv::Size(1, 1));
    return box;
}

#endif
