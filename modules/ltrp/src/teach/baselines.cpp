// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "baselines.hpp"

#include "../core/random.hpp"
#include "../image/preprocess.hpp"
#include "maps.hpp"

#include <opencv2/imgproc.hpp>
#include <opencv2/opencv_modules.hpp>
#include <algorithm>
#include <limits>

#ifdef HAVE_OPENCV_SALIENCY
#include <opencv2/saliency.hpp>
#endif

namespace cv { namespace ltrp { namespace teach {

namespace {

enum { patchSize = 16, barrierPatchSize = 8, maxSide = 1024 };
const double smoothing = 0.7;  // standard deviation of the Gaussian, in patches

/// One value per patch: the mean of a map whose size is a multiple of the grid's.
Mat patchMeans(const Mat& map, Size grid)
{
    Mat floats, means(grid, CV_32F);
    map.convertTo(floats, CV_32F);
    const int side = map.cols / grid.width;
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
            means.at<float>(y, x) = static_cast<float>(mean(floats(Rect(x * side, y * side, side, side)))[0]);
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

/// Minimum barrier distance of each pixel of one channel to the image's border: the smallest difference between the
/// largest and the smallest value on a path. Approximated by alternating raster scans over the four nearest pixels.
Mat barrierDistance(const Mat& values)
{
    enum { scans = 6 };
    Mat distance(values.size(), CV_32F, Scalar::all(std::numeric_limits<float>::max()));
    rectangle(distance, Rect(Point(), values.size()), Scalar::all(0));
    Mat low = values.clone(), high = values.clone();
    const auto visit = [&](Point to, Point from)
    {
        const float value = values.at<float>(to);
        const float least = std::min(low.at<float>(from), value), most = std::max(high.at<float>(from), value);
        if (most - least < distance.at<float>(to))
        {
            distance.at<float>(to) = most - least;
            low.at<float>(to) = least;
            high.at<float>(to) = most;
        }
    };
    for (int scan = 0; scan < scans; ++scan)   // from the top left and from the bottom right, alternating
        for (int i = 1; i < values.rows - 1; ++i)
            for (int j = 1; j < values.cols - 1; ++j)
            {
                const int step = scan % 2 ? 1 : -1;
                const Point to = scan % 2 ? Point(values.cols - 1 - j, values.rows - 1 - i) : Point(j, i);
                visit(to, to + Point(step, 0));
                visit(to, to + Point(0, step));
            }
    return distance;
}

/// Sum over the channels of CIELab.
Mat barrierDistances(const Mat& rgb)
{
    Mat lab, sum = Mat::zeros(rgb.size(), CV_32F);
    rgb.convertTo(lab, CV_32F, 1 / 255.);
    cvtColor(lab, lab, COLOR_RGB2Lab);
    std::vector<Mat> channels;
    split(lab, channels);
    for (const Mat& channel : channels)
        sum += barrierDistance(channel);
    return sum;
}

Mat smoothed(const Mat& scores)
{
    return teach::smoothed(scores, smoothing);
}

Mat nearness(Size grid)
{
    Mat result(grid, CV_32F);
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
        {
            // Twice the distances, as integers: patches equally far from the centre compare equal.
            const double dx = (2 * x + 1 - grid.width) / static_cast<double>(grid.width);
            const double dy = (2 * y + 1 - grid.height) / static_cast<double>(grid.height);
            result.at<float>(y, x) = static_cast<float>(-(dx * dx + dy * dy));
        }
    return result;
}

/// Ranks in the scores plus `weight` times ranks by nearness to the centre.
Mat ranksWithCentre(const Mat& scores, double weight)
{
    return teach::toRanks(scores) + weight * teach::toRanks(nearness(scores.size()));
}

/// Negative position of each patch in a maxSide x maxSide ordered-dithering matrix (Bayer, ICC 1973): bits of row and
/// column interleaved, lowest first. For any n, the first n patches are spread evenly.
Mat evenlySpread(Size grid)
{
    Mat result(grid, CV_32F);
    std::vector<std::pair<uint32_t, int>> places;
    for (int y = 0; y < grid.height; ++y)
        for (int x = 0; x < grid.width; ++x)
        {
            uint32_t place = 0;
            for (int bit = 1; bit < maxSide; bit *= 2)
                place = 4 * place + ((x ^ y) & bit ? 2 : 0) + (y & bit ? 1 : 0);
            places.emplace_back(place, y * grid.width + x);
        }
    std::sort(places.begin(), places.end());   // float represents all ranks exactly
    for (size_t i = 0; i < places.size(); ++i)
        result.at<float>(places[i].second / grid.width, places[i].second % grid.width) = -static_cast<float>(i);
    return result;
}

Mat shuffled(Size grid, uint64_t seed, uint32_t sample, uint32_t epoch)
{
    // Ranks instead of random values: no two patches are equal, so no grid position is preferred.
    std::vector<int> places(static_cast<size_t>(grid.area()));
    for (size_t i = 0; i < places.size(); ++i)
        places[i] = static_cast<int>(i);
    RandomStream(seed, RandomPurpose::Baseline, epoch, sample).shuffle(places);
    Mat result;
    Mat(places, true).reshape(1, grid.height).convertTo(result, CV_32F);
    return result;
}

Mat saliencyMap(const Mat& rgb, Baseline baseline)
{
#ifdef HAVE_OPENCV_SALIENCY
    Mat bgr, map;
    cvtColor(rgb, bgr, COLOR_RGB2BGR);
    const bool done = baseline == Baseline::Spectral
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
    static const std::vector<Baseline> all = {
        Baseline::Random,         Baseline::Uniform,        Baseline::Centre,          Baseline::Gradient,
        Baseline::GradientSmooth, Baseline::Barrier,        Baseline::BarrierSmooth,   Baseline::FineGrained,
        Baseline::Spectral,       Baseline::SpectralSmooth, Baseline::SpectralCentre3, Baseline::SpectralCentre6};
    return all;
}

const char* baselineName(Baseline baseline)
{
    switch (baseline)
    {
    case Baseline::Random: return "random";
    case Baseline::Uniform: return "uniform";
    case Baseline::Centre: return "centre";
    case Baseline::Gradient: return "gradient";
    case Baseline::GradientSmooth: return "gradient_smooth";
    case Baseline::Barrier: return "barrier";
    case Baseline::BarrierSmooth: return "barrier_smooth";
    case Baseline::FineGrained: return "fine_grained";
    case Baseline::Spectral: return "spectral_residual";
    case Baseline::SpectralSmooth: return "spectral_smooth";
    case Baseline::SpectralCentre3: return "spectral_centre_0.3";
    case Baseline::SpectralCentre6: return "spectral_centre_0.6";
    }
    LTRP_ERROR(Error::StsBadArg, "no baseline has the number " << static_cast<int>(baseline));
}

bool baselineAvailable(Baseline baseline)
{
#ifdef HAVE_OPENCV_SALIENCY
    CV_UNUSED(baseline);
    return true;
#else
    return baseline < Baseline::FineGrained;
#endif
}

BaselineRanker::BaselineRanker(InputArray image, Size grid) : image_(image.getMat()), grid_(grid)
{
    LTRP_REQUIRE(grid.width > 0 && grid.height > 0 && grid.width <= maxSide && grid.height <= maxSide,
                 Error::StsOutOfRange,
                 "patch grid of " << grid.width << " columns and " << grid.height << " rows, expected 1 to "
                                  << int(maxSide) << " of each");
}

PatchRanking BaselineRanker::rank(Baseline baseline, uint64_t seed, uint32_t sample, uint32_t epoch)
{
    PatchRanking ranking;
    ranking.imageSize = image_.size();
    ranking.scores = scores(baseline, seed, sample, epoch).clone();
    return ranking;
}

const Mat& BaselineRanker::pixels()
{
    if (pixels_.empty())
    {
        Mat rgb;
        image::toRgb8(image_, rgb);
        image::resizeAntialiasedCubic(rgb, pixels_, Size(grid_.width * patchSize, grid_.height * patchSize));
    }
    return pixels_;
}

const Mat& BaselineRanker::gradient()
{
    if (gradient_.empty())
        gradient_ = patchMeans(gradientEnergy(pixels()), grid_);
    return gradient_;
}

const Mat& BaselineRanker::barrier()
{
    if (barrier_.empty())
    {
        Mat reduced;
        resize(pixels(), reduced, Size(grid_.width * barrierPatchSize, grid_.height * barrierPatchSize), 0, 0, INTER_AREA);
        barrier_ = patchMeans(barrierDistances(reduced), grid_);
    }
    return barrier_;
}

const Mat& BaselineRanker::spectral()
{
    if (spectral_.empty())
        spectral_ = patchMeans(saliencyMap(pixels(), Baseline::Spectral), grid_);
    return spectral_;
}

Mat BaselineRanker::scores(Baseline baseline, uint64_t seed, uint32_t sample, uint32_t epoch)
{
    switch (baseline)
    {
    case Baseline::Random: return shuffled(grid_, seed, sample, epoch);
    case Baseline::Uniform: return evenlySpread(grid_);
    case Baseline::Centre: return nearness(grid_);
    case Baseline::Gradient: return gradient();
    case Baseline::GradientSmooth: return smoothed(gradient());
    case Baseline::Barrier: return barrier();
    case Baseline::BarrierSmooth: return smoothed(barrier());
    case Baseline::FineGrained: return patchMeans(saliencyMap(pixels(), baseline), grid_);
    case Baseline::Spectral: return spectral();
    case Baseline::SpectralSmooth: return smoothed(spectral());
    case Baseline::SpectralCentre3: return ranksWithCentre(smoothed(spectral()), 0.3);
    case Baseline::SpectralCentre6: return ranksWithCentre(smoothed(spectral()), 0.6);
    }
    LTRP_ERROR(Error::StsBadArg, "no baseline has the number " << static_cast<int>(baseline));
}

}}}  // namespace
