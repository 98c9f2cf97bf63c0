// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "label_images.hpp"
#include "../core/config.hpp"
#include "../image/photo_file.hpp"
#include "../image/photo_header.hpp"
#include "../io/checksum.hpp"
#include "../io/file_bytes.hpp"
#include "../io/model_file.hpp"

#include <opencv2/core/utility.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

namespace {

const size_t mostNameBytes = size_t(1) << 20;   ///< of classes.txt

uint32_t bigEndian(const uchar* at)
{
    return uint32_t(at[0]) << 24 | uint32_t(at[1]) << 16 | uint32_t(at[2]) << 8 | at[3];
}

void addBigEndian(std::vector<uchar>& bytes, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes.push_back(static_cast<uchar>(value >> shift));
}

/// The same PNG as grey values, so that OpenCV gives the indices of a palette instead of its colours. depth: bits of a value
std::vector<uchar> withoutPalette(const std::vector<uchar>& png, const std::string& file, int& depth)
{
    const size_t header = 8, shortest = 12;   // signature; length, type and checksum of a chunk
    const auto isType = [&](size_t at, const char* type) { return std::memcmp(png.data() + at + 4, type, 4) == 0; };
    LTRP_REQUIRE(png.size() >= 33 && std::memcmp(png.data(), "\x89PNG\r\n\x1a\n", 8) == 0 && isType(header, "IHDR") &&
                 bigEndian(png.data() + header) == 13, Error::StsBadArg, file << ": is no PNG; labels are index PNGs");
    const int colour = png[25];
    depth = png[24];
    LTRP_REQUIRE((colour == 0 || colour == 3) && depth <= 8, Error::StsBadArg, file << ": a PNG of " << depth << " bits a channel and "
                 << (colour == 0 || colour == 3 ? 1 : colour == 4 ? 2 : colour == 2 ? 3 : 4)
                 << " channels; labels are index PNGs: a palette or grey, of 8 bits or less");
    std::vector<uchar> out(png.begin(), png.begin() + 8);
    for (size_t at = header; png.size() - at >= shortest;)
    {
        const size_t length = bigEndian(png.data() + at);
        LTRP_REQUIRE(length <= png.size() - at - shortest, Error::StsBadArg, file << ": a damaged PNG: a part ends behind the file");
        io::Crc32 crc;
        crc.add(png.data() + at + 4, length + 4);
        const bool needed = png[at + 4] < 'a';   // others may be damaged
        LTRP_REQUIRE(!needed || crc.value() == bigEndian(png.data() + at + 8 + length), Error::StsBadArg, file
                     << ": a damaged PNG: the checksum of a part is wrong");
        if (isType(at, "IHDR"))
        {
            out.insert(out.end(), png.begin() + static_cast<std::ptrdiff_t>(at), png.begin() + static_cast<std::ptrdiff_t>(at + 21));
            out[25] = 0;
            io::Crc32 changed;
            changed.add(out.data() + 12, 17);
            addBigEndian(out, changed.value());
        }
        else if (isType(at, "IDAT") || isType(at, "IEND"))
            out.insert(out.end(), png.begin() + static_cast<std::ptrdiff_t>(at),
                       png.begin() + static_cast<std::ptrdiff_t>(at + shortest + length));
        at += shortest + length;
    }
    return out;
}

Mat decodeIndices(const std::vector<uchar>& png, const std::string& file)
{
    int depth = 8;
    image::PhotoOptions options;
    options.asStored = true;
    std::string warning;
    Mat values;
    try
    {
        values = image::decodePhoto(withoutPalette(png, file, depth), options, warning);
    }
    catch (const image::PhotoError& error)
    {
        LTRP_ERROR(Error::StsBadArg, file << ": " << error.what());
    }
    LTRP_REQUIRE(values.type() == CV_8UC1, Error::StsBadArg, file << ": is decoded as " << typeToString(values.type()) << ", expected "
                 << typeToString(CV_8UC1));
    if (depth < 8)   // values of few bits are spread over 0 to 255
        values.forEach<uchar>([depth](uchar& value, const int*) { value = static_cast<uchar>(value / (255 / ((1 << depth) - 1))); });
    return values;
}

std::vector<uchar> bytesOf(const std::string& file)
{
    try
    {
        return image::readPhotoBytes(file);
    }
    catch (const image::PhotoError& error)
    {
        LTRP_ERROR(Error::StsBadArg, file << ": " << error.what());
    }
}

/// What a label image holds.
struct Found
{
    std::array<bool, 256> values = {};
    std::string sum, problem;
};

/// Whether labels of that size are an image's, which may be turned when it is decoded.
void requireSize(const std::string& file, const std::string& image, Size labels)
{
    const image::PhotoHeader header = image::readPhotoHeader(bytesOf(image));
    const bool known = header.width > 0 && header.height > 0;
    LTRP_REQUIRE(!known || (labels.width == header.width && labels.height == header.height) ||
                 (labels.width == header.height && labels.height == header.width), Error::StsBadArg, file << ": the labels are "
                 << labels.width << "x" << labels.height << " pixels, their image " << image << " " << header.width << "x" << header.height);
}

Found survey(const std::string& file, const std::string& image)
{
    Found found;
    try
    {
        const std::vector<uchar> bytes = bytesOf(file);
        io::Crc32 crc;
        crc.add(bytes.data(), bytes.size());
        found.sum = std::to_string(bytes.size()) + " " + crc.text();
        const Mat values = decodeIndices(bytes, file);
        requireSize(file, image, values.size());
        for (int y = 0; y < values.rows; y++)
            for (int x = 0; x < values.cols; x++)
                found.values[values.at<uchar>(y, x)] = true;
    }
    catch (const cv::Exception& error)
    {
        found.problem = error.err;
    }
    return found;
}

std::vector<std::string> readNames(const std::string& file)
{
    const std::shared_ptr<const io::FileBytes> bytes = io::FileBytes::map(file);
    LTRP_REQUIRE(bytes->size() <= mostNameBytes, Error::StsOutOfRange, file << ": " << bytes->size()
                 << " bytes, expected a line for each of at most " << vit::mostSegmentClasses << " classes");
    const std::string text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    std::istringstream lines(text.compare(0, 3, "\xef\xbb\xbf") == 0 ? text.substr(3) : text);
    std::vector<std::string> names;
    for (std::string line; std::getline(lines, line);)
    {
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        names.push_back(line);
    }
    io::checkClasses(names, file);
    LTRP_REQUIRE(names.size() <= size_t(vit::mostSegmentClasses), Error::StsOutOfRange, file << ": " << names.size()
                 << " classes, expected at most " << vit::mostSegmentClasses);
    return names;
}

/// The label image of each image.
std::vector<std::string> pairFiles(const fs::path& folder, const fs::path& labels, const image::PhotoList& list)
{
    image::PhotoList masks;
    image::addFolder(labels.string(), std::string(), masks);
    std::set<std::string> free;
    for (const image::PhotoEntry& mask : masks.photos)
        free.insert(mask.name);
    std::vector<std::string> files;
    std::set<std::string> taken;
    for (const image::PhotoEntry& photo : list.photos)
    {
        const fs::path name(photo.name);
        std::string own = (name.parent_path() / name.stem()).generic_string() + ".png";
        if (!free.count(own) && free.count(photo.name + ".png"))
            own = photo.name + ".png";
        LTRP_REQUIRE(free.count(own), Error::StsBadArg, photo.path << ": an image without labels: " << (labels / own).string() << " is "
                     "not there");
        LTRP_REQUIRE(taken.insert(own).second, Error::StsBadArg, photo.path << ": shares the labels " << (labels / own).string()
                     << " with another image");
        files.push_back((labels / own).string());
    }
    for (const std::string& name : free)
        LTRP_REQUIRE(taken.count(name), Error::StsBadArg, (labels / name).string() << ": labels without an image in "
                     << (folder / "images").string());
    return files;
}

/// Numbers by name of what the data call their classes.
std::vector<int> numbersOf(const std::vector<std::string>& own, const std::vector<std::string>& classes)
{
    std::vector<int> numbers;
    for (const std::string& name : own)
    {
        const auto found = std::find(classes.begin(), classes.end(), name);
        numbers.push_back(found == classes.end() ? -1 : static_cast<int>(found - classes.begin()));
    }
    return numbers;
}

/// The first label image with a value.
const std::string& fileWith(const Segmented& data, const std::vector<Found>& found, size_t value)
{
    size_t i = 0;
    while (!found[i].values[value])
        i++;
    return data.labels.files[i];
}

}  // namespace

Mat readIndexPng(const std::string& file)
{
    return decodeIndices(bytesOf(file), file);
}

Mat LabelImages::read(int image, Size imageSize) const
{
    const std::string& file = files[static_cast<size_t>(image)];
    Mat labels = readIndexPng(file);
    const auto reduced = [](int side, int by) { return (side + by - 1) / by; };
    bool fits = false;
    for (int by = 1; by <= 8; by *= 2)
        fits = fits || (reduced(labels.cols, by) == imageSize.width && reduced(labels.rows, by) == imageSize.height);
    LTRP_REQUIRE(fits, Error::StsBadArg, file << ": the labels are " << labels.cols << "x" << labels.rows << " pixels, their image "
                 << imageSize.width << "x" << imageSize.height);
    for (int y = 0; y < labels.rows; y++)
        for (int x = 0; x < labels.cols; x++)
        {
            uchar& value = labels.at<uchar>(y, x);
            const int number = classOf[value];
            LTRP_REQUIRE(number >= 0, Error::StsBadArg, file << ": value " << int(value) << " is no class");
            value = static_cast<uchar>(number);
        }
    return labels;
}

void labelShares(const Mat& labels, const Rect2d& region, bool mirrored, int grid, int classes, float* out)
{
    CV_Assert(labels.type() == CV_8UC1 && !labels.empty());
    // The pixels of a patch along one side, each with the part of it that lies within.
    struct Side { int begin, end; double low, high; };
    const auto side = [grid](double from, double length, int place, int pixels)
    {
        const double low = std::max(0., (from + length * place / grid) * pixels);
        const double high = std::min<double>(pixels, (from + length * (place + 1) / grid) * pixels);
        const int begin = std::min(static_cast<int>(low), pixels - 1);
        return Side{begin, std::max(begin + 1, std::min(static_cast<int>(std::ceil(high)), pixels)), low, high};
    };
    const auto part = [](const Side& of, int pixel) { return std::max(0., std::min(of.high, pixel + 1.) - std::max<double>(of.low, pixel)); };
    std::vector<double> areas(256);
    for (int row = 0; row < grid; row++)
    {
        const Side y = side(region.y, region.height, row, labels.rows);
        for (int column = 0; column < grid; column++)
        {
            const Side x = side(region.x, region.width, mirrored ? grid - 1 - column : column, labels.cols);
            std::fill(areas.begin(), areas.end(), 0.);
            for (int py = y.begin; py < y.end; py++)
                for (int px = x.begin; px < x.end; px++)
                    areas[labels.at<uchar>(py, px)] += part(y, py) * part(x, px);
            const double area = (y.high - y.low) * (x.high - x.low);
            float* const shares = out + (row * grid + column) * classes;
            for (int c = 0; c < classes; c++)
                shares[c] = static_cast<float>(area > 0 ? areas[static_cast<size_t>(c)] / area : 0.);
        }
    }
}

Segmented listSegmented(const std::string& folder, const std::vector<std::string>& classes)
{
    const fs::path root(folder);
    std::error_code error;
    const bool foreground = !fs::is_directory(root / "labels", error);
    LTRP_REQUIRE(fs::is_directory(root / "images", error) && (!foreground || fs::is_directory(root / "foreground", error)),
                 Error::StsBadArg, folder << ": is no data for segmentation, expected a folder with the folders images and labels, or images "
                 "and foreground");
    const fs::path labels = root / (foreground ? "foreground" : "labels");
    Segmented data;
    image::addFolder((root / "images").string(), std::string(), data.list);
    data.labels.files = pairFiles(root, labels, data.list);
    std::vector<Found> found(data.labels.files.size());
    parallel_for_(Range(0, static_cast<int>(found.size())), [&](const Range& range)
    {
        for (size_t i = static_cast<size_t>(range.start); i < static_cast<size_t>(range.end); i++)
            found[i] = survey(data.labels.files[i], data.list.photos[i].path);
    });
    std::array<bool, 256> used = {};
    for (const Found& one : found)
    {
        LTRP_REQUIRE(one.problem.empty(), Error::StsBadArg, one.problem);
        data.sums.push_back(one.sum);
        for (size_t value = 0; value < used.size(); value++)
            used[value] = used[value] || one.values[value];
    }

    std::vector<int>& classOf = data.labels.classOf;
    classOf.assign(256, -1);
    std::vector<std::string> own;
    const std::string names = (root / "classes.txt").string();
    if (foreground)
    {
        own = {"background", "foreground"};
        size_t other = 0;
        for (size_t value = 1; value < used.size(); value++)
        {
            LTRP_REQUIRE(!used[value] || other == 0, Error::StsBadArg, fileWith(data, found, value) << ": value " << value << " beside "
                         << other << " in " << fileWith(data, found, other) << ", expected 0 and one other in all of " << labels.string());
            if (used[value])
                other = value;
        }
        const std::vector<int> numbers = numbersOf(own, classes.empty() ? own : classes);
        classOf.assign(256, numbers[1]);
        classOf[0] = numbers[0];
    }
    else
    {
        if (fs::exists(names, error))
            own = readNames(names);
        else if (!classes.empty())
            own = classes;
        else
            for (int value = 0; value < voidLabel && std::find(used.begin() + value, used.end() - 1, true) != used.end() - 1; value++)
                own.push_back(std::to_string(value));
        const std::vector<int> numbers = numbersOf(own, classes.empty() ? own : classes);
        std::copy(numbers.begin(), numbers.end(), classOf.begin());
        classOf[voidLabel] = voidLabel;
    }
    int present = 0;
    std::vector<bool> seen(own.size());
    for (size_t value = 0; value < used.size(); value++)
    {
        const size_t number = foreground ? std::min<size_t>(value, 1) : value;
        LTRP_REQUIRE(!used[value] || classOf[value] >= 0, Error::StsBadArg, fileWith(data, found, value) << ": value " << value
                     << (number < own.size() ? ", class " + io::printable(own[number]) + "," : std::string()) << " is none of the "
                     << (classes.empty() ? own : classes).size() << " classes " << (classes.empty() ? "of " + names : "of the network"));
        if (used[value] && classOf[value] != voidLabel)
        {
            present++;
            seen[number] = true;
        }
    }
    data.classes = classes.empty() ? own : classes;
    if (!classes.empty())
        return data;
    LTRP_REQUIRE(present >= 2, Error::StsBadArg, labels.string() << ": " << present << " class" << (present == 1 ? "" : "es")
                 << " in all labels, expected two or more");
    for (size_t i = 0; i < own.size(); i++)
        if (!seen[i])
            data.notes.push_back(labels.string() + ": no pixel is of class " + io::printable(own[i]) + ", number " + std::to_string(i));
    return data;
}

}}}  // namespace
