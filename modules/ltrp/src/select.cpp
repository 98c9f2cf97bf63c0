// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/select.hpp"

#include "select/dpc_knn.hpp"
#include "select/sampling.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp {

namespace {

/// Number of patches to keep that does not depend on the scores.
int fixedCount(size_t patches, const SelectParams& params)
{
    LTRP_REQUIRE(params.count >= 0 && static_cast<size_t>(params.count) <= patches, Error::StsOutOfRange,
                 "number of patches to keep is " << params.count << ", expected 0 (by the keep ratio) to " << patches);
    return params.count > 0 ? params.count : keepCount(static_cast<int>(patches), params.keepRatio);
}

/// SELECT_MASS. values: by descending score.
size_t countByMass(const std::vector<double>& values, double mass, double temperature)
{
    LTRP_REQUIRE(mass > 0 && mass <= 1, Error::StsOutOfRange, "mass is " << mass << ", expected above 0 and at most 1");
    const std::vector<double> weights = select::logWeights(values, temperature);
    double total = 0, held = 0;
    for (double weight : weights)
        total += std::exp(weight);
    const double wanted = mass * total * (1 - 1e-12);   // tolerance: rounding must not add a patch for equal scores
    size_t count = 0;
    while (count < values.size() && held < wanted)
        held += std::exp(weights[count++]);
    return count;
}

/// Number of patches that SELECT_MASS and SELECT_THRESHOLD keep. order: all patches by descending score.
int countByScores(const Mat& scores, const std::vector<int>& order, const SelectParams& params)
{
    LTRP_REQUIRE(params.minRatio >= 0 && params.minRatio <= 1, Error::StsOutOfRange,
                 "lowest share of patches is " << params.minRatio << ", expected 0 to 1");
    LTRP_REQUIRE(params.maxRatio > 0 && params.maxRatio <= 1, Error::StsOutOfRange,
                 "highest share of patches is " << params.maxRatio << ", expected above 0 and at most 1");
    LTRP_REQUIRE(params.minRatio <= params.maxRatio, Error::StsOutOfRange,
                 "lowest share of patches is " << params.minRatio << ", expected at most the highest share, "
                 << params.maxRatio);
    const std::vector<double> values = select::valuesOf(scores, order);
    size_t count = 0;
    if (params.method == SELECT_MASS)
        count = countByMass(values, params.mass, params.temperature);
    else
    {
        LTRP_REQUIRE(std::isfinite(params.threshold), Error::StsOutOfRange,
                     "threshold is " << params.threshold << ", expected a finite number");
        while (count < values.size() && values[count] >= params.threshold)
            ++count;
    }
    const int patches = static_cast<int>(order.size());
    const int fewest = params.minRatio > 0 ? keepCount(patches, params.minRatio) : 1;
    return std::min(std::max(static_cast<int>(count), fewest), keepCount(patches, params.maxRatio));
}

/// SELECT_SAMPLE. order: all patches by descending score.
std::vector<int> bySampling(const Mat& scores, const SelectParams& params, const std::vector<int>& order)
{
    const auto keep = fixedCount(order.size(), params);
    std::vector<int> kept = select::sampledOrder(scores, order, params.temperature, RandomStream(params.seed, RandomPurpose::Sample));
    kept.resize(static_cast<size_t>(keep));
    return kept;
}

/// SELECT_CLUSTER. order: all patches by descending score.
std::vector<int> byClusters(const PatchRanking& ranking, const SelectParams& params, const std::vector<int>& order,
                            InputArray image)
{
    std::vector<int> kept = order;
    const int patches = static_cast<int>(kept.size()), keep = fixedCount(kept.size(), params);
    LTRP_REQUIRE(params.neighbours >= 1, Error::StsOutOfRange,
                 "number of neighbours is " << params.neighbours << ", expected at least 1");
    const int byScore = select::countByScore(keep, params.scoreShare);
    LTRP_REQUIRE(!image.empty(), Error::StsBadArg, "SELECT_CLUSTER needs the image that was ranked");
    LTRP_REQUIRE(image.size() == ranking.imageSize, Error::StsUnmatchedSizes,
                 "the image is " << image.size().width << " x " << image.size().height << ", the ranked one was "
                 << ranking.imageSize.width << " x " << ranking.imageSize.height);
    LTRP_REQUIRE(patches <= select::maxClusteredPatches, Error::StsOutOfRange,
                 "the ranking has " << patches << " patches, SELECT_CLUSTER takes at most "
                                    << int(select::maxClusteredPatches));
    kept.resize(static_cast<size_t>(byScore));
    if (byScore < keep)
    {
        RandomStream random(params.seed, RandomPurpose::Cluster);
        std::vector<float> memberNoise(static_cast<size_t>(patches)), densityNoise(static_cast<size_t>(patches));
        for (float& value : memberNoise)
            value = random.uniform();
        // Without noise all patches of a uniform area (sky, a white page) would be density peaks, and all centres would
        // be there.
        for (float& value : densityNoise)
            value = random.uniform();
        const Mat distances = select::patchDistances(select::patchPixels(image, ranking.grid()));
        const select::Clusters clusters = select::dpcKnn(distances, keep, params.neighbours, densityNoise.data());
        const select::ClusterChoice choice =
            select::chooseFromClusters(clusters, memberNoise.data(), kept, keep - byScore);
        kept.insert(kept.end(), choice.kept.begin(), choice.kept.end());
    }
    return kept;
}

}  // namespace

int keepCount(int numPatches, double keepRatio)
{
    LTRP_REQUIRE(keepRatio > 0 && keepRatio <= 1, Error::StsOutOfRange,
                 "keep ratio is " << keepRatio << ", expected above 0 and at most 1");
    LTRP_REQUIRE(numPatches >= 1, Error::StsOutOfRange,
                 "number of patches is " << numPatches << ", expected at least 1");
    return std::max(1, static_cast<int>(numPatches * keepRatio));
}

std::vector<int> selectPatches(const PatchRanking& ranking, const SelectParams& params, InputArray image)
{
    LTRP_REQUIRE(params.method >= SELECT_TOPK && params.method <= SELECT_SAMPLE, Error::StsOutOfRange,
                 "selection method is " << params.method << ", expected SELECT_TOPK (0), SELECT_CLUSTER (1), "
                 "SELECT_MASS (2), SELECT_THRESHOLD (3) or SELECT_SAMPLE (4)");
    LTRP_REQUIRE(!ranking.scores.empty(), Error::StsBadArg, "the ranking has no scores");
    std::vector<int> kept = ranking.order();
    if (params.method == SELECT_CLUSTER)
        kept = byClusters(ranking, params, kept, image);
    else if (params.method == SELECT_SAMPLE)
        kept = bySampling(ranking.scores, params, kept);
    else
        kept.resize(static_cast<size_t>(params.method == SELECT_TOPK ? fixedCount(kept.size(), params)
                                                                     : countByScores(ranking.scores, kept, params)));
    std::sort(kept.begin(), kept.end());
    return kept;
}

}}  // namespace
