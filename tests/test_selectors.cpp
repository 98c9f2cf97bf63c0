// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Selectors by attention, gradients and clusters, against slow and obvious references.

#include "model_fixture.hpp"
#include "reference_vit.hpp"
#include "train_fixture.hpp"

#include "dnn/session.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/select.hpp"
#include "select/dpc_knn.hpp"
#include "select/kmeans.hpp"
#include "select/selector.hpp"
#include "vit/attention_maps.hpp"

#include <numeric>
#include <set>
#include <thread>

using namespace cv::ltrp;
using reference::Matrix;
using reference::Params;
using reference::Vector;

namespace
{

io::Model randomClassifier(vit::Pooling pooling)
{
    io::Model model;
    model.kind = io::ModelKind::Classifier;
    model.classifier.input.imageSize = 20;
    model.classifier.input.patchSize = 4;
    model.classifier.encoder = {12, 3, 2, 20};
    model.classifier.pooling = pooling;
    model.classifier.classes = 4;
    model.classes = {"a", "b", "c", "d"};
    model.params = vit::ParamArena(model.layout());
    reference::randomise(model.params, 11);
    return model;
}

io::Model randomMae()
{
    io::Model model = model_fixture::smallModel(io::ModelKind::Mae);
    model.params = vit::ParamArena(model.layout());
    reference::randomise(model.params, 12);
    return model;
}

/// The network once more, in double.
struct Plain
{
    explicit Plain(const io::Model& from) : model(from), params(reference::toDouble(from.params)), stack(from.encoder()) {}

    Matrix embed(const float* pixels) const
    {
        std::vector<int> all(static_cast<size_t>(model.input().numPatches()));
        std::iota(all.begin(), all.end(), 0);
        return model.kind == io::ModelKind::Mae ? reference::embed(model.mae, params, pixels, all)
                                                : reference::embed(model.classifier, params, pixels, all);
    }
    Matrix normed(int i, const char* norm, const Matrix& x) const
    {
        Matrix y;
        for (const Vector& row : x)
            y.push_back(reference::layerNorm(params, "blocks." + std::to_string(i) + norm, row, model.layerNormEps()));
        return y;
    }
    Matrix block(int i, Matrix x) const
    {
        const std::string name = "blocks." + std::to_string(i);
        const auto add = [&](const Matrix& branch)
        {
            for (size_t t = 0; t < x.size(); t++)
                for (size_t c = 0; c < x[t].size(); c++)
                    x[t][c] += branch[t][c];
        };
        add(reference::attention(params, name + ".attn", normed(i, ".norm1", x), stack, -1));
        Matrix mlp;
        for (const Vector& row : normed(i, ".norm2", x))
        {
            Vector hidden = reference::linear(params, name + ".mlp.fc1", row);
            for (double& value : hidden)
                value *= 0.5 * std::erfc(-value / std::sqrt(2.0));
            mlp.push_back(reference::linear(params, name + ".mlp.fc2", hidden));
        }
        add(mlp);
        return x;
    }
    Matrix meanAttention(int i, const Matrix& x) const
    {
        Matrix qkv, mean(x.size(), Vector(x.size(), 0.0));
        for (const Vector& row : normed(i, ".norm1", x))
            qkv.push_back(reference::linear(params, "blocks." + std::to_string(i) + ".attn.qkv", row));
        const size_t dim = static_cast<size_t>(stack.dim), heads = static_cast<size_t>(stack.heads), width = dim / heads;
        for (size_t head = 0; head < heads; head++)
            for (size_t t = 0; t < x.size(); t++)
            {
                Vector weight(x.size());
                double sum = 0;
                for (size_t s = 0; s < x.size(); s++)
                {
                    double product = 0;
                    for (size_t c = head * width; c < (head + 1) * width; c++)
                        product += qkv[t][c] * qkv[s][dim + c];
                    sum += weight[s] = std::exp(product / std::sqrt(static_cast<double>(width)));
                }
                for (size_t s = 0; s < x.size(); s++)
                    mean[t][s] += weight[s] / sum / static_cast<double>(heads);
            }
        return mean;
    }
    /// Row of what the head reads: the class token's, or the mean of the patches'.
    Vector read(const Matrix& rows) const
    {
        const bool mean = model.kind == io::ModelKind::Classifier && model.classifier.pooling == vit::Pooling::Mean;
        if (!mean)
            return rows[0];
        Vector result(rows[0].size(), 0.0);
        for (size_t t = 1; t < rows.size(); t++)
            for (size_t c = 0; c < result.size(); c++)
                result[c] += rows[t][c] / static_cast<double>(rows.size() - 1);
        return result;
    }
    Vector lastAttention(Matrix x) const
    {
        for (int i = 0; i + 1 < stack.depth; i++)
            x = block(i, x);
        const Vector row = read(meanAttention(stack.depth - 1, x));
        return Vector(row.begin() + 1, row.end());
    }
    /// The whole product, as the paper writes it: from the first block on, the later ones to the left.
    Vector rollout(Matrix x) const
    {
        const size_t n = x.size();
        Matrix product(n, Vector(n, 0.0));
        for (size_t t = 0; t < n; t++)
            product[t][t] = 1;
        for (int i = 0; i < stack.depth; i++)
        {
            const Matrix a = meanAttention(i, x);
            Matrix next(n, Vector(n, 0.0));
            for (size_t t = 0; t < n; t++)
                for (size_t s = 0; s < n; s++)
                    for (size_t k = 0; k < n; k++)
                        next[t][s] += (0.5 * a[t][k] + (t == k ? 0.5 : 0)) * product[k][s];
            product = next;
            x = block(i, x);
        }
        const Vector row = read(product);
        return Vector(row.begin() + 1, row.end());
    }
    Matrix beforeLast(Matrix x) const
    {
        for (int i = 0; i + 1 < stack.depth; i++)
            x = block(i, x);
        return x;
    }
    Vector logits(const Matrix& enteringLast) const
    {
        Matrix x = block(stack.depth - 1, enteringLast);
        for (Vector& row : x)
            row = reference::layerNorm(params, "norm", row, model.layerNormEps());
        return reference::linear(params, "head", read(x));
    }
    /// Gradient of a logit by finite differences.
    Matrix gradient(Matrix enteringLast, size_t winner) const
    {
        Matrix result = enteringLast;
        const double step = 1e-5;
        for (size_t t = 0; t < result.size(); t++)
            for (size_t c = 0; c < result[t].size(); c++)
            {
                const double value = enteringLast[t][c];
                enteringLast[t][c] = value + step;
                const double above = logits(enteringLast)[winner];
                enteringLast[t][c] = value - step;
                result[t][c] = (above - logits(enteringLast)[winner]) / (2 * step);
                enteringLast[t][c] = value;
            }
        return result;
    }
    size_t winner(const Matrix& enteringLast) const
    {
        const Vector values = logits(enteringLast);
        return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
    }
    Vector gradCam(const Matrix& x) const
    {
        const Matrix tokens = beforeLast(x), slope = gradient(tokens, winner(tokens));
        Vector map(tokens.size() - 1, 0.0);
        for (size_t c = 0; c < tokens[0].size(); c++)
        {
            double weight = 0;
            for (size_t t = 1; t < tokens.size(); t++)
                weight += slope[t][c] / static_cast<double>(map.size());
            for (size_t t = 1; t < tokens.size(); t++)
                map[t - 1] += weight * tokens[t][c];
        }
        return map;
    }

    const io::Model& model;
    const Params params;
    const vit::StackConfig stack;
};

std::vector<float> flat(const Matrix& x)
{
    std::vector<float> values;
    for (const Vector& row : x)
        values.insert(values.end(), row.begin(), row.end());
    return values;
}

void expectClose(const cv::Mat& found, const Vector& expected, double tolerance)
{
    BOOST_REQUIRE(found.total() == expected.size());
    double scale = 0, worst = 0;
    for (size_t i = 0; i < expected.size(); i++)
    {
        scale = std::max(scale, std::abs(expected[i]));
        worst = std::max(worst, std::abs(found.reshape(1, 1).at<float>(static_cast<int>(i)) - expected[i]));
    }
    BOOST_TEST(worst <= tolerance * scale, "differs by " << worst << " where values reach " << scale);
}

struct SelectorFixture : TrainFixture
{
    SelectorFixture()
    {
        io::saveModel(file("class.safetensors"), classOf);
        io::saveModel(file("mean.safetensors"), meanOf);
        io::saveModel(file("mae.safetensors"), mae);
        io::saveModel(file("ranker.safetensors"), model_fixture::smallModel(io::ModelKind::Ranker));
    }
    select::SelectorModels models(const std::string& classifier = "class") const
    {
        return {file("ranker.safetensors"), file("mae.safetensors"), file(classifier + ".safetensors"), TARGET_CPU};
    }
    /// Of the input's size, so that the networks see these very pixels.
    static cv::Mat photoFor(const io::Model& model, int number) { return reference::photo(model.input().size(), number); }
    static std::vector<float> pixelsOf(const io::Model& model, const cv::Mat& photo)
    {
        std::vector<float> pixels(3 * photo.total());
        prepareImage(photo, model.input(), pixels.data());
        return pixels;
    }

    reference::OneThread oneThread;
    const io::Model classOf = randomClassifier(vit::Pooling::Class), meanOf = randomClassifier(vit::Pooling::Mean), mae = randomMae();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(selectors, SelectorFixture)

BOOST_AUTO_TEST_CASE(attention_is_that_of_the_plain_network)
{
    for (const io::Model* model : {&classOf, &meanOf})
        for (const bool frozen : {false, true})
        {
            const Plain plain(*model);
            const Matrix start = plain.embed(pixelsOf(*model, photoFor(*model, 1)).data());
            const int n = static_cast<int>(start.size()) - 1;
            const vit::Transformer stack(model->encoder(), model->layerNormEps(), model->params, "blocks.", "norm.");
            vit::Workspace ws(frozen ? ops::frozenCpu(ops::Precision::FP32)
                                     : std::shared_ptr<const ops::Backend>(std::shared_ptr<void>(), &ops::cpu()));
            std::vector<float> x = flat(start);
            const cv::Mat first = vit::meanAttention(stack, 0, x.data(), 1 + n, 1 + n, ws);
            const Matrix expected = plain.meanAttention(0, start);
            for (int t = 0; t <= n; t++)
                expectClose(first.row(t), expected[static_cast<size_t>(t)], 1e-5);
            expectClose(vit::lastAttention(stack, model->classifier.pooling, x.data(), n, ws), plain.lastAttention(start), 1e-5);
            x = flat(start);
            expectClose(vit::attentionRollout(stack, model->classifier.pooling, x.data(), n, ws), plain.rollout(start), 1e-5);
        }
}

BOOST_AUTO_TEST_CASE(gradients_are_finite_differences)
{
    std::set<int> winners;
    for (const io::Model* model : {&classOf, &meanOf})
    {
        const Plain plain(*model);
        const vit::Transformer stack(model->encoder(), model->layerNormEps(), model->params, "blocks.", "norm.");
        vit::Workspace ws;
        for (int number = 0; number < 4; number++)
        {
            std::vector<float> x = reference::randomPixels(26 * 12, static_cast<uint64_t>(number));
            Matrix start;   // 25 patches and the class token, 12 values each
            for (auto row = x.begin(); row != x.end(); row += 12)
                start.emplace_back(row, row + 12);
            const vit::LastBlock last = vit::lastBlock(model->classifier, model->params, stack, x.data(),
                                                       static_cast<int>(start.size()) - 1, ws);
            const Matrix tokens = plain.beforeLast(start);
            expectClose(last.logits, plain.logits(tokens), 1e-5);
            BOOST_TEST(static_cast<size_t>(last.winner) == plain.winner(tokens));
            winners.insert(last.winner);
            const Matrix gradient = plain.gradient(tokens, plain.winner(tokens));
            for (size_t t = 0; t < tokens.size(); t++)
            {
                expectClose(last.tokens.row(static_cast<int>(t)), tokens[t], 1e-5);
                expectClose(last.gradient.row(static_cast<int>(t)), gradient[t], 1e-4);
            }
            expectClose(vit::gradCam(last), plain.gradCam(start), 1e-4);
        }
    }
    BOOST_TEST(winners.size() > 1u);   // not always the same row of the head
}

BOOST_AUTO_TEST_CASE(selectors_rank_by_these_maps)
{
    for (const char* kind : {"class", "mean"})
    {
        const io::Model& classifier = kind == std::string("class") ? classOf : meanOf;
        const cv::Mat photo = photoFor(classifier, 2), other = photoFor(mae, 2);
        const cv::Size grid(5, 5), maeGrid(mae.input().columns(), mae.input().rows());
        const Plain plain(classifier), plainMae(mae);
        const Matrix start = plain.embed(pixelsOf(classifier, photo).data()), maeStart = plainMae.embed(pixelsOf(mae, other).data());
        const auto scores = [&](const std::string& name, const cv::Mat& image, cv::Size size)
        {
            const PatchRanking ranking = select::makeSelector(name, models(kind))->rank(image, size, {});
            BOOST_TEST(ranking.grid() == size);
            BOOST_TEST(ranking.imageSize == image.size());
            return ranking.scores;
        };
        expectClose(scores("class_attention", photo, grid), plain.lastAttention(start), 1e-5);
        expectClose(scores("attention_rollout", photo, grid), plain.rollout(start), 1e-5);
        expectClose(scores("grad_cam", photo, grid), plain.gradCam(start), 1e-4);
        expectClose(scores("encoder_attention", other, maeGrid), plainMae.lastAttention(maeStart), 1e-5);
    }
}

BOOST_AUTO_TEST_CASE(calls_at_the_same_time_give_the_same)
{
    const int threadsBefore = cv::getNumThreads();
    cv::setNumThreads(1);   // before the threads start: OpenCV's setter is not thread-safe
    for (const std::string name : {"class_attention", "encoder_attention", "grad_cam", "attention_rollout", "kmeans_features", "dpc_knn"})
        BOOST_TEST_CONTEXT(name)
        {
            const auto selector = select::makeSelector(name, models());
            std::vector<std::vector<int>> serial, parallel(16);
            for (int i = 0; i < 16; i++)
                serial.push_back(selector->rank(reference::photo({31, 40}, i), {6, 5}, {}).order());
            BOOST_TEST((serial[0] != serial[1]));
            std::vector<std::thread> threads;
            for (int t = 0; t < 4; t++)
                threads.emplace_back([&, t]
                {
                    for (int i = t; i < 16; i += 4)
                        parallel[static_cast<size_t>(i)] = selector->rank(reference::photo({31, 40}, i), {6, 5}, {}).order();
                });
            for (std::thread& thread : threads)
                thread.join();
            BOOST_TEST((parallel == serial));
        }
    cv::setNumThreads(threadsBefore);
}

BOOST_AUTO_TEST_CASE(kmeans_takes_the_nearest_of_each_cluster)
{
    // Clusters of 6, 4 and 2 on a line, far apart; in each, member j is j away from the middle one.
    const float values[] = {100, 0, -1, 200, 101, 1, -2, 2, 99, 201, 102, 3};
    const cv::Mat features(12, 1, CV_32F, const_cast<float*>(values));
    const std::vector<int> cluster = {1, 0, 0, 2, 1, 0, 0, 0, 1, 2, 1, 0};
    const double centres[] = {0.5, 100.5, 200.5};
    for (uint64_t seed = 0; seed < 5; seed++)
    {
        const select::Kmeans kmeans(features, 3, seed);
        for (size_t i = 0; i < cluster.size(); i++)
        {
            BOOST_TEST(kmeans.centres.at<double>(kmeans.assignment[i]) == centres[cluster[i]]);
            BOOST_TEST(kmeans.distance[i] == std::pow(values[i] - centres[cluster[i]], 2));
        }
        // turns: the nearest, the second, ...; of equally near ones the first; the large cluster before the small ones
        BOOST_TEST(select::nearestFirst(kmeans) == (std::vector<int>{1, 0, 3, 5, 4, 9, 2, 8, 7, 10, 6, 11}),
                   boost::test_tools::per_element());
    }
    const cv::Mat same(7, 3, CV_32F, cv::Scalar(2));
    std::vector<int> order = select::nearestFirst(select::Kmeans(same, 4, 0));
    std::sort(order.begin(), order.end());
    BOOST_TEST(order == (std::vector<int>{0, 1, 2, 3, 4, 5, 6}), boost::test_tools::per_element());
    BOOST_TEST(messageOf([&] { select::Kmeans(same, 8, 0); }).find("8 clusters of 7 items") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(clusters_of_tokens_and_pixels)
{
    const cv::Mat photo = photoFor(mae, 3);
    const cv::Size grid(mae.input().columns(), mae.input().rows());
    std::vector<int> all(static_cast<size_t>(grid.area()));
    std::iota(all.begin(), all.end(), 0);
    Matrix tokens = reference::encode(mae.mae, reference::toDouble(mae.params), pixelsOf(mae, photo).data(), all);
    tokens.erase(tokens.begin());
    std::vector<float> values = flat(tokens);
    const cv::Mat features(grid.area(), mae.encoder().dim, CV_32F, values.data());
    const int clusters = static_cast<int>(std::lround(std::sqrt(grid.area())));
    BOOST_TEST(select::makeSelector("kmeans_features", models())->rank(photo, grid, {}).order()
               == select::nearestFirst(select::Kmeans(features, clusters, 0)), boost::test_tools::per_element());

    // Four squares of one colour each: the first four patches lie in all of them, for any number of patches.
    cv::Mat squares(64, 64, CV_8UC3);
    for (int i = 0; i < 4; i++)
        squares(cv::Rect(i % 2 * 32, i / 2 * 32, 32, 32)).setTo(cv::Scalar(60 * i, 255 - 70 * i, 30 + 40 * i));
    const auto pixels = select::makeSelector("dpc_knn", {});
    for (const int side : {4, 6})
    {
        std::set<int> found;
        for (const int patch : select::firstPatches(*pixels, squares, {side, side}, 4, {}))
            found.insert(patch % side * 2 / side + patch / side * 2 / side * 2);
        BOOST_TEST(found.size() == 4u);
    }
    // As many centres as DPC-KNN itself would take for that number.
    const cv::Mat busy = reference::photo({70, 50}, 1);
    const cv::Mat distances = select::patchDistances(select::patchPixels(busy, {7, 5}));
    for (const int count : {1, 5, 12})
    {
        std::vector<int> centres = select::dpcKnn(distances, count, 5, nullptr).centres;
        std::sort(centres.begin(), centres.end());
        BOOST_TEST(select::firstPatches(*pixels, busy, {7, 5}, count, {}) == centres, boost::test_tools::per_element());
    }
    BOOST_TEST(messageOf([&] { pixels->rank(busy, {80, 80}, {}); }).find("6400 patches, expected at most 4096") != std::string::npos);

    const auto ranker = select::makeSelector("ranker_clusters", models());
    const PatchRanking ranking = Ranker::create(models().ranker)->rank(busy);
    SelectParams params;
    params.method = SELECT_CLUSTER;
    params.count = 9;
    params.seed = 3;
    BOOST_TEST(select::firstPatches(*ranker, busy, ranking.grid(), 9, {3, 0, 0}) == selectPatches(ranking, params, busy),
               boost::test_tools::per_element());
    BOOST_TEST(ranker->rank(busy, ranking.grid(), {}).order() == ranking.order(), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(weights_are_asked_for_and_checked)
{
    for (const std::string name : {"class_attention", "grad_cam", "attention_rollout"})
    {
        BOOST_TEST(select::selectorModel(name) == "classifier");
        const select::SelectorModels none{models().ranker, models().mae, "", TARGET_CPU}, other{"", "", models().mae, TARGET_CPU};
        BOOST_TEST(messageOf([&] { select::makeSelector(name, none); }).find(name + ": needs a classifier's weight file") != std::string::npos);
        const std::string said = messageOf([&] { select::makeSelector(name, other); });
        BOOST_TEST(said.find("mae.safetensors") != std::string::npos);
        BOOST_TEST(said.find("a classifier is needed") != std::string::npos);
    }
    for (const std::string name : {"encoder_attention", "kmeans_features"})
        BOOST_TEST(messageOf([&] { select::makeSelector(name, {"", models().classifier, "", TARGET_CPU}); }).find("is a classifier")
                   != std::string::npos);

    const auto text = [&](const std::string& name, const std::string& classifier)
    { return select::makeSelector(name, models(classifier))->text(); };
    BOOST_TEST(text("class_attention", "class").size() == std::string("class_attention 01234567").size());
    BOOST_TEST(text("class_attention", "class") != text("class_attention", "mean"));   // the same weights
    io::Model changed = classOf;
    changed.classifier.encoder.heads = 3;
    io::saveModel(file("heads.safetensors"), changed);
    BOOST_TEST(text("grad_cam", "heads") != text("grad_cam", "class"));
    changed = classOf;
    changed.params.data()[changed.params.layout.at("head.bias").offset] += 1;
    io::saveModel(file("bias.safetensors"), changed);
    BOOST_TEST(text("grad_cam", "bias") != text("grad_cam", "class"));
    BOOST_TEST(text("encoder_attention", "class") == text("encoder_attention", "mean"));
}

BOOST_AUTO_TEST_SUITE_END()
