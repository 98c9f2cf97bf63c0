// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "onnx_cases.hpp"
#include "core/random.hpp"
#include "io/onnx_file.hpp"
#include "vit/classifier.hpp"
#include "vit/mae.hpp"
#include "vit/ranker_net.hpp"

#include <cmath>

using namespace cv::ltrp;

namespace
{

OnnxCase::Tensor randomImages(int batch, cv::Size size)
{
    OnnxCase::Tensor images{"image", {batch, 3, size.height, size.width}, {}, {}};
    RandomStream random(9, RandomPurpose::Mask);
    images.floats.resize(static_cast<size_t>(batch) * 3 * static_cast<size_t>(size.area()));
    for (float& value : images.floats)
        value = static_cast<float>(random.normal());
    return images;
}

/// Different patches for every image.
OnnxCase::Tensor randomMasks(int batch, int patches, int visible)
{
    OnnxCase::Tensor masks{"visible", {batch, visible}, {}, {}};
    RandomStream random(10, RandomPurpose::Mask);
    masks.integers.resize(static_cast<size_t>(batch) * static_cast<size_t>(visible));
    std::vector<float> noise(static_cast<size_t>(patches));
    for (int b = 0; b < batch; b++)
    {
        for (float& value : noise)
            value = static_cast<float>(random.normal());
        vit::maskFromNoise(noise.data(), patches, visible, masks.integers.data() + b * visible);
    }
    return masks;
}

size_t countOf(const std::vector<int>& shape)
{
    size_t count = 1;
    for (const int extent : shape)
        count *= static_cast<size_t>(extent);
    return count;
}

}  // namespace

io::Model untrainedRanker(int imageSize, int patchSize, const vit::StackConfig& stack, vit::Head head)
{
    io::Model model;
    model.kind = io::ModelKind::Ranker;
    model.ranker.input.imageSize = imageSize;
    model.ranker.input.patchSize = patchSize;
    model.ranker.encoder = stack;
    model.ranker.head = head;
    vit::initialiseParams(model.ranker, 21, model.params);
    return model;
}

io::Model untrainedMae(int imageSize, int patchSize, const vit::StackConfig& encoder, const vit::StackConfig& decoder)
{
    io::Model model;
    model.kind = io::ModelKind::Mae;
    model.mae.input.imageSize = imageSize;
    model.mae.input.patchSize = patchSize;
    model.mae.encoder = encoder;
    model.mae.decoder = decoder;
    vit::initialiseParams(model.mae, 22, model.params);
    return model;
}

io::Model perturbed(io::Model model)
{
    // Large enough that a missing epsilon is detected.
    model.mae.layerNormEps = model.ranker.layerNormEps = model.classifier.layerNormEps = 1e-3f;
    RandomStream random(3, RandomPurpose::Init, 9);
    for (const vit::ParamInfo& info : model.params.layout.tensors())
        for (size_t i = 0; i < info.count; i++)
            model.params.at(info.name)[i] += static_cast<float>(0.05 * random.normal());
    return model;
}

OnnxCase rankerCase(const std::string& folder, const std::string& name, const io::Model& model, int batch)
{
    const int patches = model.ranker.input.numPatches();
    OnnxCase result{name, folder + "/" + name + ".onnx", {randomImages(batch, model.ranker.input.size())}, {}};
    io::exportOnnx(result.file, model);
    result.want = {"scores", {batch, patches}, {}, {}};
    result.want.floats.resize(countOf(result.want.shape));
    vit::Workspace workspace;
    const float* pixels = result.inputs[0].floats.data();
    vit::RankerNet(model.ranker, model.params)
        .forward(pixels, batch, nullptr, patches, result.want.floats.data(), nullptr, workspace);
    return result;
}

std::vector<OnnxCase> maeCases(const std::string& folder, const std::string& name, const io::Model& model, int visible,
                               int batch)
{
    const vit::MaeConfig& config = model.mae;
    const int patches = config.input.numPatches();
    const OnnxCase::Tensor images = randomImages(batch, config.input.size()),
                           masks = randomMasks(batch, patches, visible);
    OnnxCase encoder{name + "-encoder", folder + "/" + name + "-encoder.onnx", {images, masks}, {}};
    OnnxCase decoder{name + "-decoder", folder + "/" + name + "-decoder.onnx", {}, {}};
    io::exportOnnx(encoder.file, decoder.file, model, visible);

    vit::Workspace workspace;
    const vit::Mae mae(config, model.params);
    encoder.want = {"latent", {batch, visible + 1, config.encoder.dim}, {}, {}};
    encoder.want.floats.resize(countOf(encoder.want.shape));
    mae.encode(images.floats.data(), batch, masks.integers.data(), visible, nullptr, encoder.want.floats.data(),
               workspace);
    decoder.inputs = {encoder.want, masks};
    decoder.want = {"pred", {batch, patches, config.input.patchValues()}, {}, {}};
    decoder.want.floats.resize(countOf(decoder.want.shape));
    mae.decode(encoder.want.floats.data(), batch, masks.integers.data(), visible, nullptr, decoder.want.floats.data(),
               workspace);
    return {encoder, decoder};
}

OnnxCase classifierCase(const std::string& folder, const std::string& name, int imageSize, int patchSize,
                        const vit::StackConfig& stack, vit::Pooling pooling, int classes, int visible, int batch,
                        vit::Task task)
{
    io::Model model;
    model.kind = io::ModelKind::Classifier;
    model.classifier.input.imageSize = imageSize;
    model.classifier.input.patchSize = patchSize;
    model.classifier.encoder = stack;
    model.classifier.pooling = pooling;
    model.classifier.task = task;
    model.classifier.classes = classes;
    for (int i = 0; i < classes; i++)
        model.classes.push_back("class " + std::to_string(i));
    vit::initialiseParams(model.classifier, 23, model.params);
    model = perturbed(model);
    const OnnxCase::Tensor images = randomImages(batch, model.input().size()),
                           masks = randomMasks(batch, model.input().numPatches(), visible);
    const std::vector<int> shape = task == vit::Task::Segment ? std::vector<int>{batch, visible, classes} : std::vector<int>{batch, classes};
    OnnxCase result{name, folder + "/" + name + ".onnx", {images, masks}, {"logits", shape, {}, {}}};
    io::exportClassifierOnnx(result.file, model, visible);
    result.want.floats.resize(countOf(result.want.shape));
    vit::Workspace workspace;
    vit::Classifier(model.classifier, model.params)
        .forward(images.floats.data(), batch, masks.integers.data(), visible, result.want.floats.data(), workspace);
    return result;
}

std::vector<OnnxCase> allOnnxCases(const std::string& folder, const std::string& shippedModels)
{
    std::vector<OnnxCase> cases;
    const auto add = [&](const std::vector<OnnxCase>& more) { cases.insert(cases.end(), more.begin(), more.end()); };
    const io::Model ranker = io::loadModel(shippedModels + "/ltrp-rank-tiny.safetensors"),
                    mae = io::loadModel(shippedModels + "/ltrp-mae-small.safetensors");
    add({rankerCase(folder, "ranker-shipped", ranker)});
    // All biases zero and all norms equal: graph optimisers merge such tensors.
    add({rankerCase(folder, "ranker-untrained", untrainedRanker(64, 16, {96, 3, 3, 384}))});
    add({rankerCase(folder, "ranker-random", perturbed(untrainedRanker(224, 16, vit::RankerConfig().encoder)))});
    io::Model token = perturbed(untrainedRanker(112, 16, {96, 3, 3, 384}, vit::Head::Token));
    add({rankerCase(folder, "ranker-token", token)});
    vit::setInputSize(token.ranker, cv::Size(176, 80), "ranker-token-wide");
    add({rankerCase(folder, "ranker-token-wide", token)});
    add({rankerCase(folder, "ranker-patch14", perturbed(untrainedRanker(84, 14, {80, 2, 5, 112})))});
    add(maeCases(folder, "mae-shipped", mae, vit::visibleCount(mae.mae.input.numPatches(), 0.9)));
    add(maeCases(folder, "mae-untrained", untrainedMae(64, 16, {96, 3, 3, 384}, {64, 2, 4, 256}), 13));
    add(maeCases(folder, "mae-random", perturbed(untrainedMae(224, 16, {192, 4, 3, 768}, {128, 2, 4, 512})), 49));
    add(maeCases(folder, "mae-patch14", perturbed(untrainedMae(84, 14, {80, 2, 5, 112}, {96, 1, 1, 64})), 1));
    add({classifierCase(folder, "classifier-class", 64, 8, {96, 3, 3, 384}, vit::Pooling::Class, 5, 16)});
    add({classifierCase(folder, "classifier-mean", 84, 14, {80, 2, 5, 112}, vit::Pooling::Mean, 21, 13)});
    add({classifierCase(folder, "classifier-whole", 64, 16, {48, 2, 3, 96}, vit::Pooling::Mean, 13, 16)});
    add({classifierCase(folder, "classifier-labels", 64, 8, {96, 3, 3, 384}, vit::Pooling::Mean, 14, 16, 3, vit::Task::Multilabel)});
    add({classifierCase(folder, "classifier-segments", 84, 14, {80, 2, 5, 112}, vit::Pooling::Mean, 3, 13, 3, vit::Task::Segment)});
    return cases;
}
