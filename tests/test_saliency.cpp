// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// cv::ltrp::RankSaliency compared with the ranking it is based on.

#include "api_models.hpp"
#include "opencv2/ltrp/saliency.hpp"

#include <boost/test/unit_test.hpp>

using namespace cv;
using namespace cv::ltrp;

namespace {

/// Linear interpolation between the centres of patches, constant beyond the outer ones.
double interpolated(const Mat& scores, Size image, int x, int y)
{
    const auto place = [](int pixel, int pixels, int patches, int& first, double& weight)
    {
        const double at = (pixel + 0.5) * patches / pixels - 0.5;
        first = static_cast<int>(std::floor(at));
        weight = at - first;
    };
    int column = 0, row = 0;
    double right = 0, below = 0, sum = 0;
    place(x, image.width, scores.cols, column, right);
    place(y, image.height, scores.rows, row, below);
    for (int dy : {0, 1})
        for (int dx : {0, 1})
            sum += (dx ? right : 1 - right) * (dy ? below : 1 - below) *
                   scores.at<float>(std::min(std::max(row + dy, 0), scores.rows - 1),
                                    std::min(std::max(column + dx, 0), scores.cols - 1));
    return sum;
}

Mat toUnit(const Mat& scores)
{
    double lowest = 0, highest = 0;
    minMaxLoc(scores, &lowest, &highest);
    return (scores - lowest) / (highest - lowest);
}

double correlation(const Mat& a, const Mat& b)
{
    Mat product;
    matchTemplate(a, b, product, TM_CCOEFF_NORMED);
    return product.at<float>(0, 0);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(rank_saliency, ApiModels)

BOOST_AUTO_TEST_CASE(plain_map_is_the_interpolated_ranking)
{
    const Ptr<RankSaliency> saliency = RankSaliency::create(rankerPath);
    BOOST_TEST(saliency->getEdgeAware());
    saliency->setEdgeAware(false);
    for (const Size& size : {Size(157, 93), Size(48, 48), Size(20, 300)})
    {
        const Mat image = photo(size, 4);
        const Mat scores = toUnit(saliency->getRanker()->rank(image).scores);
        Mat map;
        BOOST_TEST(saliency->computeSaliency(image, map));
        BOOST_REQUIRE((map.size() == size && map.type() == CV_32FC1));
        double worst = 0;
        for (int y = 0; y < size.height; ++y)
            for (int x = 0; x < size.width; ++x)
                worst = std::max(worst, std::abs(map.at<float>(y, x) - interpolated(scores, size, x, y)));
        BOOST_TEST(worst < 2e-3);
    }
}

BOOST_AUTO_TEST_CASE(maps_agree_with_the_patches)
{
    const Ptr<RankSaliency> saliency = RankSaliency::create(rankerPath);
    for (const Size& size : {Size(240, 180), Size(1500, 700)})
        for (bool edges : {false, true})
        {
            saliency->setEdgeAware(edges);
            const Mat image = photo(size, 5);
            const PatchRanking ranking = saliency->getRanker()->rank(image);
            Mat map, means(ranking.scores.size(), CV_32F);
            saliency->computeSaliency(image, map);
            for (int i = 0; i < static_cast<int>(means.total()); ++i)
                means.ptr<float>()[i] = static_cast<float>(mean(map(ranking.rect(i)))[0]);
            // Neighbouring patches of this random ranker are unrelated, and the filter's windows are one patch wide.
            const double common = correlation(means, ranking.scores);
            BOOST_TEST(common > (edges ? 0.5 : 0.85), size << " " << edges << ": " << common);
        }
}

BOOST_AUTO_TEST_CASE(edges_of_the_image_are_edges_of_the_map)
{
    // Left half dark, right half light, with the edge off the grid's lines.
    Mat image(240, 240, CV_8UC3, Scalar::all(40));
    image.colRange(107, 240).setTo(Scalar::all(210));
    const Ptr<RankSaliency> saliency = RankSaliency::create(rankerPath);
    Mat aligned, plain;
    saliency->computeSaliency(image, aligned);
    saliency->setEdgeAware(false);
    saliency->computeSaliency(image, plain);
    const auto step = [](const Mat& map) { return norm(map.col(107), map.col(106), NORM_L1) / map.rows; };
    BOOST_TEST(step(aligned) > 5 * step(plain), step(aligned) << " and " << step(plain));
}

BOOST_AUTO_TEST_CASE(every_kind_of_image)
{
    const Ptr<RankSaliency> saliency = RankSaliency::create(rankerPath);
    for (const Size& size : {Size(1, 1), Size(500, 1), Size(1, 37), Size(5, 3), Size(333, 222), Size(2000, 30)})
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4, CV_16UC3, CV_32FC3, CV_64FC1})
            BOOST_TEST_CONTEXT(size << " " << typeToString(type))
            {
                const int depth = CV_MAT_DEPTH(type);
                Mat image(size, type), map;
                randu(image, Scalar::all(0), Scalar::all(depth == CV_8U ? 255 : depth == CV_16U ? 65535 : 1));
                if (image.channels() == 4)
                    insertChannel(Mat(size, CV_8U, Scalar(255)), image, 3);
                BOOST_TEST(saliency->computeSaliency(image, map));
                BOOST_REQUIRE((map.size() == size && map.type() == CV_32FC1));
                BOOST_TEST(checkRange(map, true, nullptr, 0, 1.0001));
            }
}

BOOST_AUTO_TEST_CASE(equal_scores_and_bad_input)
{
    // All weights of the head are 0: every patch has the same score.
    io::Model flat = ranker;
    const float* end = flat.params.data() + flat.params.layout.total();
    for (float* value = flat.params.data(); value != end; ++value)
        *value = 0;
    const std::string path = (folder / "flat.safetensors").string();
    io::saveModel(path, flat);
    Mat map;
    BOOST_TEST(RankSaliency::create(path)->computeSaliency(photo(Size(60, 40), 1), map));
    BOOST_TEST(norm(map, NORM_INF) == 0);

    const Ptr<RankSaliency> saliency = RankSaliency::create(rankerPath);
    BOOST_TEST(!saliency->computeSaliency(Mat(), map));
    BOOST_TEST(map.empty());
    BOOST_CHECK_THROW(saliency->computeSaliency(Mat(9, 9, CV_8UC2, Scalar(0)), map), cv::Exception);
    BOOST_CHECK_THROW(saliency->computeSaliency(Mat(9, 9, CV_32FC3, Scalar::all(5)), map), cv::Exception);
    BOOST_CHECK_EXCEPTION(RankSaliency::create("absent.safetensors"), cv::Exception, [](const cv::Exception& error)
                          { return error.err.find("absent.safetensors") != std::string::npos; });
}

BOOST_AUTO_TEST_SUITE_END()
