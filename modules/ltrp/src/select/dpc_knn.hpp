// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_DPC_KNN_HPP
#define OPENCV_LTRP_SELECT_DPC_KNN_HPP

#include "../core/config.hpp"

namespace cv { namespace ltrp { namespace select {

/// Number of the `keep` patches that are chosen by score: int(keep * share), in double arithmetic.
int countByScore(int keep, double share);

/// Clustering looks at every pair of patches; beyond this the matrix of distances alone would take hundreds of
/// megabytes.
enum { maxClusteredPatches = 4096 };

/// One row of 16 x 16 x 3 normalised values per patch, CV_32FC1: the image resized to the grid as for a network of such
/// patches. image: as for Ranker::rank
Mat patchPixels(InputArray image, Size grid);

/// Euclidean distances between patches divided by sqrt(values of a patch), in double precision, zero diagonal.
/// pixels: [3,S,S] normalised. @return CV_64FC1 [L,L]
Mat patchDistances(const float* pixels, const vit::InputConfig& input);
/// The same for any vectors. features: CV_32FC1, one row per patch.
Mat patchDistances(const Mat& features);

/// Result of DPC-KNN clustering (Du et al., Knowledge-Based Systems 99, 2016), with intermediate values for golden
/// tests.
struct Clusters
{
    std::vector<double> density;     ///< exp(-mean of the k smallest squared distances, itself included) + 1e-6 * noise
    std::vector<double> indicator;   ///< smallest distance to a patch of strictly higher density; else the largest one
    std::vector<int> centres;        ///< patches with the largest indicator * density, descending; ties by number
    std::vector<int> assignment;     ///< cluster number (index in centres) of each patch; a centre belongs to itself
    std::vector<int> size;           ///< members of each cluster
};

/// distances: from patchDistances(). neighbours: all patches if it exceeds their number. densityNoise: L uniform values
/// that separate equal densities, or null.
Clusters dpcKnn(const Mat& distances, int clusters, int neighbours, const float* densityNoise);

/// Patches selected from the clusters.
struct ClusterChoice
{
    std::vector<int> representative;   ///< one member of each cluster: largest cluster number + noise in 32-bit floats
    std::vector<int> effectiveSize;    ///< cluster size, 0 if the representative is already chosen by score
    std::vector<int> kept;             ///< representatives of the largest effective sizes, descending; ties by cluster
};

/// memberNoise: L uniform values in [0, 1). count: number of representatives, at most clusters - keptByScore.size().
ClusterChoice chooseFromClusters(const Clusters& clusters, const float* memberNoise,
                                 const std::vector<int>& keptByScore, int count);

}}}  // namespace

#endif
