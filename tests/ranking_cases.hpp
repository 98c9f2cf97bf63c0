// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TEST_RANKING_CASES_HPP
#define LTRP_TEST_RANKING_CASES_HPP

#include "precomp.hpp"
#include "core/random.hpp"

#include <opencv2/ltrp/types.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

/// Scores in [0, 1), drawn by a seed.
inline cv::ltrp::PatchRanking randomRanking(cv::Size image, cv::Size grid, uint64_t seed)
{
    cv::ltrp::PatchRanking result;
    result.imageSize = image;
    result.scores.create(grid, CV_32F);
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Baseline);
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
            result.scores.at<float>(y, x) = random.uniform();
    return result;
}

/// The call throws cv::Exception with these words.
template <typename Call> void refused(const std::string& words, Call call)
{
    BOOST_CHECK_EXCEPTION(call(), cv::Exception, [&](const cv::Exception& error)
                          {
                              BOOST_TEST_MESSAGE(error.err);
                              return error.err.find(words) != std::string::npos;
                          });
}

#endif
