// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "eval_points.hpp"

#include "../../modules/ltrp/src/core/random.hpp"
#include "../../modules/ltrp/src/teach/baselines.hpp"
#include "../eval/bootstrap.hpp"
#include "../../modules/ltrp/src/io/checksum.hpp"

#include <opencv2/imgproc.hpp>
#include <opencv2/ltrp/prompts.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace tool
{

using namespace cv::ltrp;

namespace
{

const int RANDOM_SEEDS = 20, REPLICATES = 10000;
const double LEVEL = 0.95, SMALLEST_INSTANCE = 0.001;
const teach::Baseline SCORED[] = {teach::Baseline::Centre, teach::Baseline::GradientSmooth, teach::Baseline::SpectralCentre6};

std::vector<teach::Baseline> scoredBaselines()
{
    std::vector<teach::Baseline> available;
    for (const teach::Baseline baseline : SCORED)
        if (teach::baselineAvailable(baseline))
            available.push_back(baseline);
        else
            complain(std::string("warning: ") + teach::baselineName(baseline) + " is left out: OpenCV has no saliency module");
    return available;
}

/// Labels the instances: CV_32SC1 from 1; 0 elsewhere. @return number of instances
int instancesOf(const cv::Mat& foreground, cv::Mat& labels)
{
    cv::Mat stats, centroids;
    const int all = cv::connectedComponentsWithStats(foreground, labels, stats, centroids, 8, CV_32S);
    int largest = 1, count = 0;
    for (int i = 2; i < all; ++i)
        if (stats.at<int>(i, cv::CC_STAT_AREA) > stats.at<int>(largest, cv::CC_STAT_AREA))
            largest = i;
    std::vector<int> number(static_cast<size_t>(all), 0);
    for (int i = 1; i < all; ++i)
        if (i == largest || stats.at<int>(i, cv::CC_STAT_AREA) >= SMALLEST_INSTANCE * static_cast<double>(labels.total()))
            number[static_cast<size_t>(i)] = ++count;
    for (int y = 0; y < labels.rows; ++y)
        for (int x = 0; x < labels.cols; ++x)
            labels.at<int>(y, x) = number[static_cast<size_t>(labels.at<int>(y, x))];
    return count;
}

}  // namespace

std::vector<cv::Point> gridPoints(cv::Size image, int count)
{
    int columns = 1;
    double least = std::numeric_limits<double>::max();
    for (int c = 1; c <= count; ++c)
    {
        const double shape = std::abs(std::log(image.width / double(c) / (image.height / (count / double(c)))));
        if (count % c == 0 && shape < least)
        {
            least = shape;
            columns = c;
        }
    }
    const int rows = count / columns;
    std::vector<cv::Point> points;
    for (int i = 0; i < count; ++i)
        points.emplace_back(static_cast<int>((i % columns + 0.5) * image.width / columns),
                            static_cast<int>((i / columns + 0.5) * image.height / rows));
    return points;
}

PointsEvaluation::PointsEvaluation(std::vector<Judge> judges, const std::vector<int>& counts, double spread)
    : judges_(std::move(judges)), counts_(counts), spread_(spread)
{
    for (const Judge& judge : judges_)
        names_.push_back(judge.name);
    for (const teach::Baseline baseline : scoredBaselines())
        names_.push_back(teach::baselineName(baseline));
    scored_ = names_.size();
    names_.push_back("grid");
    names_.push_back("random");
}

size_t PointsEvaluation::column(size_t method, size_t count, bool onForeground) const
{
    return (method * counts_.size() + count) * 2 + (onForeground ? 1 : 0);
}

std::vector<cv::Point> PointsEvaluation::points(size_t method, int count, int seed, uint32_t sample,
                                                const std::vector<PatchRanking>& rankings, cv::Size image) const
{
    if (method < scored_)
        return selectPoints(rankings[method], count, spread_);
    if (method == scored_)
        return gridPoints(image, count);
    RandomStream random(static_cast<uint64_t>(seed), RandomPurpose::Baseline, 0, sample);
    std::vector<cv::Point> all;
    for (int i = 0; i < count; ++i)
    {
        const int x = random.below(image.width);
        all.emplace_back(x, random.below(image.height));
    }
    return all;
}

void PointsEvaluation::measure(const ImagePair& pair, eval::MaskRule rule, cv::Mat& row, size_t& instances) const
{
    const cv::Mat photo = readPhoto(pair.image);
    checkPhotoSize(pair.image, photo.size(), judges_.front().grid);
    const cv::Mat foreground = readForeground(pair, rule, photo.size());
    cv::Mat labels;
    const int count = instancesOf(foreground, labels);
    std::vector<PatchRanking> rankings;
    for (const Judge& judge : judges_)
        rankings.push_back(judge.rank(photo, io::crc32(pair.name)));
    teach::BaselineRanker baselines(photo, judges_.front().grid);
    for (const teach::Baseline baseline : SCORED)
        if (teach::baselineAvailable(baseline))
            rankings.push_back(baselines.rank(baseline));
    row = cv::Mat::zeros(1, static_cast<int>(2 * names_.size() * counts_.size()), CV_64F);
    for (size_t method = 0; method < names_.size(); ++method)
        for (size_t k = 0; k < counts_.size(); ++k)
        {
            const int seeds = method == scored_ + 1 ? RANDOM_SEEDS : 1;
            for (int seed = 0; seed < seeds; ++seed)
            {
                std::vector<char> hit(static_cast<size_t>(count) + 1, 0);
                int onForeground = 0;
                for (const cv::Point& at : points(method, counts_[k], seed, io::crc32(pair.name), rankings, photo.size()))
                {
                    hit[static_cast<size_t>(labels.at<int>(at))] = 1;
                    onForeground += foreground.at<uchar>(at) != 0;
                }
                const double hits = static_cast<double>(std::count(hit.begin() + 1, hit.end(), 1));
                row.at<double>(static_cast<int>(column(method, k, false))) += hits / count / seeds;
                row.at<double>(static_cast<int>(column(method, k, true))) += double(onForeground) / counts_[k] / seeds;
            }
        }
    instances = static_cast<size_t>(count);
}

void PointsEvaluation::measure(const ImageSet& set, size_t& failed)
{
    Progress progress("eval points " + set.name + ": image", set.pairs.size());
    cv::Mat own;
    for (size_t i = 0; i < set.pairs.size(); ++i)
    {
        checkInterrupt();
        try
        {
            cv::Mat row;
            size_t instances = 0;
            measure(set.pairs[i], set.rule, row, instances);
            own.push_back(row);
            files_.push_back(set.pairs[i].image);
            instances_ += instances;
        }
        catch (const std::exception& error)
        {
            checkInterrupt();
            complain(reason(error, set.pairs[i].image));
            ++failed;
        }
        progress.update(i + 1);
    }
    progress.hide();
    if (own.empty())
        throw std::runtime_error(set.folder + ": no image could be measured");
    // Images are resampled within each set, and all images of all sets have equal weight.
    const cv::Mat means = eval::bootstrapMeans(own, REPLICATES, io::crc32(set.name));
    const double share = static_cast<double>(own.rows) / (own.rows + values_.rows);
    means_ = means_.empty() ? means : cv::Mat(means_ * (1 - share) + means * share);
    values_.push_back(own);
}

void PointsEvaluation::print() const
{
    std::printf("%d images, %zu instances (connected parts of the masks)\n\n", values_.rows, instances_);
    size_t width = 4;
    for (const std::string& name : names_)
        width = std::max(width, name.size());
    for (const bool onForeground : {false, true})
    {
        std::printf(onForeground ? "\nshare of the points on foreground, with its 95 %% interval\n%-*s"
                                 : "share of the instances with a point, mean over the images, with its 95 %% interval\n%-*s",
                    static_cast<int>(width), "points");
        for (int count : counts_)
            std::printf("  %20d", count);
        for (size_t method = 0; method < names_.size(); ++method)
        {
            std::printf("\n%-*s", static_cast<int>(width), names_[method].c_str());
            for (size_t k = 0; k < counts_.size(); ++k)
            {
                const int at = static_cast<int>(column(method, k, onForeground));
                const eval::Interval interval = eval::percentileInterval(means_.col(at).clone().reshape(1, 1), LEVEL);
                std::printf("  %.3f [%.3f, %.3f]", cv::mean(values_.col(at))[0], interval.low, interval.high);
            }
        }
        std::printf("\n");
    }
}

Json PointsEvaluation::json() const
{
    Json result = Json::object(), methods = Json::object();
    result["counts"] = counts_;
    result["spread"] = spread_;
    result["images"] = values_.rows;
    result["instances"] = instances_;
    for (size_t method = 0; method < names_.size(); ++method)
    {
        Json own = Json::object();
        for (const char* part : {"recall", "recall_interval", "on_foreground", "on_foreground_interval"})
            own[part] = Json::array();
        for (const bool onForeground : {false, true})
            for (size_t k = 0; k < counts_.size(); ++k)
            {
                const int at = static_cast<int>(column(method, k, onForeground));
                const eval::Interval interval = eval::percentileInterval(means_.col(at).clone().reshape(1, 1), LEVEL);
                own[onForeground ? "on_foreground" : "recall"].push_back(cv::mean(values_.col(at))[0]);
                own[onForeground ? "on_foreground_interval" : "recall_interval"].push_back({interval.low, interval.high});
            }
        methods[names_[method]] = own;
    }
    result["methods"] = methods;
    result["per_image"] = Json::array();
    for (int i = 0; i < values_.rows; ++i)
    {
        Json image = Json::object(), recall = Json::object();
        for (size_t method = 0; method < names_.size(); ++method)
        {
            recall[names_[method]] = Json::array();
            for (size_t k = 0; k < counts_.size(); ++k)
                recall[names_[method]].push_back(values_.at<double>(i, static_cast<int>(column(method, k, false))));
        }
        image["image"] = nameJson(files_[static_cast<size_t>(i)]);
        image["recall"] = recall;
        result["per_image"].push_back(image);
    }
    return result;
}

}  // namespace tool
