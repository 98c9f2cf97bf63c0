// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "eval_coverage.hpp"

#include "../../modules/ltrp/src/teach/baselines.hpp"
#include "../eval/coverage.hpp"
#include "../../modules/ltrp/src/io/checksum.hpp"

#include <opencv2/core/utility.hpp>

#include <algorithm>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const int RANDOM_SEEDS = 20, REPLICATES = 10000;
const double LEVEL = 0.95, TIE = 1e-12;

int column(size_t method, size_t keep)
{
    return static_cast<int>(method * keepRatios().size() + keep);
}

/// An image and its rankings by all methods.
struct Work
{
    const ImagePair* pair = nullptr;
    cv::Mat photo, foreground;
    std::vector<PatchRanking> rankings;   ///< of the judges
    cv::Mat shares, curves;               ///< this image's row of SetResult::shares, and its share of the curves
    std::string failure;

    template <typename Step> void attempt(Step step)
    {
        if (!failure.empty())
            return;
        try
        {
            step();
        }
        catch (const std::exception& error)
        {
            const std::string text = reason(error);
            failure = text.find(pair->mask) == std::string::npos ? reason(error, pair->image) : text;
        }
    }
};

void read(Work& work, eval::MaskRule rule, cv::Size grid)
{
    work.photo = readPhoto(work.pair->image);
    checkPhotoSize(work.pair->image, work.photo.size(), grid);
    work.foreground = readForeground(*work.pair, rule, work.photo.size());
}

/// The ranking of one image by a baseline or the perfect ranking.
PatchRanking rankBy(size_t method, const Methods& methods, const Work& work, const eval::Coverage& coverage,
                    teach::BaselineRanker& baselines, int seed)
{
    if (!methods.isBaseline(method))
        return coverage.perfect();
    return baselines.rank(methods.baselines[method - methods.judges.size()], static_cast<uint64_t>(seed),
                          io::crc32(work.pair->name));
}

int seedsOf(size_t method, const Methods& methods)
{
    const bool random = methods.isBaseline(method) &&
                        methods.baselines[method - methods.judges.size()] == teach::Baseline::Random;
    return random ? RANDOM_SEEDS : 1;
}

void measure(Work& work, const Methods& methods)
{
    const cv::Size grid = work.rankings.front().grid();
    const eval::Coverage coverage(work.foreground, grid);
    teach::BaselineRanker baselines(work.photo, grid);
    const size_t keeps = keepRatios().size(), all = keeps + curveRatios().size();
    std::vector<double> ratios = keepRatios();
    ratios.insert(ratios.end(), curveRatios().begin(), curveRatios().end());
    cv::Mat sums = cv::Mat::zeros(static_cast<int>(methods.names.size()), static_cast<int>(all), CV_64F);
    for (size_t method = 0; method < methods.names.size(); ++method)
    {
        const int seeds = seedsOf(method, methods);
        for (int seed = 0; seed < seeds; ++seed)
        {
            const PatchRanking ranking = methods.isJudge(method)
                                             ? work.rankings[method]
                                             : rankBy(method, methods, work, coverage, baselines, seed);
            const std::vector<double> kept = coverage.kept(ranking, ratios);
            sums.row(static_cast<int>(method)) += cv::Mat(kept).t() / seeds;
        }
    }
    work.shares = sums.colRange(0, static_cast<int>(keeps)).clone().reshape(1, 1);
    work.curves = sums.colRange(static_cast<int>(keeps), static_cast<int>(all));
}

}  // namespace

const std::vector<double>& keepRatios()
{
    static const std::vector<double> ratios = {0.1, 0.25, 0.5, 0.75};
    return ratios;
}

const std::vector<double>& curveRatios()
{
    static const std::vector<double> ratios = []()
    {
        std::vector<double> steps;
        for (int step = 1; step <= 20; ++step)
            steps.push_back(step / 20.0);
        return steps;
    }();
    return ratios;
}

Methods makeMethods(std::vector<Judge> judges)
{
    Methods methods;
    methods.judges = std::move(judges);
    for (const Judge& judge : methods.judges)
        methods.names.push_back(judge.name);
    for (const teach::Baseline baseline : teach::baselines())
    {
        if (!teach::baselineAvailable(baseline))
        {
            complain(std::string("warning: ") + teach::baselineName(baseline) +
                     " is left out: OpenCV has no saliency module");
            continue;
        }
        methods.baselines.push_back(baseline);
        methods.names.push_back(teach::baselineName(baseline));
    }
    methods.names.push_back(PERFECT);
    return methods;
}

void SetResult::bootstrap()
{
    means_ = eval::bootstrapMeans(shares, REPLICATES, io::crc32(name));
}

SetResult SetResult::pooled(const std::vector<SetResult>& sets)
{
    SetResult all;
    all.name = "all";
    for (const SetResult& set : sets)
    {
        all.images.insert(all.images.end(), set.images.begin(), set.images.end());
        all.shares.push_back(set.shares);
    }
    all.means_ = cv::Mat::zeros(REPLICATES, all.shares.cols, CV_64F);
    all.curves = cv::Mat::zeros(sets.front().curves.size(), CV_64F);
    for (const SetResult& set : sets)
    {
        const double weight = static_cast<double>(set.shares.rows) / all.shares.rows;
        all.means_ += set.means_ * weight;
        all.curves += set.curves * weight;
    }
    return all;
}

double SetResult::mean(size_t method, size_t keep) const
{
    return cv::mean(shares.col(column(method, keep)))[0];
}

eval::Interval SetResult::interval(size_t method, size_t keep) const
{
    return eval::percentileInterval(means_.col(column(method, keep)).clone().reshape(1, 1), LEVEL);
}

Comparison SetResult::compare(size_t method, size_t baseline, size_t keep) const
{
    Comparison result;
    const cv::Mat differences = shares.col(column(method, keep)) - shares.col(column(baseline, keep));
    for (int image = 0; image < differences.rows; ++image)
    {
        const double difference = differences.at<double>(image);
        ++(difference > TIE ? result.wins : difference < -TIE ? result.losses : result.ties);
    }
    result.difference = cv::mean(differences)[0];
    const cv::Mat means = means_.col(column(method, keep)) - means_.col(column(baseline, keep));
    result.interval = eval::percentileInterval(means.reshape(1, 1), LEVEL);
    return result;
}

SetResult measureSet(const ImageSet& set, const Methods& methods, size_t& failed)
{
    SetResult result;
    result.name = set.name;
    result.folder = set.folder;
    result.foreground = set.foreground;
    result.rule = set.rule;
    const std::vector<ImagePair>& pairs = set.pairs;
    // Photos are decoded and baselines computed in parallel; in between, each model ranks with all threads.
    const size_t together = 2 * static_cast<size_t>(std::max(1, cv::getNumThreads()));
    Progress progress("eval coverage " + set.name + ": image", pairs.size());
    for (size_t first = 0; first < pairs.size(); first += together)
    {
        std::vector<Work> batch(std::min(together, pairs.size() - first));
        const auto inParallel = [&](const std::function<void(Work&)>& step)
        {
            cv::parallel_for_(cv::Range(0, static_cast<int>(batch.size())),
                              [&](const cv::Range& range)
                              {
                                  for (int i = range.start; i < range.end; ++i)
                                      batch[static_cast<size_t>(i)].attempt([&]
                                                                            { step(batch[static_cast<size_t>(i)]); });
                              });
        };
        for (size_t i = 0; i < batch.size(); ++i)
            batch[i].pair = &pairs[first + i];
        inParallel([&](Work& work) { read(work, set.rule, methods.judges.front().grid); });
        for (size_t i = 0; i < batch.size(); ++i)
        {
            for (const Judge& judge : methods.judges)
            {
                checkInterrupt();
                Work& work = batch[i];
                work.attempt([&] { work.rankings.push_back(judge.rank(work.photo, io::crc32(work.pair->name))); });
            }
            progress.update(first + i + 1);
        }
        checkInterrupt();
        inParallel([&](Work& work) { measure(work, methods); });
        for (Work& work : batch)
        {
            if (!work.failure.empty())
            {
                complain(work.failure);
                ++failed;
                continue;
            }
            result.images.push_back(*work.pair);
            result.shares.push_back(work.shares);
            if (result.curves.empty())
                result.curves = cv::Mat::zeros(work.curves.size(), CV_64F);
            result.curves += work.curves;
        }
    }
    progress.hide();
    if (result.images.empty())
        throw std::runtime_error(set.folder + ": no image could be measured");
    result.curves /= static_cast<double>(result.images.size());
    result.bootstrap();
    return result;
}

RankedImage rankImage(const ImagePair& pair, eval::MaskRule rule, const Methods& methods)
{
    Work work;
    work.pair = &pair;
    read(work, rule, methods.judges.front().grid);
    RankedImage result;
    for (const Judge& judge : methods.judges)
        result.rankings.push_back(judge.rank(work.photo, io::crc32(work.pair->name)));
    const cv::Size grid = result.rankings.front().grid();
    const eval::Coverage coverage(work.foreground, grid);
    teach::BaselineRanker baselines(work.photo, grid);
    for (size_t method = methods.judges.size(); method < methods.names.size(); ++method)
        result.rankings.push_back(rankBy(method, methods, work, coverage, baselines, 0));
    result.photo = toEightBit(work.photo);
    result.foreground = work.foreground;
    return result;
}

}  // namespace tool
