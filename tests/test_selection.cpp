// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Patch rectangles, orders and the selection of patches: compared with plain references, and with invalid arguments.
// The paper's selections are golden cases (tests/golden/selection.cpp).

#include "precomp.hpp"
#include "ranking_cases.hpp"
#include "opencv2/ltrp/select.hpp"
#include "ops/ops.hpp"
#include "select/dpc_knn.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

using namespace cv;
using namespace cv::ltrp;

namespace {

void checkInts(const std::vector<int>& got, const std::vector<int>& want, const std::string& what)
{
    BOOST_TEST_CONTEXT(what)
        BOOST_CHECK_EQUAL_COLLECTIONS(got.begin(), got.end(), want.begin(), want.end());
}

template <typename Call> std::string errorText(int code, Call call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& e)
    {
        BOOST_CHECK_EQUAL(e.code, code);
        return e.err;
    }
    BOOST_ERROR("no exception");
    return std::string();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(selection)

BOOST_AUTO_TEST_CASE(distances_equal_the_plain_ones)
{
    struct RestoreKernels
    {
        ~RestoreKernels() { ops::useKernels("auto"); }
    } restore;
    for (const char* kernels : {"baseline", "avx2", "avx512"})
    {
        try
        {
            ops::useKernels(kernels);
        }
        catch (const cv::Exception&)
        {
            BOOST_TEST_MESSAGE("this processor has no " << kernels << " kernels");
            continue;
        }
        // Any number of values, including one that is not a multiple of the vector width, and any number of rows.
        for (const Size size : {Size(1, 9), Size(3, 9), Size(4, 33), Size(7, 63), Size(768, 75)})
        {
            BOOST_TEST_CONTEXT(kernels << ", " << size.height << " rows of " << size.width)
            {
                Mat features(size, CV_32F), exact;
                RNG rng(size.width);
                rng.fill(features, RNG::NORMAL, 0, 2);
                features.row(0).copyTo(features.row(5));   // equal patches have bit-identical distances to all others
                features.row(0).copyTo(features.row(size.height - 1));
                const Mat got = select::patchDistances(features);
                features.convertTo(exact, CV_64F);
                for (int i = 0; i < size.height; ++i)
                {
                    for (int j = 0; j < size.height; ++j)
                    {
                        BOOST_CHECK_SMALL(got.at<double>(i, j)
                                              - norm(exact.row(i), exact.row(j), NORM_L2) / std::sqrt(size.width), 1e-12);
                        BOOST_CHECK_EQUAL(got.at<double>(i, j), got.at<double>(j, i));
                    }
                    BOOST_CHECK_EQUAL(got.at<double>(i, 0), got.at<double>(i, 5));
                    BOOST_CHECK_EQUAL(got.at<double>(i, 0), got.at<double>(i, size.height - 1));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(density_counts_the_nearest)
{
    Mat features(40, 5, CV_32F);
    RNG rng(3);
    rng.fill(features, RNG::UNIFORM, 0, 1);
    const Mat distances = select::patchDistances(features);
    for (int neighbours : {1, 2, 5, 16, 17, 39, 40, 1000})
    {
        const select::Clusters clusters = select::dpcKnn(distances, 3, neighbours, nullptr);
        for (int i = 0; i < features.rows; ++i)
        {
            Mat sorted;
            cv::sort(distances.row(i), sorted, SORT_EVERY_ROW | SORT_ASCENDING);
            const Mat nearest = sorted.colRange(0, std::min(neighbours, features.rows));
            BOOST_CHECK_CLOSE(clusters.density[static_cast<size_t>(i)], std::exp(-nearest.dot(nearest) / nearest.cols), 1e-9);
        }
    }
}

BOOST_AUTO_TEST_CASE(equals_go_to_the_first)
{
    // With k = 1 every density is 1 and every indicator the largest distance: all patches are equally good centres, and
    // the last three are equally far from both.
    const Mat features = (Mat_<float>(6, 1) << 0, 0, 0, 10, 10, 5);
    const select::Clusters clusters = select::dpcKnn(select::patchDistances(features), 2, 1, nullptr);
    for (int i = 0; i < 6; ++i)
    {
        BOOST_CHECK_EQUAL(clusters.density[static_cast<size_t>(i)], 1);
        BOOST_CHECK_EQUAL(clusters.indicator[static_cast<size_t>(i)], 10);
    }
    checkInts(clusters.centres, {0, 1}, "centres");
    checkInts(clusters.assignment, {0, 1, 0, 0, 0, 0}, "assignment");
    checkInts(clusters.size, {5, 1}, "size");
    const std::vector<float> noise(6, 0.5f);
    const select::ClusterChoice choice = select::chooseFromClusters(clusters, noise.data(), {0}, 1);
    checkInts(choice.representative, {0, 1}, "representative");
    checkInts(choice.effectiveSize, {0, 1}, "effective size");
    checkInts(choice.kept, {1}, "kept");
}

BOOST_AUTO_TEST_CASE(rectangles_tile_every_image)
{
    for (Size image : {Size(1, 1), Size(1, 500), Size(13, 14), Size(224, 224), Size(227, 341), Size(20000, 30)})
        for (Size grid : {Size(1, 1), Size(14, 14), Size(3, 20), Size(16, 1)})
        {
            BOOST_TEST_CONTEXT(image.width << " x " << image.height << " in " << grid.width << " x " << grid.height)
            {
                Mat owners = Mat::zeros(image, CV_32S);
                for (int i = 0; i < grid.area(); ++i)
                {
                    const Rect rect = patchRect(image, grid, i);
                    BOOST_REQUIRE(rect.x >= 0 && rect.y >= 0 && rect.width >= 0 && rect.height >= 0);
                    BOOST_REQUIRE(rect.br().x <= image.width && rect.br().y <= image.height);
                    // No border is more than half a pixel off its exact position.
                    BOOST_CHECK_LE(std::fabs(rect.x - static_cast<double>(image.width) * (i % grid.width) / grid.width),
                                   0.5);
                    BOOST_CHECK_LE(
                        std::fabs(rect.y - static_cast<double>(image.height) * (i / grid.width) / grid.height), 0.5);
                    if (!rect.empty())
                        add(owners(rect), Scalar(1), owners(rect));
                }
                BOOST_CHECK_EQUAL(countNonZero(owners != 1), 0);
            }
        }
    BOOST_CHECK(patchRect(Size(0, 7), Size(2, 2), 3) == Rect(0, 4, 0, 3));
    const int huge = std::numeric_limits<int>::max();
    BOOST_CHECK(patchRect(Size(huge, huge), Size(2, 2), 3).br() == Point(huge, huge));
    BOOST_CHECK(patchRect(Size(10, 10), Size(3, 3), 4) == Rect(3, 3, 4, 4));
}

BOOST_AUTO_TEST_CASE(rectangles_of_nothing_are_refused)
{
    errorText(Error::StsOutOfRange, [] { patchRect(Size(10, 10), Size(2, 2), 4); });
    errorText(Error::StsOutOfRange, [] { patchRect(Size(10, 10), Size(2, 2), -1); });
    errorText(Error::StsOutOfRange, [] { patchRect(Size(10, 10), Size(0, 2), 0); });
    errorText(Error::StsOutOfRange, [] { patchRect(Size(-1, 10), Size(2, 2), 0); });
}

BOOST_AUTO_TEST_CASE(order_is_best_first_and_stable)
{
    PatchRanking result;
    BOOST_CHECK(result.order().empty());
    Mat wide(3, 5, CV_32F, Scalar(-9));   // scores in a view with a larger step
    result.scores = wide(Rect(1, 0, 3, 3));
    const float values[] = {1, 3, 3, -std::numeric_limits<float>::infinity(), 1, 3, 7, 1, 0};
    for (int i = 0; i < 9; ++i)
        result.scores.at<float>(i / 3, i % 3) = values[i];
    checkInts(result.order(), {6, 1, 2, 5, 0, 4, 7, 8, 3}, "order");
    result.scores.at<float>(1, 2) = std::numeric_limits<float>::quiet_NaN();
    BOOST_CHECK_NE(errorText(Error::StsBadArg, [&] { result.order(); }).find("patch 5"), std::string::npos);
    result.scores = Mat::zeros(2, 2, CV_64F);
    errorText(Error::StsBadArg, [&] { result.order(); });
}

BOOST_AUTO_TEST_CASE(keep_counts)
{
    BOOST_CHECK_EQUAL(keepCount(196, 0.25), 49);
    BOOST_CHECK_EQUAL(keepCount(196, 0.1), 19);
    BOOST_CHECK_EQUAL(keepCount(100, 0.29), 28);   // 0.29 * 100 = 28.999999999999996 in double arithmetic
    BOOST_CHECK_EQUAL(keepCount(196, 1), 196);
    BOOST_CHECK_EQUAL(keepCount(3, 1e-300), 1);
    for (double ratio : {0.0, -1.0, 1.0000001, std::numeric_limits<double>::quiet_NaN(),
                         std::numeric_limits<double>::infinity()})
        BOOST_CHECK_NE(errorText(Error::StsOutOfRange, [&] { keepCount(196, ratio); }).find("keep ratio"),
                       std::string::npos);
    errorText(Error::StsOutOfRange, [] { keepCount(0, 0.5); });
}

BOOST_AUTO_TEST_CASE(best_patches_are_kept)
{
    for (Size grid : {Size(14, 14), Size(5, 9), Size(1, 1)})
        for (double ratio : {0.01, 0.25, 0.5, 1.0})
        {
            const PatchRanking scores = randomRanking(Size(200, 100), grid, 3);
            SelectParams params;
            params.keepRatio = ratio;
            const std::vector<int> kept = selectPatches(scores, params);
            std::vector<int> want = scores.order();
            want.resize(static_cast<size_t>(keepCount(grid.area(), ratio)));
            std::sort(want.begin(), want.end());
            checkInts(kept, want, "kept");
        }
}

BOOST_AUTO_TEST_CASE(clusters_keep_what_scores_would_lose)
{
    // An image of four flat colours; scores favour only the top left quarter. Clusters must add the other three, one
    // patch each before a second one anywhere: all patches of a colour have the same pixels, so that a colour is one
    // big cluster and single patches.
    Mat page(224, 224, CV_8UC3);
    const Scalar colours[] = {Scalar(255, 255, 255), Scalar(200, 30, 30), Scalar(30, 200, 30), Scalar(30, 30, 200)};
    for (int i = 0; i < 4; ++i)
        page(Rect(i % 2 * 112, i / 2 * 112, 112, 112)).setTo(colours[i]);
    PatchRanking scores;
    scores.imageSize = page.size();
    scores.scores = Mat::zeros(14, 14, CV_32F);
    scores.scores(Rect(0, 0, 7, 7)).setTo(1);
    SelectParams params;
    params.keepRatio = 10 / 196.;
    for (uint64 seed = 0; seed < 5; ++seed)
    {
        params.method = SELECT_TOPK;
        for (int patch : selectPatches(scores, params))
            BOOST_CHECK(patch % 14 < 7 && patch / 14 < 7);
        params.method = SELECT_CLUSTER;
        params.seed = seed;
        const std::vector<int> kept = selectPatches(scores, params, page);
        BOOST_CHECK_EQUAL(kept.size(), 10u);
        std::set<int> quarters;
        for (int patch : kept)
            quarters.insert(patch % 14 / 7 + 2 * (patch / 14 / 7));
        BOOST_CHECK_EQUAL(quarters.size(), 4u);
    }
}

BOOST_AUTO_TEST_CASE(clusters_depend_on_the_seed_alone)
{
    Mat image(91, 203, CV_8UC3);
    RNG rng(1);
    rng.fill(image, RNG::UNIFORM, 0, 256);
    const PatchRanking scores = randomRanking(image.size(), Size(14, 7), 5);
    SelectParams params;
    params.method = SELECT_CLUSTER;
    params.keepRatio = 0.5;
    std::set<std::vector<int>> choices;
    for (uint64 seed = 0; seed < 4; ++seed)
    {
        params.seed = seed;
        const std::vector<int> kept = selectPatches(scores, params, image);
        checkInts(selectPatches(scores, params, image), kept, "again");
        BOOST_REQUIRE_EQUAL(kept.size(), 49u);
        BOOST_CHECK(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<int>()) == kept.end());
        BOOST_CHECK(kept.front() >= 0 && kept.back() < 98);
        const std::vector<int> order = scores.order();
        for (size_t i = 0; i < 34; ++i)   // int(49 * 0.7)
            BOOST_CHECK(std::binary_search(kept.begin(), kept.end(), order[i]));
        choices.insert(kept);
    }
    BOOST_CHECK_GT(choices.size(), 1u);

    for (double share : {0.0, 1.0})
        for (int neighbours : {1, 98, 100000})
        {
            params.scoreShare = share;
            params.neighbours = neighbours;
            BOOST_CHECK_EQUAL(selectPatches(scores, params, image).size(), 49u);
        }
    params.keepRatio = 1;
    BOOST_CHECK_EQUAL(selectPatches(scores, params, image).size(), 98u);
}

BOOST_AUTO_TEST_CASE(all_kinds_of_images_can_be_clustered)
{
    SelectParams params;
    params.method = SELECT_CLUSTER;
    for (Size size : {Size(1, 1), Size(1, 300), Size(20000, 30), Size(64, 48)})
        for (int type : {CV_8UC1, CV_8UC3, CV_8UC4, CV_16UC3, CV_32FC1})
        {
            Mat image(size, type);
            randu(image, 0, type == CV_32FC1 ? 1 : 255);
            BOOST_CHECK_EQUAL(selectPatches(randomRanking(size, Size(14, 14), 5), params, image).size(), 49u);
        }
}

BOOST_AUTO_TEST_CASE(senseless_parameters_are_named)
{
    const Mat image = Mat::zeros(64, 64, CV_8UC3);
    const PatchRanking scores = randomRanking(image.size(), Size(4, 4), 1);
    const auto refused = [&](int code, const std::string& word, const PatchRanking& of, InputArray picture, auto change)
    {
        SelectParams params;
        params.method = SELECT_CLUSTER;
        params.keepRatio = 0.5;
        change(params);
        const std::string text = errorText(code, [&] { selectPatches(of, params, picture); });
        BOOST_CHECK_MESSAGE(text.find(word) != std::string::npos, text);
    };
    const auto nothing = [](SelectParams&) {};
    refused(Error::StsOutOfRange, "method is 5", scores, image, [](SelectParams& p) { p.method = 5; });
    refused(Error::StsOutOfRange, "keep ratio is 0", scores, image, [](SelectParams& p) { p.keepRatio = 0; });
    refused(Error::StsOutOfRange, "keep is 17, expected 0 (by the keep ratio) to 16", scores, image,
            [](SelectParams& p) { p.count = 17; });
    refused(Error::StsOutOfRange, "keep is -1", scores, image, [](SelectParams& p) { p.count = -1; });
    refused(Error::StsOutOfRange, "score is -0.1", scores, image, [](SelectParams& p) { p.scoreShare = -0.1; });
    refused(Error::StsOutOfRange, "score is nan", scores, image, [](SelectParams& p) { p.scoreShare = std::nan(""); });
    refused(Error::StsOutOfRange, "neighbours is 0", scores, image, [](SelectParams& p) { p.neighbours = 0; });
    refused(Error::StsBadArg, "needs the image", scores, noArray(), nothing);
    refused(Error::StsUnmatchedSizes, "64 x 63", scores, image.rowRange(0, 63), nothing);
    refused(Error::StsBadArg, "no scores", PatchRanking(), image, nothing);
    refused(Error::StsOutOfRange, "at most", randomRanking(image.size(), Size(100, 100), 1), image, nothing);
    Mat bad = Mat::zeros(64, 64, CV_32F);
    bad.at<float>(3, 4) = std::nanf("");
    refused(Error::StsBadArg, "NaN", scores, bad, nothing);
}

BOOST_AUTO_TEST_SUITE_END()
