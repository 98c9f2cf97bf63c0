// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "score_targets.hpp"
#include "photos.hpp"
#include "score_options.hpp"
#include "worker_options.hpp"
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

/// All options that influence the maps.
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

/// An image as input of the scorer: BGR, no larger than necessary.
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

/// Throws if the photo's shard has changed. A photo that cannot be read has no map; but one in a changed shard might
/// have had one, and its map must not be missing permanently in a file that looks complete. @throws std::runtime_error
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

/// Row i of `maps` as a map, or empty where `readable` is 0.
std::vector<cv::Mat> mapsOf(const cv::Mat& maps, const cv::Mat& readable, cv::Size grid)
{
    std::vector<cv::Mat> result;
    for (int i = 0; i < maps.rows; ++i)
        result.push_back(readable.at<float>(i) > 0 ? maps.row(i).reshape(1, grid.height) : cv::Mat());
    return result;
}

/// A file that is to be written: its number and its images, `first` to `last` - 1.
struct Missing
{
    int file, first, last;
};

/// Worker 0 checks which files exist. `there`: how many of the requested ones do
std::vector<Missing> findMissing(const train::TargetWriter* writer, const Part& part, size_t& there)
{
    std::vector<Missing> missing;
    there = 0;
    for (int file = 0; writer && file < writer->files(); ++file)
        if (part.holds(file))
        {
            if (writer->has(file))
                ++there;
            else
                missing.push_back({file, writer->first(file), writer->last(file)});
        }
    size_t count = missing.size();
    workers().broadcast(&count, sizeof count);
    missing.resize(count);
    workers().broadcast(missing.data(), count * sizeof(Missing));
    return missing;
}

}  // namespace

int scoreTargets(const std::vector<std::string>& data, const std::string& folder, const std::string& mae,
                 const ScoreParams& params, const po::variables_map& values)
{
    if (folder.empty())
        throw UsageError("--targets: empty name");
    train::Workers& together = workers();
    const Part part(values);
    const bool mirror = values["mirror"].as<bool>();
    const train::Dataset dataset = train::listImages(data);
    for (const image::Skipped& skipped : dataset.skipped)
        if (together.first())
            complain(skipped.place + ": " + skipped.reason);
    for (const std::string& left : dataset.left)
        if (together.first())
            complain(left);
    const size_t leftOut = dataset.skipped.size() + dataset.left.size();
    io::LoadHints hints;
    hints.normPixLoss = targetsOption(values);
    const io::Model model = io::loadModel(mae, io::ModelKind::Mae, hints);
    const cv::Ptr<Scorer> scorer = createScorer(mae, values);
    checkMaskRatio(params, scorer->getGrid());
    const train::TargetDescription description{teacherOptions(model, params, mirror, values), model.mae.input,
                                               train::datasetText(dataset)};
    train::OptionList same = description.teacher;
    same.insert(same.end(), {{"data", description.data}, {"part", std::to_string(part.number) + "/" + std::to_string(part.of)},
                             {"the program", together.program()}});
    train::requireEqual(together, same);
    const std::unique_ptr<train::TargetWriter> writer(together.first() ? new train::TargetWriter(folder, dataset, description)
                                                                       : nullptr);
    size_t there = 0;
    const std::vector<Missing> missing = findMissing(writer.get(), part, there);
    if (there > 0)
        complain(folder + ": " + std::to_string(there) + " of " + std::to_string(there + missing.size()) +
                 " files are there already");
    // For scripts: a line on standard output states that all requested maps exist, even if images were skipped.
    const auto end = [&](size_t failed)
    {
        if (together.first())
        {
            std::cout << io::harmless(folder) << ": score maps of " << dataset.paths.size() << " images";
            if (part.of > 1)
                std::cout << ", part " << part.number << "/" << part.of;
            std::cout << "\n";
        }
        together.end();
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
    int images = 0, done = 0;
    for (const Missing& piece : missing)
        images += piece.last - piece.first;
    size_t failed = 0;
    Progress progress("score: image", static_cast<size_t>(images));
    for (const Missing& piece : missing)
    {
        // Each worker computes some of the file's maps; all others are zero, so that the sum over workers is exact.
        const int count = piece.last - piece.first;
        cv::Mat maps = cv::Mat::zeros(count, scorer->getGrid().area(), CV_32F), readable = cv::Mat::zeros(1, count, CV_32F);
        for (int i = together.index(); i < count; i += together.count())
        {
            checkInterrupt();
            const int image = piece.first + i;
            const std::string& path = dataset.paths[static_cast<size_t>(image)];
            cv::Mat photo;
            try
            {
                photo = readScaled(dataset, image, scorer->getInputSize().width);
            }
            catch (const std::exception& error)
            {
                requireUnchangedShard(dataset, image);
                complain(reason(error, path));
            }
            if (!photo.empty())
            {
                mapOf(*scorer, photo, params, mirror).reshape(1, 1).copyTo(maps.row(i));
                readable.at<float>(i) = 1;
            }
            if (together.first())
                progress.update(static_cast<size_t>(done + i + 1));
        }
        together.sum(maps.ptr<float>(), maps.total());
        together.sum(readable.ptr<float>(), readable.total());
        done += count;
        failed += static_cast<size_t>(count - cv::countNonZero(readable));
        if (together.first())
            writer->write(piece.file, mapsOf(maps, readable, scorer->getGrid()));
    }
    progress.hide();
    if (failed == static_cast<size_t>(images))
        throw std::runtime_error("none of the " + std::to_string(images) + " images can be read");
    if (failed > 0 && together.first())
        complain(std::to_string(failed) + " images cannot be read and have no target");
    return end(failed);
}

}  // namespace tool
