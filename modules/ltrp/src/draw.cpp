// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/draw.hpp"

#include "image/preprocess.hpp"
#include "select/score_map.hpp"

#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <locale>

namespace cv { namespace ltrp {

namespace {

const Scalar paper(255, 255, 255), ink(50, 46, 42);

Mat toBgr8(InputArray image)
{
    const Mat source = image.getMat();
    LTRP_REQUIRE(!source.empty() && source.dims == 2, Error::StsBadArg, "the image to draw on is empty");
    const int channels = source.channels();
    LTRP_REQUIRE(source.depth() == CV_8U && (channels == 1 || channels == 3 || channels == 4), Error::StsBadArg,
                 "the image to draw on is of type " << typeToString(source.type()) << ", expected 8UC1, 8UC3 or 8UC4");
    Mat bgr;
    if (channels == 3)
        bgr = source.clone();
    else if (channels == 4)
        image::flattenAlpha(source, bgr);
    else
        cvtColor(source, bgr, COLOR_GRAY2BGR);
    return bgr;
}

/// Colours from the lowest (0) to the highest value (255), one row.
Mat colourTable()
{
    Mat ramp(1, 256, CV_8U), table;
    for (int i = 0; i < 256; ++i)
        ramp.at<uchar>(0, i) = static_cast<uchar>(i);
    applyColorMap(ramp, table, COLORMAP_INFERNO);
    return table;
}

void mix(Mat region, const Scalar& colour, double weight)
{
    addWeighted(region, 1 - weight, Mat(region.size(), region.type(), colour), weight, 0, region);
}

/// Size at which a photo is shown: scaled up or down until text next to it is legible; a strip of 20000 x 30 pixels is
/// stretched in height.
Size shownSize(Size image)
{
    const int longest = std::max(image.width, image.height);
    const double scale = std::min(std::max(longest, 480), 900) / static_cast<double>(longest);
    return Size(std::max(48, cvRound(image.width * scale)), std::max(48, cvRound(image.height * scale)));
}

/// Thin lines along the patch borders; they fade if patches are too small to distinguish.
void drawGrid(Mat& picture, Size grid)
{
    const double cell =
        std::min(picture.cols / static_cast<double>(grid.width), picture.rows / static_cast<double>(grid.height));
    if (cell < 6)
        return;
    const double weight = std::min(0.3, (cell - 4) / 40);
    for (int x = 1; x < grid.width; ++x)
        mix(picture.col(patchRect(picture.size(), grid, x).x), Scalar::all(255), weight);
    for (int y = 1; y < grid.height; ++y)
        mix(picture.row(patchRect(picture.size(), grid, y * grid.width).y), Scalar::all(255), weight);
}

/// Draws the border between kept and dropped patches.
void drawOutline(Mat& picture, Size grid, const std::vector<char>& kept)
{
    const auto isKept = [&](int column, int row) { return kept[static_cast<size_t>(row * grid.width + column)] != 0; };
    for (int row = 0; row < grid.height; ++row)
        for (int column = 0; column < grid.width; ++column)
        {
            const Rect rect = patchRect(picture.size(), grid, row * grid.width + column);
            if (rect.empty())
                continue;
            if (column && isKept(column - 1, row) != isKept(column, row))
                picture(Rect(rect.x, rect.y, 1, rect.height)).setTo(Scalar::all(255));
            if (row && isKept(column, row - 1) != isKept(column, row))
                picture(Rect(rect.x, rect.y, rect.width, 1)).setTo(Scalar::all(255));
        }
}

struct Lettering
{
    enum { face = FONT_HERSHEY_SIMPLEX };
    double scale;

    Size size(const std::string& text) const { return getTextSize(text, face, scale, 1, nullptr); }
    void write(Mat& canvas, const std::string& text, Point leftBottom) const
    {
        putText(canvas, text, leftBottom, face, scale, ink, 1, LINE_AA);
    }
};

std::string shortNumber(double value)
{
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << std::setprecision(3) << value;
    return text.str();
}

}  // namespace

void drawKept(InputArray image, Size grid, const std::vector<int>& keep, OutputArray dst, double dim)
{
    LTRP_REQUIRE(dim >= 0 && dim <= 1, Error::StsOutOfRange,
                 "brightness of dropped patches is " << dim << ", expected 0 to 1");
    Mat picture = toBgr8(image);
    const std::vector<char> kept = select::keptMask(grid, keep);
    for (int i = 0; i < grid.area(); ++i)
    {
        const Rect rect = patchRect(picture.size(), grid, i);
        if (!kept[static_cast<size_t>(i)] && !rect.empty())
            picture(rect).convertTo(picture(rect), -1, dim);
    }
    picture.copyTo(dst);
}

void drawHeatMap(InputArray image, InputArray scoreMap, OutputArray dst, double alpha)
{
    LTRP_REQUIRE(alpha >= 0 && alpha <= 1, Error::StsOutOfRange,
                 "weight of the colours is " << alpha << ", expected 0 to 1");
    Mat picture = toBgr8(image);
    const Mat scores = select::checkedScores(scoreMap), table = colourTable();
    double lowest = 0, highest = 0;
    minMaxLoc(scores, &lowest, &highest);
    for (int i = 0; i < static_cast<int>(scores.total()); ++i)
    {
        const Rect rect = patchRect(picture.size(), scores.size(), i);
        if (rect.empty())
            continue;
        const double value = scores.at<float>(i / scores.cols, i % scores.cols);
        const double share = highest > lowest ? (value - lowest) / (highest - lowest) : 0.5;
        const Vec3b colour = table.at<Vec3b>(0, cvRound(255 * share));
        mix(picture(rect), Scalar(colour[0], colour[1], colour[2]), alpha);
    }
    picture.copyTo(dst);
}

void drawOverlay(InputArray image, const PatchRanking& ranking, const std::vector<int>& keep, OutputArray dst)
{
    const Mat photo = toBgr8(image), scores = select::checkedScores(ranking.scores);
    const Size grid = ranking.grid();
    const std::vector<char> kept = select::keptMask(grid, keep);

    const Size shown = shownSize(photo.size());
    Mat enlarged, grey;
    resize(photo, enlarged, shown, 0, 0, shown.width < photo.cols ? INTER_AREA : INTER_CUBIC);
    cvtColor(enlarged, grey, COLOR_BGR2GRAY);
    cvtColor(grey, grey, COLOR_GRAY2BGR);

    // Dropped patches are also desaturated: a dark but saturated patch still attracts attention.
    Mat faded = enlarged.clone(), left, right;
    addWeighted(enlarged, 0.35, grey, 0.65, 0, faded);
    for (int i = 0; i < grid.area(); ++i)
    {
        const Rect rect = patchRect(shown, grid, i);
        if (kept[static_cast<size_t>(i)] && !rect.empty())
            enlarged(rect).copyTo(faded(rect));
    }
    drawKept(faded, grid, keep, left, 0.3);
    drawGrid(left, grid);
    drawOutline(left, grid, kept);
    drawHeatMap(grey, scores, right, 0.7);

    double lowest = 0, highest = 0;
    minMaxLoc(scores, &lowest, &highest);
    const size_t count = static_cast<size_t>(std::count(kept.begin(), kept.end(), 1));
    std::ostringstream title;
    title.imbue(std::locale::classic());
    title << "kept " << count << " of " << kept.size() << " patches (" << cvRound(100.0 * count / kept.size()) << " %)";
    const std::string leftTitle = title.str(), rightTitle = "patch scores";
    const std::string top = shortNumber(highest), bottom = shortNumber(lowest);

    const Lettering letters = {std::max(0.5, std::max(shown.width, shown.height) / 1200.0)};
    const Size leftText = letters.size(leftTitle), rightText = letters.size(rightTitle);
    const int text = leftText.height, margin = text + 6, header = 2 * text + 10;
    const int leftColumn = std::max(shown.width, leftText.width), rightColumn = std::max(shown.width, rightText.width);
    const int barWidth = text + 4, barText = std::max(letters.size(top).width, letters.size(bottom).width);
    const int rows = std::max(shown.height, 6 * text);
    Mat canvas(header + rows + margin, 4 * margin + leftColumn + rightColumn + barWidth + barText + 6, CV_8UC3, paper);

    const int rightX = 2 * margin + leftColumn, barX = rightX + rightColumn + margin;
    const int panelY = header + (rows - shown.height) / 2;
    left.copyTo(canvas(Rect(Point(margin + (leftColumn - shown.width) / 2, panelY), shown)));
    right.copyTo(canvas(Rect(Point(rightX + (rightColumn - shown.width) / 2, panelY), shown)));
    letters.write(canvas, leftTitle, Point(margin, header - text / 2 - 2));
    letters.write(canvas, rightTitle, Point(rightX, header - text / 2 - 2));

    Mat bar;
    flip(colourTable().t(), bar, 0);
    resize(bar, bar, Size(barWidth, rows), 0, 0, INTER_LINEAR);
    bar.copyTo(canvas(Rect(barX, header, barWidth, rows)));
    letters.write(canvas, top, Point(barX + barWidth + 6, header + text));
    letters.write(canvas, bottom, Point(barX + barWidth + 6, header + rows));
    canvas.copyTo(dst);
}

}}  // namespace
