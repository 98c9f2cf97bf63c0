// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "coverage.hpp"

#include "../core/random.hpp"
#include "../image/preprocess.hpp"
#include "opencv2/ltrp/select.hpp"

#include <opencv2/imgproc.hpp>
#include <opencv2/opencv_modules.hpp>
#ifdef HAVE_OPENCV_SALIENCY
#include <opencv2/saliency.hpp>
#endif

namespace cv { namespace ltrp { namespace eval {

namespace {

enum { patchSize = 16, maxSide = 1024 };

/// One value per patch: the mean of a map of patchSize pixels a patch.
Mat patchMeans(const Mat& map, Size grid)
{
    Mat floats, means(grid, CV_32F);
    map.convertTo(floats, CV_32F);
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
            means.at<float>(y, x) =
                static_cast<float>(mean(floats(Rect(x * patchSize, y * patchSize, patchSize, patchSize)))[0]);
    return means;
}

Mat gradientEnergy(const Mat& rgb)
{
    Mat grey, dx, dy;
    cvtColor(rgb, grey, COLOR_RGB2GRAY);
    Sobel(grey, dx, CV_32F, 1, 0);
    Sobel(grey, dy, CV_32F, 0, 1);
    return dx.mul(dx) + dy.mul(dy);
}

Mat saliencyMap(const Mat& rgb, Baseline baseline)
{
#ifdef HAVE_OPENCV_SALIENCY
    Mat bgr, map;
    cvtColor(rgb, bgr, COLOR_RGB2BGR);
    const bool done = baseline == Baseline::SpectralResidual
                          ? saliency::StaticSaliencySpectralResidual::create()->computeSaliency(bgr, map)
                          : saliency::StaticSaliencyFineGrained::create()->computeSaliency(bgr, map);
    LTRP_REQUIRE(done && map.size() == rgb.size(), Error::StsError,
                 "OpenCV's " << baselineName(baseline) << " gave no map");
    return map;
#else
    CV_UNUSED(rgb);
    LTRP_ERROR(Error::StsNotImplemented, baselineName(baseline) << " needs OpenCV's saliency module (opencv_contrib)");
#endif
}

}  // namespace

const std::vector<Baseline>& baselines()
{
    static const std::vector<Baseline> all = {Baseline::Random, Baseline::Gradient, Baseline::SpectralResidual,
                                              Baseline::FineGrained, Baseline::Centre};
    return all;
}

const char* baselineName(Baseline baseline)
{
    switch (baseline)
    {
    case Baseline::Random: return "random";
    case Baseline::Gradient: return "gradient";
    case Baseline::SpectralResidual: return "spectral_residual";
    case Baseline::FineGrained: return "fine_grained";
    case Baseline::Centre: return "centre";
    }
    LTRP_ERROR(Error::StsBadArg, "no baseline has the number " << static_cast<int>(baseline));
}

bool baselineAvailable(Baseline baseline)
{
#ifdef HAVE_OPENCV_SALIENCY
    CV_UNUSED(baseline);
    return true;
#else
    return baseline != Baseline::SpectralResidual && baseline != Baseline::FineGrained;
#endif
}

PatchRanking baselineRanking(InputArray image, Size grid, Baseline baseline, uint64_t seed, uint32_t sample)
{
    LTRP_REQUIRE(grid.width > 0 && grid.height > 0 && grid.width <= maxSide && grid.height <= maxSide,
                 Error::StsOutOfRange,
                 "patch grid of " << grid.width << " columns and " << grid.height << " rows, expected 1 to "
                                  << int(maxSide) << " of each");
    PatchRanking ranking;
    ranking.imageSize = image.size();
    if (baseline == Baseline::Random)
    {
        // Ranks rather than draws: no two patches are equal, so that no place of the grid is preferred.
        std::vector<int> ranks(static_cast<size_t>(grid.area()));
        for (size_t i = 0; i < ranks.size(); ++i)
            ranks[i] = static_cast<int>(i);
        RandomStream(seed, RandomPurpose::Baseline, 0, sample).shuffle(ranks);
        Mat(ranks, true).reshape(1, grid.height).convertTo(ranking.scores, CV_32F);
        return ranking;
    }
    if (baseline == Baseline::Centre)
    {
        ranking.scores.create(grid, CV_32F);
        for (int y = 0; y < grid.height; ++y)
            for (int x = 0; x < grid.width; ++x)
            {
                // Doubled distances in whole numbers: patches equally far from the centre are exactly equal.
                const double dx = (2 * x + 1 - grid.width) / static_cast<double>(grid.width);
                const double dy = (2 * y + 1 - grid.height) / static_cast<double>(grid.height);
                ranking.scores.at<float>(y, x) = static_cast<float>(-(dx * dx + dy * dy));
            }
        return ranking;
    }
    Mat rgb, resized;
    image::toRgb8(image, rgb);
    image::resizeAntialiasedCubic(rgb, resized, Size(grid.width * patchSize, grid.height * patchSize));
    ranking.scores =
        patchMeans(baseline == Baseline::Gradient ? gradientEnergy(resized) : saliencyMap(resized, baseline), grid);
    return ranking;
}

std::vector<double> keptForeground(const Mat& mask, const PatchRanking& ranking, const std::vector<double>& keepRatios)
{
    LTRP_REQUIRE(mask.type() == CV_8UC1 && mask.dims == 2 && !mask.empty(), Error::StsBadArg,
                 "the foreground mask is of type " << typeToString(mask.type()) << ", expected 8UC1");
    LTRP_REQUIRE(mask.size() == ranking.imageSize, Error::StsUnmatchedSizes,
                 "the foreground mask is " << mask.cols << " x " << mask.rows << ", the image "
                                           << ranking.imageSize.width << " x " << ranking.imageSize.height);
    const Mat foreground = mask > 127;
    const int total = countNonZero(foreground);
    LTRP_REQUIRE(total > 0, Error::StsBadArg, "the mask has no foreground pixel");
    const std::vector<int> order = ranking.order();
    LTRP_REQUIRE(!order.empty(), Error::StsBadArg, "the ranking has no scores");
    std::vector<int64_t> kept(order.size() + 1, 0);   // foreground pixels in the best 0, 1, 2, ... patches
    for (size_t i = 0; i < order.size(); ++i)
    {
        const Rect rect = ranking.rect(order[i]);
        kept[i + 1] = kept[i] + (rect.empty() ? 0 : countNonZero(foreground(rect)));
    }
    std::vector<double> shares;
    for (double ratio : keepRatios)
        shares.push_back(
            static_cast<double>(kept[static_cast<size_t>(keepCount(static_cast<int>(order.size()), ratio))]) / total);
    return shares;
}

}}}  // namespace
