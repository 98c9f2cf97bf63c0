// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "ranking.hpp"
#include "segmentation.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace eval {

void Ranking::add(const float* scores, const std::vector<int>& labels)
{
    std::vector<bool> own(classes_);
    for (const int label : labels)
    {
        LTRP_REQUIRE(label >= 0 && static_cast<size_t>(label) < classes_, Error::StsOutOfRange, "ranking: label " << label
                     << ", expected 0 to " << classes_ - 1);
        own[static_cast<size_t>(label)] = true;
    }
    scores_.emplace_back(scores, scores + classes_);
    labels_.push_back(std::move(own));
}

std::vector<Ranking::OfClass> Ranking::classes(size_t group, size_t groups) const
{
    std::vector<OfClass> result(classes_);
    std::vector<size_t> order;
    for (size_t i = 0; i < labels_.size(); ++i)
        if (groups == 0 || i % groups != group)
            order.push_back(i);
    for (size_t c = 0; c < classes_; ++c)
    {
        std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores_[a][c] > scores_[b][c]; });
        int right = 0;
        for (size_t begin = 0, end = 0; begin < order.size(); begin = end)
        {
            // Images of one score have one place, the last of them: their order means nothing.
            int own = 0;
            for (; end < order.size() && scores_[order[end]][c] == scores_[order[begin]][c]; ++end)
                own += labels_[order[end]][c];
            right += own;
            result[c].precision += own * static_cast<double>(right) / static_cast<double>(end);
        }
        result[c].images = right;
        if (right > 0)
            result[c].precision /= right;
    }
    return result;
}

double Ranking::meanPrecision(size_t group, size_t groups) const
{
    double sum = 0;
    int used = 0;
    for (const OfClass& one : classes(group, groups))
        if (one.images > 0)
        {
            sum += one.precision;
            ++used;
        }
    return used > 0 ? sum / used : 0.;
}

double Ranking::error() const
{
    return jackknifeError(images(), [this](size_t group, size_t groups) { return meanPrecision(group, groups); });
}

}}}  // namespace
