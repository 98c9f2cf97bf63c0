// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dpc_knn.hpp"
#include "top_k.hpp"

#include "../ops/cpu/kernels.hpp"
#include "../core/parallel.hpp"
#include "../image/preprocess.hpp"
#include "../vit/patches.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace select {

namespace {

size_t at(int index)
{
    return static_cast<size_t>(index);
}

/// Block of patches whose mutual distances are computed together, so that their values stay in the cache.
enum { blockRows = 32 };

/// Side of a patch as clustering sees it: that of the published networks.
enum { clusterPatchSize = 16 };

/// Sum of squares of the k smallest of n values that are not negative, added in ascending order.
double sumOfSmallestSquares(const double* values, int n, int k, std::vector<double>& scratch)
{
    if (k > 16)
    {
        scratch.assign(values, values + n);
        std::partial_sort(scratch.begin(), scratch.begin() + k, scratch.end());
    }
    else   // small k: a short sorted list is faster, since its last entry rejects nearly every value
    {
        scratch.assign(at(k), std::numeric_limits<double>::infinity());
        for (int i = 0; i < n; ++i)
        {
            if (!(values[i] < scratch.back()))
                continue;
            int place = k - 1;
            for (; place > 0 && values[i] < scratch[at(place - 1)]; --place)
                scratch[at(place)] = scratch[at(place - 1)];
            scratch[at(place)] = values[i];
        }
    }
    double sum = 0;
    for (int j = 0; j < k; ++j)
        sum += scratch[at(j)] * scratch[at(j)];
    return sum;
}

}  // namespace

int countByScore(int keep, double share)
{
    LTRP_REQUIRE(share >= 0 && share <= 1, Error::StsOutOfRange,
                 "share of patches chosen by score is " << share << ", expected 0 to 1");
    return static_cast<int>(keep * share);
}

Mat patchPixels(InputArray image, Size grid)
{
    Mat rgb, resized;
    image::toRgb8(image, rgb);
    image::resizeAntialiasedCubic(rgb, resized, Size(grid.width * clusterPatchSize, grid.height * clusterPatchSize));
    const vit::InputConfig scale;
    float table[3][256];
    for (int c = 0; c < 3; ++c)
        for (int v = 0; v < 256; ++v)
            table[c][v] = static_cast<float>((v / 255.0 - scale.mean[c]) / scale.std[c]);
    Mat features(grid.area(), 3 * clusterPatchSize * clusterPatchSize, CV_32F);
    for (int i = 0; i < grid.area(); ++i)
    {
        float* to = features.ptr<float>(i);
        const int left = i % grid.width * clusterPatchSize, top = i / grid.width * clusterPatchSize;
        for (int y = 0; y < clusterPatchSize; ++y)
        {
            const uchar* from = resized.ptr<uchar>(top + y) + 3 * left;
            for (int x = 0; x < 3 * clusterPatchSize; ++x)
                *to++ = table[x % 3][from[x]];
        }
    }
    return features;
}

Mat patchDistances(const float* pixels, const vit::InputConfig& input)
{
    Mat features(input.numPatches(), input.patchValues(), CV_32F);
    ops::cpu().patchify(vit::gridOf(input), pixels, 1, nullptr, input.numPatches(), ops::PatchOrder::ChannelLast,
                        features.ptr<float>());
    return patchDistances(features);
}

Mat patchDistances(const Mat& features)
{
    CV_CheckTypeEQ(features.type(), CV_32FC1, "patch features are 32-bit floats");
    const int n = features.rows;
    const double scale = 1 / std::sqrt(static_cast<double>(features.cols));
    Mat wide(n, (features.cols + 7) / 8 * 8, CV_64F), distances(n, n, CV_64F);
    wide.colRange(features.cols, wide.cols).setTo(0);
    features.convertTo(wide.colRange(0, features.cols), CV_64F);   // so that differences are exact
    std::vector<std::pair<int, int>> blocks;   // on and below the diagonal
    for (int i = 0; i < n; i += blockRows)
        for (int j = 0; j <= i; j += blockRows)
            blocks.emplace_back(i, j);
    const ops::Kernels& kernels = ops::kernels();
    parallelRanges(blocks.size(), 2, [&](size_t begin, size_t end) {
        double squares[4 * blockRows];
        for (size_t block = begin; block < end; ++block)
        {
            const int left = blocks[block].second, bottom = std::min(n, blocks[block].first + blockRows);
            for (int top = blocks[block].first; top < bottom; top += 4)
            {
                const int rows = std::min(4, bottom - top), right = std::min(left + blockRows, top + rows);
                kernels.squaredDistances(wide.ptr<double>(top), at(rows), wide.ptr<double>(left), at(right - left),
                                         at(wide.cols), squares, blockRows);
                for (int i = top; i < top + rows; ++i)
                    for (int j = left; j < std::min(right, i + 1); ++j)
                        distances.at<double>(i, j) = distances.at<double>(j, i) =
                            std::sqrt(squares[(i - top) * blockRows + j - left]) * scale;
            }
        }
    });
    return distances;
}

Clusters dpcKnn(const Mat& distances, int clusters, int neighbours, const float* densityNoise)
{
    const int n = distances.rows;
    LTRP_REQUIRE(distances.type() == CV_64FC1 && distances.cols == n, Error::StsBadArg,
                 "distances are " << distances.rows << " x " << distances.cols << " of type "
                 << typeToString(distances.type()) << ", expected a square matrix of 64FC1");
    LTRP_REQUIRE(clusters >= 1 && clusters <= n, Error::StsOutOfRange, clusters << " clusters of " << n << " patches");
    LTRP_REQUIRE(neighbours >= 1, Error::StsOutOfRange,
                 "number of neighbours is " << neighbours << ", expected at least 1");
    const int k = std::min(neighbours, n);

    Clusters result;
    result.density.resize(at(n));
    double largest = 0;
    std::vector<double> scratch;
    for (int i = 0; i < n; ++i)
    {
        const double* d = distances.ptr<double>(i);
        result.density[at(i)] = std::exp(-sumOfSmallestSquares(d, n, k, scratch) / k)
            + (densityNoise ? 1e-6 * densityNoise[i] : 0);
        largest = std::max(largest, *std::max_element(d, d + n));
    }

    result.indicator.assign(at(n), largest);
    std::vector<double> peak(at(n));
    for (int i = 0; i < n; ++i)
    {
        const double* d = distances.ptr<double>(i);
        for (int j = 0; j < n; ++j)
            if (result.density[at(j)] > result.density[at(i)])
                result.indicator[at(i)] = std::min(result.indicator[at(i)], d[j]);
        peak[at(i)] = result.indicator[at(i)] * result.density[at(i)];
    }
    result.centres = topK(peak.data(), peak.size(), at(clusters));

    result.assignment.assign(at(n), 0);
    for (int i = 0; i < n; ++i)
    {
        const double* d = distances.ptr<double>(i);
        int& nearest = result.assignment[at(i)];
        for (int c = 1; c < clusters; ++c)
            if (d[result.centres[at(c)]] < d[result.centres[at(nearest)]])
                nearest = c;
    }
    for (int c = 0; c < clusters; ++c)   // even if another centre has identical pixels
        result.assignment[at(result.centres[at(c)])] = c;
    result.size.assign(at(clusters), 0);
    for (int c : result.assignment)
        ++result.size[at(c)];
    return result;
}

ClusterChoice chooseFromClusters(const Clusters& clusters, const float* memberNoise,
                                 const std::vector<int>& keptByScore, int count)
{
    const int n = static_cast<int>(clusters.assignment.size()), total = static_cast<int>(clusters.centres.size());
    LTRP_REQUIRE(count >= 0 && count + static_cast<int>(keptByScore.size()) <= total, Error::StsOutOfRange,
                 "cannot take " << count << " patches from " << total << " clusters when " << keptByScore.size()
                 << " are kept by score");
    ClusterChoice choice;
    choice.representative.assign(at(total), -1);
    std::vector<float> best(at(total), -1.f);
    for (int i = 0; i < n; ++i)
    {
        const int c = clusters.assignment[at(i)];
        const float value = static_cast<float>(c) + memberNoise[i];
        if (value > best[at(c)])
        {
            best[at(c)] = value;
            choice.representative[at(c)] = i;
        }
    }
    std::vector<char> kept(at(n), 0);
    for (int patch : keptByScore)
        kept[at(patch)] = 1;
    choice.effectiveSize = clusters.size;
    for (int c = 0; c < total; ++c)
        if (kept[at(choice.representative[at(c)])])
            choice.effectiveSize[at(c)] = 0;
    // Every cluster has a member, and at most keptByScore.size() of them have effective size 0, so none of those is
    // taken here.
    for (int c : topK(choice.effectiveSize.data(), choice.effectiveSize.size(), at(count)))
        choice.kept.push_back(choice.representative[at(c)]);
    return choice;
}

}}}  // namespace
