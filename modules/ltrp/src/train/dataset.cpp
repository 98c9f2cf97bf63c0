// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dataset.hpp"
#include "checksum.hpp"
#include "../image/preprocess.hpp"

#include <filesystem>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;

Dataset datasetOf(const image::PhotoList& list, const std::vector<std::string>& labels)
{
    Dataset dataset;
    Crc32 crc;
    for (size_t i = 0; i < list.photos.size(); i++)
    {
        const image::PhotoEntry& entry = list.photos[i];
        std::error_code error;
        const uintmax_t bytes = fs::file_size(entry.path, error);
        crc.add(entry.name + "\n" + (error ? std::string("absent") : std::to_string(bytes)) + "\n");
        if (!labels.empty())
            crc.add(labels[i] + "\n");
        dataset.paths.push_back(entry.path);
    }
    dataset.fingerprint = crc.value();
    dataset.lists = list.lists;
    dataset.left = list.left;
    return dataset;
}

Dataset listImages(const std::vector<std::string>& data)
{
    LTRP_REQUIRE(!data.empty(), Error::StsBadArg, "no data: name at least one folder, image or list file");
    image::PhotoList list;
    for (const std::string& argument : data)
        image::addArgument(argument, std::string(), list);
    LTRP_REQUIRE(list.photos.size() <= size_t(INT32_MAX), Error::StsBadArg, "data: " << list.photos.size()
                 << " images, at most " << INT32_MAX << " can be told apart");
    return datasetOf(list, {});
}

Mat readImage(const std::string& path, std::string& reason, const Reduction& reduction, bool checked)
{
    Mat rgb;
    reason.clear();
    try
    {
        image::PhotoOptions options;
        options.reduction = reduction;
        options.checked = checked;
        const Mat decoded = image::readPhotoFile(path, options, reason);
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
