// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_LOSSES_HPP
#define OPENCV_LTRP_TRAIN_LOSSES_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace train {

enum class RankLoss   // in the order of words::losses
{
    ListMleK,      ///< ListMLE on k randomly drawn columns of each row ("list_mleEx" in the golden cases): the default
    ListMle,       ///< ListMLE on all columns
    RankNet,
    ListNet,
    PointWise,     ///< mean squared difference
    FocusedRank    ///< ListMLE on the 10 best + RankNet between those and the rest
};
/// Parses a name in words::losses.
RankLoss parseRankLoss(const std::string& name);

/// Parameters of the losses other than ListMLE; the defaults are the published ones.
struct RankLossParams
{
    double threshold = 1e-3;   ///< RankNet: targets that differ by less are equal (in 32-bit arithmetic)
    double sigma = 1.0;        ///< RankNet: steepness of the logistic function
    int focused = 10;          ///< FocusedRank: length of the list; its RankNet part uses the defaults
};

/// Value of a ranking loss and its gradient with respect to yPred. yPred, yTrue, grad: [batch, n]; grad may be null.
/// columns: for ListMleK (and ListMle on drawn columns) [batch, k] column numbers in the drawn order, repeats allowed;
/// null: all columns in order. Sorting is stable; log-sum-exp and logit forms do not overflow.
/// @throws Error::StsBadArg for NaN targets. NaN predictions give a NaN value.
double rankLoss(RankLoss loss, const float* yPred, const float* yTrue, int batch, int n, const int* columns, int k,
                float* grad, const RankLossParams& params = RankLossParams());

}}}  // namespace

#endif
