// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TOKENS_HPP
#define OPENCV_LTRP_TOKENS_HPP

#include "opencv2/ltrp/select.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief How a vision transformer numbers its patch tokens. */
enum TokenOrder
{
    TOKEN_ORDER_RASTER = 0,   //!< row by row over the image: ViT, CLIP, SigLIP, DINOv2
    TOKEN_ORDER_WINDOWS = 1   //!< merge window by merge window, row by row inside each: Qwen2-VL and its successors
};

/** @brief The tokens of a vision transformer to keep, see cv::ltrp::selectTokens. */
struct CV_EXPORTS_W_SIMPLE TokenSelection
{
    CV_WRAP TokenSelection() : merge(1) {}

    CV_PROP_RW Size grid;                   //!< columns and rows of patch tokens, before merging
    CV_PROP_RW int merge;                   //!< side of a merge window in tokens
    CV_PROP_RW std::vector<int> indices;    //!< kept tokens, numbered in the requested order, ascending
    CV_PROP_RW std::vector<int> rows;       //!< row of each of them in the grid
    CV_PROP_RW std::vector<int> columns;    //!< column of each of them
    CV_PROP_RW std::vector<int> merged;     //!< kept merge windows, row by row over grid / merge, ascending
};

/** @brief Resamples a score map to another grid over the same image.

Rows and columns are resampled separately. To fewer rows: each is the mean of the rows it covers, weighted by the
covered share. Same number: unchanged. To more: linear interpolation between row centres; the outermost rows are
extended to the border.
@param scores CV_32FC1, one row per grid row; finite
@param grid columns (width) and rows (height) of the result, each 1 to 4096
@param dst CV_32FC1 of `grid`
@throws cv::Exception for other scores or grids
*/
CV_EXPORTS_W void resampleScores(InputArray scores, Size grid, OutputArray dst);

/** @brief Returns the token grid of a vision transformer that takes images at their own resolution.

Each side is rounded to the nearest multiple of patchSize * merge pixels (halves to the even multiple), at least one, as
the image processor of Qwen2-VL does for images within its pixel limits; the image is then resized to it. If a model has
further limits, pass its own grid instead.
@param imageSize width and height of the image in pixels, at least 1
@param patchSize side of a patch in pixels, at least 1
@param merge side of a merge window in patches, at least 1
@return columns (width) and rows (height) of patches, multiples of `merge`
@throws cv::Exception naming the parameter and its range, and for a grid of more than 4096 columns or rows
*/
CV_EXPORTS_W Size tokenGrid(Size imageSize, int patchSize, int merge = 1);

/** @brief Selects the tokens of a vision transformer to keep.

The scores are resampled to the transformer's grid (resampleScores()). Windows of merge x merge tokens, which the
transformer merges into one, are kept or dropped whole; a window's score is the mean of its tokens'.
@param ranking scores of an image
@param grid columns (width) and rows (height) of patch tokens, multiples of `merge`, each 1 to 4096
@param params the budget: SELECT_TOPK or SELECT_SAMPLE with `count` tokens before merging (as many windows as
fit, so merge * merge or more) or a share of the windows; SELECT_MASS or SELECT_THRESHOLD. All use the windows' scores
@param merge side of a merge window in tokens; 1: no merging
@param order cv::ltrp::TokenOrder of the indices
@return the kept tokens; at least one window. Class and register tokens are not counted: add their number to the
indices if they precede the patch tokens
@throws cv::Exception naming the parameter and its range; for SELECT_CLUSTER
*/
CV_EXPORTS_W TokenSelection selectTokens(const PatchRanking& ranking, Size grid,
                                         const SelectParams& params = SelectParams(), int merge = 1,
                                         int order = TOKEN_ORDER_RASTER);

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
