// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_SELECT_KMEANS_HPP
#define OPENCV_LTRP_SELECT_KMEANS_HPP

#include "../precomp.hpp"

namespace cv { namespace ltrp { namespace select {

/// Lloyd's algorithm from the centres of k-means++ (Arthur & Vassilvitskii, SODA 2007), until nothing changes, at most
/// 100 rounds. A function of its arguments alone.
struct Kmeans
{
    /// features: CV_32FC1, a row for each item. clusters: 1 to the number of items
    Kmeans(const Mat& features, int clusters, uint64_t seed);

    Mat centres;                    ///< CV_64FC1, a row for each cluster
    std::vector<int> assignment;    ///< nearest centre of each item; of equal ones the first
    std::vector<double> distance;   ///< its squared distance
};

/// All items: of each cluster in turn, the largest first, the item that is nearest to the centre among those that are
/// left. Equals go by number.
std::vector<int> nearestFirst(const Kmeans& kmeans);

}}}  // namespace

#endif
