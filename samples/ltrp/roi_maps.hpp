// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_ROI_MAPS_HPP
#define LTRP_TOOL_ROI_MAPS_HPP

#include <opencv2/core.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace tool
{

/// The kept patches of a frame.
struct RoiFrame
{
    double seconds;   ///< display time, from the first frame
    bool begins;      ///< whether a new scene begins
    cv::Mat kept;     ///< CV_8UC1, one value per patch: 1 kept, 0 not. Frames between ranked ones share the map
};

/// A video in the form needed by the encoders' formats.
struct RoiVideo
{
    cv::Size size;                  ///< pixels, equal for all frames
    std::vector<RoiFrame> frames;   ///< at least one
};

/// Share of each block of `block` x `block` pixels that is inside kept patches; blocks at the right and lower border
/// may be cut. CV_64FC1, 0 to 1. `block` 0: the patches themselves.
cv::Mat keptShare(const cv::Mat& kept, cv::Size image, int block);

/// Quantiser offsets of blocks: negative where patches are kept, positive elsewhere, `strength` apart, with mean 0 over
/// the blocks, so that the bit rate hardly changes. CV_64FC1.
cv::Mat deltas(const cv::Mat& share, double strength);

/// Rectangles of patches that cover the kept ones exactly, largest first, without overlaps.
std::vector<cv::Rect> boxes(const cv::Mat& kept);

/// Ranges of frames with nearly the same kept patches, each within one scene.
struct RoiSegment
{
    size_t first;
    cv::Mat kept;   ///< patches kept in at least half of its frames
};
std::vector<RoiSegment> segments(const std::vector<RoiFrame>& frames);

/// frame,row,column,delta; one line per patch.
std::string roiCsv(const RoiVideo& video, double strength);
/// kvazaar's --roi: for each frame width and height of the map in blocks of 64 x 64 pixels, then the offsets in raster
/// order, as text or (binary) as 32-bit and 8-bit integers (kvazaar: README.md, "--roi").
std::string roiKvazaar(const RoiVideo& video, double strength, bool binary);
/// SVT-AV1's --roi-map-file: frame number and offsets of the blocks of 64 x 64 pixels in steps of the quantizer index,
/// in at most 8 levels; a line is valid until the next (SVT-AV1: EbAppContext.c, parse_rio_map_file).
std::string roiSvtAv1(const RoiVideo& video, double strength);
/// A filter script for FFmpeg: regions by `addroi`; where they change, `streamselect` switches between them by
/// `sendcmd`, because `addroi` itself takes neither commands nor a timeline.
std::string roiFfmpeg(const RoiVideo& video, double strength);

}  // namespace tool

#endif
