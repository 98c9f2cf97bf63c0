// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Teachers other than the paper's leave-one-out, compared with loops in double precision.

#include "api_models.hpp"
#include "model_fixture.hpp"
#include "reference_vit.hpp"
#include "teach/feature_contrast.hpp"
#include "teach/maps.hpp"
#include "teach/own_error.hpp"
#include "teach/teacher.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace cv;
using namespace cv::ltrp;

namespace {

std::vector<float> randomPixels(const vit::InputConfig& input, uint32_t sample)
{
    std::vector<float> pixels(size_t(3) * input.imageSize * input.imageSize);
    RandomStream random(77, RandomPurpose::Augment, 0, sample);
    for (float& value : pixels)
        value = static_cast<float>(random.normal());
    return pixels;
}

/// Keys of the patches in one block, one loop per sum.
reference::Matrix referenceKeys(const io::Model& mae, const std::vector<float>& pixels, int block)
{
    const reference::Params params = reference::toDouble(mae.params);
    std::vector<int> all(static_cast<size_t>(mae.mae.input.numPatches()));
    for (size_t i = 0; i < all.size(); ++i)
        all[i] = static_cast<int>(i);
    reference::Matrix x = reference::embed(mae.mae, params, pixels.data(), all);
    // The reference's stack ends with the final norm, so its blocks are run one by one here.
    for (int d = 0; d < block; ++d)
    {
        const std::string name = "blocks." + std::to_string(d);
        reference::Matrix normed;
        for (const reference::Vector& row : x)
            normed.push_back(reference::layerNorm(params, name + ".norm1", row, mae.mae.layerNormEps));
        const reference::Matrix attended = reference::attention(params, name + ".attn", normed, mae.mae.encoder, -1);
        for (size_t t = 0; t < x.size(); ++t)
        {
            for (size_t i = 0; i < x[t].size(); ++i)
                x[t][i] += attended[t][i];
            reference::Vector hidden = reference::linear(
                params, name + ".mlp.fc1", reference::layerNorm(params, name + ".norm2", x[t], mae.mae.layerNormEps));
            for (double& value : hidden)
                value *= 0.5 * std::erfc(-value / std::sqrt(2.0));
            const reference::Vector mlp = reference::linear(params, name + ".mlp.fc2", hidden);
            for (size_t i = 0; i < x[t].size(); ++i)
                x[t][i] += mlp[i];
        }
    }
    const std::string name = "blocks." + std::to_string(block);
    const size_t dim = static_cast<size_t>(mae.mae.encoder.dim);
    reference::Matrix keys;
    for (size_t t = 1; t < x.size(); ++t)
    {
        const reference::Vector qkv = reference::linear(
            params, name + ".attn.qkv", reference::layerNorm(params, name + ".norm1", x[t], mae.mae.layerNormEps));
        keys.emplace_back(qkv.begin() + static_cast<std::ptrdiff_t>(dim), qkv.begin() + static_cast<std::ptrdiff_t>(2 * dim));
    }
    return keys;
}

/// FeatureContrast by its documentation, for one block: the negative mean of the three largest cosines to other border
/// patches.
std::vector<double> referenceContrast(reference::Matrix keys, const reference::Matrix& mean, int grid)
{
    for (size_t p = 0; p < keys.size(); ++p)
    {
        double length = 0;
        for (size_t i = 0; i < keys[p].size(); ++i)
            length += std::pow(keys[p][i] -= mean[p][i], 2);
        for (double& value : keys[p])
            value /= std::sqrt(length);
    }
    std::vector<double> scores;
    for (int p = 0; p < grid * grid; ++p)
    {
        std::vector<double> cosines;
        for (int b = 0; b < grid * grid; ++b)
        {
            if (b == p || (b % grid > 0 && b % grid < grid - 1 && b / grid > 0 && b / grid < grid - 1))
                continue;
            double cosine = 0;
            for (size_t i = 0; i < keys[0].size(); ++i)
                cosine += keys[static_cast<size_t>(p)][i] * keys[static_cast<size_t>(b)][i];
            cosines.push_back(cosine);
        }
        std::sort(cosines.begin(), cosines.end(), std::greater<double>());
        scores.push_back(-(cosines[0] + cosines[1] + cosines[2]) / 3);
    }
    return scores;
}

Mat testPhoto()
{
    Mat photo(50, 70, CV_8UC3);
    RNG random(5);
    random.fill(photo, RNG::UNIFORM, 0, 256);
    GaussianBlur(photo, photo, Size(), 2);
    return photo;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(teachers)

BOOST_AUTO_TEST_CASE(a_mixture_is_read_and_written)
{
    const teach::Teacher teacher = teach::Teacher::parse(" features * 2+spectral*0.5 + centre");
    BOOST_TEST(teacher.text() == "features*2+spectral*0.5+centre*1");
    BOOST_TEST(!teacher.isSingle());
    BOOST_TEST(teacher.has(teach::Cue::Features));
    BOOST_TEST(!teacher.has(teach::Cue::LeaveOneOut));
    BOOST_TEST(teach::Teacher::parse("leave-one-out").isSingle());
    const std::pair<const char*, const char*> wrong[] = {
        {"", "''"}, {"feature", "'feature'"}, {"features*", "''"}, {"features*0,5", "'0,5'"}, {"features*-1", "'-1'"},
        {"features*nan", "'nan'"}, {"features*1e9", "'1e9'"}, {"features+features", "twice"}, {"features+", "''"},
        {"features*1*2", "'1*2'"}};
    for (const auto& entry : wrong)
        checkMentions(messageOf([&] { teach::Teacher::parse(entry.first); }), {"teacher", entry.second});
}

BOOST_AUTO_TEST_CASE(equal_scores_share_a_rank)
{
    const Mat ranks = teach::toRanks((Mat_<float>(2, 3) << 5, -1, 5, 7, 5, 0));
    const float expected[] = {0.6f, 0, 0.6f, 1, 0.6f, 0.2f};
    for (int i = 0; i < 6; ++i)
        BOOST_TEST(ranks.ptr<float>()[i] == expected[i], boost::test_tools::tolerance(1e-6f));
    BOOST_TEST(teach::toRanks(Mat::zeros(1, 1, CV_32F)).at<float>(0) == 0);
}

BOOST_AUTO_TEST_CASE(feature_contrast_is_that_of_the_definition)
{
    const ApiModels models;
    const vit::Mae net(models.mae.mae, models.mae.params);
    vit::Workspace workspace;
    teach::FeatureContrast contrast(net);
    const int grid = models.mae.mae.input.grid(), block = 1;
    reference::Matrix mean;
    for (uint32_t i = 0; i < teach::FeatureContrast::leastPhotos; ++i)
    {
        const std::vector<float> pixels = randomPixels(models.mae.mae.input, i);
        contrast.addPhoto(pixels.data(), workspace);
        const reference::Matrix keys = referenceKeys(models.mae, pixels, block);
        mean.resize(keys.size(), reference::Vector(keys[0].size(), 0.));
        for (size_t p = 0; p < keys.size(); ++p)
            for (size_t k = 0; k < keys[p].size(); ++k)
                mean[p][k] += keys[p][k] / teach::FeatureContrast::leastPhotos;
    }
    const std::vector<float> pixels = randomPixels(models.mae.mae.input, 1000);
    const std::vector<double> scores = referenceContrast(referenceKeys(models.mae, pixels, block), mean, grid);
    const Mat map = contrast.map(pixels.data(), {block}, workspace);
    BOOST_TEST(map.rows == grid);
    // Ranks by definition; scores that differ by less than the rounding of the sums may be swapped.
    for (size_t a = 0; a < scores.size(); ++a)
        for (size_t b = 0; b < scores.size(); ++b)
            if (scores[a] > scores[b] + 1e-4)
                BOOST_TEST(map.ptr<float>()[a] > map.ptr<float>()[b]);
    const Mat both = contrast.map(pixels.data(), {0, 1}, workspace), first = contrast.map(pixels.data(), {0}, workspace);
    BOOST_TEST(norm(both, (map + first) * 0.5, NORM_INF) < 1e-6);
    checkMentions(messageOf([&] { contrast.map(pixels.data(), {2}, workspace); }), {"blocks", "0 to 1"});
    checkMentions(messageOf([&] { contrast.map(pixels.data(), {1, 1}, workspace); }), {"different"});
    checkMentions(messageOf([&] { teach::FeatureContrast(net).map(pixels.data(), {1}, workspace); }), {"at least 16", "found 0"});
    BOOST_TEST((teach::FeatureContrast::usualBlocks(10) == std::vector<int>{4, 6, 7}));
    BOOST_TEST((teach::FeatureContrast::usualBlocks(1) == std::vector<int>{0}));
}

BOOST_AUTO_TEST_CASE(own_errors_are_those_of_the_reconstruction)
{
    for (const bool normPix : {true, false})
    {
        ApiModels models;
        models.mae.mae.normPixLoss = normPix;
        const vit::Mae net(models.mae.mae, models.mae.params);
        const vit::InputConfig& input = models.mae.mae.input;
        vit::Workspace workspace;
        std::vector<float> pixels = randomPixels(input, 1);
        for (const float value : randomPixels(input, 2))
            pixels.push_back(value);
        const int patches = input.numPatches(), visible = 3;
        const int keep[] = {0, 2, patches - 1, 1, 2, 3};
        std::vector<float> errors(size_t(2) * patches);
        const reference::Params params = reference::toDouble(models.mae.params);
        for (const bool squared : {true, false})
            for (const bool contrast : {true, false})
            {
                teach::ownErrors(net, pixels.data(), 2, keep, visible, squared, contrast, errors.data(), workspace);
                for (int image = 0; image < 2; ++image)
                {
                    const std::vector<int> shown(keep + 3 * image, keep + 3 * image + 3);
                    const float* one = pixels.data() + size_t(3) * image * input.imageSize * input.imageSize;
                    const reference::Matrix pred = reference::decode(
                        models.mae.mae, params, reference::encode(models.mae.mae, params, one, shown, -1), shown, -1);
                    for (int p = 0; p < patches; ++p)
                    {
                        const float found = errors[static_cast<size_t>(image * patches + p)];
                        if (reference::contains(shown, p))
                        {
                            BOOST_TEST(std::isnan(found));
                            continue;
                        }
                        const reference::Vector truth = reference::patch(one, input.size(), input.patchSize, p, true);
                        double mean = 0, deviation = 1, sum = 0;
                        if (normPix)
                            reference::statistics(truth, mean, deviation);
                        for (size_t i = 0; i < truth.size(); ++i)
                        {
                            const double d = (pred[static_cast<size_t>(p)][i] - (truth[i] - mean) / deviation) *
                                             (contrast ? deviation : 1);
                            sum += squared ? d * d : std::abs(d);
                        }
                        BOOST_TEST(found == sum / static_cast<double>(truth.size()), boost::test_tools::tolerance(1e-3));
                    }
                }
            }
    }
}

BOOST_AUTO_TEST_CASE(a_score_map_is_the_weighted_sum_of_ranks)
{
    const ApiModels models;
    const Ptr<Scorer> scorer = Scorer::create(models.maePath);
    const Mat photo = testPhoto();
    ScoreParams params;
    params.maskRatio = 0.5;
    params.masks = 4;
    const auto map = [&](const char* teacher, double smooth = 0.)
    {
        params.teacher = teacher;
        params.smooth = smooth;
        return scorer->scoreMap(photo, params).scores;
    };
    const Mat plain = map("leave-one-out"), own = map("own-error"), centre = map("centre");
    const Mat expected = teach::toRanks(plain) * 2 + teach::toRanks(own) * 0.5 + teach::toRanks(centre);
    BOOST_TEST(norm(map("leave-one-out*2+own-error*0.5+centre"), expected, NORM_INF) < 1e-6);
    BOOST_TEST(norm(map("leave-one-out*2+own-error*0.5+centre", 0.7), teach::smoothed(expected, 0.7), NORM_INF) < 1e-6);
    const Mat barrier = teach::toRanks(map("barrier"));   // smoothed on its own, but not in a sum
    BOOST_TEST(norm(map("own-error+barrier*0.5", 0.7), teach::smoothed(teach::toRanks(own), 0.7) + barrier * 0.5, NORM_INF) < 1e-6);
    BOOST_TEST(norm(map("barrier", 0.7), teach::smoothed(map("barrier"), 0.7), NORM_INF) < 1e-6);
    BOOST_TEST(norm(barrier, teach::smoothed(barrier, 0.7), NORM_INF) > 0.01);
    BOOST_TEST(norm(plain, own, NORM_INF) > 0);
    checkMentions(messageOf([&] { map("features"); }), {"16 photos"});
    for (int i = 0; i < 16; ++i)
    {
        Mat other;
        add(photo, Scalar::all(i), other);
        scorer->addFeaturePhoto(other);
    }
    BOOST_TEST(checkRange(map("features")));
    params.smooth = -1;
    checkMentions(messageOf([&] { scorer->scoreMap(photo, params); }), {"smooth", "-1"});
    params.smooth = 0;
    params.context = 2;
    checkMentions(messageOf([&] { scorer->scoreMap(photo, params); }), {"context", "2"});
}

BOOST_AUTO_TEST_CASE(masks_of_the_border_show_mostly_the_border)
{
    const ApiModels models;
    const Ptr<Scorer> scorer = Scorer::create(models.maePath);
    const int grid = models.mae.mae.input.grid();
    ScoreParams params;
    params.maskRatio = 0.5;
    params.context = CONTEXT_BORDER;
    for (size_t seed = 0; seed < 20; ++seed)
    {
        params.seed = seed;
        const VisibleScores scores = scorer->score(testPhoto(), params);
        int border = 0;
        for (int patch : scores.patches)
        {
            const int x = patch % grid, y = patch / grid;
            border += x == 0 || y == 0 || x == grid - 1 || y == grid - 1;
        }
        const int visible = static_cast<int>(scores.patches.size()), inner = (grid - 2) * (grid - 2);
        const int wanted = std::min(4 * (grid - 1), (3 * visible + 3) / 4);
        BOOST_TEST(border == visible - std::min(inner, visible - wanted));
    }
    // Every patch gets a score in the end.
    params.masks = 1;
    BOOST_TEST(checkRange(scorer->scoreMap(testPhoto(), params).scores));
}

BOOST_AUTO_TEST_SUITE_END()
