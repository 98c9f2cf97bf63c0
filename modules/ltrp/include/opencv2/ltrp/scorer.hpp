// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SCORER_HPP
#define OPENCV_LTRP_SCORER_HPP

#include "opencv2/ltrp/types.hpp"
#include <functional>

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Parameters of cv::ltrp::Scorer. */
struct CV_EXPORTS_W_SIMPLE ScoreParams
{
    CV_WRAP ScoreParams()
        : maskRatio(0.9), removal(REMOVAL_DECODER), metric(METRIC_L1), space(SPACE_DECODER), average(AVERAGE_SCORE),
          masks(32), seed(0), sampleShare(1), teacher("leave-one-out"), smooth(0), context(CONTEXT_UNIFORM) {}

    CV_PROP_RW double maskRatio;   //!< share masked, in (0, 1); int(patches * (1 - maskRatio)) are visible, 2 or more
    CV_PROP_RW int removal;        //!< cv::ltrp::Removal
    CV_PROP_RW int metric;         //!< cv::ltrp::ScoreMetric
    CV_PROP_RW int space;          //!< cv::ltrp::ScoreSpace
    CV_PROP_RW int average;        //!< cv::ltrp::ScoreAverage, for scoreMap()
    CV_PROP_RW int masks;          //!< random masks averaged by scoreMap(), >= 1
    CV_PROP_RW size_t seed;        //!< masks are a function of (seed, mask number)
    /** In (0, 1]; 1: exact. Below 1, scores are estimates: for each removed patch only this share of the masked patches
    is reconstructed (preferably those that attend more to it, with lower weights); the anchor is exact. For
    REMOVAL_DECODER with METRIC_L1 or METRIC_L2, on the CPU. */
    CV_PROP_RW double sampleShare;

    /** Measure of scoreMap(): a cue, or a weighted sum of several, each as ranks from 0 to 1:
    "features*1+barrier*0.7+spectral*0.5+centre*0.1". An omitted weight is 1.

    | cue | a patch scores high when | cost |
    | --- | --- | --- |
    | `leave-one-out` | the reconstruction changes without it @cite Luo2024LTRP | per mask: the encoder once, 1 + visible patches decoder passes |
    | `own-error` | the autoencoder predicts it badly from the visible patches | per mask: encoder and decoder once |
    | `features` | its attention key differs from those of the image's border; see addFeaturePhoto() | most of the encoder once, on all patches |
    | `gradient` | its mean squared Sobel gradient is large | little |
    | `barrier` | every path from it to the image's border crosses a large difference in colour @cite Zhang2015MBD | little |
    | `spectral`, `fine-grained` | OpenCV's saliency of that name (opencv_contrib) is high | little |
    | `centre` | it is near the image's centre | none |

    Only `leave-one-out` is the paper's. */
    CV_PROP_RW String teacher;
    /// Standard deviation of the map's Gaussian filter in patches, 0 to 100; 0: none. In a sum, `barrier` is not
    /// filtered
    CV_PROP_RW double smooth;
    CV_PROP_RW int context;        //!< cv::ltrp::ScoreContext, for leave-one-out and own-error
    /// Encoder blocks whose keys `features` compares, counted from 0; empty: those at 40, 60 and 70 % of the depth
    CV_PROP_RW std::vector<int> featureBlocks;
};

/** @brief Pseudo-scores of the visible patches under one random mask. */
struct CV_EXPORTS_W_SIMPLE VisibleScores
{
    CV_WRAP VisibleScores() {}

    CV_PROP_RW std::vector<int> patches;   //!< visible patch numbers, raster order, ascending
    CV_PROP_RW std::vector<float> scores;  //!< one score per visible patch, same order
};

/** @brief Scores patches with a masked autoencoder, without labels and without a trained ranker.

Threads: as for cv::ltrp::Ranker.
*/
class CV_EXPORTS_W Scorer
{
public:
    virtual ~Scorer() {}

    /** @brief Called for every mask of scoreMap() with (masks done, total); returning false cancels.

    Several masks are computed together, so calls come in groups, in the order of the masks, on the thread that called
    scoreMap(). `total` is at least ScoreParams::masks. An exception also cancels and is passed to the
    caller.
    */
    typedef std::function<bool(int done, int total)> Progress;

    /** @brief Loads a masked autoencoder (encoder and decoder).
    @param model own safetensors, facebook MAE .pth (with decoder) or Hugging Face ViTMAE safetensors with its
    config.json in the same folder
    @param normPixLoss whether the autoencoder predicts pixels normalised per patch: 1, 0, or -1: as stated in the file.
    Published .pth files do not state it; it is then derived from their weights, with a note in OpenCV's log and in
    info()
    */
    CV_WRAP static Ptr<Scorer> create(CV_WRAP_FILE_PATH const String& model, int normPixLoss = -1);
    /** @brief Loads the shipped autoencoder. @throws cv::Exception as cv::ltrp::shippedModel */
    CV_WRAP static Ptr<Scorer> create();

    /** @brief Scores the visible patches of one random mask.
    @param image as for cv::ltrp::Ranker::rank, also a cv::cuda::GpuMat
    @param params seed selects the mask; masks and average are not used
    @throws cv::Exception with Error::StsOutOfRange naming the parameter, its range and the value; for images as
    cv::ltrp::Ranker::rank
    */
    CV_WRAP virtual VisibleScores score(InputArray image, const ScoreParams& params = ScoreParams()) const = 0;

    /** @brief Scores images in GPU memory under one mask, without a copy to the host; with DNN_BACKEND_CUDA only.

    score() and scoreMap() also take such an image; their results are on the host.
    @param images as for cv::ltrp::Ranker::rankOnDevice
    @param scores CV_32FC1, one row per image, one column per visible patch; a cv::cuda::GpuMat or a Mat, as for
    cv::ltrp::Ranker::rankOnDevice. METRIC_SSIM and METRIC_PSNR are computed on the host; the call then waits
    @param params as for score(): seed selects the mask, the same for all images
    @param stream as for cv::ltrp::Ranker::rankOnDevice
    @return visible patch numbers of the columns, raster order, ascending
    @throws cv::Exception as score() and cv::ltrp::Ranker::rankOnDevice
    */
    virtual std::vector<int> scoreOnDevice(InputArray images, OutputArray scores, const ScoreParams& params,
                                           cuda::Stream& stream) const = 0;
    /** @overload */
    virtual std::vector<int> scoreOnDevice(InputArray images, OutputArray scores,
                                           const ScoreParams& params = ScoreParams()) const = 0;

    /** @brief Computes a full score map with the measure ScoreParams::teacher.

    For leave-one-out the score of a patch is the mean over the random masks in which it was visible, for own-error over
    those in which it was masked. Masks are added beyond params.masks until every patch has a score.
    @param image as for cv::ltrp::Ranker::rank, also a cv::cuda::GpuMat
    @param params parameters
    @param progress if it returns false, the call throws cv::Exception with Error::StsNoConv ("cancelled")
    */
    virtual PatchRanking scoreMap(InputArray image, const ScoreParams& params, const Progress& progress) const = 0;
    /** @overload */
    CV_WRAP virtual PatchRanking scoreMap(InputArray image, const ScoreParams& params = ScoreParams()) const = 0;

    /** @brief Adds a photo to those whose mean attention keys the cue `features` subtracts.

    The cue needs at least 16 photos similar to those to be scored; 64 are enough. Must not run at the same time as
    scoreMap().
    @param photo as for cv::ltrp::Ranker::rank, in host memory
    */
    CV_WRAP virtual void addFeaturePhoto(InputArray photo) = 0;

    /** @brief As for cv::ltrp::Ranker. */
    CV_WRAP virtual void setPreferableBackend(int backendId) = 0;
    /** @brief Precision of the passes, see cv::ltrp::Ranker::setPreferableTarget. */
    CV_WRAP virtual void setPreferableTarget(int targetId) = 0;

    CV_WRAP virtual Size getInputSize() const = 0;     //!< network input in pixels, from the model file
    CV_WRAP virtual Size getGrid() const = 0;          //!< patch columns (width) and rows (height)
    CV_WRAP virtual String info() const = 0;           //!< as for cv::ltrp::Ranker
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
