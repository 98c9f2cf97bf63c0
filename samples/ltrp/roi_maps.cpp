// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "roi_maps.hpp"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <locale>
#include <stdexcept>

namespace tool
{

namespace
{

/// Block size for which the HEVC and AV1 encoders accept offsets.
const int BLOCK = 64;
/// Largest QP of 8-bit H.264 and HEVC, by which FFmpeg scales a region's offset; also kvazaar's limit.
const int LARGEST_QP = 51;
/// AV1's quantizer index has 256 values, --qp of SVT-AV1 has 64.
const int INDEX_PER_QP = 4, LARGEST_INDEX = 255;
/// AV1 has 8 segments per frame; each block is in one.
const int MOST_LEVELS = 8;
/// Limit on branches of a filter graph, which are cheap but not free.
const size_t MOST_BRANCHES = 256;

int rounded(double value, int limit)
{
    return std::min(std::max(cvRound(value), -limit), limit);
}

/// Formats with that many decimals, whatever the locale.
std::string number(double value, int decimals)
{
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << std::fixed << std::setprecision(decimals) << value;
    return text.str();
}

/// Calls `write` with each frame's block offsets; they are computed once for frames that share a map.
void forEachMap(const RoiVideo& video, int block, const std::function<cv::Mat(const cv::Mat&)>& toDeltas,
                const std::function<void(size_t, const cv::Mat&, bool)>& write)
{
    cv::Mat map;
    for (size_t i = 0; i < video.frames.size(); ++i)
    {
        const cv::Mat& kept = video.frames[i].kept;
        const bool fresh = i == 0 || kept.data != video.frames[i - 1].kept.data;
        if (fresh)
            map = toDeltas(keptShare(kept, video.size, block));
        write(i, map, fresh);
    }
}

/// Length of the overlap of pixels [begin, end) with each of `parts` equal parts of `length` pixels.
std::vector<std::pair<int, double>> overlaps(double begin, double end, int length, int parts)
{
    std::vector<std::pair<int, double>> result;
    const double part = static_cast<double>(length) / parts;
    for (int i = 0; i < parts; ++i)
    {
        const double common = std::min(end, (i + 1) * part) - std::max(begin, i * part);
        if (common > 0)
            result.emplace_back(i, common);
    }
    return result;
}

size_t differing(const cv::Mat& a, const cv::Mat& b)
{
    return static_cast<size_t>(cv::countNonZero(a != b));
}

/// Segments whose frames differ from the first one in at most `tolerance` patches.
std::vector<RoiSegment> segmentsWithin(const std::vector<RoiFrame>& frames, size_t tolerance)
{
    std::vector<RoiSegment> result;
    cv::Mat votes;
    int count = 0;
    const auto close = [&]()
    {
        if (!result.empty())
            result.back().kept = (votes * 2 >= count) / 255;
    };
    for (size_t i = 0; i < frames.size(); ++i)
    {
        const cv::Mat& kept = frames[i].kept;
        if (i == 0 || frames[i].begins || differing(kept, frames[result.back().first].kept) > tolerance)
        {
            close();
            result.push_back({i, cv::Mat()});
            votes = cv::Mat::zeros(kept.size(), CV_32S);
            count = 0;
        }
        cv::add(votes, kept, votes, cv::noArray(), CV_32S);
        ++count;
    }
    close();
    return result;
}

/// "addroi=...,addroi=...": kept boxes first, because where regions overlap the first one counts, then the rest.
std::string addroi(const cv::Mat& kept, double strength)
{
    const cv::Mat offsets = deltas(keptShare(kept, cv::Size(), 0), strength);
    double lowest = 0, highest = 0;
    cv::minMaxLoc(offsets, &lowest, &highest);
    const auto region = [](const std::string& place, double delta)
    { return "addroi=" + place + ":qoffset=" + number(std::max(-1.0, std::min(1.0, delta / LARGEST_QP)), 4); };
    std::string filters;
    for (const cv::Rect& box : boxes(kept))
    {
        // Relative to the filter's input frame, whatever its size.
        const auto share = [](const char* side, int value, int of)
        { return std::string(side) + "*" + std::to_string(value) + "/" + std::to_string(of); };
        filters += region("x=" + share("iw", box.x, kept.cols) + ":y=" + share("ih", box.y, kept.rows) +
                              ":w=" + share("iw", box.width, kept.cols) + ":h=" + share("ih", box.height, kept.rows),
                          lowest) + ",";
    }
    return filters + region("x=0:y=0:w=iw:h=ih", highest);
}

}  // namespace

cv::Mat keptShare(const cv::Mat& kept, cv::Size image, int block)
{
    cv::Mat share;
    if (block == 0)
    {
        kept.convertTo(share, CV_64F);
        return share;
    }
    share = cv::Mat::zeros((image.height + block - 1) / block, (image.width + block - 1) / block, CV_64F);
    for (int y = 0; y < share.rows; ++y)
    {
        const int top = y * block, bottom = std::min(top + block, image.height);
        const auto rows = overlaps(top, bottom, image.height, kept.rows);
        for (int x = 0; x < share.cols; ++x)
        {
            const int left = x * block, right = std::min(left + block, image.width);
            double area = 0;
            for (const auto& row : rows)
                for (const auto& column : overlaps(left, right, image.width, kept.cols))
                    area += kept.at<uchar>(row.first, column.first) * row.second * column.second;
            share.at<double>(y, x) = area / (static_cast<double>(bottom - top) * (right - left));
        }
    }
    return share;
}

cv::Mat deltas(const cv::Mat& share, double strength)
{
    return (cv::mean(share)[0] - share) * strength;
}

std::vector<cv::Rect> boxes(const cv::Mat& kept)
{
    cv::Mat rest = kept.clone();
    std::vector<cv::Rect> result;
    while (cv::countNonZero(rest) > 0)
    {
        cv::Rect best;
        for (int y = 0; y < rest.rows; ++y)
            for (int x = 0; x < rest.cols; ++x)
            {
                int width = rest.cols - x;
                for (int bottom = y; bottom < rest.rows && rest.at<uchar>(bottom, x); ++bottom)
                {
                    int run = 0;
                    while (run < width && rest.at<uchar>(bottom, x + run))
                        ++run;
                    width = run;
                    if (width * (bottom - y + 1) > best.area())
                        best = cv::Rect(x, y, width, bottom - y + 1);
                }
            }
        rest(best).setTo(0);
        result.push_back(best);
    }
    return result;
}

std::vector<RoiSegment> segments(const std::vector<RoiFrame>& frames)
{
    const size_t kept = static_cast<size_t>(std::max(1, cv::countNonZero(frames[0].kept)));
    std::vector<RoiSegment> result;
    // Up to a fifth of the kept patches may be replaced by others (each counts twice); more if there would be too many
    // segments.
    for (size_t tolerance = std::max<size_t>(2, 2 * kept / 5);; tolerance *= 2)
    {
        result = segmentsWithin(frames, tolerance);
        if (result.size() <= MOST_BRANCHES || tolerance > 2 * kept)
            return result;
    }
}

std::string roiCsv(const RoiVideo& video, double strength)
{
    std::string text = "frame,row,column,delta\n";
    forEachMap(video, 0, [&](const cv::Mat& share) { return deltas(share, strength); },
               [&](size_t frame, const cv::Mat& map, bool)
               {
                   for (int y = 0; y < map.rows; ++y)
                       for (int x = 0; x < map.cols; ++x)
                           text += std::to_string(frame) + "," + std::to_string(y) + "," + std::to_string(x) + "," +
                                   number(map.at<double>(y, x), 2) + "\n";
               });
    return text;
}

std::string roiKvazaar(const RoiVideo& video, double strength, bool binary)
{
    std::string text;
    forEachMap(video, BLOCK, [&](const cv::Mat& share) { return deltas(share, strength); },
               [&](size_t, const cv::Mat& map, bool)
               {
                   if (binary)
                   {
                       const int32_t size[] = {map.cols, map.rows};
                       text.append(reinterpret_cast<const char*>(size), sizeof size);
                   }
                   else
                       text += std::to_string(map.cols) + " " + std::to_string(map.rows) + "\n";
                   for (int y = 0; y < map.rows; ++y)
                       for (int x = 0; x < map.cols; ++x)
                       {
                           const int delta = rounded(map.at<double>(y, x), LARGEST_QP);
                           if (binary)
                               text += static_cast<char>(static_cast<int8_t>(delta));
                           else
                               text += std::to_string(delta) + (x + 1 < map.cols ? " " : "\n");
                       }
               });
    return text;
}

std::string roiSvtAv1(const RoiVideo& video, double strength)
{
    std::string text, before;
    const auto levels = [&](const cv::Mat& share)
    {
        cv::Mat whole;
        cv::Mat(share * (MOST_LEVELS - 1)).convertTo(whole, CV_32S);
        whole.convertTo(whole, CV_64F, 1.0 / (MOST_LEVELS - 1));
        return deltas(whole, strength * INDEX_PER_QP);
    };
    forEachMap(video, BLOCK, levels,
               [&](size_t frame, const cv::Mat& map, bool fresh)
               {
                   if (!fresh)
                       return;
                   std::string line;
                   for (int y = 0; y < map.rows; ++y)
                       for (int x = 0; x < map.cols; ++x)
                           line += " " + std::to_string(rounded(map.at<double>(y, x), LARGEST_INDEX));
                   if (line != before)
                       text += std::to_string(frame) + line + "\n";
                   before = line;
               });
    return text;
}

std::string roiFfmpeg(const RoiVideo& video, double strength)
{
    // Segments with the same regions share a branch.
    std::vector<std::string> branches;
    std::string commands;
    size_t current = 0;
    for (const RoiSegment& segment : segments(video.frames))
    {
        const std::string filters = addroi(segment.kept, strength);
        const auto known = std::find(branches.begin(), branches.end(), filters);
        const size_t branch = static_cast<size_t>(known - branches.begin());
        if (branch == branches.size())
            branches.push_back(filters);
        if (segment.first > 0 && branch != current)
        {
            // Half a frame early, so that rounding of times does not matter.
            const double seconds = (video.frames[segment.first - 1].seconds + video.frames[segment.first].seconds) / 2;
            commands += (commands.empty() ? "" : "; ") + number(seconds, 6) + " streamselect@roi map " +
                        std::to_string(branch);
        }
        current = branch;
    }
    if (branches.size() == 1)
        return branches[0] + "\n";
    if (branches.size() > MOST_BRANCHES)
        throw std::runtime_error("the video has " + std::to_string(branches.size()) + " sets of regions, a filter script "
                                 "takes " + std::to_string(MOST_BRANCHES) + "; encode it in parts");
    std::string script = "sendcmd=c='" + commands + "',split=" + std::to_string(branches.size()), ends;
    for (size_t i = 0; i < branches.size(); ++i)
        script += "[in" + std::to_string(i) + "]";
    for (size_t i = 0; i < branches.size(); ++i)
    {
        const std::string name = std::to_string(i) + "]";
        script += ";\n[in" + name + branches[i] + "[out" + name;
        ends += "[out" + name;
    }
    return script + ";\n" + ends + "streamselect@roi=inputs=" + std::to_string(branches.size()) + ":map=0\n";
}

}  // namespace tool
