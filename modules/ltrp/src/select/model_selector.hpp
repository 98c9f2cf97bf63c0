// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_MODEL_SELECTOR_HPP
#define OPENCV_LTRP_SELECT_MODEL_SELECTOR_HPP

#include "selector.hpp"
#include "opencv2/ltrp/tokens.hpp"

namespace cv { namespace ltrp { namespace select {

/// Scores that have this order.
inline Mat scoresOf(const std::vector<int>& order, Size grid)
{
    Mat scores(grid, CV_32F);
    for (size_t i = 0; i < order.size(); ++i)
        scores.at<float>(order[i] / grid.width, order[i] % grid.width) = -static_cast<float>(i);
    return scores;
}

/// A network's score map, on the grid that is asked for.
class ModelSelector : public Selector
{
public:
    PatchRanking rank(const Mat& image, Size grid, const Draw& draw) const CV_OVERRIDE
    {
        PatchRanking ranking = scores(image, draw);
        if (ranking.grid() != grid)
        {
            Mat resampled;
            resampleScores(ranking.scores, grid, resampled);
            ranking.scores = resampled;
        }
        return ranking;
    }
    std::string text() const CV_OVERRIDE { return text_; }

protected:
    ModelSelector(const std::string& name, const SelectorModels& models)
        : Selector(name), text_(selectorText(name, models))
    {
    }
    virtual PatchRanking scores(const Mat& image, const Draw& draw) const = 0;

private:
    const std::string text_;
};

}}}  // namespace

#endif
