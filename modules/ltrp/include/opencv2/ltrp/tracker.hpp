// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRACKER_HPP
#define OPENCV_LTRP_TRACKER_HPP

#include "opencv2/ltrp/select.hpp"

namespace cv
{
namespace ltrp
{

//! @addtogroup ltrp
//! @{

/** @brief Keeps the choice of patches steady over the frames of a video.

The scores of a frame are scaled to mean 0 and standard deviation 1, because they have no unit, and smoothed over time:
smoothed = memory * smoothed + (1 - memory) * scores. Patches are selected by the smoothed scores, plus a margin for
patches that are already kept. A new scene resets both. A scene begins with the first frame, with a frame of another
size or patch grid, and with one whose colour histogram differs from that of the previous frame.

@code{.cpp}
Ptr<RankingTracker> tracker = RankingTracker::create(SelectParams());
while (capture.read(frame))
{
    tracker->update(frame, ranker->rank(frame));
    drawKept(frame, tracker->getRanking().grid(), tracker->getKept(), view);
}
@endcode

One object follows one video and is used by one thread at a time. */
class CV_EXPORTS_W RankingTracker
{
public:
    virtual ~RankingTracker() {}

    /** @brief Creates a tracker without frames.
    @param select how patches are selected from the smoothed scores
    @param memory weight of the past in the smoothed scores, in [0, 1); 0: no smoothing
    @param margin added to the smoothed score of a kept patch for the selection, in standard deviations of a frame's
    scores, 0 to 1e6
    @param cut share of pixels, in [0, 1], whose colour must change for a new scene: half the L1 distance between the
    histograms (6 x 6 x 6 bins) of two successive frames; 1: only frames of another size begin a scene
    @throws cv::Exception with Error::StsOutOfRange naming the parameter, its range and the value */
    CV_WRAP static Ptr<RankingTracker> create(const SelectParams& select = SelectParams(), double memory = 0.7,
                                              double margin = 0.2, double cut = 0.5);

    /** @brief Takes the next frame.
    @param frame the ranked frame on the host, as for Ranker::rank
    @param ranking its scores, CV_32FC1, finite; imageSize is the size of the frame
    @return true if the frame begins a new scene
    @throws cv::Exception for a frame that Ranker::rank does not support, for scores that are empty, of another type,
    NaN or infinite, for an imageSize other than the frame's, and as selectPatches(). The tracker is then unchanged. */
    CV_WRAP virtual bool update(InputArray frame, const PatchRanking& ranking) = 0;

    /** @brief Returns the smoothed scores in standard deviations, without the margin, on the last frame's grid; a
    ranking without scores before the first frame. The scores are a copy. */
    CV_WRAP virtual PatchRanking getRanking() const = 0;
    /** @brief Returns the kept patch numbers, raster order, ascending; none before the first frame. */
    CV_WRAP virtual std::vector<int> getKept() const = 0;
    /** @brief Forgets all frames: the next one begins a new scene. */
    CV_WRAP virtual void reset() = 0;
};

//! @}

}  // namespace ltrp
}  // namespace cv

#endif
