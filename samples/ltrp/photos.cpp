// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "photos.hpp"

#include "../../modules/ltrp/src/image/photo_file.hpp"
#include "../../modules/ltrp/src/image/photo_header.hpp"
#include "../../modules/ltrp/src/image/photo_list.hpp"
#include "../../modules/ltrp/src/image/preprocess.hpp"
#include "../../modules/ltrp/src/io/atomic_file.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "common.hpp"
#include "streams.hpp"

#include <opencv2/imgcodecs.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
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

/// Captures what image libraries used by OpenCV print themselves (libjpeg, libpng, libtiff have no log level): the user
/// gets one line per file, with the library's reason.
class StderrCapture
{
public:
    StderrCapture() : lock_(stderrMutex())
    {
        std::cerr.flush();
        std::fflush(stderr);
        int ends[2];
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)   // non-blocking: text beyond the pipe's capacity is dropped
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

/// The part of the captured text that describes a problem of the file, or nothing.
std::string libraryReason(const std::string& text)
{
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.compare(0, 12, "libpng error") == 0 || line.find("JPEG") != std::string::npos)
            return line;
    return std::string();
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

namespace
{

/// The content of standard input, read once.
const std::string& standardInput()
{
    static const std::string text = []()
    {
        std::string all;
        char buffer[65536];
        for (ssize_t got; (got = read(STDIN_FILENO, buffer, sizeof buffer)) != 0;)
        {
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0 || all.size() > (size_t(1) << 30))
                throw std::runtime_error(std::string("standard input: ") +
                                         (got < 0 ? std::strerror(errno) : "more than 1 GiB"));
            all.append(buffer, static_cast<size_t>(got));
            checkInterrupt();
        }
        return all;
    }();
    return text;
}

}  // namespace

std::vector<std::string> expandImages(const std::vector<std::string>& paths, const std::string& skip, size_t* failed)
{
    cv::ltrp::image::PhotoList list;
    for (const std::string& path : paths)
    {
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        if (path == "-")
        {
            const std::string& text = standardInput();
            if (text.empty())
                throw std::runtime_error("standard input: is empty, expected an image or a list of images");
            using namespace cv::ltrp::image;
            if (readPhotoHeader(std::vector<uchar>(text.begin(), text.end())).format != PhotoFormat::Unknown)
                list.photos.push_back({path, path});
            else
                addLines(text, "standard input", std::string(), list);
        }
        else if (fs::is_directory(status) || fs::is_regular_file(status))
            cv::ltrp::image::addArgument(path, skip, list);
        else
            list.photos.push_back({path, path});   // errors are reported when the photo is read
    }
    for (const std::string& folder : list.left)
        complain(folder);
    if (failed)
        *failed += list.left.size();
    std::vector<std::string> files;
    for (const cv::ltrp::image::PhotoEntry& entry : list.photos)
        files.push_back(entry.path);
    for (const std::string& read : list.lists)
        rememberInput(read);
    for (const std::string& file : files)
        rememberInput(file);
    return files;
}

cv::Mat readPhoto(const std::string& path, bool asStored)
{
    cv::Mat photo;
    std::string said, warning;
    try
    {
        StderrCapture capture;
        cv::ltrp::image::PhotoOptions options;
        options.asStored = asStored;
        if (path == "-")
        {
            const std::string& text = standardInput();
            photo = cv::ltrp::image::decodePhoto(std::vector<uchar>(text.begin(), text.end()), options, warning);
        }
        else
            photo = cv::ltrp::image::readPhotoFile(path, options, warning);
        said = capture.finish();
    }
    catch (const cv::ltrp::image::PhotoError& error)
    {
        throw std::runtime_error(path + ": " + error.what());
    }
    if (warning.empty())
        warning = libraryReason(said);
    if (!warning.empty())
        complain(path + ": warning: " + warning);
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
    for (const std::string& input : inputs)
        rememberInput(input);
    std::error_code error;
    if (path.empty() || fs::is_directory(path, error))
        throw UsageError(std::string(option) + ": '" + path + "' is not a file name");
    const fs::file_type type = fs::status(path, error).type();
    if (type != fs::file_type::regular && type != fs::file_type::not_found)   // files are replaced atomically
        throw std::runtime_error(path + ": is a device or pipe, not a file that can be replaced");
    fs::path folder = fs::absolute(path, error).parent_path();
    while (!fs::exists(folder, error) && folder.has_relative_path())
        folder = folder.parent_path();
    if (!fs::is_directory(folder, error))
        throw std::runtime_error(path + ": " + folder.string() + " is not a folder");
    if (access(folder.c_str(), W_OK) != 0)
        throw std::runtime_error(path + ": no permission to write in " + folder.string());
    refuseInput(path);
}

void checkTextOutput(const std::string& path, const char* option, const std::vector<std::string>& inputs)
{
    if (!isStream(path))
        return checkOutputFile(path, option, inputs);
    if (path != "-")
        refuseInput(path);
    outputStream(path);
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
    const std::string extension = lowerExtension(path);
    if (extension == ".jpg" || extension == ".jpeg" || extension == ".jpe")
        encoded = cv::ltrp::image::markOverlay(encoded);
    refuseInput(path);
    cv::ltrp::io::AtomicFile file(path);
    file.write(encoded.data(), encoded.size());
    file.commit();
}

void writeText(const std::string& path, const std::string& text)
{
    if (path != "-")
        refuseInput(path);   // some inputs become known after checkTextOutput()
    if (isStream(path))
        return outputStream(path).write(text);
    makeFolder(fs::path(path).parent_path());
    cv::ltrp::io::writeTextFile(path, text);
}

Json nameJson(const std::string& path)
{
    using cv::ltrp::io::utf8Length;
    std::string escaped;
    bool valid = true;
    for (size_t at = 0; at < path.size();)
    {
        const std::string_view rest = std::string_view(path).substr(at);
        const size_t length = utf8Length(rest);
        if (length == 0 || path[at] == '\\')
        {
            char code[8];
            std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(path[at])));
            escaped += code;
            valid &= length > 0;
        }
        else
            escaped += rest.substr(0, length);
        at += std::max<size_t>(length, 1);
    }
    return valid ? path : escaped;
}

std::string jsonLine(const Json& value)
{
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void JsonLines::add(const Json& entry)
{
    if (!begun_)
    {
        if (path_ != "-")
            refuseInput(path_);
        if (!isStream(path_))
            makeFolder(fs::path(path_).parent_path());
        begun_ = true;
    }
    outputStream(path_).write(jsonLine(entry) + "\n");
}

void JsonOutput::addOptions(po::options_description& options, const std::string& what)
{
    options.add_options()
        ("json", po::value<std::string>()->value_name("FILE"), ("write " + what + "; - is stdout").c_str())
        ("jsonl", po::value<std::string>()->value_name("FILE"),
         "the same, a line an image as soon as it is done; - is stdout");
}

JsonOutput::JsonOutput(const po::variables_map& values)
{
    if (values.count("json"))
    {
        list_ = values["json"].as<std::string>();
        checkTextOutput(list_, "--json");
    }
    if (values.count("jsonl"))
    {
        const std::string path = values["jsonl"].as<std::string>();
        checkTextOutput(path, "--jsonl");
        if (path == list_ && !path.empty())
            throw UsageError("--json, --jsonl: both name " + path);
        lines_.open(path);
    }
}

void JsonOutput::add(const Json& entry)
{
    if (lines_.wanted())
        lines_.add(entry);
    if (!list_.empty())
        entries_.push_back(entry);
}

void JsonOutput::finish() const
{
    if (!entries_.empty())
        writeJsonList(list_, entries_);
}

void addMaxPixels(po::options_description& options)
{
    options.add_options()("max-pixels", po::value<long long>()->value_name("N")->default_value(cv::ltrp::image::maxPixels()),
                          "images with more pixels are refused before they are decoded");
}

void applyMaxPixels(const po::variables_map& values)
{
    const long long pixels = values["max-pixels"].as<long long>();
    if (pixels < 1)
        throw UsageError("--max-pixels: " + std::to_string(pixels) + " is below 1");
    cv::ltrp::image::setMaxPixels(pixels);
}

void writeJsonList(const std::string& path, const std::vector<Json>& entries)
{
    std::string text = "[";
    for (size_t i = 0; i < entries.size(); ++i)
        text += (i ? ",\n" : "\n") + jsonLine(entries[i]);
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
    const bool namesFolder = folderExists || where.back() == '/' || (!exists && !fs::path(where).has_extension());
    if (!namesFolder)
    {
        const bool known = cv::ltrp::image::hasImageExtension(where) && cv::haveImageWriter("x" + lowerExtension(where));
        if (!known)
            throw UsageError("--overlay: " + where + ": no image format of this name can be written" +
                             (exists ? "" : "; a folder's name ends in / where it is to be made"));
        if (inputs.size() != 1)
            throw UsageError("--overlay: " + where + " names a file, but there are " + std::to_string(inputs.size()) +
                             " images: name a folder");
        checkOutputFile(where, "--overlay");
        files_.push_back(where);
        return;
    }
    checkOutputFile((fs::path(where) / "x").string(), "--overlay");
    folder_ = where;
    std::set<std::string> taken;
    std::map<std::string, int> number;   // last number used for a repeated name
    for (const std::string& input : inputs)
    {
        const std::string stem = input == "-" ? "stdin" : fs::path(input).stem().string();
        std::string name;
        do
        {
            const int n = ++number[stem];
            name = stem + (n > 1 ? "_" + std::to_string(n) : "") + "_" + suffix + ".jpg";
        } while (!taken.insert(name).second);
        files_.push_back((fs::path(where) / name).string());
        refuseInput(files_.back());
    }
}

void OverlayTarget::write(size_t input, const cv::Mat& overlay)
{
    if (!folder_.empty())   // created with the first image, so that an empty run leaves nothing
        makeFolder(folder_);
    writeImage(files_.at(input), overlay);
}

}  // namespace tool
