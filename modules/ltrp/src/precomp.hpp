// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_PRECOMP_HPP
#define OPENCV_LTRP_PRECOMP_HPP

#include <opencv2/core.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

/// Throws cv::Exception with a message built by stream insertion: LTRP_ERROR(Error::StsBadArg, "weights.pth: tensor '"
/// << name << "' has " << n << " values, expected " << m).
#define LTRP_ERROR(code, message)                 \
    do                                            \
    {                                             \
        std::ostringstream ltrp_message_;         \
        ltrp_message_ << message;                 \
        CV_Error(code, ltrp_message_.str());      \
    } while (false)

#define LTRP_REQUIRE(condition, code, message)    \
    do                                            \
    {                                             \
        if (!(condition))                         \
            LTRP_ERROR(code, message);            \
    } while (false)

#endif
