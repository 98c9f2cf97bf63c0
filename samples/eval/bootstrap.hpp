// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_EVAL_BOOTSTRAP_HPP
#define LTRP_EVAL_BOOTSTRAP_HPP

#include "../../modules/ltrp/src/precomp.hpp"

namespace cv { namespace ltrp { namespace eval {

/// Bootstrap replicates of column means: each replicate draws as many rows as there are, with replacement. All columns
/// of a replicate use the same draw, so that differences of columns can be computed per replicate.
/// values: CV_64FC1, one row per image. stream: name of the draws; the same stream and number of rows give the same
/// draws.
/// @return CV_64FC1 with `replicates` rows and the columns of `values`
Mat bootstrapMeans(const Mat& values, int replicates, uint32_t stream);

struct Interval
{
    double low, high;
};

/// Interval of the middle `level` (0.95) of the values, with linearly interpolated quantiles. values: not empty.
Interval percentileInterval(std::vector<double> values, double level);

}}}  // namespace

#endif
