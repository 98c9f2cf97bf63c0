// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_TOKEN_SELECTORS_HPP
#define OPENCV_LTRP_SELECT_TOKEN_SELECTORS_HPP

#include "selector.hpp"

namespace cv { namespace ltrp { namespace select {

/// Selectors by what a network computes within: attention, gradients or tokens of the last block.
struct TokenMethod
{
    enum Kind { Attention, Rollout, GradCam, Kmeans };

    const char* name;
    const char* model;   ///< "mae" (its encoder) or "classifier"
    Kind kind;
};
const std::vector<TokenMethod>& tokenMethods();

/// @throws as makeSelector()
std::shared_ptr<const Selector> makeTokenSelector(const TokenMethod& method, const SelectorModels& models);

}}}  // namespace

#endif
