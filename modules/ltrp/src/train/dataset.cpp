// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dataset.hpp"
#include "../image/preprocess.hpp"
#include "../io/checksum.hpp"

#include <filesystem>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

Dataset datasetOf(const image::PhotoList& list, const std::vector<std::string>& labels)
{
    Dataset dataset;
    io::Crc32 crc;
    for (size_t i = 0; i < list.photos.size(); i++)
    {
        const image::PhotoEntry& entry = list.photos[i];
        std::error_code error;
        const bool alone = entry.place.shard < 0;
        const uintmax_t bytes = alone ? fs::file_size(entry.path, error) : static_cast<uintmax_t>(entry.place.bytes);
        crc.add(entry.name + "\n" + (error ? std::string("absent") : std::to_string(bytes)) + "\n");
        if (!labels.empty())
            crc.add(labels[i] + "\n");
        dataset.paths.push_back(entry.path);
        if (!list.shards.empty())
            dataset.places.push_back(entry.place);
    }
    dataset.fingerprint = crc.value();
    dataset.lists = list.lists;
    dataset.left = list.left;
    dataset.shards = list.shards;
    dataset.skipped = list.skipped;
    return dataset;
}

Dataset listImages(const std::vector<std::string>& data)
{
    LTRP_REQUIRE(!data.empty(), Error::StsBadArg, "no data: name at least one folder, image or list file");
    image::PhotoList list;
    list.takesShards = true;
    for (const std::string& argument : data)
        image::addArgument(argument, std::string(), list);
    LTRP_REQUIRE(list.photos.size() <= size_t(INT32_MAX), Error::StsBadArg, "data: " << list.photos.size()
                 << " images, at most " << INT32_MAX << " can be told apart");
    return datasetOf(list, {});
}

std::vector<int> Dataset::groups() const
{
    std::vector<int> first;
    const int count = static_cast<int>(places.size());
    for (int i = 0; i < count && count > shuffleWindow; i++)
        if (i == 0 || place(i).shard < 0 || place(i).shard != place(i - 1).shard)
            first.push_back(i);
    return first;
}

std::string orderText(const Dataset& dataset)
{
    const std::vector<int> groups = dataset.groups();
    if (groups.empty())
        return std::string();
    io::Crc32 crc;
    for (const int first : groups)
        crc.add(std::to_string(first) + "\n");
    return ", read by shards " + crc.text();
}

Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction, bool checked)
{
    Dataset one;
    one.paths.push_back(path);
    return readImage(one, 0, reason, reduction, checked);
}

Mat readImage(const Dataset& dataset, int image, std::string& reason, const Reduction& reduction, bool checked)
{
    Mat rgb;
    reason.clear();
    try
    {
        image::PhotoOptions options;
        options.reduction = reduction;
        options.checked = checked;
        const std::vector<uchar> bytes =
            image::readPhotoBytes(dataset.paths[static_cast<size_t>(image)], dataset.place(image), dataset.shards);
        const Mat decoded = image::decodePhoto(bytes, options, reason);
        image::toRgb8(decoded, rgb);
    }
    catch (const cv::Exception& e)
    {
        reason = e.err;
        return Mat();
    }
    catch (const std::exception& e)
    {
        reason = e.what();
        return Mat();
    }
    return rgb;
}

}}}  // namespace
