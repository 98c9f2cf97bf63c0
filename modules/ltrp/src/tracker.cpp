// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/tracker.hpp"

#include "image/preprocess.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace cv { namespace ltrp {

namespace {

/// Relative frequency of each colour; the sum is 1.
Mat colourHistogram(InputArray frame)
{
    Mat rgb, small, histogram;
    image::toRgb8(frame, rgb);
    resize(rgb, small, Size(160, 120), 0, 0, INTER_AREA);
    const int channels[] = {0, 1, 2}, bins[] = {6, 6, 6};
    const float range[] = {0, 256};
    const float* ranges[] = {range, range, range};
    calcHist(&small, 1, channels, Mat(), histogram, 3, bins, ranges);
    return histogram.reshape(1, 1) / static_cast<double>(small.total());
}

/// Standardises to mean 0 and standard deviation 1; equal scores become 0.
Mat standardised(const Mat& scores)
{
    Scalar mean, deviation;
    meanStdDev(scores, mean, deviation);
    Mat result;
    const double scale = 1 / std::max(deviation[0], 1e-12);
    scores.convertTo(result, CV_32F, scale, -mean[0] * scale);
    return result;
}

class RankingTrackerImpl CV_FINAL : public RankingTracker
{
public:
    RankingTrackerImpl(const SelectParams& select, double memory, double margin, double cut)
        : select_(select), memory_(memory), margin_(margin), cut_(cut)
    {
    }

    bool update(InputArray frame, const PatchRanking& ranking) CV_OVERRIDE
    {
        const Mat& scores = ranking.scores;
        LTRP_REQUIRE(!scores.empty() && scores.dims == 2 && scores.type() == CV_32FC1, Error::StsBadArg,
                     "tracker: scores are of type " << typeToString(scores.type())
                     << (scores.empty() ? " and empty" : "") << ", expected a matrix of 32FC1");
        LTRP_REQUIRE(checkRange(scores), Error::StsBadArg, "tracker: the scores hold NaN or infinite values");
        const Mat histogram = colourHistogram(frame);
        LTRP_REQUIRE(frame.size() == ranking.imageSize, Error::StsUnmatchedSizes,
                     "tracker: the frame is " << frame.size().width << " x " << frame.size().height
                     << ", the ranked one was " << ranking.imageSize.width << " x " << ranking.imageSize.height);

        const bool begins = smoothed_.scores.empty() || smoothed_.imageSize != ranking.imageSize ||
                            smoothed_.grid() != ranking.grid() ||
                            (cut_ < 1 && norm(histogram, histogram_, NORM_L1) / 2 > cut_);
        PatchRanking smoothed;
        smoothed.imageSize = ranking.imageSize;
        smoothed.scores = standardised(scores);
        if (!begins)
            addWeighted(smoothed_.scores, memory_, smoothed.scores, 1 - memory_, 0, smoothed.scores);
        PatchRanking favoured = smoothed;
        favoured.scores = smoothed.scores.clone();
        if (!begins)
            for (int patch : kept_)
                favoured.scores.ptr<float>()[patch] += static_cast<float>(margin_);
        kept_ = selectPatches(favoured, select_, frame);
        smoothed_ = smoothed;
        histogram_ = histogram;
        return begins;
    }

    PatchRanking getRanking() const CV_OVERRIDE
    {
        PatchRanking ranking = smoothed_;
        ranking.scores = smoothed_.scores.clone();
        return ranking;
    }

    std::vector<int> getKept() const CV_OVERRIDE { return kept_; }

    void reset() CV_OVERRIDE
    {
        smoothed_ = PatchRanking();
        histogram_.release();
        kept_.clear();
    }

private:
    const SelectParams select_;
    const double memory_, margin_, cut_;
    PatchRanking smoothed_;
    Mat histogram_;
    std::vector<int> kept_;
};

}  // namespace

Ptr<RankingTracker> RankingTracker::create(const SelectParams& select, double memory, double margin, double cut)
{
    LTRP_REQUIRE(memory >= 0 && memory < 1, Error::StsOutOfRange,
                 "tracker: memory is " << memory << ", expected at least 0 and below 1");
    LTRP_REQUIRE(margin >= 0 && margin <= 1e6, Error::StsOutOfRange,
                 "tracker: margin is " << margin << ", expected 0 to 1e6");
    LTRP_REQUIRE(cut >= 0 && cut <= 1, Error::StsOutOfRange, "tracker: cut is " << cut << ", expected 0 to 1");
    keepCount(1, select.keepRatio);   // checks the ratio before the first frame
    return makePtr<RankingTrackerImpl>(select, memory, margin, cut);
}

}}  // namespace
