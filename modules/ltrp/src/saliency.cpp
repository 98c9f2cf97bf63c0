// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/saliency.hpp"

#include "image/preprocess.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace cv { namespace ltrp {

namespace {

/// Regularisation of the guided filter: edges below about 0.03 of the full range are treated as texture.
const double guideNoise = 1e-3;

/// Longer side of the image on which the filter's coefficients are computed.
const int guideSide = 512;

/// Aligns `map` with the edges of `rgb`: He, Sun, Tang, "Guided Image Filtering", PAMI 2013, equations 5, 6 and 8, with
/// the coefficients at a lower resolution as in He, Sun, "Fast Guided Filter", arXiv:1505.00996.
void alignWithEdges(const Mat& rgb, Size grid, Mat& map)
{
    Mat grey, guide, target;
    cvtColor(rgb, grey, COLOR_RGB2GRAY);
    grey.convertTo(grey, CV_32F, 1 / 255.0);
    const double scale = std::min(1.0, static_cast<double>(guideSide) / std::max(grey.cols, grey.rows));
    const Size small(std::max(1, cvRound(grey.cols * scale)), std::max(1, cvRound(grey.rows * scale)));
    resize(grey, guide, small, 0, 0, INTER_AREA);
    resize(map, target, small, 0, 0, INTER_AREA);

    // The window covers a patch, and is no larger than the image.
    const Size window(2 * ((small.width + grid.width - 1) / grid.width / 2) + 1,
                      2 * ((small.height + grid.height - 1) / grid.height / 2) + 1);
    const auto mean = [&](const Mat& values)
    {
        Mat result;
        boxFilter(values, result, CV_64F, window, Point(-1, -1), true, BORDER_REPLICATE);
        return result;
    };
    const Mat meanGuide = mean(guide), meanTarget = mean(target);
    const Mat variance = mean(guide.mul(guide)) - meanGuide.mul(meanGuide);
    const Mat covariance = mean(guide.mul(target)) - meanGuide.mul(meanTarget);
    const Mat slope = covariance / (variance + guideNoise);
    const Mat offset = meanTarget - slope.mul(meanGuide);
    Mat a, b;
    resize(mean(slope), a, grey.size(), 0, 0, INTER_LINEAR);
    resize(mean(offset), b, grey.size(), 0, 0, INTER_LINEAR);
    a.convertTo(a, CV_32F);
    b.convertTo(b, CV_32F);
    map = a.mul(grey) + b;
}

class RankSaliencyImpl CV_FINAL : public RankSaliency
{
public:
    explicit RankSaliencyImpl(const Ptr<Ranker>& ranker) : ranker_(ranker) {}

    bool computeSaliency(InputArray image, OutputArray saliencyMap) const CV_OVERRIDE
    {
        if (image.empty())
        {
            saliencyMap.release();
            return false;
        }
        const PatchRanking ranking = ranker_->rank(image);
        double lowest = 0, highest = 0;
        minMaxLoc(ranking.scores, &lowest, &highest);
        const double scale = highest > lowest ? 1 / (highest - lowest) : 0;
        Mat scores, map;
        ranking.scores.convertTo(scores, CV_32F, scale, -lowest * scale);
        resize(scores, map, ranking.imageSize, 0, 0, INTER_LINEAR);
        if (edgeAware_)
        {
            Mat rgb;
            image::toRgb8(image, rgb);
            alignWithEdges(rgb, ranking.grid(), map);
        }
        cv::max(map, 0, map);
        cv::min(map, 1, map);
        map.copyTo(saliencyMap);
        return true;
    }

    void setEdgeAware(bool edgeAware) CV_OVERRIDE { edgeAware_ = edgeAware; }
    bool getEdgeAware() const CV_OVERRIDE { return edgeAware_; }
    Ptr<Ranker> getRanker() const CV_OVERRIDE { return ranker_; }

private:
    const Ptr<Ranker> ranker_;
    bool edgeAware_ = true;
};

}  // namespace

Ptr<RankSaliency> RankSaliency::create(const String& model)
{
    return makePtr<RankSaliencyImpl>(model.empty() ? Ranker::create() : Ranker::create(model));
}

}}  // namespace
