// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/prompts.hpp"

#include "select/score_map.hpp"
#include "select/top_k.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp {

namespace {

enum { maxPoints = 1024, cellsPerPatch = 4 };   // cellsPerPatch: cells of the enlarged map per patch side

void checkImage(const PatchRanking& ranking)
{
    const Size grid = ranking.grid();
    LTRP_REQUIRE(ranking.imageSize.width >= grid.width && ranking.imageSize.height >= grid.height, Error::StsOutOfRange,
                 "the ranked image is " << ranking.imageSize.width << " x " << ranking.imageSize.height
                 << " pixels, expected at least one for each of " << grid.width << " x " << grid.height << " patches");
}

/// Centre of cell `i` if `length` pixels are divided into `cells` equal parts.
double centreOf(int i, int cells, int length)
{
    return (i + 0.5) * length / cells;
}

/// Follows the borders of a connected region: closed lines of grid corners, with the region on the right-hand side.
class BorderTracer
{
public:
    /// labels: CV_32SC1, the region of each patch. patches: those of region `label`, ascending.
    BorderTracer(const Mat& labels, int label, const std::vector<int>& patches) : labels_(labels), label_(label)
    {
        for (int patch : patches)
            for (int side = 0; side < 4; ++side)
                if (!contains(Point(patch % labels.cols, patch / labels.cols) + outward(side)))
                    open_.push_back(4 * patch + side);
        followed_.assign(open_.size(), 0);
    }

    /// All lines; the first is the outline, which passes along the first patch's upper side.
    std::vector<std::vector<Point>> lines()
    {
        std::vector<std::vector<Point>> all;
        for (size_t i = 0; i < open_.size(); ++i)
            if (!followed_[i])
                all.push_back(follow(open_[i]));
        return all;
    }

private:
    // Sides of a patch in clockwise order: upper (rightwards), right, lower, left (up).
    static Point ahead(int side) { return Point((side == 0) - (side == 2), (side == 1) - (side == 3)); }
    static Point outward(int side) { return ahead((side + 3) % 4); }

    bool contains(Point at) const
    {
        return at.x >= 0 && at.x < labels_.cols && at.y >= 0 && at.y < labels_.rows && labels_.at<int>(at) == label_;
    }

    std::vector<Point> follow(int start)
    {
        std::vector<Point> corners;
        Point patch(start / 4 % labels_.cols, start / 4 / labels_.cols);
        int side = start % 4;
        do
        {
            const int number = 4 * (patch.y * labels_.cols + patch.x) + side;
            followed_[static_cast<size_t>(std::lower_bound(open_.begin(), open_.end(), number) - open_.begin())] = 1;
            // At the end of a side: continues around the patch itself, along its neighbour, or around the patch
            // diagonally ahead.
            const Point next = patch + ahead(side), diagonal = next + outward(side);
            const int before = side;
            if (!contains(next))
                side = (side + 1) % 4;
            else if (!contains(diagonal))
                patch = next;
            else
            {
                patch = diagonal;
                side = (side + 3) % 4;
            }
            if (side != before)   // corner: the end of `before`
                corners.push_back(endOf(number / 4, before));
        } while (4 * (patch.y * labels_.cols + patch.x) + side != start);
        return corners;
    }

    Point endOf(int patch, int side) const
    {
        const Point at(patch % labels_.cols, patch / labels_.cols);
        return at + Point(side == 0 || side == 1, side == 1 || side == 2);
    }

    const Mat labels_;
    const int label_;
    std::vector<int> open_;        ///< border sides as 4 * patch + side, ascending
    std::vector<char> followed_;   ///< one per open side
};

std::vector<Point> toPixels(const std::vector<Point>& corners, const PatchRanking& ranking)
{
    const Size grid = ranking.grid();
    std::vector<Point> pixels;
    for (const Point& corner : corners)
    {
        const Point patch(std::min(corner.x, grid.width - 1), std::min(corner.y, grid.height - 1));
        const Rect rect = ranking.rect(patch.y * grid.width + patch.x);
        pixels.emplace_back(corner.x < grid.width ? rect.x : ranking.imageSize.width,
                            corner.y < grid.height ? rect.y : ranking.imageSize.height);
    }
    return pixels;
}

}  // namespace

std::vector<Point> selectPoints(const PatchRanking& ranking, int count, double spread)
{
    const Mat scores = select::checkedScores(ranking.scores);
    checkImage(ranking);
    const Size image = ranking.imageSize;
    const Size cells(static_cast<int>(std::min<int64_t>(int64_t(cellsPerPatch) * scores.cols, image.width)),
                     static_cast<int>(std::min<int64_t>(int64_t(cellsPerPatch) * scores.rows, image.height)));
    const int64_t all = static_cast<int64_t>(cells.width) * cells.height;
    LTRP_REQUIRE(count >= 1 && count <= maxPoints && count <= all, Error::StsOutOfRange,
                 "number of points is " << count << ", expected 1 to " << std::min<int64_t>(maxPoints, all));
    LTRP_REQUIRE(spread >= 0 && spread <= 1, Error::StsOutOfRange, "spread is " << spread << ", expected 0 to 1");
    Mat map;
    resize(scores, map, cells, 0, 0, INTER_CUBIC);
    const std::vector<int> order = select::topK(map.ptr<float>(), map.total(), map.total());

    std::vector<double> nearest(order.size(), std::numeric_limits<double>::max());   // squared distance to a point
    std::vector<Point> points;
    double distance = spread * std::sqrt(static_cast<double>(image.width) * image.height / count);
    for (;; distance = distance > 0.5 ? 0.75 * distance : 0)
        for (int cell : order)
        {
            double& own = nearest[static_cast<size_t>(cell)];
            if (own == 0 || own < distance * distance)
                continue;
            const double x = centreOf(cell % cells.width, cells.width, image.width);
            const double y = centreOf(cell / cells.width, cells.height, image.height);
            points.emplace_back(static_cast<int>(x), static_cast<int>(y));
            if (points.size() == static_cast<size_t>(count))
                return points;
            for (int row = 0; row < cells.height; ++row)
            {
                const double dy = centreOf(row, cells.height, image.height) - y;
                double* squares = &nearest[static_cast<size_t>(row) * static_cast<size_t>(cells.width)];
                for (int column = 0; column < cells.width; ++column)
                {
                    const double dx = centreOf(column, cells.width, image.width) - x;
                    squares[column] = std::min(squares[column], dx * dx + dy * dy);
                }
            }
        }
}

std::vector<PatchRegion> keptRegions(const PatchRanking& ranking, const std::vector<int>& keep)
{
    const Mat scores = select::checkedScores(ranking.scores);
    checkImage(ranking);
    const Size grid = ranking.grid();
    const std::vector<char> kept = select::keptMask(grid, keep);
    const Mat mask(grid, CV_8U, const_cast<char*>(kept.data()));
    Mat labels;
    const int count = connectedComponents(mask, labels, 4, CV_32S);
    std::vector<PatchRegion> regions(static_cast<size_t>(count) - 1);
    for (int i = 0; i < grid.area(); ++i)
        if (kept[static_cast<size_t>(i)])
        {
            PatchRegion& region = regions[static_cast<size_t>(labels.at<int>(i / grid.width, i % grid.width)) - 1];
            region.patches.push_back(i);
            region.score += scores.at<float>(i / grid.width, i % grid.width);
            region.box |= ranking.rect(i);
        }
    for (size_t i = 0; i < regions.size(); ++i)
    {
        PatchRegion& region = regions[i];
        region.score /= static_cast<double>(region.patches.size());
        for (const std::vector<Point>& line : BorderTracer(labels, static_cast<int>(i) + 1, region.patches).lines())
            if (region.outline.empty())
                region.outline = toPixels(line, ranking);
            else
                region.holes.push_back(toPixels(line, ranking));
    }
    std::sort(regions.begin(), regions.end(), [](const PatchRegion& a, const PatchRegion& b)
              {
                  return a.patches.size() != b.patches.size() ? a.patches.size() > b.patches.size()
                                                              : a.patches.front() < b.patches.front();
              });
    return regions;
}

}}  // namespace
