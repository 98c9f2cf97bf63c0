// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "photo_file.hpp"
#include "jpeg_check.hpp"
#include "photo_header.hpp"
#include "preprocess.hpp"

#include <opencv2/imgcodecs.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cv { namespace ltrp { namespace image {

namespace {

std::atomic<int64_t> pixelLimit{100000000};

int reducedFlag(int reduction)
{
    switch (reduction)
    {
    case 2: return IMREAD_REDUCED_COLOR_2;
    case 4: return IMREAD_REDUCED_COLOR_4;
    case 8: return IMREAD_REDUCED_COLOR_8;
    default: return IMREAD_COLOR;
    }
}

/// Names the library that a format needs and this OpenCV may lack, and an alternative.
const char* remedy(const PhotoHeader& header)
{
    switch (header.format)
    {
    case PhotoFormat::Gif: return "GIF needs OpenCV 5 (or 4.11); convert it to PNG";
    case PhotoFormat::Avif: return "AVIF needs OpenCV 4.8 or later, built with libavif; convert it to PNG";
    case PhotoFormat::Heic: return "no OpenCV reads HEIC; convert it to JPEG or PNG";
    case PhotoFormat::JpegXl: return "JPEG XL needs OpenCV 4.11 or later, built with libjxl; convert it to PNG";
    case PhotoFormat::Exr: return "OpenEXR is read where the environment variable OPENCV_IO_ENABLE_OPENEXR is 1, by an OpenCV "
                                  "built with it";
    case PhotoFormat::WebP:
        return header.animated ? "animated WebP needs OpenCV 5 (or 4.11); save its first picture alone" : nullptr;
    default: return nullptr;
    }
}

/// Applies EXIF orientation 1 to 8.
void turn(Mat& image, int orientation)
{
    if (orientation >= 5)
        transpose(image, image);
    switch (orientation)
    {
    case 2: case 6: flip(image, image, 1); break;
    case 3: case 7: flip(image, image, -1); break;
    case 4: case 8: flip(image, image, 0); break;
    default: break;
    }
}

Mat decode(const std::vector<uchar>& bytes, const PhotoHeader& header, const PhotoOptions& options)
{
    if (options.asStored)
        return imdecode(bytes, IMREAD_UNCHANGED);
    if (header.format == PhotoFormat::Jpeg)
    {
        const Size size(static_cast<int>(header.width), static_cast<int>(header.height));
        return imdecode(bytes, options.reduction && !size.empty() ? reducedFlag(options.reduction(size)) : IMREAD_COLOR);
    }
    if (header.alpha)
    {
        Mat image = imdecode(bytes, IMREAD_UNCHANGED);
        if (image.channels() == 4)
            flattenAlpha(image, image);
        if (image.channels() == 1 || image.channels() == 3)
        {
            turn(image, header.orientation);
            return image;
        }
    }
    const bool turned = header.format == PhotoFormat::Png || header.format == PhotoFormat::WebP;
    const int flags = IMREAD_ANYDEPTH | (turned ? IMREAD_IGNORE_ORIENTATION : 0);
    Mat image = imdecode(bytes, IMREAD_COLOR | flags);
    if (image.empty())   // OpenCV's TIFF reader cannot convert one channel of floats to three
        image = imdecode(bytes, IMREAD_ANYCOLOR | flags);
    if (turned)
        turn(image, header.orientation);
    return image;
}

}  // namespace

void setMaxPixels(int64_t pixels)
{
    pixelLimit = pixels;
}

int64_t maxPixels()
{
    return pixelLimit;
}

RegularFile::RegularFile(const std::string& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY))   // pipes would block
{
    if (file_.fd < 0)
        throw PhotoError(errno == ENOENT   ? "no such file"
                         : errno == EACCES ? "no permission to read"
                                           : std::strerror(errno));
    struct stat info;
    if (::fstat(file_.fd, &info) != 0)
        throw PhotoError(std::strerror(errno));
    if (!S_ISREG(info.st_mode))
        throw PhotoError("not a regular file");
    if (info.st_size == 0)
        throw PhotoError("the file is empty");
    state_.bytes = info.st_size;
    state_.modified = int64_t(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec;
}

void RegularFile::read(uchar* to, size_t bytes, int64_t offset) const
{
    for (size_t done = 0; done < bytes;)
    {
        const ssize_t got = ::pread(file_.fd, to + done, bytes - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            throw PhotoError(got < 0 ? std::string("cannot be read: ") + std::strerror(errno)
                                     : "the file became shorter while it was read");
        done += static_cast<size_t>(got);
    }
}

std::vector<uchar> readPhotoBytes(const std::string& path)
{
    const RegularFile file(path);
    if (file.state().bytes > maxPhotoBytes)
        throw PhotoError("the file is larger than 1 GiB");
    std::vector<uchar> bytes(static_cast<size_t>(file.state().bytes));
    file.read(bytes.data(), bytes.size(), 0);
    return bytes;
}

std::vector<uchar> readPhotoBytes(const std::string& path, const FileState& state, int64_t offset, int64_t bytes)
{
    const RegularFile file(path);
    if (!(file.state() == state))
        throw PhotoError("the shard was changed after it was listed");
    std::vector<uchar> part(static_cast<size_t>(bytes));
    file.read(part.data(), part.size(), offset);
    return part;
}

Mat decodePhoto(const std::vector<uchar>& bytes, const PhotoOptions& options, std::string& warning)
{
    const PhotoHeader header = readPhotoHeader(bytes);
    const int64_t limit = pixelLimit;
    if (header.width < 0 || header.height < 0 || (header.height > 0 && header.width > limit / header.height))
        throw PhotoError(std::to_string(header.width) + "x" + std::to_string(header.height) + " pixels are more than the limit of " +
                         std::to_string(limit) + " (--max-pixels)");
    if (header.format == PhotoFormat::Jpeg && !options.checked)
    {
        const JpegCheck check = checkJpeg(bytes);
        if (!check.damage.empty())
            throw PhotoError(check.damage);
        warning = check.warning;
    }
    if (header.format == PhotoFormat::Bmp && bmpIsTruncated(bytes))
        throw PhotoError("truncated BMP: the picture's data end too early");
    Mat image;
    std::string why;
    try
    {
        image = decode(bytes, header, options);
    }
    catch (const cv::Exception& error)   // for example OpenCV's own limits, or broken headers
    {
        why = error.err.find("CV_IO_MAX_IMAGE") != std::string::npos
                  ? "more pixels than OpenCV's limit (CV_IO_MAX_IMAGE_PIXELS)" : std::string(error.err);
    }
    if (image.empty())
    {
        if (const char* needed = remedy(header))
            why = needed;
        const bool known = header.format != PhotoFormat::Unknown;
        throw PhotoError(std::string("not an image that can be decoded") +
                         (!why.empty() ? " (" + why + ")"
                          : known      ? std::string(" (a damaged or unusual ") + photoFormatName(header.format) + " file)"
                                       : std::string()));
    }
    return image;
}

Mat readPhotoFile(const std::string& path, const PhotoOptions& options, std::string& warning)
{
    return decodePhoto(readPhotoBytes(path), options, warning);
}

bool hasImageExtension(const std::string& path)
{
    static const char* const extensions[] = {".jpg", ".jpeg", ".jpe",  ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif",
                                             ".tiff", ".ppm", ".pgm",  ".pbm",  ".pnm", ".pfm", ".jp2", ".hdr",  ".pic",
                                             ".exr",  ".gif", ".avif", ".heic", ".heif", ".jxl", ".sr", ".ras"};
    std::string extension = std::filesystem::path(path).extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    return std::any_of(std::begin(extensions), std::end(extensions),
                       [&](const char* known) { return extension == known; });
}

}}}  // namespace
