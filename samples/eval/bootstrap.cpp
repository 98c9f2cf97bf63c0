// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "bootstrap.hpp"

#include "../../modules/ltrp/src/core/random.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace eval {

namespace {

double quantile(const std::vector<double>& sorted, double share)
{
    const double place = share * static_cast<double>(sorted.size() - 1);
    const size_t below = static_cast<size_t>(std::floor(place)), above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Mat bootstrapMeans(const Mat& values, int replicates, uint32_t stream)
{
    LTRP_REQUIRE(values.type() == CV_64FC1 && values.rows > 0 && values.cols > 0, Error::StsBadArg,
                 "bootstrap over " << values.rows << " rows of type " << typeToString(values.type())
                                   << ", expected at least one of 64FC1");
    LTRP_REQUIRE(replicates > 0, Error::StsOutOfRange, "bootstrap with " << replicates << " replicates");
    Mat means(replicates, values.cols, CV_64F);
    parallel_for_(Range(0, replicates),
                  [&](const Range& range)
                  {
                      std::vector<double> drawn(static_cast<size_t>(values.rows));
                      for (int replicate = range.start; replicate < range.end; ++replicate)
                      {
                          RandomStream random(0, RandomPurpose::Bootstrap, static_cast<uint32_t>(replicate), stream);
                          std::fill(drawn.begin(), drawn.end(), 0.);
                          for (int i = 0; i < values.rows; ++i)
                              drawn[static_cast<size_t>(random.below(values.rows))] += 1;
                          double* mean = means.ptr<double>(replicate);
                          std::fill(mean, mean + values.cols, 0.);
                          for (int i = 0; i < values.rows; ++i)
                          {
                              const double weight = drawn[static_cast<size_t>(i)] / values.rows;
                              const double* row = values.ptr<double>(i);
                              for (int column = 0; weight > 0 && column < values.cols; ++column)
                                  mean[column] += weight * row[column];
                          }
                      }
                  });
    return means;
}

Interval percentileInterval(std::vector<double> values, double level)
{
    LTRP_REQUIRE(!values.empty(), Error::StsBadArg, "interval of no values");
    LTRP_REQUIRE(level > 0 && level < 1, Error::StsOutOfRange, "interval of level " << level << ", expected in (0, 1)");
    std::sort(values.begin(), values.end());
    return {quantile(values, (1 - level) / 2), quantile(values, (1 + level) / 2)};
}

}}}  // namespace
