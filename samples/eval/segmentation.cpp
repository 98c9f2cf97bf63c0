// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"
#include "segmentation.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace eval {

double jackknifeError(size_t images, const std::function<double(size_t, size_t)>& without)
{
    const size_t groups = std::min<size_t>(images, 50);
    if (groups < 2)
        return 0.5;
    std::vector<double> estimates;
    double mean = 0, squares = 0;
    for (size_t group = 0; group < groups; ++group)
    {
        estimates.push_back(without(group, groups));
        mean += estimates.back() / static_cast<double>(groups);
    }
    for (const double estimate : estimates)
        squares += (estimate - mean) * (estimate - mean);
    return std::sqrt(squares * static_cast<double>(groups - 1) / static_cast<double>(groups));
}

double Segmentation::OfClass::iou() const
{
    const int64_t all = labelled + answered - right;
    return all > 0 ? static_cast<double>(right) / static_cast<double>(all) : 0.;
}

void Segmentation::add(const Mat& labels, const Mat& answers)
{
    LTRP_REQUIRE(labels.type() == CV_8UC1 && answers.type() == CV_8UC1 && labels.size() == answers.size(), Error::StsUnmatchedSizes,
                 "segmentation: labels of " << labels.size() << " pixels, answers of " << answers.size());
    std::vector<OfClass> own(classes_);
    for (int y = 0; y < labels.rows; ++y)
        for (int x = 0; x < labels.cols; ++x)
        {
            const size_t label = labels.at<uchar>(y, x), answer = answers.at<uchar>(y, x);
            if (label == 255)
                continue;
            LTRP_REQUIRE(label < classes_ && answer < classes_, Error::StsOutOfRange, "segmentation: label " << label << ", answer " << answer
                         << ", expected 0 to " << classes_ - 1);
            ++own[label].labelled;
            ++own[answer].answered;
            own[label].right += label == answer;
        }
    counts_.push_back(std::move(own));
}

std::vector<Segmentation::OfClass> Segmentation::classes(size_t group, size_t groups) const
{
    std::vector<OfClass> sums(classes_);
    for (size_t i = 0; i < counts_.size(); ++i)
        for (size_t c = 0; c < classes_ && (groups == 0 || i % groups != group); ++c)
        {
            sums[c].labelled += counts_[i][c].labelled;
            sums[c].answered += counts_[i][c].answered;
            sums[c].right += counts_[i][c].right;
        }
    return sums;
}

double Segmentation::meanIou(const std::vector<OfClass>& classes)
{
    double sum = 0;
    int used = 0;
    for (const OfClass& one : classes)
        if (one.labelled > 0)
        {
            sum += one.iou();
            ++used;
        }
    return used > 0 ? sum / used : 0.;
}

double Segmentation::pixelAccuracy(const std::vector<OfClass>& classes)
{
    int64_t labelled = 0, right = 0;
    for (const OfClass& one : classes)
    {
        labelled += one.labelled;
        right += one.right;
    }
    return labelled > 0 ? static_cast<double>(right) / static_cast<double>(labelled) : 0.;
}

double Segmentation::errorOf(double (*measure)(const std::vector<OfClass>&)) const
{
    return jackknifeError(images(), [&](size_t group, size_t groups) { return measure(classes(group, groups)); });
}

}}}  // namespace
