// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_HPP
#define OPENCV_LTRP_HPP

/** @defgroup ltrp Learning to rank patches: which parts of an image matter

A masked autoencoder reconstructs an image from a tenth of its patches. The change of the reconstruction when one
visible patch is removed is that patch's pseudo-score (cv::ltrp::Scorer); no labels are needed. A small vision
transformer learns to predict the order of all patches in one pass (cv::ltrp::Ranker). cv::ltrp::selectPatches keeps the
highest-ranked ones.

The method is @cite Luo2024LTRP ; the autoencoder is @cite He2022MAE .
*/

#include "opencv2/ltrp/types.hpp"
#include "opencv2/ltrp/models.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "opencv2/ltrp/select.hpp"
#include "opencv2/ltrp/tokens.hpp"
#include "opencv2/ltrp/prompts.hpp"
#include "opencv2/ltrp/draw.hpp"
#include "opencv2/ltrp/tracker.hpp"
#include "opencv2/ltrp/saliency.hpp"
#include "opencv2/ltrp/train.hpp"
#include "opencv2/ltrp/layers.hpp"

#endif
