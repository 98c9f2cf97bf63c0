// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bench_cuda.hpp"

#include "ops/training.hpp"
#include "train/optimizer.hpp"
#include "train/train_step.hpp"
#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <cmath>

using namespace cv::ltrp;

namespace bench
{

namespace
{

/// A network in training and its pass, as in the trainers.
struct Setting
{
    std::shared_ptr<const ops::Backend> backend;
    const vit::ParamArena& params;
    const vit::InputConfig& input;
    int batch, visible;
    float gradientScale;
    ops::Training::Pass pass;
};

void run(const std::string& row, ops::Precision precision, const Setting& s, double seconds)
{
    ops::TrainingSetup setup = train::setupOf(s.params, s.input);
    setup.batch = s.batch;
    setup.visible = s.visible;
    setup.batchesPerStep = 1;
    setup.seed = 1;
    setup.recordable = true;
    const std::unique_ptr<ops::Training> training = s.backend->training(setup, s.pass);
    CV_Assert(training);
    const Floats zeros(setup.total);
    training->setState(zeros.data(), zeros.data());

    const int side = 300;   // of the crops: typical for random crops of photos of some 500 pixels
    cv::Mat pixels(side, side, CV_8UC3);
    cv::RNG(5).fill(pixels, cv::RNG::UNIFORM, 0, 256);
    std::vector<ops::Crop> crops;
    std::vector<ops::SampleKey> keys;
    for (int i = 0; i < s.batch; ++i)
    {
        crops.push_back({pixels.data, pixels.step[0], side, side, i % 2 == 0});
        keys.push_back({0, static_cast<uint32_t>(i)});
    }
    train::AdamWParams adam;
    adam.learningRate = 1e-5;
    int step = 0;
    training->stage({crops, keys, nullptr});
    const auto update = [&] {
        ops::AdamWFactors factors = train::adamWFactors(adam, ++step);
        factors.gradient = 1 / s.gradientScale;
        training->run(true, factors);
        training->stage({crops, keys, nullptr});
        const ops::StepReport result = training->wait();
        CV_Assert(std::isfinite(result.loss) && std::isfinite(result.gradientNorm));
    };
    const double ms = milliseconds(seconds, update, [] {});
    report(row, ops::precisionName(precision), s.batch, ms, peakMemory());
}

}  // namespace

void pretrain(const std::string& row, ops::Precision precision, int batch, double seconds)
{
    const vit::MaeConfig config;   // ViT-B/16, decoder 512 x 8
    vit::ParamArena params(vit::maeLayout(config));
    vit::initialiseParams(config, 1, params);
    const vit::Mae mae(config, params);
    peakMemory();
    const auto backend = ops::cudaBackend(precision, false);
    vit::Workspace ws(backend);
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, 0.75);
    const size_t predicted = static_cast<size_t>(batch) * static_cast<size_t>(patches - visible)
                             * static_cast<size_t>(config.input.patchValues());
    const float scale = backend->gradientScale(predicted);
    run(row, precision,
        {backend, params, config.input, batch, visible, scale,
         [&](const ops::Samples& samples, float* gradients, double* loss)
         { mae.trainPass(samples.pixels, samples.images, samples.keep, samples.visible, gradients, loss, ws, scale); }},
        seconds);
}

void trainRanker(const std::string& row, ops::Precision precision, int batch, double seconds)
{
    const vit::MaeConfig teacherConfig;   // ViT-B/16, decoder 512 x 8
    vit::ParamArena teacherParams(vit::maeLayout(teacherConfig));
    vit::initialiseParams(teacherConfig, 1, teacherParams);
    const vit::Mae teacher(teacherConfig, teacherParams);
    const vit::LeaveOneOut scorer(teacher);
    vit::RankerConfig config;   // ViT-S/16
    config.encoder = {384, 12, 6, 1536};
    vit::ParamArena params(vit::rankerLayout(config));
    vit::initialiseParams(config, 2, params);
    const vit::RankerNet net(config, params);
    peakMemory();
    const auto backend = ops::cudaBackend(precision, false);
    vit::Workspace ws(backend), teacherWs(backend->companion(precision, true));
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, 0.9);
    const float scale = backend->gradientScale(static_cast<size_t>(batch));
    const auto pass = [&](const ops::Samples& samples, float* gradients, double* loss) {
        const size_t rows = static_cast<size_t>(samples.images), all = rows * static_cast<size_t>(patches);
        float* target = ws.get("bench.target", rows * static_cast<size_t>(visible));
        float *scores = ws.get("bench.scores", all), *gradient = ws.get("bench.gradient", all);
        scorer.scores(samples.pixels, samples.images, samples.keep, visible, vit::LeaveOneOutOptions(), target,
                      teacherWs);
        net.forwardTrain(samples.pixels, samples.images, samples.keep, visible, scores, ws);
        backend->listMle({scores, samples.keep, target, samples.keys, 1, samples.images, patches, visible, visible,
                          scale, gradient, loss});
        net.backward(samples.pixels, samples.images, samples.keep, visible, gradient, gradients, ws);
    };
    run(row, precision, {backend, params, config.input, batch, visible, scale, pass}, seconds);
}

}  // namespace bench
