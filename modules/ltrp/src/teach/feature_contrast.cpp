// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "feature_contrast.hpp"
#include "maps.hpp"

#include <algorithm>
#include <numeric>

namespace cv { namespace ltrp { namespace teach {

namespace {

std::vector<int> borderPatches(int grid)
{
    std::vector<int> border;
    for (int i = 0; i < grid * grid; ++i)
    {
        const int x = i % grid, y = i / grid;
        if (x == 0 || y == 0 || x == grid - 1 || y == grid - 1)
            border.push_back(i);
    }
    return border;
}

void toUnitLength(Mat& rows)
{
    for (int i = 0; i < rows.rows; ++i)
    {
        const double length = norm(rows.row(i));
        rows.row(i) *= 1 / (length + 1e-6);
    }
}

/// Negative mean similarity to the most similar border patches. keys [L, dim], rows of length 1.
Mat contrast(const Mat& keys, const std::vector<int>& border)
{
    Mat borderKeys;
    for (int patch : border)
        borderKeys.push_back(keys.row(patch));
    const Mat similarity = keys * borderKeys.t();
    const size_t count = std::min<size_t>(FeatureContrast::neighbours, border.size() - 1);
    Mat scores(1, keys.rows, CV_32F);
    std::vector<float> others;
    for (int i = 0; i < keys.rows; ++i)
    {
        others.clear();
        for (size_t j = 0; j < border.size(); ++j)
            if (border[j] != i)
                others.push_back(similarity.at<float>(i, static_cast<int>(j)));
        std::partial_sort(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(count), others.end(), std::greater<float>());
        double sum = 0;
        for (size_t j = 0; j < count; ++j)
            sum += others[j];
        scores.at<float>(i) = static_cast<float>(-sum / static_cast<double>(count));
    }
    return scores;
}

}  // namespace

std::vector<int> FeatureContrast::usualBlocks(int depth)
{
    std::vector<int> blocks;
    for (double share : {0.4, 0.6, 0.7})
    {
        const int block = std::min(static_cast<int>(share * depth + 1e-6), depth - 1);
        if (blocks.empty() || blocks.back() != block)
            blocks.push_back(block);
    }
    return blocks;
}

std::vector<Mat> FeatureContrast::keys(const float* pixels, const std::vector<int>& blocks, vit::Workspace& ws) const
{
    const vit::InputConfig& input = mae_.config().input;
    const int dim = mae_.config().encoder.dim, patches = input.numPatches(), tokens = patches + 1;
    const size_t values = static_cast<size_t>(tokens) * static_cast<size_t>(dim);
    const size_t pixelCount = 3 * static_cast<size_t>(input.imageSize) * static_cast<size_t>(input.imageSize);
    float* x = ws.get("keys.x", values);
    float* qkv = ws.get("keys.qkv", 3 * values);
    vit::embedPatches(input, dim, mae_.params(), ws.upload("keys.pixels", pixels, pixelCount), 1, nullptr, patches, x, nullptr, ws);
    const std::vector<ops::BlockWeights> weights = mae_.encoder().blockWeights(ws);
    std::vector<Mat> keys;
    int done = 0;
    for (int block : blocks)
    {
        if (block > done)
            mae_.encoder().forwardBlocks(x, 1, tokens, nullptr, done, block, ws);
        done = block;
        const ops::BlockWeights& w = weights[static_cast<size_t>(block)];
        ws.ops().normLinear(w.norm1, w.qkv, x, qkv, tokens);
        const float* host = ws.download("keys.qkv", qkv, 3 * values);
        const Mat all(tokens, 3 * dim, CV_32F, const_cast<float*>(host));   // queries, keys, values of the class token and patches
        keys.push_back(all(Rect(dim, 1, dim, patches)).clone());
    }
    return keys;
}

void FeatureContrast::addPhoto(const float* pixels, vit::Workspace& ws)
{
    std::vector<int> blocks(static_cast<size_t>(mae_.config().encoder.depth));
    std::iota(blocks.begin(), blocks.end(), 0);
    const std::vector<Mat> found = keys(pixels, blocks, ws);
    sums_.resize(found.size());
    for (size_t i = 0; i < found.size(); ++i)
    {
        Mat values;
        found[i].convertTo(values, CV_64F);
        if (sums_[i].empty())
            sums_[i] = values;
        else
            sums_[i] += values;
    }
    photos_++;
}

Mat FeatureContrast::map(const float* pixels, const std::vector<int>& wanted, vit::Workspace& ws) const
{
    const int depth = mae_.config().encoder.depth, grid = mae_.config().input.grid();
    LTRP_REQUIRE(photos_ >= leastPhotos, Error::StsBadArg, "teacher features: needs the mean keys of at least " << int(leastPhotos)
                 << " photos, found " << photos_ << "; add photos like those to be scored (64 or more are better)");
    LTRP_REQUIRE(grid >= 3, Error::StsBadArg, "teacher features: expected a grid of 3 x 3 patches or more, found " << grid << " x "
                 << grid);
    std::vector<int> blocks = wanted.empty() ? usualBlocks(depth) : wanted;
    std::sort(blocks.begin(), blocks.end());
    LTRP_REQUIRE(blocks.front() >= 0 && blocks.back() < depth && std::adjacent_find(blocks.begin(), blocks.end()) == blocks.end(),
                 Error::StsOutOfRange, "feature blocks: expected different numbers from 0 to " << depth - 1 << ", found "
                 << Mat(blocks).reshape(1, 1));
    std::vector<Mat> found = keys(pixels, blocks, ws);
    const std::vector<int> border = borderPatches(grid);
    Mat sum = Mat::zeros(1, grid * grid, CV_32F);
    for (size_t i = 0; i < found.size(); ++i)
    {
        Mat mean;
        sums_[static_cast<size_t>(blocks[i])].convertTo(mean, CV_32F, 1. / photos_);
        found[i] -= mean;
        toUnitLength(found[i]);
        sum += toRanks(contrast(found[i], border));
    }
    sum *= 1. / static_cast<double>(found.size());
    return sum.reshape(1, grid);
}

}}}  // namespace
