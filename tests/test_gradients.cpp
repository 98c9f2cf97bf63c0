// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Networks and their gradients against plain double-precision loops: values directly, gradients by central
// differences of the plain loops, every single parameter.

#include "reference_vit.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace cv::ltrp;

namespace
{

vit::MaeConfig smallMae(bool normPixLoss)
{
    vit::MaeConfig config;
    config.input.imageSize = 12;
    config.input.patchSize = 4;
    config.encoder = {12, 2, 3, 20};
    config.decoder = {8, 2, 2, 12};
    config.layerNormEps = 1e-6f;
    config.normPixLoss = normPixLoss;
    return config;
}

vit::RankerConfig smallRanker(vit::Head head)
{
    vit::RankerConfig config;
    config.head = head;
    config.input.imageSize = 15;
    config.input.patchSize = 5;
    config.encoder = {12, 2, 2, 24};
    config.layerNormEps = 1e-5f;
    return config;
}

/// Compares the gradients with central differences of `value`. Trainable tensors only: frozen ones must stay zero.
void checkGradients(const vit::ParamArena& arena, const vit::ParamArena& grads,
                    const std::function<double(const reference::Params&)>& value)
{
    reference::Params params = reference::toDouble(arena);
    const double h = 1e-5;
    for (const vit::ParamInfo& info : arena.layout.tensors())
    {
        const float* grad = grads.data() + info.offset;
        double largest = 0, error = 0;
        for (size_t i = 0; i < info.count; i++)
        {
            double want = 0;
            if (info.trainable)
            {
                double& place = params[info.name][i];
                const double kept = place;
                place = kept + h;
                const double above = value(params);
                place = kept - h;
                want = (above - value(params)) / (2 * h);
                place = kept;
            }
            largest = std::max(largest, std::abs(want));
            error = std::max(error, std::abs(grad[i] - want));
        }
        BOOST_CHECK_MESSAGE(error <= 1e-5 + 1e-5 * largest, info.name << ": largest difference " << error
                            << " where gradients reach " << largest);
        if (info.trainable)   // a tensor that nothing flows through would make the comparison empty
            BOOST_CHECK_MESSAGE(largest > 1e-4, info.name << ": gradients reach " << largest << " only");
    }
}

void checkClose(const std::vector<float>& got, const std::vector<double>& want, double tolerance,
                const std::string& what)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double error = 0;
    for (size_t i = 0; i < got.size(); i++)
        error = std::max(error, std::abs(got[i] - want[i]));
    BOOST_CHECK_MESSAGE(error <= tolerance, what << ": largest difference " << error);
}

void append(std::vector<double>& list, const reference::Matrix& rows)
{
    for (const reference::Vector& row : rows)
        list.insert(list.end(), row.begin(), row.end());
}

void checkMae(bool normPixLoss)
{
    const vit::MaeConfig config = smallMae(normPixLoss);
    vit::ParamArena arena(vit::maeLayout(config)), grads(vit::maeLayout(config));
    reference::randomise(arena, 11);
    const int batch = 2, visible = 3;
    const size_t image = 3 * 12 * 12;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 12);
    const std::vector<int> keep = reference::randomMask(batch, config.input.numPatches(), visible, 13);

    const auto value = [&](const reference::Params& params)
    {
        double total = 0;
        for (int b = 0; b < batch; b++)
        {
            const std::vector<int> ids = reference::row(keep, b, visible);
            const reference::Matrix latent = reference::encode(config, params, &pixels[b * image], ids, -1);
            total += reference::maeLoss(config, &pixels[b * image], ids,
                                        reference::decode(config, params, latent, ids, -1)) / batch;
        }
        return total;
    };

    const vit::Mae mae(config, arena);
    vit::Workspace ws;
    const double loss = mae.forwardBackward(pixels.data(), batch, keep.data(), visible, grads.data(), ws);
    BOOST_CHECK_CLOSE(loss, value(reference::toDouble(arena)), 1e-3);
    checkGradients(arena, grads, value);

    // A second pass adds to what stands in grads.
    vit::ParamArena once(arena.layout);
    grads.values.copyTo(once.values);
    mae.forwardBackward(pixels.data(), batch, keep.data(), visible, grads.data(), ws);
    for (size_t i = 0; i < arena.layout.total(); i++)
        BOOST_REQUIRE_SMALL(grads.data()[i] - 2 * once.data()[i], 1e-5f + 1e-5f * std::abs(once.data()[i]));
}

void checkRanker(vit::Head head, const std::vector<int>& ids, int n)
{
    const vit::RankerConfig config = smallRanker(head);
    vit::ParamArena arena(vit::rankerLayout(config)), grads(vit::rankerLayout(config));
    reference::randomise(arena, 21);
    const int batch = 2, patches = config.input.numPatches();
    const size_t image = 3 * 15 * 15;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 22);
    const std::vector<float> weights = reference::randomPixels(static_cast<size_t>(batch) * patches, 23);
    std::vector<int> all(patches);
    for (int i = 0; i < patches; i++)
        all[i] = i;
    const auto scoresOf = [&](const reference::Params& params)
    {
        std::vector<double> scores;
        for (int b = 0; b < batch; b++)
            append(scores, {reference::rankerScores(config, params, &pixels[b * image],
                                                    ids.empty() ? all : reference::row(ids, b, n))});
        return scores;
    };

    const vit::RankerNet net(config, arena);
    vit::Workspace ws;
    const int* places = ids.empty() ? nullptr : ids.data();
    std::vector<float> scores(weights.size()), inference(weights.size());
    std::vector<float> cls(static_cast<size_t>(batch) * config.encoder.dim);
    net.forwardTrain(pixels.data(), batch, places, n, scores.data(), ws);
    net.backward(pixels.data(), batch, places, n, weights.data(), grads.data(), ws);
    net.forward(pixels.data(), batch, places, n, inference.data(), cls.data(), ws);
    checkClose(scores, scoresOf(reference::toDouble(arena)), 2e-5, "training pass");
    checkClose(inference, scoresOf(reference::toDouble(arena)), 2e-5, "inference");
    std::vector<double> classTokens;
    for (int b = 0; b < batch; b++)
        append(classTokens, {reference::classToken(config, reference::toDouble(arena), &pixels[b * image],
                                                   ids.empty() ? all : reference::row(ids, b, n))});
    checkClose(cls, classTokens, 2e-5, "class token");
    checkGradients(arena, grads, [&](const reference::Params& params)
    {
        const std::vector<double> s = scoresOf(params);
        double total = 0;
        for (size_t i = 0; i < s.size(); i++)
            total += weights[i] * s[i];
        return total;
    });
}

/// Loss and gradients of a training pass, and the logits of inference, on the kept patches ids [2, n].
void checkClassifier(vit::Pooling pooling, const std::vector<int>& ids, int n)
{
    vit::ClassifierConfig config;
    config.input.imageSize = 15;
    config.input.patchSize = 5;
    config.encoder = {12, 2, 2, 24};
    config.pooling = pooling;
    config.classes = 5;
    vit::ParamArena arena(vit::classifierLayout(config)), grads(vit::classifierLayout(config));
    reference::randomise(arena, 41);
    const int batch = 2, labels[] = {4, 1};
    const double smoothing = 0.125;
    const size_t image = 3 * 15 * 15;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 42);
    const auto logitsOf = [&](const reference::Params& params, int b)
    {
        const reference::Matrix tokens = reference::encode(config, params, &pixels[b * image], reference::row(ids, b, n));
        reference::Vector pooled = tokens[0];
        if (pooling == vit::Pooling::Mean)
            for (size_t c = 0; c < pooled.size(); c++)
            {
                pooled[c] = 0;
                for (int t = 1; t <= n; t++)
                    pooled[c] += tokens[t][c] / n;
            }
        return reference::linear(params, "head", pooled);
    };
    const auto lossOf = [&](const reference::Params& params)
    {
        double loss = 0;
        for (int b = 0; b < batch; b++)
        {
            const reference::Vector logits = logitsOf(params, b);
            double sum = 0;
            for (const double logit : logits)
                sum += std::exp(logit);
            for (int c = 0; c < config.classes; c++)
                loss -= (smoothing / config.classes + (c == labels[b] ? 1 - smoothing : 0)) * (logits[c] - std::log(sum)) / batch;
        }
        return loss;
    };
    const vit::Classifier net(config, arena);
    vit::Workspace ws;
    double loss = 0;
    net.trainPass(pixels.data(), batch, ids.data(), n, {labels, nullptr, static_cast<float>(smoothing)}, grads.data(), &loss, ws);
    BOOST_TEST(std::abs(loss - lossOf(reference::toDouble(arena))) < 1e-5);
    std::vector<double> wanted;
    for (int b = 0; b < batch; b++)
        append(wanted, {logitsOf(reference::toDouble(arena), b)});
    std::vector<float> logits(wanted.size());
    net.forward(pixels.data(), batch, ids.data(), n, logits.data(), ws);
    checkClose(logits, wanted, 2e-5, "inference");
    checkGradients(arena, grads, lossOf);
}

/// Logits of the head of a task, a row for each patch or one, from an image's normalised tokens, class token first.
reference::Matrix headLogits(const vit::ClassifierConfig& config, const reference::Params& params, const reference::Matrix& tokens)
{
    reference::Matrix logits;
    if (config.task == vit::Task::Segment)
    {
        for (size_t t = 1; t < tokens.size(); t++)
            logits.push_back(reference::linear(params, "head", tokens[t]));
        return logits;
    }
    const size_t dim = config.encoder.dim, width = dim / config.encoder.heads;
    reference::Matrix kv;
    for (size_t t = 1; t < tokens.size(); t++)
        kv.push_back(reference::linear(params, "head.kv", tokens[t]));
    logits.emplace_back();
    for (int c = 0; c < config.classes; c++)
    {
        const double* query = params.at("head.queries").data() + c * dim;
        reference::Vector attended(dim);
        for (int h = 0; h < config.encoder.heads; h++)
        {
            reference::Vector weights;
            double sum = 0;
            for (const reference::Vector& token : kv)
            {
                double score = 0;
                for (size_t i = h * width; i < (h + 1) * width; i++)
                    score += query[i] * token[i] / std::sqrt(static_cast<double>(width));
                weights.push_back(std::exp(score));
                sum += weights.back();
            }
            for (size_t t = 0; t < kv.size(); t++)
                for (size_t i = h * width; i < (h + 1) * width; i++)
                    attended[i] += weights[t] / sum * kv[t][dim + i];
        }
        const reference::Vector normed = reference::layerNorm(params, "head.norm", attended, config.layerNormEps);
        logits[0].push_back(params.at("head.bias")[c]);
        for (size_t i = 0; i < dim; i++)
            logits[0][c] += params.at("head.weight")[c * dim + i] * normed[i];
    }
    return logits;
}

/// Of the heads of segmentation and of several labels.
void checkHead(vit::Task task, const std::vector<int>& ids, int n)
{
    vit::ClassifierConfig config;
    config.input.imageSize = 15;
    config.input.patchSize = 5;
    config.encoder = {12, 2, 2, 24};
    config.task = task;
    config.classes = 3;
    vit::ParamArena arena(vit::classifierLayout(config)), grads(vit::classifierLayout(config));
    reference::randomise(arena, 46);
    const bool segment = task == vit::Task::Segment;
    const int batch = 2, patches = 9, classes = config.classes;
    const size_t image = 3 * 15 * 15;
    const double smoothing = 0.125;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 47);
    std::vector<float> targets;   // shares of patches, some in part or wholly void; or labels
    for (int i = 0; i < batch * (segment ? patches : 1); i++)
        for (int c = 0; c < classes; c++)
            targets.push_back(segment ? (i % 4 == 1 ? 0.f : static_cast<float>((i + c) % 3) / 4.f) : static_cast<float>((i + c) % 2));
    std::vector<int> kept = ids;
    for (int i = 0; ids.empty() && i < batch * patches; i++)
        kept.push_back(i % patches);
    const auto logitsOf = [&](const reference::Params& params, int b)
    { return headLogits(config, params, reference::encode(config, params, &pixels[b * image], reference::row(kept, b, n))); };
    const auto lossOf = [&](const reference::Params& params)
    {
        double loss = 0, weights = 0;
        for (int b = 0; b < batch; b++)
        {
            const reference::Matrix logits = logitsOf(params, b);
            for (size_t t = 0; t < logits.size(); t++)
            {
                const float* target = &targets[segment ? (b * patches + kept[b * n + t]) * classes : b * classes];
                double sum = 0, weight = 0;
                for (int c = 0; c < classes; c++)
                {
                    sum += std::exp(logits[t][c]);
                    weight += target[c];
                }
                weights += weight;
                for (int c = 0; c < classes; c++)
                {
                    const double p = 1 / (1 + std::exp(-logits[t][c])), q = std::max(p - 0.05, 0.);
                    loss -= segment ? ((1 - smoothing) * target[c] + smoothing * weight / classes) * (logits[t][c] - std::log(sum))
                                    : (target[c] > 0 ? std::log(p) : std::pow(q, 4) * std::log(1 - q)) / batch;
                }
            }
        }
        return segment ? loss / weights : loss;
    };
    const vit::Classifier net(config, arena);
    vit::Workspace ws;
    const int* places = ids.empty() ? nullptr : ids.data();
    double loss = 0;
    net.trainPass(pixels.data(), batch, places, n, {nullptr, targets.data(), static_cast<float>(smoothing)}, grads.data(), &loss, ws);
    BOOST_TEST(std::abs(loss - lossOf(reference::toDouble(arena))) < 1e-5);
    std::vector<double> wanted;
    for (int b = 0; b < batch; b++)
        append(wanted, logitsOf(reference::toDouble(arena), b));
    std::vector<float> logits(wanted.size());
    BOOST_TEST(logits.size() == static_cast<size_t>(batch * net.rows(n) * classes));
    net.forward(pixels.data(), batch, places, n, logits.data(), ws);
    checkClose(logits, wanted, 2e-5, "inference");
    checkGradients(arena, grads, lossOf);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(gradients, reference::OneThread)

BOOST_AUTO_TEST_CASE(mae_normalised_targets)
{
    checkMae(true);
}

BOOST_AUTO_TEST_CASE(mae_plain_targets)
{
    checkMae(false);
}

BOOST_AUTO_TEST_CASE(ranker_all_patches)
{
    checkRanker(vit::Head::Class, {}, 9);
}

BOOST_AUTO_TEST_CASE(ranker_all_patches_token_head)
{
    checkRanker(vit::Head::Token, {}, 9);
}

BOOST_AUTO_TEST_CASE(ranker_visible_patches)
{
    checkRanker(vit::Head::Class, reference::randomMask(2, 9, 4, 24), 4);
}

BOOST_AUTO_TEST_CASE(ranker_visible_patches_token_head)
{
    checkRanker(vit::Head::Token, reference::randomMask(2, 9, 4, 24), 4);
}

BOOST_AUTO_TEST_CASE(classifier_kept_patches_class_token)
{
    checkClassifier(vit::Pooling::Class, reference::randomMask(2, 9, 4, 44), 4);
}

BOOST_AUTO_TEST_CASE(classifier_kept_patches_mean_of_tokens)
{
    checkClassifier(vit::Pooling::Mean, reference::randomMask(2, 9, 4, 44), 4);
}

BOOST_AUTO_TEST_CASE(segmentation_of_kept_patches)
{
    checkHead(vit::Task::Segment, reference::randomMask(2, 9, 4, 44), 4);
}

BOOST_AUTO_TEST_CASE(segmentation_of_all_patches)
{
    checkHead(vit::Task::Segment, {}, 9);
}

BOOST_AUTO_TEST_CASE(several_labels_of_kept_patches)
{
    checkHead(vit::Task::Multilabel, reference::randomMask(2, 9, 4, 44), 4);
}

BOOST_AUTO_TEST_CASE(mae_forward)
{
    const vit::MaeConfig config = smallMae(true);
    vit::ParamArena arena(vit::maeLayout(config));
    reference::randomise(arena, 31);
    const reference::Params params = reference::toDouble(arena);
    const int batch = 3, visible = 4;
    const size_t image = 3 * 12 * 12;
    const std::vector<float> pixels = reference::randomPixels(batch * image, 32);
    const std::vector<int> keep = reference::randomMask(batch, 9, visible, 33);
    const std::vector<int> encoderFlags = {2, -1, 4}, decoderFlags = {1 + keep[0], -1, 1 + keep[2 * visible + 3]};
    std::vector<double> latentWanted, predWanted;
    for (int b = 0; b < batch; b++)
    {
        const std::vector<int> ids = reference::row(keep, b, visible);
        const reference::Matrix latent = reference::encode(config, params, &pixels[b * image], ids, encoderFlags[b]);
        append(latentWanted, latent);
        append(predWanted, reference::decode(config, params, latent, ids, decoderFlags[b]));
    }
    const vit::Mae mae(config, arena);
    vit::Workspace ws;
    std::vector<float> latent(latentWanted.size()), pred(predWanted.size());
    mae.encode(pixels.data(), batch, keep.data(), visible, encoderFlags.data(), latent.data(), ws);
    mae.decode(latent.data(), batch, keep.data(), visible, decoderFlags.data(), pred.data(), ws);
    checkClose(latent, latentWanted, 2e-5, "latent");
    checkClose(pred, predWanted, 5e-5, "prediction");
}

BOOST_AUTO_TEST_SUITE_END()
