// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "score_targets.hpp"
#include "photos.hpp"
#include "score_options.hpp"
#include "weights.hpp"

#include "../../modules/ltrp/src/core/words.hpp"
#include "../../modules/ltrp/src/io/file_bytes.hpp"
#include "../../modules/ltrp/src/train/augment.hpp"
#include "../../modules/ltrp/src/train/targets.hpp"
#include "../../modules/ltrp/src/train/trainer.hpp"

#include <opencv2/imgproc.hpp>

#include <cstdio>
#include <iostream>

namespace tool
{

using namespace cv::ltrp;

namespace
{

/// Everything that has an influence on the maps.
train::OptionList teacherOptions(const io::Model& mae, const ScoreParams& params, bool mirror, const po::variables_map& values)
{
    std::string blocks;
    for (int block : params.featureBlocks)
        blocks += (blocks.empty() ? "" : ",") + std::to_string(block);
    return {{"mae", io::weightsText(mae)},
            {"norm-pix-loss", mae.mae.normPixLoss ? "1" : "0"},
            {"teacher", params.teacher},
            {"smooth", train::optionText(params.smooth)},
            {"mask-ratio", train::optionText(params.maskRatio)},
            {"removal", words::removals[params.removal]},
            {"metric", words::metrics[params.metric]},
            {"space", words::spaces[params.space]},
            {"average", words::averages[params.average]},
            {"context", words::contexts[params.context]},
            {"masks", std::to_string(params.masks)},
            {"seed", std::to_string(params.seed)},
            {"approximate", train::optionText(params.sampleShare)},
            {"feature-blocks", blocks.empty() ? "usual" : blocks},
            {"feature-photos", values.count("feature-photos") ? "given" : "data"},
            {"mirror", mirror ? "1" : "0"},
            {"precision", values["precision"].as<std::string>()}};
}

/// "2/8": every eighth file, beginning with the second. @throws UsageError
struct Part
{
    int number = 1, of = 1;

    explicit Part(const po::variables_map& values)
    {
        if (!values.count("part"))
            return;
        const std::string text = values["part"].as<std::string>();
        int length = 0;
        if (std::sscanf(text.c_str(), "%d/%d%n", &number, &of, &length) != 2 || length != static_cast<int>(text.size()) ||
            number < 1 || of < number)
            throw UsageError("--part: '" + text + "' is no part, expected I/N with I from 1 to N");
    }
    bool holds(int file) const { return file % of == number - 1; }
};

/// An image as the scorer reads it: channels in the order B, G, R, no larger than is needed.
cv::Mat readScaled(const train::Dataset& dataset, int image, int side)
{
    std::string why;
    const train::AugmentOptions whole{1, 1, 3.0 / 4, 4.0 / 3, 0};
    const cv::Mat rgb = train::readImage(dataset, image, why, [&](cv::Size size) { return train::reductionFor(size, 2 * side, whole); });
    if (rgb.empty())
        throw std::runtime_error(why);
    cv::Mat bgr;
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    return bgr;
}

/// A photo that cannot be read has no map. One whose shard is another now might have had one, and its map is not to be
/// missing for good in a file that looks complete. @throws std::runtime_error
void requireUnchangedShard(const train::Dataset& dataset, int image)
{
    const int number = dataset.place(image).shard;
    if (number < 0)
        return;
    const image::ShardFile& shard = dataset.shards[static_cast<size_t>(number)];
    std::string found = "was changed";
    try
    {
        if (image::RegularFile(shard.path).state() == shard.state)
            return;
    }
    catch (const image::PhotoError& error)
    {
        found = error.what();
    }
    throw std::runtime_error(shard.path + ": " + found + " while its photos were scored; run the same command again");
}

cv::Mat mapOf(const Scorer& scorer, const cv::Mat& photo, const ScoreParams& params, bool mirror)
{
    const Scorer::Progress go = [](int, int) { return interruptSignal() == 0; };
    cv::Mat map = scorer.scoreMap(photo, params, go).scores;
    if (!mirror)
        return map;
    cv::Mat flipped, other;
    cv::flip(photo, flipped, 1);
    cv::flip(scorer.scoreMap(flipped, params, go).scores, other, 1);
    return (map + other) * 0.5;
}

}  // namespace

int scoreTargets(const std::vector<std::string>& data, const std::string& folder, const std::string& mae,
                 const ScoreParams& params, const po::variables_map& values)
{
    if (folder.empty())
        throw UsageError("--targets: empty name");
    const Part part(values);
    const bool mirror = values["mirror"].as<bool>();
    const train::Dataset dataset = train::listImages(data);
    for (const image::Skipped& skipped : dataset.skipped)
        complain(skipped.place + ": " + skipped.reason);
    for (const std::string& left : dataset.left)
        complain(left);
    const size_t leftOut = dataset.skipped.size() + dataset.left.size();
    io::LoadHints hints;
    hints.normPixLoss = targetsOption(values);
    const io::Model model = io::loadModel(mae, io::ModelKind::Mae, hints);
    const cv::Ptr<Scorer> scorer = createScorer(mae, values);
    checkMaskRatio(params, scorer->getGrid());
    const train::TargetDescription description{teacherOptions(model, params, mirror, values), model.mae.input,
                                               train::datasetText(dataset)};
    const train::TargetWriter writer(folder, dataset, description);

    std::vector<int> missing;
    size_t files = 0;
    for (int file = 0; file < writer.files(); ++file)
    {
        files += part.holds(file);
        if (part.holds(file) && !writer.has(file))
            missing.push_back(file);
    }
    if (missing.size() < files)
        complain(folder + ": " + std::to_string(files - missing.size()) + " of " + std::to_string(files) +
                 " files are there already");
    // For scripts: a line on standard output says that all maps asked for are there, also where images were skipped.
    const auto end = [&](size_t failed)
    {
        std::cout << io::harmless(folder) << ": score maps of " << dataset.paths.size() << " images";
        if (part.of > 1)
            std::cout << ", part " << part.number << "/" << part.of;
        std::cout << "\n";
        return failed + leftOut > 0 ? 1 : 0;
    };
    if (missing.empty())
        return end(0);
    addFeaturePhotos(*scorer, params, values, dataset.paths, [&](size_t i)
    {
        const image::PhotoPlace place = dataset.place(static_cast<int>(i));
        if (place.shard < 0)
            return readPhoto(dataset.paths[i]);
        std::string warning;
        return image::decodePhoto(image::readPhotoBytes(dataset.paths[i], place, dataset.shards), {}, warning);
    });
    size_t images = 0, done = 0, failed = 0;
    for (int file : missing)
        images += static_cast<size_t>(writer.last(file) - writer.first(file));
    Progress progress("score: image", images);
    for (int file : missing)
    {
        std::vector<cv::Mat> maps;
        for (int i = writer.first(file); i < writer.last(file); ++i)
        {
            checkInterrupt();
            const std::string& path = dataset.paths[static_cast<size_t>(i)];
            cv::Mat photo;
            try
            {
                photo = readScaled(dataset, i, scorer->getInputSize().width);
            }
            catch (const std::exception& error)
            {
                requireUnchangedShard(dataset, i);
                complain(reason(error, path));
                ++failed;
            }
            maps.push_back(photo.empty() ? cv::Mat() : mapOf(*scorer, photo, params, mirror));
            progress.update(++done);
        }
        writer.write(file, maps);
    }
    progress.hide();
    if (failed == images)
        throw std::runtime_error("none of the " + std::to_string(images) + " images can be read");
    if (failed > 0)
        complain(std::to_string(failed) + " images cannot be read and have no target");
    return end(failed);
}

}  // namespace tool
