// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "photos.hpp"

#include "../../modules/ltrp/src/io/atomic_file.hpp"
#include "common.hpp"

#include <opencv2/imgcodecs.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include <fcntl.h>
#include <unistd.h>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

const int MAX_ASPECT = 100;

std::string lowerExtension(const fs::path& path)
{
    std::string extension = path.extension().string();
    for (char& c : extension)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension;
}

bool isImageName(const fs::path& path)
{
    static const std::set<std::string> known = {".bmp",  ".dib", ".exr", ".hdr", ".jp2",  ".jpe",
                                                ".jpeg", ".jpg", ".pbm", ".pfm", ".pgm",  ".pic",
                                                ".png",  ".pnm", ".ppm", ".tif", ".tiff", ".webp"};
    return known.count(lowerExtension(path)) != 0;
}

/// What the image libraries under OpenCV print themselves (libjpeg, libpng, libtiff know no log level) is caught here:
/// the user gets one line about a file, with the library's reason in it.
class StderrCapture
{
public:
    StderrCapture() : lock_(stderrMutex())
    {
        std::cerr.flush();
        std::fflush(stderr);
        int ends[2];
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)   // non-blocking: more text than a pipe holds is dropped
            return;
        saved_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (saved_ >= 0)
            dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        read_ = ends[0];
    }
    ~StderrCapture() { finish(); }
    StderrCapture(const StderrCapture&) = delete;
    StderrCapture& operator=(const StderrCapture&) = delete;

    std::string finish()
    {
        if (read_ < 0)
            return text_;
        std::cerr.flush();
        std::fflush(stderr);
        if (saved_ >= 0)
        {
            dup2(saved_, STDERR_FILENO);
            close(saved_);
        }
        char buffer[4096];
        for (ssize_t got; (got = read(read_, buffer, sizeof buffer)) > 0;)
            text_.append(buffer, static_cast<size_t>(got));
        close(read_);
        saved_ = read_ = -1;
        return text_;
    }

private:
    const std::lock_guard<std::recursive_mutex> lock_;
    int saved_ = -1, read_ = -1;
    std::string text_;
};

/// True when the bytes run from a start to an end marker: libjpeg takes a file cut short for a warning and fills up
/// with grey. Marker segments are skipped by their lengths, so that a thumbnail's end does not count.
bool jpegIsComplete(const std::vector<unsigned char>& bytes)
{
    const size_t size = bytes.size();
    for (size_t at = 2; at + 1 < size;)
    {
        if (bytes[at] != 0xFF)
        {
            ++at;   // entropy-coded data, or garbage that decoders skip too
            continue;
        }
        const unsigned marker = bytes[at + 1];
        if (marker == 0xFF)
        {
            ++at;
            continue;
        }
        at += 2;
        if (marker == 0xD9)
            return true;
        const bool bare = marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8);
        if (bare)
            continue;
        if (at + 1 >= size)
            return false;
        at += static_cast<size_t>(bytes[at]) * 256 + bytes[at + 1];
    }
    return false;
}

void refuseTruncatedJpeg(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    unsigned char start[2] = {};
    if (!file.read(reinterpret_cast<char*>(start), 2) || start[0] != 0xFF || start[1] != 0xD8)
        return;
    file.seekg(0, std::ios::end);
    const std::streamoff size = file.tellg();
    file.seekg(0);
    std::vector<unsigned char> bytes(static_cast<size_t>(std::max<std::streamoff>(size, 0)));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file || !jpegIsComplete(bytes))
        throw std::runtime_error(path + ": truncated JPEG: the end marker is missing");
}

/// The part of the captured text that says something about the file, or nothing.
std::string libraryReason(const std::string& text)
{
    if (text.find("CV_IO_MAX_IMAGE") != std::string::npos)
        return "more pixels than OpenCV's limit (CV_IO_MAX_IMAGE_PIXELS)";
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.compare(0, 12, "libpng error") == 0 || line.find("JPEG") != std::string::npos)
            return line;
    return std::string();
}

bool sameFile(const fs::path& a, const fs::path& b)
{
    std::error_code error;
    return fs::equivalent(a, b, error) && !error;
}

void refuseInput(const std::string& path, const std::vector<std::string>& inputs)
{
    std::error_code error;
    if (!fs::exists(path, error))
        return;
    for (const std::string& input : inputs)
        if (sameFile(path, input))
            throw std::runtime_error(path + ": is an input and would be overwritten");
}

void makeFolder(const fs::path& folder)
{
    std::error_code error;
    if (!folder.empty())
        fs::create_directories(folder, error);
    if (error)
        throw std::runtime_error(folder.string() + ": cannot be created: " + error.message());
}

}  // namespace

std::vector<std::string> expandImages(const std::vector<std::string>& paths, const std::string& skip)
{
    std::vector<std::string> files;
    for (const std::string& path : paths)
    {
        std::error_code error;
        if (!fs::is_directory(path, error))
        {
            files.push_back(path);
            continue;
        }
        std::vector<std::string> inside;
        fs::recursive_directory_iterator it(path, error), end;
        for (; !error && it != end; it.increment(error))
        {
            const fs::path& entry = it->path();
            std::error_code ignored;
            const bool folder = it->is_directory(ignored);
            const bool hidden = entry.filename().string().compare(0, 1, ".") == 0;
            if (folder && (hidden || (!skip.empty() && sameFile(entry, skip))))
                it.disable_recursion_pending();
            else if (!folder && !hidden && isImageName(entry))
                inside.push_back(entry.string());
        }
        if (error)
            throw std::runtime_error(path + ": " + error.message());
        if (inside.empty())
            throw std::runtime_error(path + ": no images in this folder");
        std::sort(inside.begin(), inside.end());
        files.insert(files.end(), inside.begin(), inside.end());
    }
    return files;
}

cv::Mat readPhoto(const std::string& path, bool asStored)
{
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
        throw std::runtime_error(path + ": no such file");
    if (error)
        throw std::runtime_error(path + ": " + error.message());
    if (!fs::is_regular_file(status))
        throw std::runtime_error(path + ": not a regular file");
    if (fs::file_size(path, error) == 0)
        throw std::runtime_error(path + ": the file is empty");
    if (access(path.c_str(), R_OK) != 0)
        throw std::runtime_error(path + ": no permission to read");
    refuseTruncatedJpeg(path);

    cv::Mat photo;
    std::string said, thrown;
    {
        StderrCapture capture;
        try
        {
            photo = cv::imread(path, asStored ? cv::IMREAD_UNCHANGED : cv::IMREAD_COLOR | cv::IMREAD_ANYDEPTH);
            if (photo.empty())   // OpenCV's TIFF reader cannot turn one channel of floats into three
                photo = cv::imread(path, cv::IMREAD_ANYCOLOR | cv::IMREAD_ANYDEPTH);
        }
        catch (const cv::Exception& exception)
        {
            thrown = exception.err;
        }
        said = capture.finish();
    }
    std::string why = libraryReason(said + thrown);
    if (photo.empty())
        throw std::runtime_error(path + ": not an image that can be decoded" + (why.empty() ? "" : " (" + why + ")"));
    if (why.find("remature end") != std::string::npos)
        throw std::runtime_error(path + ": truncated (" + why + ")");
    if (!why.empty())
        complain(path + ": warning: " + why);
    return photo;
}

void checkPhotoSize(const std::string& path, cv::Size image, cv::Size grid)
{
    const int longer = std::max(image.width, image.height), shorter = std::min(image.width, image.height);
    std::ostringstream what;
    what << path << ": " << image.width << "x" << image.height << " pixels: ";
    if (image.width < grid.width || image.height < grid.height)
    {
        what << "smaller than the model's " << grid.width << "x" << grid.height << " patches";
        throw std::runtime_error(what.str());
    }
    if (longer / MAX_ASPECT >= shorter)
    {
        what << "one side is " << longer / shorter << " times the other, the limit is " << MAX_ASPECT;
        throw std::runtime_error(what.str());
    }
}

cv::Mat toEightBit(const cv::Mat& photo)
{
    if (photo.depth() == CV_8U)
        return photo;
    cv::Mat result;
    photo.convertTo(result, CV_8U, photo.depth() == CV_16U ? 1.0 / 257.0 : 255.0);
    return result;
}

void checkOutputFile(const std::string& path, const char* option, const std::vector<std::string>& inputs)
{
    if (path == "-")
        return;
    std::error_code error;
    if (path.empty() || fs::is_directory(path, error))
        throw UsageError(std::string(option) + ": '" + path + "' is not a file name");
    const fs::file_type type = fs::status(path, error).type();
    if (type != fs::file_type::regular && type != fs::file_type::not_found)   // a complete file takes the name's place
        throw std::runtime_error(path + ": is a device or pipe, not a file that can be replaced");
    fs::path folder = fs::absolute(path, error).parent_path();
    while (!fs::exists(folder, error) && folder.has_relative_path())
        folder = folder.parent_path();
    if (!fs::is_directory(folder, error))
        throw std::runtime_error(path + ": " + folder.string() + " is not a folder");
    if (access(folder.c_str(), W_OK) != 0)
        throw std::runtime_error(path + ": no permission to write in " + folder.string());
    refuseInput(path, inputs);
}

void writeImage(const std::string& path, const cv::Mat& image)
{
    std::vector<unsigned char> encoded;
    bool done = false;
    std::string why;
    {
        StderrCapture capture;
        try
        {
            done = cv::imencode(lowerExtension(path), image, encoded);
        }
        catch (const cv::Exception& exception)
        {
            why = " (" + exception.err + ")";
        }
    }
    if (!done)
        throw std::runtime_error(path + ": the picture cannot be encoded" + why);
    cv::ltrp::io::AtomicFile file(path);
    file.write(encoded.data(), encoded.size());
    file.commit();
}

void writeText(const std::string& path, const std::string& text)
{
    if (path != "-")
    {
        makeFolder(fs::path(path).parent_path());
        cv::ltrp::io::writeTextFile(path, text);
        return;
    }
    std::cout << text << std::flush;
    if (!std::cout)
        throw std::runtime_error("standard output: cannot be written");
}

void writeJsonList(const std::string& path, const std::vector<Json>& entries)
{
    std::string text = "[";
    for (size_t i = 0; i < entries.size(); ++i)   // names of files may hold any bytes: what is not UTF-8 is replaced
        text += (i ? ",\n" : "\n") + entries[i].dump(-1, ' ', false, Json::error_handler_t::replace);
    writeText(path, text + "\n]\n");
}

void writeJson(const std::string& path, const Json& value)
{
    writeText(path, value.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json shortNumber(float value)
{
    char text[32];
    const std::to_chars_result end = std::to_chars(text, text + sizeof text, value);
    double number = value;
    std::from_chars(text, end.ptr, number);
    return number;
}

Json numbers(const cv::Mat& values)
{
    CV_Assert(values.type() == CV_32FC1);
    Json list = Json::array();
    for (int row = 0; row < values.rows; ++row)
        for (int column = 0; column < values.cols; ++column)
            list.push_back(shortNumber(values.at<float>(row, column)));
    return list;
}

OverlayTarget::OverlayTarget(const std::string& where, const std::vector<std::string>& inputs,
                             const std::string& suffix)
{
    if (where.empty())
        throw UsageError("--overlay: empty name");
    std::error_code error;
    const bool exists = fs::exists(where, error), folderExists = fs::is_directory(where, error);
    const bool namesFolder = folderExists || where.back() == '/' || (!exists && !isImageName(where));
    if (!namesFolder)
    {
        if (inputs.size() != 1)
            throw UsageError("--overlay: " + where + " names a file, but there are " + std::to_string(inputs.size()) +
                             " images: name a folder");
        if (!isImageName(where) || !cv::haveImageWriter("x" + lowerExtension(where)))
            throw UsageError("--overlay: " + where + ": no image format of this name can be written");
        checkOutputFile(where, "--overlay", inputs);
        files_.push_back(where);
        return;
    }
    folder_ = where;
    std::set<std::string> taken;
    std::map<std::string, int> number;   // where counting goes on for a name that was met before
    for (const std::string& input : inputs)
    {
        const std::string stem = fs::path(input).stem().string();
        std::string name;
        do
        {
            const int n = ++number[stem];
            name = stem + (n > 1 ? "_" + std::to_string(n) : "") + "_" + suffix + ".jpg";
        } while (!taken.insert(name).second);
        files_.push_back((fs::path(where) / name).string());
        refuseInput(files_.back(), inputs);
    }
}

void OverlayTarget::write(size_t input, const cv::Mat& overlay)
{
    if (!folder_.empty())   // made with the first picture, so that a run without any leaves nothing
        makeFolder(folder_);
    writeImage(files_.at(input), overlay);
}

}  // namespace tool
