// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TEST_RANKING_CASES_HPP
#define LTRP_TEST_RANKING_CASES_HPP

#include "precomp.hpp"
#include "core/random.hpp"

#include <opencv2/ltrp/types.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <string>
#include <vector>

/// Random scores in [0, 1), determined by a seed.
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

/// The softmax of the standardised scores, by its definition.
inline std::vector<double> softmax(const std::vector<double>& scores, double temperature)
{
    double mean = 0, squares = 0, sum = 0;
    for (double score : scores)
        mean += score;
    mean /= static_cast<double>(scores.size());
    for (double score : scores)
        squares += (score - mean) * (score - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(scores.size()));
    std::vector<double> shares;
    for (double score : scores)
        shares.push_back(std::exp(deviation == 0 ? 0.0 : (score - mean) / deviation / temperature));
    for (double share : shares)
        sum += share;
    for (double& share : shares)
        share /= sum;
    return shares;
}

/// Checks that the call throws cv::Exception with these words.
template <typename Call> void refused(const std::string& words, Call call)
{
    BOOST_CHECK_EXCEPTION(call(), cv::Exception, [&](const cv::Exception& error)
                          {
                              BOOST_TEST_MESSAGE(error.err);
                              return error.err.find(words) != std::string::npos;
                          });
}

#endif
