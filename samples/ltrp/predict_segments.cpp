// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What 'ltrp predict' says of the classes of an image's pixels.
#include "../../modules/ltrp/src/precomp.hpp"

#include "predict_output.hpp"

#include "../eval/segmentation.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "../../modules/ltrp/src/vit/label_map.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>

namespace tool
{

using namespace cv::ltrp;
namespace fs = std::filesystem;

namespace
{

class SegmentOutput : public PredictOutput
{
public:
    explicit SegmentOutput(const PredictSetup& setup) : setup_(setup), segmentation_(static_cast<int>(setup.run.classes().size()))
    {
        nameMasks();
    }

    cv::Mat truth(size_t index, cv::Size size) const override
    {
        if (!setup_.labelled)
            return cv::Mat();
        const cv::Mat labels = setup_.data.labelImages.read(static_cast<int>(index), size);
        LTRP_REQUIRE(labels.size() == size, cv::Error::StsBadArg, setup_.data.labelImages.files[index] << ": the labels are " << labels.cols
                     << "x" << labels.rows << " pixels, their image " << size.width << "x" << size.height);
        return labels;
    }

    void add(const Answer& answer) override
    {
        const std::vector<std::string>& classes = setup_.run.classes();
        const cv::Size grid = setup_.run.grid();
        const cv::Mat map = vit::labelMap(vit::fillGrid(answer.values, answer.image.patches, grid), grid, answer.size);
        if (!masks_.empty())
        {
            const fs::path file(masks_[answer.index]);
            fs::create_directories(file.parent_path());
            writeImage(file.string(), map);
        }
        double accuracy = -1;
        if (!answer.truth.empty())
        {
            segmentation_.add(answer.truth, map);
            eval::Segmentation own(static_cast<int>(classes.size()));
            own.add(answer.truth, map);
            accuracy = eval::Segmentation::pixelAccuracy(own.classes());
        }
        std::array<int64_t, 256> pixels = {};
        for (int y = 0; y < map.rows; ++y)
            for (int x = 0; x < map.cols; ++x)
                ++pixels[map.at<uchar>(y, x)];
        std::vector<size_t> order;
        for (size_t c = 0; c < classes.size(); ++c)
            if (pixels[c] > 0)
                order.push_back(c);
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return pixels[a] > pixels[b]; });
        if (setup_.top > 0 && order.size() > setup_.top)
            order.resize(setup_.top);
        const auto share = [&](size_t c) { return static_cast<float>(static_cast<double>(pixels[c]) / static_cast<double>(map.total())); };
        if (!setup_.json.wanted())
        {
            std::cout << io::harmless(answer.path) << ":";
            for (const size_t c : order)
            {
                char text[32];
                std::snprintf(text, sizeof text, " %.4f", static_cast<double>(share(c)));
                std::cout << (c == order[0] ? " " : ", ") << io::harmless(classes[c]) << text;
            }
            if (accuracy >= 0)
            {
                char text[48];
                std::snprintf(text, sizeof text, "  (%.4f of the pixels right)", accuracy);
                std::cout << text;
            }
            std::cout << '\n';
            return;
        }
        Json entry = imageJson(answer);
        entry["classes"] = Json::array();
        for (const size_t c : order)
            entry["classes"].push_back({{"class", classes[c]}, {"share", shortNumber(share(c))}});
        if (!masks_.empty())
            entry["mask"] = nameJson(masks_[answer.index]);
        if (accuracy >= 0)
            entry["pixel_accuracy"] = accuracy;
        addKept(entry, answer, grid);
        setup_.json.add(entry);
    }

    size_t measured() const override { return segmentation_.images(); }

    void addMeasures(Json& report) const override
    {
        const std::vector<eval::Segmentation::OfClass> each = segmentation_.classes();
        report["miou"] = eval::Segmentation::meanIou(each);
        report["miou_error"] = segmentation_.errorOf(eval::Segmentation::meanIou);
        report["pixel_accuracy"] = eval::Segmentation::pixelAccuracy(each);
        report["pixel_accuracy_error"] = segmentation_.errorOf(eval::Segmentation::pixelAccuracy);
        report["classes"] = Json::array();
        for (size_t i = 0; i < each.size(); ++i)
        {
            report["classes"].push_back({{"class", setup_.run.classes()[i]}, {"labelled", each[i].labelled},
                                         {"answered", each[i].answered}, {"right", each[i].right}});
            if (each[i].labelled > 0)
                report["classes"].back()["iou"] = each[i].iou();
        }
    }

    std::string text() const override
    {
        const std::vector<eval::Segmentation::OfClass> each = segmentation_.classes();
        char text[256];
        std::snprintf(text, sizeof text, "mIoU %.4f +- %.4f (%zu images), pixel accuracy %.4f +- %.4f", eval::Segmentation::meanIou(each),
                      segmentation_.errorOf(eval::Segmentation::meanIou), segmentation_.images(),
                      eval::Segmentation::pixelAccuracy(each), segmentation_.errorOf(eval::Segmentation::pixelAccuracy));
        return text;
    }

private:
    /// Where the index images go: the images' names with .png.
    void nameMasks()
    {
        if (setup_.masks.empty())
            return;
        std::map<std::string, std::string> taken;
        for (const std::string& path : setup_.data.paths)
        {
            fs::path name = fs::path(path).filename();
            if (!setup_.root.empty())
                name = fs::path(path).lexically_relative(setup_.root);
            const std::string file = (fs::path(setup_.masks) / name.replace_extension(".png")).string();
            const auto added = taken.emplace(file, path);
            if (!added.second)
                throw std::runtime_error("--masks: " + added.first->second + " and " + path + " would both be " + file);
            checkOutputFile(file, "--masks");
            masks_.push_back(file);
        }
    }

    const PredictSetup setup_;
    eval::Segmentation segmentation_;
    std::vector<std::string> masks_;
};

}  // namespace

std::unique_ptr<PredictOutput> segmentOutput(const PredictSetup& setup)
{
    return std::unique_ptr<PredictOutput>(new SegmentOutput(setup));
}

const std::vector<Measure>& measuresOf(vit::Task task)
{
    static const std::vector<Measure> classify = {{"accuracy", "accuracy"}, {"class_mean", "mean of classes"}};
    static const std::vector<Measure> multilabel = {{"map", "mAP"}};
    static const std::vector<Measure> segment = {{"miou", "mIoU"}, {"pixel_accuracy", "pixel accuracy"}};
    return task == vit::Task::Segment ? segment : task == vit::Task::Multilabel ? multilabel : classify;
}

std::unique_ptr<PredictOutput> makeOutput(const PredictSetup& setup)
{
    const vit::Task task = setup.run.task();
    if (!setup.masks.empty() && task != vit::Task::Segment)
        throw UsageError(std::string("--masks: goes with networks of task segment, this one's task is ") + vit::taskName(task));
    return task == vit::Task::Segment ? segmentOutput(setup) : task == vit::Task::Multilabel ? labelsOutput(setup) : classOutput(setup);
}

Json imageJson(const Answer& answer)
{
    Json entry = Json::object();
    entry["image"] = nameJson(answer.path);
    entry["width"] = answer.size.width;
    entry["height"] = answer.size.height;
    return entry;
}

void addKept(Json& entry, const Answer& answer, cv::Size grid)
{
    entry["grid"] = {grid.height, grid.width};
    entry["keep"] = answer.image.patches;
}

}  // namespace tool
