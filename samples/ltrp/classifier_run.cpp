// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "classifier_run.hpp"

#include "../../modules/ltrp/src/image/preprocess.hpp"
#include "../../modules/ltrp/src/io/checksum.hpp"
#include "../../modules/ltrp/src/vit/token_merging.hpp"

#include <opencv2/ltrp/select.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace tool
{

using namespace cv::ltrp;

namespace
{

ComputeDevice deviceOf(int target)
{
    ComputeDevice computing;
    computing.set(target);
    return computing;
}

/// Logits to probabilities, row by row.
void softmax(cv::Mat& rows)
{
    for (int y = 0; y < rows.rows; ++y)
    {
        float* values = rows.ptr<float>(y);
        const float largest = *std::max_element(values, values + rows.cols);
        double sum = 0;
        for (int x = 0; x < rows.cols; ++x)
            sum += std::exp(static_cast<double>(values[x] - largest));
        for (int x = 0; x < rows.cols; ++x)
            values[x] = static_cast<float>(std::exp(static_cast<double>(values[x] - largest)) / sum);
    }
}

void sigmoid(cv::Mat& rows)
{
    rows.forEach<float>([](float& value, const int*) { value = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(value)))); });
}

}  // namespace

ClassifierRun::ClassifierRun(const std::string& model, int target, std::shared_ptr<const select::Selector> selector, double keep)
    : model_(io::loadModel(model, io::ModelKind::Classifier)), selector_(std::move(selector)),
      classifier_(model_.classifier, model_.params), computing_(deviceOf(target)), workspace_(computing_.backend),
      grid_(model_.input().columns(), model_.input().rows()), count_(keepCount(grid_.area(), keep))
{
}

void checkMergedShare(vit::Task task, int patches, int depth, double share, const std::string& option)
{
    if (task == vit::Task::Segment)
        throw UsageError(option + ": goes with networks of task classify or multilabel, this one's task is segment, "
                         "which needs a token of each patch");
    const double least = vit::meanTokenShare(patches, depth, patches / 2);
    if (share < least)
        throw UsageError(option + ": " + plain(share) + " is below " + plain(std::ceil(least * 1e4) / 1e4) +
                         ", the smallest share for " + std::to_string(patches) + " patches and " + std::to_string(depth) +
                         (depth == 1 ? " block" : " blocks"));
}

double ClassifierRun::merge(double share)
{
    const int patches = grid_.area(), depth = model_.classifier.encoder.depth;
    checkMergedShare(task(), patches, depth, share, "--merge");
    if (computing_.target != TARGET_CPU)
        throw UsageError("--merge: goes with --device cpu --precision fp32");
    merged_ = vit::mergesPerBlock(patches, depth, share);
    return vit::meanTokenShare(patches, depth, merged_);
}

ClassifierRun::Prepared ClassifierRun::prepare(const cv::Mat& photo, const select::Draw& draw) const
{
    const vit::InputConfig& input = model_.input();
    Prepared result;
    cv::Mat rgb, resized;
    image::toRgb8(photo, rgb);
    image::resizeAntialiasedCubic(rgb, resized, input.size());
    result.pixels.resize(3 * resized.total());
    image::normalise(resized, input, result.pixels.data());
    result.patches = select::firstPatches(*selector_, photo, grid_, count_, draw);
    return result;
}

std::vector<cv::Mat> ClassifierRun::run(const std::vector<Prepared>& images)
{
    const std::shared_ptr<void> guard = computing_.backend->deviceGuard();
    std::vector<float> pixels;
    std::vector<int> keep;
    for (const Prepared& one : images)
    {
        pixels.insert(pixels.end(), one.pixels.begin(), one.pixels.end());
        keep.insert(keep.end(), one.patches.begin(), one.patches.end());
    }
    const int batch = static_cast<int>(images.size()), each = classifier_.rows(count_);
    cv::Mat rows(batch * each, static_cast<int>(classes().size()), CV_32F);
    float* const logits = workspace_.result("logits", rows.ptr<float>(), rows.total());
    if (merged_ >= 0)
        classifier_.forwardMerging(pixels.data(), batch, merged_, logits, workspace_);
    else
        classifier_.forward(workspace_.upload("pixels", pixels.data(), pixels.size()), batch,
                            workspace_.upload("keep", keep.data(), keep.size()), count_, logits, workspace_);
    workspace_.finish(logits, rows.ptr<float>(), rows.total());
    if (!cv::checkRange(rows))
        throw std::runtime_error(model_.path + ": the network gives NaN or infinite logits");
    if (task() == vit::Task::Classify)
        softmax(rows);
    else if (task() == vit::Task::Multilabel)
        sigmoid(rows);
    std::vector<cv::Mat> answers;
    for (int i = 0; i < batch; ++i)
        answers.push_back(rows.rowRange(i * each, (i + 1) * each));
    return answers;
}

select::Draw drawOf(uint64_t seed, const std::string& path)
{
    const std::filesystem::path file(path);
    return {seed, 0, io::crc32((file.parent_path().filename() / file.filename()).generic_string())};
}

}  // namespace tool
