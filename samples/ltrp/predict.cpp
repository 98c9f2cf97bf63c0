// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "classifier_run.hpp"
#include "commands.hpp"
#include "photos.hpp"
#include "read_ahead.hpp"
#include "selector_options.hpp"

#include "../eval/accuracy.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "../../modules/ltrp/src/select/top_k.hpp"
#include "../../modules/ltrp/src/train/dataset.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp predict MODEL IMAGES... [options]",
    "Classifies images with a network that 'ltrp finetune' trained, which sees only the kept patches. IMAGES: images,\n"
    "folders or list files. With --labels, IMAGES is labelled data as for 'ltrp finetune' (a folder with a folder for\n"
    "each class, or a CSV file), and the accuracy is measured: over all images, and the mean over classes, each with\n"
    "its standard error over the images.\n",
    "Examples:\n"
    "  ltrp predict runs/all/final.safetensors photo.jpg\n"
    "  ltrp predict runs/quarter/final.safetensors photos/ --keep 0.25 --json classes.json\n"
    "  ltrp predict runs/quarter/final.safetensors test/ --labels --keep 0.25 --selector centre --report centre.json\n"
    "\n"
    "JSON of an image: {\"image\", \"width\", \"height\", \"class\", \"probability\", \"top\": [{\"class\", \"probability\"}, ...],\n"
    "\"grid\": [rows, columns], \"keep\": [patch, ...]}, with --labels also \"label\". An image that cannot be read is named\n"
    "and skipped; the exit status is then 1.\n"};

/// The answers of a run that has labels, and what follows from them.
class Report
{
public:
    explicit Report(const std::vector<std::string>& classes) : classes_(classes) {}
    void add(int label, int answer)
    {
        labels_.push_back(label);
        answers_.push_back(answer);
    }
    bool empty() const { return labels_.empty(); }
    /// failed: so many images have no answer
    Json json(size_t failed) const
    {
        const eval::Accuracy accuracy = measured();
        Json result = Json::object();
        result["images"] = accuracy.images;
        result["failed"] = failed;
        result["accuracy"] = accuracy.overall;
        result["accuracy_error"] = accuracy.overallError;
        result["class_mean"] = accuracy.classMean;
        result["class_mean_error"] = accuracy.classMeanError;
        result["classes"] = Json::array();
        for (size_t i = 0; i < classes_.size(); ++i)
            result["classes"].push_back({{"class", classes_[i]}, {"images", accuracy.classes[i].images},
                                         {"right", accuracy.classes[i].right}});
        return result;
    }
    std::string text() const
    {
        const eval::Accuracy accuracy = measured();
        char text[256];
        std::snprintf(text, sizeof text, "accuracy %.4f +- %.4f (%d of %d images), mean of classes %.4f +- %.4f", accuracy.overall,
                      accuracy.overallError, accuracy.right, accuracy.images, accuracy.classMean, accuracy.classMeanError);
        return text;
    }

private:
    eval::Accuracy measured() const { return eval::accuracyOf(labels_, answers_, static_cast<int>(classes_.size())); }

    const std::vector<std::string>& classes_;
    std::vector<int> labels_, answers_;
};

struct Output
{
    JsonOutput json;
    size_t top;
    Report report;
    const std::vector<std::string>& classes;
    cv::Size grid;

    /// label: -1 without
    void add(const std::string& path, cv::Size size, const ClassifierRun::Prepared& image, const cv::Mat& probabilities, int label)
    {
        const float* values = probabilities.ptr<float>();
        const std::vector<int> best = select::topK(values, classes.size(), std::min(top, classes.size()));
        if (label >= 0)
            report.add(label, best[0]);
        const auto name = [&](int number) -> const std::string& { return classes[static_cast<size_t>(number)]; };
        if (!json.wanted())
        {
            std::cout << io::harmless(path) << ":";
            for (const int number : best)
            {
                char text[32];
                std::snprintf(text, sizeof text, " %.4f", static_cast<double>(values[number]));
                std::cout << (number == best[0] ? " " : ", ") << io::harmless(name(number)) << text;
            }
            if (label >= 0)
                std::cout << (label == best[0] ? "  (right)" : "  (is " + io::harmless(name(label)) + ")");
            std::cout << '\n';
            return;
        }
        Json entry = Json::object();
        entry["image"] = nameJson(path);
        entry["width"] = size.width;
        entry["height"] = size.height;
        entry["class"] = name(best[0]);
        entry["probability"] = shortNumber(values[best[0]]);
        entry["top"] = Json::array();
        for (const int number : best)
            entry["top"].push_back({{"class", name(number)}, {"probability", shortNumber(values[number])}});
        if (label >= 0)
            entry["label"] = name(label);
        entry["grid"] = {grid.height, grid.width};
        entry["keep"] = image.patches;
        json.add(entry);
    }
};

}  // namespace

int runPredict(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    double keep = 1;
    int top = 1, batch = 8;
    bool labelled = false;
    std::string reportFile;
    // clang-format off
    options.add_options()
        ("keep", po::value(&keep)->value_name("X")->default_value(keep, plain(keep)), "share of patches to keep, above 0 and up to 1");
    addSelectorOptions(options);
    options.add_options()
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "of random selections")
        ("top", po::value(&top)->value_name("N")->default_value(top), "classes to name for each image")
        ("labels", po::bool_switch(&labelled), "IMAGES is labelled data: measure the accuracy")
        ("report", po::value(&reportFile)->value_name("FILE"), "with --labels: write the accuracy, and images and right answers of "
            "each class, as JSON");
    JsonOutput::addOptions(options, "class, probability and kept patches");
    options.add_options()
        ("batch", po::value(&batch)->value_name("N")->default_value(batch), "images computed at a time, 1 to 1024")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addMaxPixels(options);
    addPrecision(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    std::vector<std::string> paths = positionals(values, "path", 2, "MODEL and IMAGES");
    const std::string model = paths[0];
    paths.erase(paths.begin());
    if (!(keep > 0 && keep <= 1))
        throw UsageError("--keep: " + plain(keep) + " is outside (0, 1]");
    if (top < 1)
        throw UsageError("--top: " + std::to_string(top) + " is below 1");
    if (batch < 1 || batch > 1024)
        throw UsageError("--batch: " + std::to_string(batch) + " is outside 1 to 1024");
    if (labelled && paths.size() != 1)
        throw UsageError("--labels: " + std::to_string(paths.size()) + " arguments after MODEL, expected one folder or CSV file");
    if (!labelled && values.count("report"))
        throw UsageError("--report goes with --labels");
    for (const char* option : {"json", "jsonl"})
        if (values.count(option) && !reportFile.empty() && values[option].as<std::string>() == reportFile)
            throw UsageError(std::string("--") + option + ", --report: both name " + reportFile);
    const std::vector<std::string> names = selectorNames(values, keep);
    if (names.size() != 1)
        throw UsageError("--selector: " + std::to_string(names.size()) + " names, expected one");
    const uint64_t seed = seedOption(values, "seed");
    applyThreads(values);
    applyMaxPixels(values);
    const int target = targetOption(values);

    ClassifierRun run(model, target, select::makeSelector(names[0], selectorModels(values, names, target)), keep);
    size_t failed = 0;
    train::Dataset data;
    if (labelled)
    {
        data = train::listLabelled(paths[0], run.classes());
        for (const std::string& photo : data.paths)
            rememberInput(photo);
    }
    else
        data.paths = expandImages(paths, std::string(), &failed);
    if (data.paths.empty())
        throw std::runtime_error(paths[0] + ": no image");
    for (const std::string& left : data.left)
    {
        complain(left);
        ++failed;
    }
    if (values.count("report"))
        checkTextOutput(reportFile, "--report", data.paths);
    if (!values.count("json") && !values.count("jsonl"))
        outputStream("-");
    Output output{JsonOutput(values), static_cast<size_t>(top), Report(run.classes()), run.classes(), run.grid()};

    Progress progress("predict: image", data.paths.size());
    ReadAhead reader(data.paths, static_cast<size_t>(batch));
    std::vector<ClassifierRun::Prepared> images;
    std::vector<std::pair<size_t, cv::Size>> which;
    for (size_t i = 0; i < data.paths.size(); ++i)
    {
        checkInterrupt();
        try
        {
            const cv::Mat photo = reader.next();
            checkPhotoSize(data.paths[i], photo.size(), run.grid());
            images.push_back(run.prepare(photo, drawOf(seed, data.paths[i])));
            which.emplace_back(i, photo.size());
        }
        catch (const std::exception& error)
        {
            complain(reason(error, data.paths[i]));
            ++failed;
        }
        if (images.size() == static_cast<size_t>(batch) || (i + 1 == data.paths.size() && !images.empty()))
        {
            const cv::Mat probabilities = run.run(images);
            for (size_t k = 0; k < images.size(); ++k)
                output.add(data.paths[which[k].first], which[k].second, images[k], probabilities.row(static_cast<int>(k)),
                           labelled ? data.labels[which[k].first] : -1);
            images.clear();
            which.clear();
        }
        progress.update(i + 1);
    }
    progress.hide();
    output.json.finish();
    if (labelled && !output.report.empty())
    {
        if (!reportFile.empty())
            writeJson(reportFile, output.report.json(failed));
        if (!output.json.wanted() && !isStandardOutput(reportFile))
            std::cout << output.report.text() << '\n';
    }
    if (failed > 0 && data.paths.size() > 1)
        complain(std::to_string(failed) + " of " + std::to_string(data.paths.size()) + " images failed");
    return failed > 0 ? 1 : 0;
}

}  // namespace tool
