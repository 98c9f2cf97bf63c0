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

/// The images named by the arguments: an image (by extension or first bytes), a folder (all images in it and below,
/// sorted by path, except hidden ones, overlays and the output folder `skip`), a list file, or "-": an image or a list
/// on standard input. They are recorded as inputs (rememberInput). Unreadable subfolders are reported, skipped, and
/// counted in `failed` if given. Whether a file is readable is found out later.
/// @throws std::exception naming a folder or list without images
std::vector<std::string> expandImages(const std::vector<std::string>& paths, const std::string& skip = std::string(),
                                      size_t* failed = nullptr);

/// Decodes an image at its own depth, as BGR (rarely grey), rotated according to EXIF, transparent pixels on white.
/// Damaged and truncated files are an error; cv::imread fills the missing part with grey. "-": standard input.
/// asStored: keeps grey and alpha and ignores EXIF.
/// @throws std::runtime_error "FILE: reason"
cv::Mat readPhoto(const std::string& path, bool asStored = false);

/// Throws for images without a meaningful patch grid: fewer pixels than patches along a side, or a side 100 times the
/// other, which the square network input would distort beyond recognition.
/// @throws std::runtime_error "FILE: reason"
void checkPhotoSize(const std::string& path, cv::Size image, cv::Size grid);

/// The same image as CV_8U, for drawing.
cv::Mat toEightBit(const cv::Mat& photo);

/// To be called before the work: checks that the output file can be created and is not an input (refuseInput). Folders
/// are created when it is written.
/// `inputs`: further input files.
void checkOutputFile(const std::string& path, const char* option, const std::vector<std::string>& inputs = {});
/// The same for text, which may also be written to a stream (isStream).
void checkTextOutput(const std::string& path, const char* option, const std::vector<std::string>& inputs = {});

/// Encodes in the format of the extension; the file appears only when it is complete.
void writeImage(const std::string& path, const cv::Mat& image);

/// Writes text: to a stream (isStream), otherwise atomically.
void writeText(const std::string& path, const std::string& text);
/// A file name as JSON. If it is not UTF-8, invalid bytes and backslashes become \xNN, so that different names stay
/// different.
Json nameJson(const std::string& path);
/// A value on one line.
std::string jsonLine(const Json& value);
/// A file or stream with one line per entry, written at once: finished entries survive a kill. The file is created with
/// the first line.
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

/// Output for --json and --jsonl: one entry per image, as a list at the end, as lines at once, or both.
class JsonOutput
{
public:
    static void addOptions(po::options_description& options, const std::string& what);

    /// @throws std::runtime_error if a file cannot be written
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

/// The option --max-pixels of all commands that read images, and its application.
void addMaxPixels(po::options_description& options);
void applyMaxPixels(const po::variables_map& values);

/// Writes one object, indented, as writeText().
void writeJson(const std::string& path, const Json& value);
/// A float as the shortest decimal that converts back to the same float.
Json shortNumber(float value);
/// All values of a CV_32FC1 matrix in raster order.
Json numbers(const cv::Mat& values);

/// Output of overlays: a file name for one image, or a folder (existing, ending in '/', or without an image's
/// extension), which is created if missing and gets "NAME_SUFFIX.jpg", numbered if two inputs have the same name.
class OverlayTarget
{
public:
    OverlayTarget() = default;
    /// @throws UsageError or std::runtime_error if `where` is unsuitable for the inputs
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
