// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "predict_output.hpp"
#include "read_ahead.hpp"
#include "selector_options.hpp"

#include <filesystem>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const HelpText HELP = {
    "ltrp predict MODEL IMAGES... [options]",
    "Classifies images, or their pixels, with a network that 'ltrp finetune' trained, which sees only the kept patches.\n"
    "IMAGES: images, folders or list files. With --labels, IMAGES is labelled data of the network's task, as for\n"
    "'ltrp finetune', and measured are, each with its standard error over the images,\n"
    "  classify    the accuracy over all images, and the mean over classes\n"
    "  multilabel  the mean over classes of the average precision (mAP)\n"
    "  segment     the mean over classes of intersection / union (mIoU), and the share of pixels that are right.\n"
    "Classes without a label do not count in these means.\n"
    "--merge X sees all patches and merges their tokens (Bolya et al., Token Merging, ICLR 2023); not of task segment.\n"
    "Every block merges the same number of tokens, at most half of those that it has. The number is the one for which\n"
    "the tokens after merging, mean over the blocks, are as near as possible to X of all patches. A merged token counts\n"
    "as often as it stands for patches, in attention and in the mean over patches (--pool mean).\n",
    "Examples:\n"
    "  ltrp predict runs/all/final.safetensors photo.jpg\n"
    "  ltrp predict runs/quarter/final.safetensors photos/ --keep 0.25 --json classes.json\n"
    "  ltrp predict runs/quarter/final.safetensors test/ --labels --keep 0.25 --selector centre --report centre.json\n"
    "\n"
    "JSON of an image: {\"image\", \"width\", \"height\", \"class\", \"probability\", \"top\": [{\"class\", \"probability\"}, ...],\n"
    "\"grid\": [rows, columns], \"keep\": [patch, ...]}, with --labels also \"label\". Of several labels, \"classes\":\n"
    "[{\"class\", \"probability\"}, ...] instead of class, probability and top, and \"labels\"; of segmentation, \"classes\":\n"
    "[{\"class\", \"share\"}, ...] of the pixels, \"mask\" and \"pixel_accuracy\". With --merge,\n"
    "the report has the share that was reached, \"merge\". An image that cannot be read is named and skipped; the exit\n"
    "status is then 1.\n"};

/// Labelled data of the network's task. @throws cv::Exception that says which data its task has
train::Dataset labelledData(const ClassifierRun& run, const std::string& path, const std::string& images)
{
    try
    {
        return train::listLabelled({path, run.task(), images}, run.classes());
    }
    catch (const cv::Exception& error)
    {
        if (run.task() == vit::Task::Classify)
            throw;
        throw std::runtime_error(reason(error, path) + " (the network's task is " + vit::taskName(run.task()) + ")");
    }
}

}  // namespace

int runPredict(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    double keep = 1, merge = 1;
    int top = 0, batch = 8;
    bool labelled = false;
    std::string reportFile, masks, images;
    // clang-format off
    options.add_options()
        ("keep", po::value(&keep)->value_name("X")->default_value(keep, plain(keep)), "share of patches to keep, above 0 and up to 1");
    addSelectorOptions(options);
    options.add_options()
        ("merge", po::value(&merge)->value_name("X"), "see all patches and merge tokens: their share in the mean over the "
            "blocks, above 0 and up to 1")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "of random selections")
        ("top", po::value(&top)->value_name("N"), "classes to name for each image (default: 1; of several labels those with a "
            "probability of 0.5 or more; of segmentation all that have pixels)")
        ("labels", po::bool_switch(&labelled), "IMAGES is labelled data: measure the answers")
        ("images", po::value(&images)->value_name("DIR"), "with --labels and a JSON file: folder of its images (default: its own)")
        ("report", po::value(&reportFile)->value_name("FILE"), "with --labels: write the measures, and the numbers of each class, as "
            "JSON")
        ("masks", po::value(&masks)->value_name("DIR"), "of segmentation: write the classes' numbers as an index PNG for each image");
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
    if (!(merge > 0 && merge <= 1))
        throw UsageError("--merge: " + plain(merge) + " is outside (0, 1]");
    if (values.count("top") && top < 1)
        throw UsageError("--top: " + std::to_string(top) + " is below 1");
    if (batch < 1 || batch > 1024)
        throw UsageError("--batch: " + std::to_string(batch) + " is outside 1 to 1024");
    if (labelled && paths.size() != 1)
        throw UsageError("--labels: " + std::to_string(paths.size()) + " arguments after MODEL, expected one folder or CSV file");
    for (const char* option : {"report", "images"})
        if (!labelled && values.count(option))
            throw UsageError(std::string("--") + option + " goes with --labels");
    for (const char* option : {"json", "jsonl"})
        if (values.count(option) && !reportFile.empty() && values[option].as<std::string>() == reportFile)
            throw UsageError(std::string("--") + option + ", --report: both name " + reportFile);
    const std::vector<std::string> names = selectorNames(values, keep);
    if (names.size() != 1)
        throw UsageError("--selector: " + std::to_string(names.size()) + " names, expected one");
    if (values.count("merge") && names[0] != "all")
        throw UsageError("--merge: sees all patches and goes with --keep 1 and --selector all");
    const uint64_t seed = seedOption(values, "seed");
    applyThreads(values);
    applyMaxPixels(values);
    const int target = targetOption(values);

    ClassifierRun run(model, target, select::makeSelector(names[0], selectorModels(values, names, target)), keep);
    const double reached = values.count("merge") ? run.merge(merge) : 1;
    size_t failed = 0;
    train::Dataset data;
    if (labelled)
    {
        data = labelledData(run, paths[0], images);
        for (const std::string& photo : data.paths)
            rememberInput(photo);
        for (const std::string& file : data.labelImages.files)
            rememberInput(file);
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
    JsonOutput json(values);
    const std::string root = labelled ? (std::filesystem::path(paths[0]) / "images").string() : std::string();
    const std::unique_ptr<PredictOutput> output = makeOutput({run, data, labelled, static_cast<size_t>(top), masks, root, json});

    Progress progress("predict: image", data.paths.size());
    ReadAhead reader(data.paths, static_cast<size_t>(batch));
    std::vector<ClassifierRun::Prepared> prepared;
    struct Which { size_t index; cv::Size size; cv::Mat truth; };
    std::vector<Which> which;
    for (size_t i = 0; i < data.paths.size(); ++i)
    {
        checkInterrupt();
        try
        {
            const cv::Mat photo = reader.next();
            checkPhotoSize(data.paths[i], photo.size(), run.grid());
            const cv::Mat truth = output->truth(i, photo.size());
            prepared.push_back(run.prepare(photo, drawOf(seed, data.paths[i])));
            which.push_back({i, photo.size(), truth});
        }
        catch (const std::exception& error)
        {
            complain(reason(error, data.paths[i]));
            ++failed;
        }
        if (prepared.size() == static_cast<size_t>(batch) || (i + 1 == data.paths.size() && !prepared.empty()))
        {
            const std::vector<cv::Mat> answers = run.run(prepared);
            for (size_t k = 0; k < prepared.size(); ++k)
                output->add({which[k].index, data.paths[which[k].index], which[k].size, prepared[k], answers[k], which[k].truth});
            prepared.clear();
            which.clear();
        }
        progress.update(i + 1);
    }
    progress.hide();
    json.finish();
    if (labelled && output->measured() > 0)
    {
        Json report = Json::object();
        report["task"] = vit::taskName(run.task());
        report["measures"] = Json::array();
        for (const Measure& measure : measuresOf(run.task()))
            report["measures"].push_back(measure.name);
        report["images"] = output->measured();
        report["failed"] = failed;
        if (values.count("merge"))
            report["merge"] = reached;
        output->addMeasures(report);
        if (!reportFile.empty())
            writeJson(reportFile, report);
        if (!json.wanted() && !isStandardOutput(reportFile))
            std::cout << output->text() << '\n';
    }
    if (failed > 0 && data.paths.size() > 1)
        complain(std::to_string(failed) + " of " + std::to_string(data.paths.size()) + " images failed");
    return failed > 0 ? 1 : 0;
}

}  // namespace tool
