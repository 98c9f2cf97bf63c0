// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "prompt_writer.hpp"

#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/draw.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

namespace tool
{

namespace fs = std::filesystem;

namespace
{

// cv::boundingRect() and cv::contourArea() are in another module since OpenCV 5.

cv::Rect boxAround(const std::vector<cv::Point>& points)
{
    cv::Rect box;
    for (const cv::Point& point : points)
        box |= cv::Rect(point, cv::Size(1, 1));
    return box;
}

double areaOf(const std::vector<cv::Point>& polygon)
{
    double twice = 0;
    for (size_t i = 0; i < polygon.size(); i++)
        twice += cv::Point2d(polygon[i]).cross(polygon[(i + 1) % polygon.size()]);
    return std::abs(twice) / 2;
}

const char* const FORMATS[] = {"plain", "coco", "labelme"};
const char* const LABEL = "ranked";

Json pairOf(const cv::Point& point)
{
    return {point.x, point.y};
}

Json pairsOf(const std::vector<cv::Point>& points)
{
    Json list = Json::array();
    for (const cv::Point& point : points)
        list.push_back(pairOf(point));
    return list;
}

Json flat(const std::vector<cv::Point>& points)
{
    Json list = Json::array();
    for (const cv::Point& point : points)
    {
        list.push_back(point.x);
        list.push_back(point.y);
    }
    return list;
}

Json boxOf(const cv::Rect& box)
{
    return {box.x, box.y, box.width, box.height};
}

/// Score of the patch that a pixel belongs to.
float scoreAt(const cv::ltrp::PatchRanking& ranking, const cv::Point& point)
{
    const cv::Size grid = ranking.grid();
    for (int row = 0; row < grid.height; ++row)
        if (ranking.rect(row * grid.width).br().y > point.y)
            for (int column = 0; column < grid.width; ++column)
                if (ranking.rect(column).br().x > point.x)
                    return ranking.scores.at<float>(row, column);
    throw std::logic_error("a point lies outside the photo");
}

int64_t pixelsOf(const cv::ltrp::PatchRegion& region, const cv::ltrp::PatchRanking& ranking)
{
    int64_t pixels = 0;
    for (int patch : region.patches)
        pixels += ranking.rect(patch).area();
    return pixels;
}

Json labelmeShape(const char* type, const std::vector<cv::Point>& points)
{
    Json shape = Json::object();
    shape["label"] = LABEL;
    shape["points"] = pairsOf(points);
    shape["group_id"] = nullptr;
    shape["shape_type"] = type;
    shape["flags"] = Json::object();
    return shape;
}

}  // namespace

cv::Mat drawable(const cv::Mat& photo)
{
    const cv::Mat picture = toEightBit(photo);
    cv::Mat drawn;
    cv::ltrp::drawKept(picture, cv::Size(1, 1), {0}, drawn);   // a single patch, kept
    return drawn;
}

void PromptWriter::addOptions(po::options_description& options)
{
    // clang-format off
    options.add_options()
        ("json", po::value<std::string>()->value_name("FILE|DIR"),
            "write the result; - is stdout. With --format labelme a file for one image, a folder for several")
        ("format", po::value<std::string>()->value_name("NAME")->default_value("plain"),
            "plain; coco: a COCO annotation file; labelme: one labelme file per image, NAME.json")
        ("overwrite", po::bool_switch(), "replace labelme files that exist; the annotations in them are lost");
    // clang-format on
}

PromptWriter::PromptWriter(const po::variables_map& values, const std::vector<std::string>& inputs)
    : format_(static_cast<Format>(wordOption(values, "format", FORMATS)))
{
    if (!values.count("json"))
    {
        if (format_ != Plain)
            throw UsageError("--format goes with --json");
        return;
    }
    path_ = values["json"].as<std::string>();
    if (path_.empty())
        throw UsageError("--json: empty name");
    const auto check = [&](const std::string& file)
    {
        std::error_code error;
        if (format_ == Labelme && !isStream(file) && !values["overwrite"].as<bool>() && fs::exists(file, error))
            throw std::runtime_error(file + ": exists and may hold annotations; --overwrite replaces it");
        checkTextOutput(file, "--json");
    };
    std::error_code error;
    const bool folder = path_.back() == '/' || fs::is_directory(path_, error);
    if (format_ != Labelme || !folder)
    {
        if (format_ == Labelme && inputs.size() != 1)
            throw UsageError("--json: " + path_ + " names a file, but labelme has one for each of " +
                             std::to_string(inputs.size()) + " images: name a folder, with / at its end");
        check(path_);
        files_.push_back(path_);
        return;
    }
    std::set<std::string> taken;
    for (const std::string& input : inputs)
    {
        const std::string stem = input == "-" ? "stdin" : fs::path(input).stem().string();
        std::string name = stem;
        for (int n = 2; !taken.insert(name).second; ++n)
            name = stem + "_" + std::to_string(n);
        files_.push_back((fs::path(path_) / (name + ".json")).string());
        check(files_.back());
    }
}

void PromptWriter::add(const RankedPhoto& photo, const char* name, const Json& own)
{
    Json entry = photoJson(photo);
    entry[name] = own;
    entries_.push_back(entry);
}

size_t PromptWriter::addImage(const RankedPhoto& photo)
{
    Json image = Json::object();
    image["id"] = images_.size() + 1;
    image["file_name"] = nameJson(photo.path);
    image["width"] = photo.ranking.imageSize.width;
    image["height"] = photo.ranking.imageSize.height;
    images_.push_back(image);
    return images_.size();
}

void PromptWriter::addAnnotation(size_t image, Json annotation)
{
    annotation["id"] = annotations_.size() + 1;
    annotation["image_id"] = image;
    annotation["category_id"] = 1;
    annotation["iscrowd"] = 0;
    annotations_.push_back(annotation);
}

void PromptWriter::writeLabelme(const RankedPhoto& photo, const Json& shapes)
{
    const std::string file = files_.at(files_.size() == 1 ? 0 : photo.input);
    std::string image = photo.path;
    if (!isStream(file) && image != "-")   // labelme resolves the image's path relative to its own file
    {
        const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
        image = fs::absolute(image).lexically_normal().lexically_relative(folder).string();
    }
    Json document = Json::object();
    document["version"] = "5.0.0";
    document["flags"] = Json::object();
    document["shapes"] = shapes;
    document["imagePath"] = nameJson(image);
    document["imageData"] = nullptr;
    document["imageHeight"] = photo.ranking.imageSize.height;
    document["imageWidth"] = photo.ranking.imageSize.width;
    writeJson(file, document);
}

void PromptWriter::addPoints(const RankedPhoto& photo, const std::vector<cv::Point>& points)
{
    if (format_ == Labelme)
    {
        Json shapes = Json::array();
        for (const cv::Point& point : points)
            shapes.push_back(labelmeShape("point", {point}));
        return writeLabelme(photo, shapes);
    }
    if (format_ == Coco)
    {
        const cv::Rect box = boxAround(points);
        Json annotation, keypoints = Json::array();
        for (const cv::Point& point : points)
            for (int value : {point.x, point.y, 2})   // 2: labelled and visible
                keypoints.push_back(value);
        annotation["keypoints"] = keypoints;
        annotation["num_keypoints"] = points.size();
        annotation["bbox"] = boxOf(box);
        annotation["area"] = box.area();
        while (keypoints_.size() < points.size())
            keypoints_.push_back("point_" + std::to_string(keypoints_.size() + 1));
        return addAnnotation(addImage(photo), annotation);
    }
    Json own = Json::array();
    for (const cv::Point& point : points)
    {
        Json one = Json::object();
        one["point"] = pairOf(point);
        one["score"] = shortNumber(scoreAt(photo.ranking, point));
        own.push_back(one);
    }
    add(photo, "points", own);
}

void PromptWriter::addRegions(const RankedPhoto& photo, const std::vector<cv::ltrp::PatchRegion>& regions)
{
    Json own = Json::array(), shapes = Json::array();
    const size_t image = format_ == Coco ? addImage(photo) : 0;
    for (const cv::ltrp::PatchRegion& region : regions)
    {
        if (format_ == Labelme)
            shapes.push_back(labelmeShape("polygon", region.outline));
        else if (format_ == Coco)
        {
            Json annotation = Json::object();
            annotation["bbox"] = boxOf(region.box);
            annotation["area"] = areaOf(region.outline);
            annotation["segmentation"] = Json::array({flat(region.outline)});
            annotation["score"] = region.score;
            addAnnotation(image, annotation);
        }
        else
        {
            Json one = Json::object();
            one["box"] = boxOf(region.box);
            one["polygon"] = pairsOf(region.outline);
            one["holes"] = Json::array();
            for (const std::vector<cv::Point>& hole : region.holes)
                one["holes"].push_back(pairsOf(hole));
            one["patches"] = region.patches;
            one["area"] = pixelsOf(region, photo.ranking);
            one["score"] = region.score;
            own.push_back(one);
        }
    }
    if (format_ == Labelme)
        writeLabelme(photo, shapes);
    else if (format_ == Plain)
        add(photo, "regions", own);
}

void PromptWriter::finish()
{
    if (format_ == Plain)
        writeJsonList(path_, entries_);
    else if (format_ == Coco)
    {
        Json category = Json::object(), document = Json::object();
        category["id"] = 1;
        category["name"] = LABEL;
        if (!keypoints_.empty())
        {
            category["keypoints"] = keypoints_;
            category["skeleton"] = Json::array();
        }
        document["images"] = images_;
        document["annotations"] = annotations_;
        document["categories"] = Json::array({category});
        writeJson(path_, document);
    }
}

}  // namespace tool
