// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Rankers with a token head on grids other than the trained one.

#include "precomp.hpp"
#include "api_models.hpp"
#include "dnn/session.hpp"
#include "opencv2/ltrp/draw.hpp"
#include "opencv2/ltrp/layers.hpp"
#include "opencv2/ltrp/select.hpp"
#include "reference_vit.hpp"
#include "vit/positions.hpp"

#include <opencv2/dnn.hpp>

#include <boost/test/unit_test.hpp>

using namespace cv::ltrp;
using cv::Mat;
using cv::Ptr;
using cv::Size;

namespace
{

/// Sine and cosine of a position, encoded like column and row in the golden table of a square grid.
double sinCos(double column, double row, int dim, int i)
{
    const int half = dim / 2, quarter = dim / 4, k = i % half % quarter;
    const double angle = (i < half ? column : row) / std::pow(10000.0, static_cast<double>(k) / quarter);
    return i % half < quarter ? std::sin(angle) : std::cos(angle);
}

struct TokenModels : ApiModels
{
    TokenModels()
    {
        token = ranker;
        token.ranker.head = vit::Head::Token;
        token.params = vit::ParamArena(vit::rankerLayout(token.ranker));
        for (const vit::ParamInfo& info : token.params.layout.tensors())   // the first rows of the class head
            std::copy_n(ranker.params.at(info.name), info.count, token.params.at(info.name));
        tokenPath = (folder / "token.safetensors").string();
        io::saveModel(tokenPath, token);
    }

    /// The scores by plain loops, with the position table for the grid.
    std::vector<float> plainScores(Size size, cv::InputArray image, const std::vector<float>& positions) const
    {
        vit::RankerConfig config = token.ranker;
        config.input.otherSize = size;
        std::vector<float> pixels(static_cast<size_t>(3 * size.area()));
        prepareImage(image, config.input, pixels.data());
        reference::Params params = reference::toDouble(token.params);
        params["pos_embed"].assign(positions.begin(), positions.end());
        std::vector<int> all(static_cast<size_t>(config.input.numPatches()));
        for (size_t i = 0; i < all.size(); i++)
            all[i] = static_cast<int>(i);
        const reference::Vector scores = reference::rankerScores(config, params, pixels.data(), all);
        return std::vector<float>(scores.begin(), scores.end());
    }

    io::Model token;
    std::string tokenPath;
};

std::vector<float> flat(const Mat& scores)
{
    return std::vector<float>(scores.begin<float>(), scores.end<float>());
}

void checkClose(const std::vector<float>& got, const std::vector<float>& want)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double error = 0, spread = 0;
    for (size_t i = 0; i < got.size(); i++)
    {
        error = std::max(error, static_cast<double>(std::abs(got[i] - want[i])));
        spread = std::max(spread, static_cast<double>(std::abs(want[i] - want[0])));
    }
    BOOST_TEST(error <= 2e-5);
    BOOST_TEST(spread > 0.05);   // constant scores would always agree
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(grids, TokenModels)

BOOST_AUTO_TEST_CASE(sine_cosine_positions_are_computed_for_the_grid)
{
    const int dim = 24, grid = 6;
    vit::InputConfig input;
    input.imageSize = 48;
    input.patchSize = 8;
    std::vector<float> stored(static_cast<size_t>(1 + grid * grid) * dim);
    vit::sinCosPositions(grid, dim, stored.data());
    stored[3] = 0.25f;   // the class token's row may be anything
    BOOST_TEST(vit::resizedPositions(input, dim, stored.data()) == stored, boost::test_tools::per_element());
    for (float& value : stored)
        value = io::halfToFloat(io::floatToHalf(value));   // as in a file of 16-bit weights
    input.otherSize = Size(80, 24);   // 10 columns, 3 rows
    const std::vector<float> table = vit::resizedPositions(input, dim, stored.data());
    BOOST_REQUIRE_EQUAL(table.size(), size_t(31 * dim));
    BOOST_TEST(table[3] == 0.25f);
    for (int place = 0; place < 30; place++)
        for (int i = 0; i < dim; i++)
            BOOST_REQUIRE_SMALL(table[static_cast<size_t>((1 + place) * dim + i)]
                                    - sinCos((place % 10 + 0.5) * 0.6 - 0.5, (place / 10 + 0.5) * 2.0 - 0.5, dim, i), 1e-6);
}

BOOST_AUTO_TEST_CASE(other_positions_are_interpolated)
{
    const int dim = 4, grid = 6;
    vit::InputConfig input;
    input.imageSize = 48;
    input.patchSize = 8;
    input.otherSize = Size(96, 24);   // 12 columns, 3 rows
    const std::vector<float> stored = reference::randomPixels(size_t(1 + grid * grid) * dim, 5);
    const std::vector<float> table = vit::resizedPositions(input, dim, stored.data());
    BOOST_REQUIRE_EQUAL(table.size(), size_t(37 * dim));
    BOOST_TEST(std::equal(stored.begin(), stored.begin() + dim, table.begin()));
    // Keys' cubic with a = -0.75; places beyond the border are those on it.
    const auto cubic = [](double x)
    {
        x = std::abs(x);
        return x < 1 ? (1.25 * x - 2.25) * x * x + 1 : x < 2 ? ((-0.75 * x + 3.75) * x - 6) * x + 3 : 0;
    };
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 12; column++)
            for (int i = 0; i < dim; i++)
            {
                const double x = (column + 0.5) * 0.5 - 0.5, y = (row + 0.5) * 2 - 0.5;
                double want = 0;
                for (int v = -2; v < grid + 2; v++)
                    for (int u = -2; u < grid + 2; u++)
                    {
                        const int place = std::min(std::max(v, 0), grid - 1) * grid + std::min(std::max(u, 0), grid - 1);
                        want += cubic(x - u) * cubic(y - v) * stored[size_t((1 + place) * dim + i)];
                    }
                BOOST_REQUIRE_SMALL(table[size_t((1 + row * 12 + column) * dim + i)] - want, 1e-5);
            }
}

BOOST_AUTO_TEST_CASE(scores_on_another_grid_are_those_of_plain_loops)
{
    const reference::OneThread one;
    const Mat image = photo(Size(90, 41), 4);
    const Ptr<Ranker> object = Ranker::create(tokenPath);
    BOOST_TEST((object->getInputSize() == Size(48, 48)));
    checkClose(flat(object->rank(image).scores),
               plainScores(Size(48, 48), image,
                           std::vector<float>(token.params.at("pos_embed"), token.params.at("pos_embed") + 37 * 48)));
    const Mat before = object->rank(image).scores;
    for (const Size size : {Size(96, 32), Size(24, 120), Size(8, 8), Size(48, 48)})
    {
        object->setInputSize(size);
        const Size grid(size.width / 8, size.height / 8);
        BOOST_TEST((object->getInputSize() == size));
        BOOST_TEST((object->getGrid() == grid));
        const PatchRanking ranking = object->rank(image);
        BOOST_TEST((ranking.grid() == grid));
        BOOST_TEST((ranking.imageSize == image.size()));
        vit::InputConfig input = token.ranker.input;
        input.otherSize = size;
        if (grid.area() > 1)
            checkClose(flat(ranking.scores),
                       plainScores(size, image, vit::resizedPositions(input, 48, token.params.at("pos_embed"))));
        const std::vector<PatchRanking> batch = object->rankBatch(std::vector<Mat>{photo(Size(30, 70), 2), image});
        BOOST_TEST(cv::norm(batch[1].scores, ranking.scores, cv::NORM_INF) < 1e-5);
        BOOST_TEST(object->info().find("grid " + std::to_string(grid.width) + " x " + std::to_string(grid.height))
                   != std::string::npos);
    }
    BOOST_TEST(cv::norm(object->rank(image).scores, before, cv::NORM_INF) == 0);
}

BOOST_AUTO_TEST_CASE(sizes_that_cannot_be_are_refused)
{
    const Ptr<Ranker> object = Ranker::create(tokenPath), ofClass = Ranker::create(rankerPath);
    object->setInputSize(Size(64, 40));
    const auto refused = [&](const Ptr<Ranker>& who, Size size, int code, const std::vector<std::string>& parts)
    {
        BOOST_CHECK_EXCEPTION(who->setInputSize(size), cv::Exception, [&](const cv::Exception& e) {
            bool all = e.code == code;
            for (const std::string& part : parts)
                all = all && e.err.find(part) != std::string::npos;
            BOOST_TEST(all, e.err);
            return all;
        });
    };
    for (const Size size : {Size(0, 0), Size(-8, 8), Size(48, 0), Size(44, 48), Size(48, 50)})
        refused(object, size, cv::Error::StsOutOfRange, {tokenPath, std::to_string(size.width), "multiples of the patch size 8"});
    refused(object, Size(8 * 257, 8), cv::Error::StsOutOfRange, {"patch columns is 257", "1 to 256"});
    refused(object, Size(8, 1 << 30), cv::Error::StsOutOfRange, {"patch rows"});
    BOOST_TEST((object->getGrid() == Size(8, 5)));   // unchanged
    refused(ofClass, Size(64, 40), cv::Error::StsNotImplemented, {rankerPath, "64 x 40", "class head", "48 x 48", "token head"});
    ofClass->setInputSize(Size(48, 48));

    vit::RankerConfig large;
    large.head = vit::Head::Token;
    large.encoder = {4096, 1, 1, 4096};
    BOOST_CHECK_EXCEPTION(vit::setInputSize(large, Size(4096, 4096), "large"), cv::Exception, [](const cv::Exception& e) {
        return e.err.find("large: ") != std::string::npos && e.err.find("expected at most 4096") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(an_input_size_fits_the_image)
{
    const Ptr<Ranker> object = Ranker::create(tokenPath);   // 6 x 6 patches of 8 pixels
    const auto fitted = [&](int width, int height, int patches = 0)
    {
        const Size size = object->fittingInputSize(Size(width, height), patches);
        BOOST_TEST((size.width % 8 == 0 && size.height % 8 == 0));
        return Size(size.width / 8, size.height / 8);
    };
    BOOST_TEST((fitted(100, 100) == Size(6, 6)));
    BOOST_TEST((fitted(640, 480) == Size(7, 5)));
    BOOST_TEST((fitted(480, 640) == Size(5, 7)));
    BOOST_TEST((fitted(1600, 900) == Size(8, 5)));
    BOOST_TEST((fitted(100000, 1) == Size(36, 1)));
    BOOST_TEST((fitted(1, 100000, 65536) == Size(1, 256)));
    BOOST_TEST((fitted(300, 200, 196) == Size(17, 11)));
    BOOST_TEST((fitted(5, 5, 1) == Size(1, 1)));
    for (int patches : {20, 196, 784, 1764})
        for (double aspect = 0.25; aspect <= 4; aspect *= 1.1)
        {
            const Size grid = fitted(cvRound(1000 * aspect), 1000, patches);
            BOOST_TEST(std::abs(grid.area() - patches) <= 0.2 * patches);
            const double squeeze = aspect * grid.height / grid.width;   // width / height of a patch on the photo
            BOOST_TEST((squeeze > 0.7 && squeeze < 1.43));
        }
    object->setInputSize(Size(8, 8));
    BOOST_TEST((fitted(100, 100) == Size(6, 6)));   // as in training, whatever size is set
    BOOST_CHECK_THROW(object->fittingInputSize(Size(0, 5)), cv::Exception);
    BOOST_CHECK_THROW(object->fittingInputSize(Size(5, 5), -1), cv::Exception);
    BOOST_CHECK_THROW(object->fittingInputSize(Size(5, 5), 65537), cv::Exception);
}

BOOST_AUTO_TEST_CASE(selection_and_pictures_take_the_grid)
{
    const Ptr<Ranker> object = Ranker::create(tokenPath);
    const Mat image = photo(Size(120, 50), 6);
    object->setInputSize(Size(96, 40));
    const PatchRanking ranking = object->rank(image);
    SelectParams select;
    for (int method : {SELECT_TOPK, SELECT_CLUSTER})
    {
        select.method = method;
        const std::vector<int> keep = selectPatches(ranking, select, image);
        BOOST_TEST(keep.size() == 15u);
        BOOST_TEST((keep.front() >= 0 && keep.back() < 60));
        BOOST_TEST((ranking.rect(keep.back()) & cv::Rect(0, 0, 120, 50)) == ranking.rect(keep.back()));
        Mat overlay;
        drawOverlay(image, ranking, keep, overlay);
        BOOST_TEST(!overlay.empty());
    }
}

BOOST_AUTO_TEST_CASE(the_layer_takes_the_size_of_its_pixels)
{
    const auto netOf = [](const std::string& path)
    {
        cv::dnn::Net net;
        cv::dnn::LayerParams params;
        registerLayerModel("the layer's", path);
        params.set("model", "the layer's");
        net.addLayerToPrev("scores", "LtrpRank", params);
        return net;
    };
    cv::dnn::Net net = netOf(tokenPath);
    const Ptr<Ranker> object = Ranker::create(tokenPath);
    const Mat image = photo(Size(77, 40), 8);
    for (const Size size : {Size(64, 24), Size(48, 48), Size(24, 64), Size(64, 24)})
    {
        object->setInputSize(size);
        vit::InputConfig input = token.ranker.input;
        input.otherSize = size;
        const int shape[] = {1, 3, size.height, size.width};
        Mat pixels(4, shape, CV_32F);
        prepareImage(image, input, pixels.ptr<float>());
        net.setInput(pixels);
        const Mat scores = net.forward();
        BOOST_TEST(cv::norm(scores.reshape(1, size.height / 8), object->rank(image).scores, cv::NORM_INF) < 1e-6);
    }
    const int wrong[] = {1, 3, 24, 60};
    net.setInput(Mat(4, wrong, CV_32F, cv::Scalar(0)));
    BOOST_CHECK_THROW(net.forward(), cv::Exception);
    cv::dnn::Net ofClass = netOf(rankerPath);
    const int wide[] = {1, 3, 24, 64};
    ofClass.setInput(Mat(4, wide, CV_32F, cv::Scalar(0)));
    BOOST_CHECK_THROW(ofClass.forward(), cv::Exception);
}

BOOST_AUTO_TEST_CASE(reduced_precision_on_another_grid)
{
    const Mat image = photo(Size(61, 47), 9);
    const Ptr<Ranker> object = Ranker::create(tokenPath);
    object->setInputSize(Size(72, 40));
    const Mat want = object->rank(image).scores;
    for (const int target : {int(TARGET_CPU_BF16), int(TARGET_CPU_INT8)})
    {
        if (!missingForTarget(target).empty())
        {
            BOOST_TEST_MESSAGE("target " << target << ": " << missingForTarget(target));
            continue;
        }
        object->setPreferableTarget(target);
        const double difference = cv::norm(object->rank(image).scores, want, cv::NORM_L2) / cv::norm(want, cv::NORM_L2);
        BOOST_TEST(difference > 0);
        BOOST_TEST(difference < 0.06);
    }
}

BOOST_AUTO_TEST_CASE(onnx_files_of_a_size_are_read_back)
{
    const Mat image = photo(Size(90, 50), 7);
    const Ptr<Ranker> object = Ranker::create(tokenPath);
    for (const Size size : {Size(48, 48), Size(80, 40)})
    {
        io::Model model = io::loadModel(tokenPath);
        vit::setInputSize(model.ranker, size, "test");
        const std::string file = (folder / "token.onnx").string();
        io::exportOnnx(file, model);
        const Ptr<Ranker> imported = Ranker::create(file);
        object->setInputSize(size);
        BOOST_TEST((imported->getInputSize() == size));
        BOOST_TEST((imported->getGrid() == Size(size.width / 8, size.height / 8)));
        const PatchRanking got = imported->rank(image), want = object->rank(image);
        BOOST_TEST((got.grid() == want.grid()));
        BOOST_TEST(cv::norm(got.scores, want.scores, cv::NORM_INF) < 1e-4);
        imported->setInputSize(size);
        BOOST_CHECK_EXCEPTION(imported->setInputSize(Size(64, 64)), cv::Exception, [&](const cv::Exception& e) {
            return e.code == cv::Error::StsNotImplemented && e.err.find(file) != std::string::npos
                   && e.err.find("convert --size") != std::string::npos;
        });
    }
    io::Model ofClass = ranker;
    ofClass.ranker.input.otherSize = Size(80, 40);
    BOOST_CHECK_THROW(io::exportOnnx((folder / "class.onnx").string(), ofClass), cv::Exception);
    BOOST_TEST(!std::filesystem::exists(folder / "class.onnx"));
}

BOOST_AUTO_TEST_SUITE_END()
