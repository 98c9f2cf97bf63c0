// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Token merging against a slow reference, written from the paper's definition.

#include "reference_vit.hpp"

#include "vit/patches.hpp"
#include "vit/token_merging.hpp"

#include <boost/test/unit_test.hpp>

#include <numeric>

using namespace cv::ltrp;
using reference::Matrix;
using reference::Params;
using reference::Vector;

namespace
{

struct Network
{
    explicit Network(vit::Task task, vit::Pooling pooling = vit::Pooling::Class, int side = 20)
    {
        config.input.imageSize = side;
        config.input.patchSize = 4;
        config.encoder = {12, 3, 2, 20};
        config.task = task;
        config.pooling = pooling;
        config.classes = 4;
        params = vit::ParamArena(vit::classifierLayout(config));
        reference::randomise(params, 21);
    }

    int patches() const { return config.input.numPatches(); }
    size_t imageValues() const { return 3 * static_cast<size_t>(config.input.size().area()); }
    /// perBlock -1: without merging
    std::vector<float> logits(const std::vector<float>& pixels, int perBlock,
                              const ops::Backend& backend = ops::cpu()) const
    {
        const vit::Classifier classifier(config, params);
        vit::Workspace ws(backend);
        const int batch = static_cast<int>(pixels.size() / imageValues());
        std::vector<float> result(static_cast<size_t>(batch * config.classes));
        if (perBlock < 0)
            classifier.forward(pixels.data(), batch, nullptr, patches(), result.data(), ws);
        else
            classifier.forwardMerging(pixels.data(), batch, perBlock, result.data(), ws);
        return result;
    }

    vit::ClassifierConfig config;
    vit::ParamArena params;
};

std::vector<Network> networks()
{
    return {Network(vit::Task::Classify), Network(vit::Task::Classify, vit::Pooling::Mean),
            Network(vit::Task::Multilabel)};
}

double product(const Vector& a, const Vector& b)
{
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// A part of a row: a head's.
Vector part(const Vector& row, size_t first, size_t count)
{
    return Vector(row.data() + first, row.data() + first + count);
}

/// The network with merging, for one image, in double.
struct Merging
{
    Merging(const Network& network, const float* pixels, int perBlock)
        : config(network.config), params(reference::toDouble(network.params)),
          dim(static_cast<size_t>(config.encoder.dim)), heads(static_cast<size_t>(config.encoder.heads)),
          width(dim / heads)
    {
        std::vector<int> all(static_cast<size_t>(network.patches()));
        std::iota(all.begin(), all.end(), 0);
        tokens = reference::embed(config, params, pixels, all);
        sizes.assign(tokens.size(), 1.0);
        for (int i = 0; i < config.encoder.depth; i++)
            block("blocks." + std::to_string(i), static_cast<size_t>(perBlock));
        for (Vector& token : tokens)
            token = normed("norm", token);
    }

    Vector normed(const std::string& name, const Vector& token) const
    {
        return reference::layerNorm(params, name, token, config.layerNormEps);
    }

    /// What a query reads: a key that stands for several patches counts several times.
    Vector attend(const Vector& query, const Matrix& keys, const Matrix& values, const Vector& count) const
    {
        Vector result(values[0].size(), 0.0);
        double sum = 0;
        for (size_t s = 0; s < keys.size(); s++)
        {
            const double logit = product(query, keys[s]) / std::sqrt(static_cast<double>(query.size()));
            const double weight = count[s] * std::exp(logit);
            sum += weight;
            for (size_t c = 0; c < result.size(); c++)
                result[c] += weight * values[s][c];
        }
        for (double& value : result)
            value /= sum;
        return result;
    }

    void block(const std::string& name, size_t perBlock)
    {
        Matrix qkv, meanKeys(tokens.size(), Vector(width, 0.0)), attended(tokens.size());
        for (const Vector& token : tokens)
            qkv.push_back(reference::linear(params, name + ".attn.qkv", normed(name + ".norm1", token)));
        for (size_t head = 0; head < heads; head++)
        {
            Matrix keys, values;
            for (size_t t = 0; t < tokens.size(); t++)
            {
                keys.push_back(part(qkv[t], dim + head * width, width));
                values.push_back(part(qkv[t], 2 * dim + head * width, width));
                for (size_t c = 0; c < width; c++)
                    meanKeys[t][c] += keys[t][c] / static_cast<double>(heads);
            }
            for (size_t t = 0; t < tokens.size(); t++)
            {
                const Vector read = attend(part(qkv[t], head * width, width), keys, values, sizes);
                attended[t].insert(attended[t].end(), read.begin(), read.end());
            }
        }
        for (size_t t = 0; t < tokens.size(); t++)
        {
            const Vector branch = reference::linear(params, name + ".attn.proj", attended[t]);
            for (size_t c = 0; c < dim; c++)
                tokens[t][c] += branch[c];
        }
        merge(meanKeys, std::min(perBlock, (tokens.size() - 1) / 2));
        for (Vector& token : tokens)
        {
            Vector hidden = reference::linear(params, name + ".mlp.fc1", normed(name + ".norm2", token));
            for (double& value : hidden)
                value *= 0.5 * std::erfc(-value / std::sqrt(2.0));
            const Vector branch = reference::linear(params, name + ".mlp.fc2", hidden);
            for (size_t c = 0; c < dim; c++)
                token[c] += branch[c];
        }
    }

    /// Token 0 is the class token; A: tokens 1, 3, ...; B: tokens 2, 4, ...
    void merge(const Matrix& keys, size_t count)
    {
        struct Edge { double similarity; size_t a, b; };
        std::vector<Edge> edges;
        for (size_t a = 1; a < tokens.size(); a += 2)
        {
            Edge best = {-2, a, 0};
            for (size_t b = 2; b < tokens.size(); b += 2)
            {
                const double lengths = std::sqrt(product(keys[a], keys[a]) * product(keys[b], keys[b]));
                const double cosine = product(keys[a], keys[b]) / lengths;
                if (cosine > best.similarity)
                    best = {cosine, a, b};
            }
            edges.push_back(best);
        }
        std::sort(edges.begin(), edges.end(), [](const Edge& x, const Edge& y) { return x.similarity > y.similarity; });
        edges.resize(count);
        Matrix sums = tokens;
        Vector total = sizes;
        for (size_t t = 0; t < tokens.size(); t++)
            for (double& value : sums[t])
                value *= sizes[t];
        std::vector<bool> gone(tokens.size(), false);
        for (const Edge& edge : edges)
        {
            gone[edge.a] = true;
            total[edge.b] += sizes[edge.a];
            for (size_t c = 0; c < sums[edge.b].size(); c++)
                sums[edge.b][c] += sizes[edge.a] * tokens[edge.a][c];
        }
        std::vector<size_t> order(1, 0);
        for (const size_t first : {1, 2})
            for (size_t t = first; t < tokens.size(); t += 2)
                if (!gone[t])
                    order.push_back(t);
        Matrix merged;
        Vector counts;
        for (const size_t t : order)
        {
            for (double& value : sums[t])
                value /= total[t];
            merged.push_back(sums[t]);
            counts.push_back(total[t]);
        }
        tokens = merged;
        sizes = counts;
    }

    Vector logits() const
    {
        if (config.task == vit::Task::Classify && config.pooling == vit::Pooling::Class)
            return reference::linear(params, "head", tokens[0]);
        const Matrix patches(tokens.begin() + 1, tokens.end());
        const Vector counts(sizes.begin() + 1, sizes.end());
        if (config.task == vit::Task::Classify)
        {
            Vector mean(dim, 0.0);
            for (size_t t = 0; t < patches.size(); t++)
                for (size_t c = 0; c < dim; c++)
                    mean[c] += counts[t] * patches[t][c] / config.input.numPatches();
            return reference::linear(params, "head", mean);
        }
        Vector result;
        for (size_t k = 0; k < static_cast<size_t>(config.classes); k++)
        {
            Vector answer;
            for (size_t head = 0; head < heads; head++)
            {
                Matrix keys, values;
                for (const Vector& patch : patches)
                {
                    const Vector kv = reference::linear(params, "head.kv", patch);
                    keys.push_back(part(kv, head * width, width));
                    values.push_back(part(kv, dim + head * width, width));
                }
                const Vector query = part(params.at("head.queries"), k * dim + head * width, width);
                const Vector read = attend(query, keys, values, counts);
                answer.insert(answer.end(), read.begin(), read.end());
            }
            answer = reference::layerNorm(params, "head.norm", answer, config.layerNormEps);
            result.push_back(product(answer, part(params.at("head.weight"), k * dim, dim)) + params.at("head.bias")[k]);
        }
        return result;
    }

    const vit::ClassifierConfig config;
    const Params params;
    const size_t dim, heads, width;
    Matrix tokens;
    Vector sizes;   ///< with the class token
};

double largestDifference(const std::vector<float>& a, const std::vector<float>& b)
{
    return cv::norm(cv::Mat(a), cv::Mat(b), cv::NORM_INF);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(token_merging)

BOOST_AUTO_TEST_CASE(it_agrees_with_a_slow_reference)
{
    const std::shared_ptr<const ops::Backend> frozen = ops::frozenCpu(ops::Precision::FP32);
    const int batch = 3;
    for (const Network& network : networks())
    {
        const std::vector<float> pixels = reference::randomPixels(batch * network.imageValues(), 5);
        const vit::ClassifierConfig& config = network.config;
        const vit::Transformer stack(config.encoder, config.layerNormEps, network.params, "blocks.", "norm.");
        for (const int perBlock : {0, 1, 5, 12})
        {
            const std::vector<float> logits = network.logits(pixels, perBlock);
            const std::vector<float> packed = network.logits(pixels, perBlock, *frozen);
            vit::Workspace ws;
            const int n = network.patches();
            std::vector<float> x(static_cast<size_t>(batch * (1 + n) * config.encoder.dim));
            vit::embedPatches(config.input, config.encoder.dim, network.params, pixels.data(), batch, nullptr, n,
                              x.data(), nullptr, ws);
            const vit::MergedTokens merged = vit::forwardMerging(stack, x.data(), batch, n, perBlock, ws);
            for (size_t image = 0; image < batch; image++)
            {
                const Merging wanted(network, pixels.data() + image * network.imageValues(), perBlock);
                BOOST_REQUIRE(static_cast<size_t>(merged.n) + 1 == wanted.tokens.size());
                double patches = 0;
                for (size_t t = 0; t < static_cast<size_t>(merged.n); t++)
                {
                    const float size = merged.sizes[image * static_cast<size_t>(merged.n) + t];
                    BOOST_TEST(size == static_cast<float>(wanted.sizes[1 + t]));
                    patches += size;
                }
                BOOST_TEST(patches == n);
                const Vector expected = wanted.logits();
                for (size_t k = 0; k < expected.size(); k++)
                {
                    BOOST_TEST(std::abs(logits[image * expected.size() + k] - expected[k]) < 1e-4, perBlock);
                    BOOST_TEST(std::abs(packed[image * expected.size() + k] - expected[k]) < 1e-4, perBlock);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(nothing_merged_is_the_plain_network)
{
    for (const Network& network : networks())
    {
        const std::vector<float> pixels = reference::randomPixels(2 * network.imageValues(), 6);
        BOOST_TEST(largestDifference(network.logits(pixels, 0), network.logits(pixels, -1)) < 1e-5);
        BOOST_TEST(largestDifference(network.logits(pixels, 5), network.logits(pixels, -1)) > 1e-2);
    }
    const Network one(vit::Task::Classify, vit::Pooling::Mean, 4);   // a patch alone
    const std::vector<float> pixels = reference::randomPixels(one.imageValues(), 6);
    BOOST_TEST(largestDifference(one.logits(pixels, 1), one.logits(pixels, -1)) < 1e-5);
}

BOOST_AUTO_TEST_CASE(equal_patches_can_be_merged_without_a_trace)
{
    for (Network& network : networks())
    {
        const vit::ParamInfo& positions = network.params.layout.at("pos_embed");
        std::fill_n(network.params.data() + positions.offset, positions.count, 0.f);
        const std::vector<float> pixels(network.imageValues(), 0.7f);
        for (const int perBlock : {3, 12})
            BOOST_TEST(largestDifference(network.logits(pixels, perBlock), network.logits(pixels, -1)) < 1e-5);
    }
}

BOOST_AUTO_TEST_CASE(tokens_per_block_fit_the_share)
{
    // 16 patches, three blocks: 15 + 14 + 13 tokens; 13 + 10 + 7; 10 + 5 + 3, where half are the most; 8 + 4 + 2
    const std::pair<int, int> sums[] = {{0, 48}, {1, 42}, {3, 30}, {6, 18}, {8, 14}};
    for (const auto& one : sums)
        BOOST_TEST(std::abs(vit::meanTokenShare(16, 3, one.first) - one.second / 48.) < 1e-12, one.first);
    const std::pair<double, int> shares[] = {{1, 0}, {0.94, 0}, {0.93, 1}, {42 / 48., 1}, {0.626, 3}, {14 / 48., 8},
                                             {0.1, 8}};
    for (const auto& one : shares)
        BOOST_TEST(vit::mergesPerBlock(16, 3, one.first) == one.second, one.first);
    BOOST_TEST(vit::mergesPerBlock(1, 3, 1) == 0);
    BOOST_TEST(vit::meanTokenShare(196, 12, 98) < 0.09);
}

BOOST_AUTO_TEST_SUITE_END()
