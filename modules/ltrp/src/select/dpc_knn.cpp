// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "dpc_knn.hpp"

#include "../ops/cpu/parallel.hpp"
#include "../vit/patches.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cv { namespace ltrp { namespace select {

namespace {

size_t at(int index)
{
    return static_cast<size_t>(index);
}

std::vector<int> numbers(int n)
{
    std::vector<int> all(at(n));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

double squaredDistance(const float* a, const float* b, int n)
{
    double sums[4] = {0, 0, 0, 0};   // four chains of additions keep the processor busy, one would not
    int i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; ++j)
        {
            const double d = static_cast<double>(a[i + j]) - b[i + j];
            sums[j] += d * d;
        }
    for (; i < n; ++i)
    {
        const double d = static_cast<double>(a[i]) - b[i];
        sums[0] += d * d;
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

std::vector<int> topK(const float* scores, int n, int keep)
{
    LTRP_REQUIRE(keep >= 0 && keep <= n, Error::StsOutOfRange, "cannot keep " << keep << " of " << n << " patches");
    std::vector<int> order = numbers(n);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] < scores[b]; });
    order.erase(order.begin(), order.begin() + (n - keep));
    return order;
}

int countByScore(int keep, double share)
{
    LTRP_REQUIRE(share >= 0 && share <= 1, Error::StsOutOfRange,
                 "share of patches chosen by score is " << share << ", expected 0 to 1");
    return static_cast<int>(keep * share);
}

Mat patchDistances(const float* pixels, const vit::InputConfig& input)
{
    Mat features(input.numPatches(), input.patchValues(), CV_32F);
    vit::patchify(input, pixels, 1, nullptr, input.numPatches(), vit::PatchOrder::ChannelLast, features.ptr<float>());
    return patchDistances(features);
}

Mat patchDistances(const Mat& features)
{
    CV_CheckTypeEQ(features.type(), CV_32FC1, "patch features are 32-bit floats");
    const int n = features.rows;
    const double scale = 1 / std::sqrt(static_cast<double>(features.cols));
    Mat distances(n, n, CV_64F);
    const auto fillRow = [&](int i) {
        distances.at<double>(i, i) = 0;
        for (int j = 0; j < i; ++j)
        {
            const double d =
                std::sqrt(squaredDistance(features.ptr<float>(i), features.ptr<float>(j), features.cols)) * scale;
            distances.at<double>(i, j) = distances.at<double>(j, i) = d;
        }
    };
    // A short row and a long one together: every pair is as much work, and no two write the same place.
    ops::parallelRanges(at(n + 1) / 2, 8, [&](size_t begin, size_t end) {
        for (int i = static_cast<int>(begin); i < static_cast<int>(end); ++i)
        {
            fillRow(i);
            if (n - 1 - i != i)
                fillRow(n - 1 - i);
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
    std::vector<double> row(at(n));
    for (int i = 0; i < n; ++i)
    {
        const double* d = distances.ptr<double>(i);
        row.assign(d, d + n);
        std::partial_sort(row.begin(), row.begin() + k, row.end());
        double sum = 0;
        for (int j = 0; j < k; ++j)
            sum += row[at(j)] * row[at(j)];
        result.density[at(i)] = std::exp(-sum / k) + (densityNoise ? 1e-6 * densityNoise[i] : 0);
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
    result.centres = numbers(n);
    std::stable_sort(result.centres.begin(), result.centres.end(),
                     [&](int a, int b) { return peak[at(a)] > peak[at(b)]; });
    result.centres.resize(at(clusters));

    result.assignment.assign(at(n), 0);
    for (int i = 0; i < n; ++i)
    {
        const double* d = distances.ptr<double>(i);
        int& nearest = result.assignment[at(i)];
        for (int c = 1; c < clusters; ++c)
            if (d[result.centres[at(c)]] < d[result.centres[at(nearest)]])
                nearest = c;
    }
    for (int c = 0; c < clusters; ++c)   // also where another centre holds the very same pixels
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
    std::vector<int> order = numbers(total);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b)
    {
        return choice.effectiveSize[at(a)] > choice.effectiveSize[at(b)];
    });
    // Every cluster has a member, and at most keptByScore.size() of them have an effective size of 0: what is taken
    // here is never one of those.
    for (int c = 0; c < count; ++c)
        choice.kept.push_back(choice.representative[at(order[at(c)])]);
    return choice;
}

}}}  // namespace
