// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TOOL_PHOTOS_HPP
#define LTRP_TOOL_PHOTOS_HPP

#include "common.hpp"
#include "streams.hpp"

#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include <memory>
#include <string>
#include <vector>

namespace tool
{

using Json = nlohmann::ordered_json;

/// The images that arguments name: an image (by extension or first bytes), a folder (all images in it and below, sorted by
/// path; hidden ones, overlays and the folder `skip`, where overlays go, left out), a list file, or "-": an image or a list on
/// standard input. What is read is remembered (rememberInput). Folders below that cannot be read are named, left out, and
/// counted in `failed` where given. Whether a file can be read shows later.
/// @throws std::exception naming a folder or list without images
std::vector<std::string> expandImages(const std::vector<std::string>& paths, const std::string& skip = std::string(),
                                      size_t* failed = nullptr);

/// Decodes an image at its own depth, as BGR (rarely grey), turned as its EXIF says, transparent pixels on white. Damaged
/// and truncated files are refused, which cv::imread alone fills up with grey. "-": what came on standard input.
/// asStored: grey stays grey, alpha is kept, and EXIF is not looked at.
/// @throws std::runtime_error "FILE: reason"
cv::Mat readPhoto(const std::string& path, bool asStored = false);

/// Refuses images on which a patch grid means nothing: fewer pixels than patches along a side, or a side 100 times the
/// other, which the square network input would squeeze beyond recognition.
/// @throws std::runtime_error "FILE: reason"
void checkPhotoSize(const std::string& path, cv::Size image, cv::Size grid);

/// The same picture as CV_8U, for drawing.
cv::Mat toEightBit(const cv::Mat& photo);

/// Before the work: an output file must be possible where it is wanted, and nothing that is read may be overwritten
/// (refuseInput). Folders are made when it is written.
/// `inputs`: further files that are read.
void checkOutputFile(const std::string& path, const char* option, const std::vector<std::string>& inputs = {});
/// The same for text, which may also go to a stream (isStream).
void checkTextOutput(const std::string& path, const char* option, const std::vector<std::string>& inputs = {});

/// Encodes by the name's extension; the file appears only when it is complete.
void writeImage(const std::string& path, const cv::Mat& image);

/// Writes text: into a stream (isStream), else atomically.
void writeText(const std::string& path, const std::string& text);
/// A file's name. One that is no UTF-8 has its other bytes, and backslashes, as \xNN, so that different names stay different.
Json nameJson(const std::string& path);
/// A value on one line.
std::string jsonLine(const Json& value);
/// A file or stream with a line for each entry, written as soon as there is one: what is done survives a kill. The file is begun
/// with the first line.
class JsonLines
{
public:
    bool wanted() const { return !path_.empty(); }
    void open(const std::string& path) { path_ = path; }
    void add(const Json& entry);

private:
    std::string path_;
    bool begun_ = false;
};

/// Writes a list with one line per entry, as writeText().
void writeJsonList(const std::string& path, const std::vector<Json>& entries);

/// What --json and --jsonl ask for: an entry an image, as a list at the end, as lines at once, or both.
class JsonOutput
{
public:
    static void addOptions(po::options_description& options, const std::string& what);

    /// @throws std::runtime_error where a file cannot be written
    explicit JsonOutput(const po::variables_map& values);
    bool wanted() const { return !list_.empty() || lines_.wanted(); }
    void add(const Json& entry);
    /// Writes the list, if there is any entry.
    void finish() const;

private:
    std::string list_;
    JsonLines lines_;
    std::vector<Json> entries_;
};

/// The option --max-pixels, which every command that reads images has, and its use.
void addMaxPixels(po::options_description& options);
void applyMaxPixels(const po::variables_map& values);

/// Writes one object, indented, as writeText().
void writeJson(const std::string& path, const Json& value);
/// A float as the shortest decimal that gives the same float again.
Json shortNumber(float value);
/// All values of a CV_32FC1 matrix in raster order.
Json numbers(const cv::Mat& values);

/// Where the overlays go: one image may name a file; a folder (existing, ending in '/', or without an image's
/// extension) is made where it is missing and gets "NAME_SUFFIX.jpg", numbered where two inputs share a name.
class OverlayTarget
{
public:
    OverlayTarget() = default;
    /// @throws UsageError or std::runtime_error when `where` cannot serve all the inputs
    OverlayTarget(const std::string& where, const std::vector<std::string>& inputs, const std::string& suffix);
    bool wanted() const { return !files_.empty(); }
    const std::string& file(size_t input) const { return files_.at(input); }
    void write(size_t input, const cv::Mat& overlay);

private:
    std::string folder_;
    std::vector<std::string> files_;
};

}  // namespace tool

#endif
