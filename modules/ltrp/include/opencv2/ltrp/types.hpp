// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TYPES_HPP
#define OPENCV_LTRP_TYPES_HPP

#include <opencv2/core.hpp>

#ifndef CV_WRAP_FILE_PATH   // for the Python bindings of OpenCV 4.7 and later
#define CV_WRAP_FILE_PATH
#endif

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Device and precision of a network, for setPreferableTarget().

The precision is that of matrix products and attention. Sums, norms, softmax, differences and means are always 32-bit
floats. A target that the processor or the build does not have is an error; there is no fall-back. Values equal those of
cv::dnn::Target where it has the same target. */
enum ComputeTarget
{
    TARGET_CPU = 0,         //!< 32-bit floats; cv::dnn::DNN_TARGET_CPU
    TARGET_CPU_BF16 = 10,   //!< bfloat16 products, on processors with AVX512_BF16; cv::dnn::DNN_TARGET_CPU_FP16
    TARGET_CPU_INT8 = 1001, //!< 8-bit products (weights per output channel, activations per token), on processors with
                            //!< AVX512_VNNI
    TARGET_CUDA = 6,        //!< an NVIDIA GPU, 32-bit floats; cv::dnn::DNN_TARGET_CUDA
    TARGET_CUDA_FP16 = 7,   //!< the same with IEEE half precision products; cv::dnn::DNN_TARGET_CUDA_FP16
    TARGET_CUDA_BF16 = 1002,   //!< the same with bfloat16 products
    TARGET_CUDA_TF32 = 1003    //!< the same with TensorFloat-32 products; attention is computed in fp32
};

/** @brief Where a visible patch is removed. */
enum Removal
{
    REMOVAL_DECODER = 0,   //!< neither key nor query in the decoder's attention; the encoder runs once
    REMOVAL_ENCODER = 1    //!< masked in the encoder's attention; the encoder runs once per visible patch
};

/** @brief How two reconstructions are compared. Higher scores always mean a more important patch. */
enum ScoreMetric
{
    METRIC_L1 = 0,    //!< mean absolute difference over the masked patches
    METRIC_L2 = 1,    //!< mean squared difference over the masked patches
    METRIC_SSIM = 2,  //!< 1 - structural similarity of the full images (11x11 Gaussian), scaled to [0, 1] over a mask
    METRIC_PSNR = 3   //!< peak signal-to-noise ratio of the full images, inverted and scaled to [0, 1] over a mask
};

/** @brief In which space L1 and L2 differences are taken. */
enum ScoreSpace
{
    SPACE_DECODER = 0,   //!< the decoder's output, as in the paper (patch-normalised pixels for most autoencoders)
    SPACE_PIXEL = 1      //!< each masked patch's difference times its own standard deviation: real pixel contrast
};

/** @brief How the scores of several masks are averaged to a map. */
enum ScoreAverage
{
    AVERAGE_SCORE = 0,   //!< mean of the scores
    AVERAGE_RANK = 1     //!< mean of each score's rank within its mask, scaled to [0, 1]
};

/** @brief Which patches the masks of leave-one-out and own-error leave visible. */
enum ScoreContext
{
    CONTEXT_UNIFORM = 0,   //!< drawn uniformly from all patches, as in the paper
    CONTEXT_BORDER = 1     //!< three quarters drawn from the patches at the image's border, the others from the rest
};

/** @brief Checks whether a target is available.
@param target a cv::ltrp::ComputeTarget
@return an empty string if it is, otherwise what is missing: "this processor has no AVX512_BF16 instructions", "this
build of ltrp has no CUDA", "no NVIDIA driver is installed on this machine"
@throws cv::Exception with Error::StsNotImplemented for a number that is not a cv::ltrp::ComputeTarget */
CV_EXPORTS_W String missingForTarget(int target);

/** @brief Returns the rectangle of a patch on an image.

The image is divided into `grid.height` rows and `grid.width` columns. Borders are rounded to whole pixels; the
rectangles cover each pixel exactly once.
@param imageSize width and height of the image in pixels
@param grid columns (width) and rows (height) of the patch grid
@param index patch number in raster order, 0 to grid.area() - 1
@return rectangle in pixels; empty if the image has fewer pixels than the grid has columns or rows
@throws cv::Exception with Error::StsOutOfRange for an index outside the grid
*/
CV_EXPORTS_W Rect patchRect(Size imageSize, Size grid, int index);

/** @brief Scores of all patches of one image. */
struct CV_EXPORTS_W_SIMPLE PatchRanking
{
    CV_WRAP PatchRanking() {}

    CV_PROP_RW Size imageSize;   //!< size of the ranked image in pixels
    CV_PROP_RW Mat scores;       //!< CV_32FC1, one row per grid row; higher = more important; no fixed range

    /** @brief Returns the grid size: columns (width) and rows (height). */
    CV_WRAP Size grid() const { return scores.size(); }
    /** @brief Returns patch numbers by descending score; equal scores in raster order. */
    CV_WRAP std::vector<int> order() const;
    /** @brief Returns the patch's rectangle on the ranked image, see cv::ltrp::patchRect. */
    CV_WRAP Rect rect(int index) const { return patchRect(imageSize, grid(), index); }
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
