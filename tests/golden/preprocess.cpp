// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"

#include "case.hpp"

#include "image/preprocess.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>

namespace golden
{

using namespace cv::ltrp;

namespace
{

/// A photo, its resized crop and the normalised tensor.
class PreprocessRunner : public Runner
{
public:
    PreprocessRunner(const Case& c, Report& report) : Runner(c, report)
    {
        side_ = c.size("crop");
        const int shorter = c.size("resize_shorter_side");
        const int own = side_ <= 224 ? static_cast<int>(side_ * 256.0 / 224.0) : side_;
        if (shorter != own)
            throw std::runtime_error(c.path("case.json") + ": config.resize_shorter_side is " +
                                     std::to_string(shorter) + ", for a crop of " + std::to_string(side_) + " it is " +
                                     std::to_string(own));
        input_.imageSize = side_;
        colour("mean", input_.mean);
        colour("std", input_.std);
    }

    Values compute(const Entry& entry) override
    {
        const std::vector<std::string> parts = splitName(entry.name);
        if (parts.size() != 2 || parts[1] != "tensor" || numberAfter(parts[0], "photo_") < 0)
            unknown(entry);
        Values tensor = floatValues({3, side_, side_});
        image::normalise(crop(parts[0]), input_, tensor.floats.data());
        return tensor;
    }

    /// The tensor's tolerance assumes an identical resize; where ours differs by one 8-bit level, one level is allowed.
    void compare(const Entry& entry, const Values& want, const Values& got) override
    {
        const std::string photo = splitName(entry.name)[0];
        const cv::Mat ours = crop(photo), recorded = expectedCrop(photo);
        const double abs = toleranceNumber(entry, "abs"), rel = toleranceNumber(entry, "rel");
        const size_t plane = static_cast<size_t>(side_) * side_;
        size_t levels = 0;
        std::vector<float> allowed(want.count());
        for (size_t i = 0; i < want.count() && want.count() == 3 * plane; i++)
        {
            const size_t channel = i / plane, at = i % plane * 3 + channel;
            const bool differs = ours.ptr()[at] != recorded.ptr()[at];
            levels += differs;
            allowed[i] = static_cast<float>(abs + rel * std::abs(want.floats[i]) +
                                            (differs ? 1 / (255 * input_.std[channel]) : 0.0));
        }
        std::ostringstream tolerance;
        tolerance << abs << (levels ? " or, at the " + std::to_string(levels) + " values whose pixel differs, one level"
                                    : std::string());
        report_.compare(entry.name, want, got, [&allowed](size_t i) { return allowed[i]; }, tolerance.str());
    }

    void further() override
    {
        report_.onCpu("all of it, the reading and resizing of photos");
        const Json& json = case_.json();
        if (!json.contains("photos") || !json["photos"].is_object())
            throw std::runtime_error(case_.path("case.json") + ": key 'photos' is missing or no object");
        for (const auto& item : json["photos"].items())
        {
            try
            {
                compareCrop(item.key(), item.value());
            }
            catch (const std::exception& error)
            {
                report_.failed(item.key() + " crop", error.what());
            }
        }
    }

private:
    void colour(const char* key, double* out) const
    {
        const Json& list = case_.config(key);
        if (!list.is_array() || list.size() != 3 || !list[0].is_number() || !list[1].is_number() ||
            !list[2].is_number())
            throw std::runtime_error(case_.path("case.json") + ": config." + key + " must be a list of 3 numbers");
        for (size_t i = 0; i < 3; i++)
            out[i] = list[i].get<double>();
    }

    cv::Mat picture(const std::string& name) const
    {
        const std::string path = case_.path(name + ".png");
        const cv::Mat bgr = cv::imread(path, cv::IMREAD_COLOR);
        if (bgr.empty())
            throw std::runtime_error(path + ": cannot be read as a picture");
        cv::Mat rgb;
        image::toRgb8(bgr, rgb);
        return rgb;
    }

    const cv::Mat& crop(const std::string& photo)
    {
        cv::Mat& result = crops_[photo];
        if (result.empty())
            image::centreCrop(picture(photo), side_, result);
        return result;
    }

    cv::Mat expectedCrop(const std::string& photo) const
    {
        const std::string name = "expected_crop_" + photo.substr(photo.find('_') + 1);
        const cv::Mat recorded = picture(name);
        if (recorded.size() != cv::Size(side_, side_) || !recorded.isContinuous())
            throw std::runtime_error(case_.path(name + ".png") + ": not " + std::to_string(side_) + "x" +
                                     std::to_string(side_) + " pixels");
        return recorded;
    }

    /// "max 1 level, mean 0.01" is the case's tolerance for this kind of resize.
    void compareCrop(const std::string& photo, const Json& description)
    {
        if (numberAfter(photo, "photo_") < 0)
            throw std::runtime_error(case_.path("case.json") + ": photo '" + photo + "' is not called photo_NUMBER");
        double most = 1;
        const char* group = "difference_in_8bit_levels";
        const char* method = "antialiased_cubic_two_pass";
        if (description.is_object() && description.contains(group) && description[group].is_object() &&
            description[group].contains(method) && description[group][method].is_object() &&
            description[group][method].contains("max") && description[group][method]["max"].is_number())
            most = description[group][method]["max"].get<double>();
        const cv::Mat &ours = crop(photo), recorded = expectedCrop(photo);
        cv::Mat difference;
        cv::absdiff(ours, recorded, difference);
        const double largest = cv::norm(difference, cv::NORM_INF);
        const double mean = cv::norm(difference, cv::NORM_L1) / static_cast<double>(difference.total() * 3);
        const int differing = cv::countNonZero(difference.reshape(1));
        std::ostringstream text;
        text << "largest " << largest << ", mean " << mean << " levels, " << differing
             << " values differ; tolerance largest " << most << ", mean 0.01";
        if (largest <= most && mean <= 0.01)
            report_.passed(photo + " crop", text.str());
        else
            report_.failed(photo + " crop", text.str());
    }

    int side_ = 0;
    vit::InputConfig input_;
    std::map<std::string, cv::Mat> crops_;
};

}  // namespace

std::unique_ptr<Runner> makePreprocessRunner(const Case& c, Report& report)
{
    return std::unique_ptr<Runner>(new PreprocessRunner(c, report));
}

}  // namespace
