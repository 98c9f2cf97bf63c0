// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "commands.hpp"
#include "common.hpp"
#include "photos.hpp"
#include "read_ahead.hpp"

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
    "below it). Without --json and --overlay a short line per image is printed.\n",
    "JSON: a list of {\"image\", \"width\", \"height\", \"grid\": [rows, columns], \"scores\": [row by row],\n"
    "\"order\": [best patch first], \"keep\": [kept patches, ascending]}. Patches are numbered row by row from 0.\n"
    "\n"
    "Examples:\n"
    "  ltrp rank photo.jpg\n"
    "  ltrp rank photo.jpg --keep 0.5 --overlay photo_ranked.png\n"
    "  ltrp rank photos/ --select cluster --json ranks.json --overlay overlays/\n"
    "  ltrp rank photos/ --model my-ranker.safetensors --json - | head\n"
    "\n"
    "An image that cannot be read is named and skipped; the exit status is then 1, the rest is done.\n"};

struct Photo
{
    size_t input = 0;   ///< place in the list of inputs
    cv::Mat pixels;
};

/// What is asked for and what has been found so far.
struct Job
{
    std::vector<std::string> inputs;
    SelectParams select;
    OverlayTarget overlays;
    std::string jsonPath;
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
    std::cout << path << ": " << ranking.imageSize.width << "x" << ranking.imageSize.height << ", " << grid.height
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
    if (!job.jsonPath.empty())
    {
        Json entry;
        entry["image"] = path;
        entry["width"] = ranking.imageSize.width;
        entry["height"] = ranking.imageSize.height;
        entry["grid"] = {grid.height, grid.width};
        entry["scores"] = numbers(ranking.scores);
        entry["order"] = order;
        entry["keep"] = keep;
        job.entries.push_back(entry);
    }
    else if (!job.overlays.wanted())
        printLine(path, ranking, order, keep.size());
    ++job.good;
}

/// Ranks what was read in one pass; if that fails, one by one, so that only the image at fault is lost.
void rankPhotos(const Ranker& ranker, const std::vector<Photo>& photos, Job& job)
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

void rankAll(const Ranker& ranker, size_t batch, Job& job)
{
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
            checkPhotoSize(job.inputs[i], photo.pixels.size(), ranker.getGrid());
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
    std::string model, method, overlay;
    int batch = 0;
    Job job;
    // clang-format off
    options.add_options()
        ("model", po::value(&model)->value_name("FILE"),
            "ranker's weight file, or its .onnx, run by cv::dnn (default: the installed one)")
        ("keep", po::value(&job.select.keepRatio)->value_name("R")->default_value(0.25, "0.25"),
            "share of patches to keep, above 0 and up to 1")
        ("select", po::value(&method)->value_name("HOW")->default_value("topk"),
            "topk: the best ones; cluster: 70 % by score, the rest from clusters of what is left, so that what is kept "
            "stays diverse")
        ("seed", po::value<long long>()->value_name("S")->default_value(0), "picks within clusters (--select cluster)")
        ("json", po::value(&job.jsonPath)->value_name("FILE"), "write scores, order and kept patches; - is stdout")
        ("overlay", po::value(&overlay)->value_name("FILE|DIR"),
            "write a picture of the kept patches beside a heat map: a file for one image, a folder for several")
        ("batch", po::value(&batch)->value_name("N")->default_value(8), "images ranked in one pass, 1 to 1024")
        ("threads", po::value<int>()->value_name("N"), "compute threads (default: all cores)");
    // clang-format on
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
    applyThreads(values);
    const int target = targetOption(values);

    job.inputs = expandImages(paths, overlay);
    if (values.count("json"))
        checkOutputFile(job.jsonPath, "--json", job.inputs);
    if (values.count("overlay"))
        job.overlays = OverlayTarget(overlay, job.inputs, "rank");
    const cv::Ptr<Ranker> ranker = Ranker::create(findModel(model, "rank", "--model"));
    ranker->setPreferableTarget(target);
    rankAll(*ranker, static_cast<size_t>(batch), job);

    if (!job.jsonPath.empty() && job.good > 0)
        writeJsonList(job.jsonPath, job.entries);
    if (job.failed > 0 && job.inputs.size() > 1)
        complain(std::to_string(job.failed) + " of " + std::to_string(job.inputs.size()) + " images failed");
    return job.failed > 0 ? 1 : 0;
}

}  // namespace tool
