// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "read_ahead.hpp"

#include "../../modules/ltrp/src/io/file_bytes.hpp"

#include <opencv2/ltrp/draw.hpp>
#include <opencv2/ltrp/ranker.hpp>
#include <opencv2/ltrp/select.hpp>

#include <algorithm>
#include <iostream>

namespace tool
{

namespace
{

using namespace cv::ltrp;

const HelpText HELP = {
    "ltrp rank PATH... [options]",
    "Ranks the patches of images with a trained ranker: each PATH is an image or a folder (searched with all folders\n"
    "below it), a list of images (one path a line), or - for an image or a list on standard input. Without --json, --jsonl\n"
    "and --overlay a short line per image is printed.\n",
    "JSON: a list of {\"image\", \"width\", \"height\", \"grid\": [rows, columns], \"scores\": [row by row],\n"
    "\"order\": [best patch first], \"keep\": [kept patches, ascending]}. Patches are numbered row by row from 0; width and\n"
    "height are those of the image as it is shown, turned as its EXIF says.\n"
    "\n"
    "Examples:\n"
    "  ltrp rank photo.jpg\n"
    "  ltrp rank photo.jpg --keep 0.5 --overlay photo_ranked.png\n"
    "  ltrp rank photos/ --select cluster --json ranks.json --overlay overlays/\n"
    "  ltrp rank photo.jpg --size auto:784 --overlay fine.png\n"
    "  ltrp rank photos/ --model my-ranker.safetensors --json - | head\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

struct Photo
{
    size_t input = 0;   ///< place in the list of inputs
    cv::Mat pixels;
};

/// --size: the input's size, the same for all images or fitted to each.
struct InputSize
{
    cv::Size fixed;
    bool fitted = false;
    int patches = 0;   ///< fitted: about so many, 0: as many as in training

    cv::Size of(const Ranker& ranker, cv::Size image) const
    {
        return fitted ? ranker.fittingInputSize(image, patches) : ranker.getInputSize();
    }
};

InputSize parseInputSize(const std::string& text)
{
    InputSize size;
    const std::string word = "auto";
    size.fitted = text.compare(0, word.size(), word) == 0;
    if (!size.fitted)
    {
        size.fixed = parseSize("--size", text);
        return size;
    }
    if (text == word)
        return size;
    const std::string number = text.substr(std::min(text.size(), word.size() + 1));
    const bool good = text[word.size()] == ':' && !number.empty() && number.size() <= 5
                      && number.find_first_not_of("0123456789") == std::string::npos;
    size.patches = good ? std::stoi(number) : 0;
    if (size.patches < 1 || size.patches > 65536)
        throw UsageError("--size: '" + text + "' is neither WxH, auto nor auto:N with N from 1 to 65536");
    return size;
}

/// What is asked for and what has been found so far.
struct Job
{
    std::vector<std::string> inputs;
    SelectParams select;
    InputSize size;
    OverlayTarget overlays;
    std::string jsonPath;
    JsonLines lines;
    std::vector<Json> entries;
    size_t good = 0, failed = 0;

    void fail(const std::string& message)
    {
        complain(message);
        ++failed;
    }
};

void printLine(const std::string& path, const PatchRanking& ranking, const std::vector<int>& order, size_t kept)
{
    const cv::Size grid = ranking.grid();
    std::cout << io::harmless(path) << ": " << ranking.imageSize.width << "x" << ranking.imageSize.height << ", " << grid.height
              << "x" << grid.width << " patches, keep " << kept << ", best (row, column):";
    for (size_t i = 0; i < std::min<size_t>(order.size(), 5); ++i)
        std::cout << " (" << order[i] / grid.width << ", " << order[i] % grid.width << ")";
    std::cout << '\n';
}

void finish(const Photo& photo, const PatchRanking& ranking, Job& job)
{
    const std::string& path = job.inputs[photo.input];
    const cv::Size grid = ranking.grid();
    const std::vector<int> order = ranking.order();
    const std::vector<int> keep = selectPatches(ranking, job.select, photo.pixels);
    if (job.overlays.wanted())
    {
        cv::Mat overlay;
        drawOverlay(toEightBit(photo.pixels), ranking, keep, overlay);
        job.overlays.write(photo.input, overlay);
    }
    if (!job.jsonPath.empty() || job.lines.wanted())
    {
        Json entry;
        entry["image"] = nameJson(path);
        entry["width"] = ranking.imageSize.width;
        entry["height"] = ranking.imageSize.height;
        entry["grid"] = {grid.height, grid.width};
        entry["scores"] = numbers(ranking.scores);
        entry["order"] = order;
        entry["keep"] = keep;
        if (job.lines.wanted())
            job.lines.add(entry);
        if (!job.jsonPath.empty())
            job.entries.push_back(entry);
    }
    else if (!job.overlays.wanted())
        printLine(path, ranking, order, keep.size());
    ++job.good;
}

/// Ranks what was read in one pass, all of one input size; if that fails, one by one, so that only the image at fault is lost.
void rankAlike(const Ranker& ranker, const std::vector<Photo>& photos, Job& job)
{
    std::vector<cv::Mat> images;
    for (const Photo& photo : photos)
        images.push_back(photo.pixels);
    std::vector<PatchRanking> rankings;
    if (images.size() > 1)
    {
        try
        {
            rankings = ranker.rankBatch(images);
        }
        catch (const std::exception&)
        {
            rankings.clear();
        }
    }
    for (size_t i = 0; i < photos.size(); ++i)
    {
        checkInterrupt();
        try
        {
            finish(photos[i], rankings.empty() ? ranker.rank(images[i]) : rankings[i], job);
        }
        catch (const std::exception& error)
        {
            job.fail(reason(error, job.inputs[photos[i].input]));
        }
    }
}

void rankPhotos(Ranker& ranker, const std::vector<Photo>& photos, Job& job)
{
    for (size_t i = 0; i < photos.size();)
    {
        const cv::Size size = job.size.of(ranker, photos[i].pixels.size());
        std::vector<Photo> alike;
        while (i < photos.size() && job.size.of(ranker, photos[i].pixels.size()) == size)
            alike.push_back(photos[i++]);
        ranker.setInputSize(size);
        rankAlike(ranker, alike, job);
    }
}

void rankAll(Ranker& ranker, size_t batch, Job& job)
{
    const cv::Size patch(ranker.getInputSize().width / ranker.getGrid().width,
                         ranker.getInputSize().height / ranker.getGrid().height);
    Progress progress("rank: image", job.inputs.size());
    ReadAhead reader(job.inputs, batch);
    std::vector<Photo> photos;
    for (size_t i = 0; i < job.inputs.size(); ++i)
    {
        checkInterrupt();
        try
        {
            Photo photo;
            photo.input = i;
            photo.pixels = reader.next();
            const cv::Size input = job.size.of(ranker, photo.pixels.size());
            checkPhotoSize(job.inputs[i], photo.pixels.size(), cv::Size(input.width / patch.width, input.height / patch.height));
            photos.push_back(photo);
        }
        catch (const std::exception& error)
        {
            job.fail(reason(error, job.inputs[i]));
        }
        if (photos.size() == batch || i + 1 == job.inputs.size())
        {
            rankPhotos(ranker, photos, job);
            photos.clear();
        }
        progress.update(i + 1);
    }
}

}  // namespace

int runRank(const std::vector<std::string>& args)
{
    po::options_description options("Options");
    std::string model, method, overlay, jsonLines;
    int batch = 0;
    size_t left = 0;
    Job job;
    // clang-format off
    options.add_options()
        ("model", po::value(&model)->value_name("FILE"),
            "ranker's weight file, or its .onnx, run by cv::dnn (default: the installed one)")
        ("size", po::value<std::string>()->value_name("WxH|auto"),
            "pixels that images are resized to, multiples of the patch size; auto: the shape of each photo and about as many "
            "patches as in training, auto:N: about N (default: the square of the training; other sizes need a token head)")
        ("trusted", po::bool_switch(), "run an .onnx of any origin, not only those that 'ltrp convert' writes; OpenCV believes all "
            "that such a file says")
        ("keep", po::value(&job.select.keepRatio)->value_name("R")->default_value(0.25, "0.25"),
            "share of patches to keep, above 0 and up to 1")
        ("select", po::value(&method)->value_name("HOW")->default_value("topk"),
            "topk: the best ones; cluster: 70 % by score, the rest from clusters of what is left, so that what is kept "
            "stays diverse")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "picks within clusters (--select cluster)")
        ("json", po::value(&job.jsonPath)->value_name("FILE"), "write scores, order and kept patches; - is stdout")
        ("jsonl", po::value(&jsonLines)->value_name("FILE"), "the same, a line an image as soon as it is done; - is stdout")
        ("overlay", po::value(&overlay)->value_name("FILE|DIR"),
            "write a picture of the kept patches beside a heat map: a file for one image, a folder for several")
        ("batch", po::value(&batch)->value_name("N")->default_value(8), "images ranked in one pass, 1 to 1024")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
    addMaxPixels(options);
    addPrecision(options);
    po::variables_map values;
    if (!parseArguments(args, HELP, options, "path", -1, values))
        return 0;
    const std::vector<std::string> paths = positionals(values, "path", 1, "PATH: an image or a folder");

    if (!(job.select.keepRatio > 0 && job.select.keepRatio <= 1))
        throw UsageError("--keep: " + plain(job.select.keepRatio) + " is outside (0, 1]");
    if (method != "topk" && method != "cluster")
        throw UsageError("--select: '" + method + "' is neither topk nor cluster");
    job.select.method = method == "cluster" ? SELECT_CLUSTER : SELECT_TOPK;
    job.select.seed = seedOption(values, "seed");
    if (batch < 1 || batch > 1024)
        throw UsageError("--batch: " + std::to_string(batch) + " is outside 1 to 1024");
    if (values.count("size"))
        job.size = parseInputSize(values["size"].as<std::string>());
    applyThreads(values);
    applyMaxPixels(values);
    const int target = targetOption(values);

    job.inputs = expandImages(paths, overlay, &left);
    const std::string weights = findModel(model, "rank", "--model");
    if (values.count("json"))
        checkOutputFile(job.jsonPath, "--json");
    if (values.count("jsonl"))
    {
        checkOutputFile(jsonLines, "--jsonl");
        job.lines.open(jsonLines);
    }
    if (values.count("overlay"))
        job.overlays = OverlayTarget(overlay, job.inputs, "rank");
    const cv::Ptr<Ranker> ranker = Ranker::create(weights, values["trusted"].as<bool>());
    ranker->setPreferableTarget(target);
    if (job.size.fitted)
        ranker->setInputSize(ranker->fittingInputSize(cv::Size(2, 1)));   // a ranker of one size alone is refused at once
    else if (values.count("size"))
        ranker->setInputSize(job.size.fixed);
    rankAll(*ranker, static_cast<size_t>(batch), job);

    if (!job.jsonPath.empty() && job.good > 0)
        writeJsonList(job.jsonPath, job.entries);
    if (job.failed > 0 && job.inputs.size() > 1)
        complain(std::to_string(job.failed) + " of " + std::to_string(job.inputs.size()) + " images failed");
    return job.failed + left > 0 ? 1 : 0;
}

}  // namespace tool
