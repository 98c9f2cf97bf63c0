// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "kmeans.hpp"

#include "../core/random.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace cv { namespace ltrp { namespace select {

namespace {

enum { mostRounds = 100 };

double squaredDistance(const Mat& a, int i, const Mat& b, int j)
{
    const double *p = a.ptr<double>(i), *q = b.ptr<double>(j);
    double sum = 0;
    for (int c = 0; c < a.cols; ++c)
        sum += (p[c] - q[c]) * (p[c] - q[c]);
    return sum;
}

}  // namespace

Kmeans::Kmeans(const Mat& features, int clusters, uint64_t seed)
{
    LTRP_REQUIRE(clusters >= 1 && clusters <= features.rows, Error::StsOutOfRange,
                 clusters << " clusters of " << features.rows << " items");
    const size_t items = static_cast<size_t>(features.rows);
    Mat wide;
    features.convertTo(wide, CV_64F);
    assignment.assign(items, 0);
    distance.assign(items, std::numeric_limits<double>::infinity());
    RandomStream random(seed, RandomPurpose::Cluster);
    int next = random.below(features.rows);
    for (int k = 0; k < clusters; ++k)
    {
        centres.push_back(wide.row(next));
        for (size_t i = 0; i < items; ++i)
        {
            const double d = squaredDistance(wide, static_cast<int>(i), centres, k);
            if (d < distance[i])
            {
                distance[i] = d;
                assignment[i] = k;
            }
        }
        double left = random.uniform() * std::accumulate(distance.begin(), distance.end(), 0.);
        for (next = 0; next + 1 < features.rows && left >= distance[static_cast<size_t>(next)]; ++next)
            left -= distance[static_cast<size_t>(next)];
    }

    for (int round = 0; round < mostRounds; ++round)
    {
        Mat sums = Mat::zeros(clusters, features.cols, CV_64F);
        std::vector<int> members(static_cast<size_t>(clusters), 0);
        for (size_t i = 0; i < items; ++i)
        {
            sums.row(assignment[i]) += wide.row(static_cast<int>(i));
            ++members[static_cast<size_t>(assignment[i])];
        }
        for (int k = 0; k < clusters; ++k)
            if (members[static_cast<size_t>(k)] > 0)   // else the centre stays
                centres.row(k) = sums.row(k) / members[static_cast<size_t>(k)];
        bool changed = false;
        for (size_t i = 0; i < items; ++i)
        {
            int best = 0;
            distance[i] = std::numeric_limits<double>::infinity();
            for (int k = 0; k < clusters; ++k)
            {
                const double d = squaredDistance(wide, static_cast<int>(i), centres, k);
                if (d < distance[i])
                {
                    distance[i] = d;
                    best = k;
                }
            }
            changed = changed || best != assignment[i];
            assignment[i] = best;
        }
        if (!changed)
            break;
    }
}

std::vector<int> nearestFirst(const Kmeans& kmeans)
{
    std::vector<std::vector<int>> members(static_cast<size_t>(kmeans.centres.rows));
    std::vector<int> items(kmeans.assignment.size());
    std::iota(items.begin(), items.end(), 0);
    std::stable_sort(items.begin(), items.end(), [&](int a, int b)
                     { return kmeans.distance[static_cast<size_t>(a)] < kmeans.distance[static_cast<size_t>(b)]; });
    for (const int item : items)
        members[static_cast<size_t>(kmeans.assignment[static_cast<size_t>(item)])].push_back(item);
    std::stable_sort(members.begin(), members.end(), [](const std::vector<int>& a, const std::vector<int>& b)
                     { return a.size() > b.size(); });
    std::vector<int> order;
    for (size_t turn = 0; order.size() < items.size(); ++turn)
        for (const std::vector<int>& cluster : members)
            if (turn < cluster.size())
                order.push_back(cluster[turn]);
    return order;
}

}}}  // namespace
