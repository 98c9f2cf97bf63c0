// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "label_map.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace vit {

Mat fillGrid(const Mat& logits, const std::vector<int>& kept, Size grid)
{
    CV_Assert(logits.type() == CV_32FC1 && logits.rows == static_cast<int>(kept.size()) && !kept.empty());
    std::vector<int> rowOf(static_cast<size_t>(grid.area()), -1);
    for (size_t i = 0; i < kept.size(); i++)
        rowOf.at(static_cast<size_t>(kept[i])) = static_cast<int>(i);
    Mat all(grid.area(), logits.cols, CV_32F);
    parallel_for_(Range(0, grid.height), [&](const Range& rows)
    {
        std::vector<double> sums(static_cast<size_t>(logits.cols));
        for (int place = rows.start * grid.width; place < rows.end * grid.width; place++)
        {
            float* const out = all.ptr<float>(place);
            const int own = rowOf[static_cast<size_t>(place)], x0 = place % grid.width, y0 = place / grid.width;
            double weights = 0;
            for (int deviation = 1; own < 0 && weights == 0; deviation *= 2)
            {
                const int reach = 3 * deviation;
                std::fill(sums.begin(), sums.end(), 0.);
                for (int y = std::max(0, y0 - reach); y <= std::min(grid.height - 1, y0 + reach); y++)
                    for (int x = std::max(0, x0 - reach); x <= std::min(grid.width - 1, x0 + reach); x++)
                    {
                        const int row = rowOf[static_cast<size_t>(y * grid.width + x)];
                        const double distance = double(x - x0) * (x - x0) + double(y - y0) * (y - y0);
                        if (row < 0 || distance > double(reach) * reach)
                            continue;
                        const double weight = std::exp(-distance / (2. * deviation * deviation));
                        weights += weight;
                        for (int c = 0; c < logits.cols; c++)
                            sums[static_cast<size_t>(c)] += weight * logits.at<float>(row, c);
                    }
            }
            for (int c = 0; c < logits.cols; c++)
                out[c] = own >= 0 ? logits.at<float>(own, c) : static_cast<float>(sums[static_cast<size_t>(c)] / weights);
        }
    });
    return all;
}

Mat labelMap(const Mat& grid, Size size, Size image)
{
    CV_Assert(grid.type() == CV_32FC1 && grid.rows == size.area() && grid.cols >= 1 && grid.cols <= 256 && !image.empty());
    struct Place { int low, high; float share; };
    const auto placeOf = [](int pixel, int pixels, int patches)
    {
        const double at = std::min(std::max((pixel + 0.5) * patches / pixels - 0.5, 0.), patches - 1.);
        const int low = std::min(static_cast<int>(at), std::max(patches - 2, 0));
        return Place{low, std::min(low + 1, patches - 1), static_cast<float>(at - low)};
    };
    std::vector<Place> columns;
    for (int x = 0; x < image.width; x++)
        columns.push_back(placeOf(x, image.width, size.width));
    Mat labels(image, CV_8U);
    const int classes = grid.cols;
    parallel_for_(Range(0, image.height), [&](const Range& rows)
    {
        Mat row(size.width, classes, CV_32F);   // of the grid, at the height of a row of pixels
        for (int y = rows.start; y < rows.end; y++)
        {
            const Place place = placeOf(y, image.height, size.height);
            for (int x = 0; x < size.width; x++)
            {
                const float *above = grid.ptr<float>(place.low * size.width + x), *below = grid.ptr<float>(place.high * size.width + x);
                for (int c = 0; c < classes; c++)
                    row.at<float>(x, c) = above[c] + (below[c] - above[c]) * place.share;
            }
            uchar* const out = labels.ptr<uchar>(y);
            for (int x = 0; x < image.width; x++)
            {
                const Place& column = columns[static_cast<size_t>(x)];
                const float *left = row.ptr<float>(column.low), *right = row.ptr<float>(column.high);
                int best = 0;
                float largest = 0;
                for (int c = 0; c < classes; c++)
                {
                    const float logit = left[c] + (right[c] - left[c]) * column.share;
                    if (c == 0 || logit > largest)
                    {
                        largest = logit;
                        best = c;
                    }
                }
                out[x] = static_cast<uchar>(best);
            }
        }
    });
    return labels;
}

}}}  // namespace
