// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_VIT_POSITIONS_HPP
#define OPENCV_LTRP_VIT_POSITIONS_HPP

#include "../core/config.hpp"

namespace cv { namespace ltrp { namespace vit {

/// Fixed 2-D sine-cosine position table, preceded by a zero row for the class token: [1 + grid * grid, dim]. The first
/// half of a row encodes the column, the second the row (checked by golden mae_tiny/sincos).
void sinCosPositions(int grid, int dim, float* table);

/// The same for another grid over the same image: [1 + rows * columns, dim]. Positions are the centres of its patches,
/// in units of patches of the square `grid`.
void sinCosPositions(int grid, int columns, int rows, int dim, float* table);

/// The position table [1 + numPatches(), dim] for input.size(), from the stored one [1 + trainedPatches(), dim]. A
/// sine-cosine table is recomputed; any other is interpolated bicubically, without antialiasing. The class token's row
/// is kept.
std::vector<float> resizedPositions(const InputConfig& input, int dim, const float* stored);

}}}  // namespace

#endif
