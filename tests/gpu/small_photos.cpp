// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Makes a small set of training photos: ltrp_small_photos SIDE BYTES OUT FOLDER...
//
// Draws images of the folders at random, from all folders in turn, decodes them, reduces them to a short side of SIDE
// pixels (smaller ones are not enlarged) and writes them to OUT/<folder's number>/ as JPEG, as many as fit into BYTES.
// Prints a line of JSON per folder. The same folders give the same files.

#include "train/dataset.hpp"
#include "train/loader.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>

using namespace cv::ltrp;
namespace fs = std::filesystem;

namespace
{

const int quality = 90, atOnce = 64;

struct Small
{
    std::vector<uchar> jpeg;   ///< empty: the image could not be read
    std::string reason;
};

Small reduced(const std::string& path, int side)
{
    Small result;
    const auto reduction = [side](cv::Size size)
    {
        int times = 1;
        while (times < 8 && std::min(size.width, size.height) / (2 * times) >= side)
            times *= 2;
        return times;
    };
    cv::Mat image = train::readImage(path, result.reason, reduction);
    if (image.empty())
        return result;
    const double scale = static_cast<double>(side) / std::min(image.cols, image.rows);
    if (scale < 1)
    {
        const auto scaled = [scale](int length) { return std::max(1, static_cast<int>(std::lround(length * scale))); };
        cv::resize(image, image, cv::Size(scaled(image.cols), scaled(image.rows)), 0, 0, cv::INTER_AREA);
    }
    cv::cvtColor(image, image, cv::COLOR_RGB2BGR);
    if (!cv::imencode(".jpg", image, result.jpeg, {cv::IMWRITE_JPEG_QUALITY, quality}))
        result = {{}, "it cannot be written as JPEG"};
    return result;
}

class Folder
{
public:
    Folder(const std::string& name, uint32_t number, const fs::path& out)
        : name_(name), out_(out / std::to_string(number)), data_(train::listImages({name})),
          order_(train::epochOrder(1, number, static_cast<int>(data_.paths.size())))
    {
        fs::create_directories(out_);
    }

    /// The next readable image; null when there are no more.
    const Small* next(int side)
    {
        while (true)
        {
            for (; place_ < ready_.size(); ++place_)
            {
                if (!ready_[place_].jpeg.empty())
                    return &ready_[place_];
                ++unreadable_;
                std::cerr << "skipped " << path(first_ + place_) << ": " << ready_[place_].reason << std::endl;
            }
            first_ += ready_.size();
            place_ = 0;
            ready_.assign(std::min<size_t>(atOnce, order_.size() - first_), Small());
            if (ready_.empty())
                return nullptr;
            cv::parallel_for_(cv::Range(0, static_cast<int>(ready_.size())), [&](const cv::Range& range)
            {
                for (int i = range.start; i < range.end; ++i)
                    ready_[static_cast<size_t>(i)] = reduced(path(first_ + static_cast<size_t>(i)), side);
            });
        }
    }

    void write()
    {
        const std::vector<uchar>& jpeg = ready_[place_++].jpeg;
        char name[32];
        std::snprintf(name, sizeof(name), "%06zu.jpg", written_++);
        std::ofstream file(out_ / name, std::ios::binary);
        file.write(reinterpret_cast<const char*>(jpeg.data()), static_cast<std::streamsize>(jpeg.size()));
        file.close();
        if (!file)
            throw std::runtime_error((out_ / name).string() + ": cannot be written");
        bytes_ += jpeg.size();
    }

    void report() const
    {
        std::cout << nlohmann::json{{"folder", name_}, {"images", order_.size()}, {"written", written_},
                                    {"unreadable", unreadable_}, {"bytes", bytes_}}.dump(
                         -1, ' ', false, nlohmann::json::error_handler_t::replace)
                  << std::endl;
    }

private:
    const std::string& path(size_t place) const { return data_.paths[static_cast<size_t>(order_[place])]; }

    const std::string name_;
    const fs::path out_;
    const train::Dataset data_;
    const std::vector<int> order_;
    std::vector<Small> ready_;   ///< images from first_ on, in order_
    size_t first_ = 0, place_ = 0, written_ = 0, unreadable_ = 0, bytes_ = 0;
};

int positive(const std::string& text)
{
    size_t used = 0;
    const int value = std::stoi(text, &used);
    if (used != text.size() || value < 1)
        throw std::invalid_argument(text);
    return value;
}

}  // namespace

int main(int argc, char** argv)
try
{
    const std::vector<std::string> words(argv + 1, argv + argc);
    int side = 0, left = 0;
    try
    {
        side = positive(words.at(0));
        left = positive(words.at(1));
        words.at(3);
    }
    catch (const std::logic_error&)
    {
        std::cerr << "usage: ltrp_small_photos SIDE BYTES OUT FOLDER...; SIDE and BYTES are whole numbers above 0" << std::endl;
        return 2;
    }
    std::vector<std::unique_ptr<Folder>> folders;
    for (size_t i = 3; i < words.size(); ++i)
        folders.emplace_back(new Folder(words[i], static_cast<uint32_t>(i - 3), words[2]));
    std::vector<Folder*> sources;
    for (const auto& folder : folders)
        sources.push_back(folder.get());
    bool room = true;
    while (room && !sources.empty())
        for (size_t i = 0; room && i < sources.size();)
        {
            const Small* const photo = sources[i]->next(side);
            if (!photo)
            {
                sources.erase(sources.begin() + static_cast<std::ptrdiff_t>(i));
                continue;
            }
            room = photo->jpeg.size() <= static_cast<size_t>(left);
            if (!room)
                break;
            left -= static_cast<int>(photo->jpeg.size());
            sources[i++]->write();
        }
    for (const auto& folder : folders)
        folder->report();
    return 0;
}
catch (const std::exception& error)
{
    std::cerr << error.what() << std::endl;
    return 1;
}
