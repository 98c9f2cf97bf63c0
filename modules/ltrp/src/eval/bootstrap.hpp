// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_EVAL_BOOTSTRAP_HPP
#define OPENCV_LTRP_EVAL_BOOTSTRAP_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Means of each column over as many rows as there are, drawn with replacement; all columns of a replicate come from
/// the same draw, so that differences of columns can be taken replicate by replicate.
/// values: CV_64FC1, one row an image. stream: names the draws; same stream and number of rows, same draws.
/// @return CV_64FC1 of `replicates` rows and the columns of `values`
Mat bootstrapMeans(const Mat& values, int replicates, uint32_t stream);

struct Interval
{
    double low, high;
};

/// The interval that holds the middle `level` (0.95) of the values, quantiles interpolated linearly. values: not empty.
Interval percentileInterval(std::vector<double> values, double level);

}}}  // namespace

#endif
