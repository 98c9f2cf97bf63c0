// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Labelled data: index PNGs, JSON files as COCO's and CSV files, told apart by the first bytes.

#include "fuzz.hpp"
#include "fuzz_folder.hpp"
#include "../png_bytes.hpp"
#include "image/photo_file.hpp"
#include "train/dataset.hpp"
#include "train/label_images.hpp"

#include <opencv2/imgcodecs.hpp>

#include <fstream>

using namespace cv::ltrp;

namespace
{

void write(const std::string& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A grey PNG of 8 bits, which OpenCV reads without a palette, has these very values.
void readLabels(const std::string& bytes)
{
    const std::string path = folder().file("x.png");
    write(path, bytes);
    const cv::Mat labels = train::readIndexPng(path);
    if (labels.type() != CV_8UC1 || labels.empty())
        std::abort();
    if (bytes[24] != 8 || bytes[25] != 0)
        return;
    const cv::Mat grey = cv::imread(path, cv::IMREAD_UNCHANGED);
    if (grey.empty() || (grey.type() == CV_8UC1 && (grey.size() != labels.size() || cv::norm(grey, labels, cv::NORM_INF) != 0)))
        std::abort();
}

void readList(const std::string& bytes, const char* name, vit::Task task)
{
    const std::string path = folder().file(name);
    write(path, bytes);
    const train::Dataset data = train::listLabelled({path, task, std::string()});
    if (data.classes.size() < 2 || data.paths.empty())
        std::abort();
    std::vector<std::vector<int>> all = data.labelSets;
    all.push_back(data.labels);
    for (const std::vector<int>& labels : all)
        for (const int label : labels)
            if (label < 0 || static_cast<size_t>(label) >= data.classes.size())
                std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    image::setMaxPixels(1 << 20);
    for (const char* name : {"a.png", "b.png"})   // what the lists name
        if (!std::ifstream(folder().file(name)))
            write(folder().file(name), png_bytes::square(2, 8, 0, std::string(6, '\0')));
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    try
    {
        if (bytes.compare(0, 4, "\x89PNG") == 0)
            readLabels(bytes);
        else if (bytes.compare(0, 1, "{") == 0)
            readList(bytes, "x.json", vit::Task::Multilabel);
        else
            readList(bytes, "x.csv", vit::Task::Classify);
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
    return 0;
}

std::vector<std::string> fuzzSeeds()
{
    return {png_bytes::square(2, 8, 3, std::string("\0\0\1\0\3\2", 6)), png_bytes::square(2, 8, 0, std::string("\0\0\1\0\3\2", 6)),
            png_bytes::square(2, 2, 0, std::string("\0\x10\0\xe0", 4)),
            R"({"images":[{"id":1,"file_name":"a.png"},{"id":2,"file_name":"b.png"}],"categories":[{"id":3,"name":"c"},{"id":4,"name":"d"}],)"
            R"("annotations":[{"image_id":1,"category_id":3,"bbox":[1,2,3,4]},{"image_id":2,"category_id":4}]})",
            "a.png,c\nb.png,\"d\"\n"};
}
