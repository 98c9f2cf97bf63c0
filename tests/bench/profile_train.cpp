// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Where the time of a training step goes: ltrp_profile_train [pretrain|ranker] [BATCH] [STEPS] [THREADS] [fp32|bf16]
//
// pretrain: updates of a ViT-B autoencoder, mask ratio 0.75. ranker: updates of a ViT-S ranker on 19 visible patches of 196,
// without the pseudo-scores (ltrp_profile_score has those). Weights are random, since time does not depend on the values.
// Prints what forward and backward pass, gradient norm and optimizer take, the share of the first spent inside matrix
// products, and at what rate those run.

#include "core/parallel.hpp"
#include "core/random.hpp"
#include "train/optimizer.hpp"
#include "vit/mae.hpp"
#include "vit/ranker_net.hpp"

#include <opencv2/core/utility.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>

using namespace cv::ltrp;

namespace
{

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string what = argc > 1 ? argv[1] : "pretrain", precision = argc > 5 ? argv[5] : "fp32";
    const int batch = argc > 2 ? std::atoi(argv[2]) : 8, steps = argc > 3 ? std::atoi(argv[3]) : 3;
    if ((what != "pretrain" && what != "ranker") || batch < 1 || steps < 1 || (precision != "fp32" && precision != "bf16"))
    {
        std::cerr << "usage: ltrp_profile_train [pretrain|ranker] [BATCH] [STEPS] [THREADS] [fp32|bf16]\n";
        return 2;
    }
    if (argc > 4)
        cv::setNumThreads(std::atoi(argv[4]));

    vit::MaeConfig maeConfig;   // ViT-B/16, decoder 512 x 8
    vit::RankerConfig rankerConfig;
    rankerConfig.encoder = {384, 12, 6, 1536};
    const bool ranks = what == "ranker";
    const vit::InputConfig& input = ranks ? rankerConfig.input : maeConfig.input;
    vit::ParamArena params(ranks ? vit::rankerLayout(rankerConfig) : vit::maeLayout(maeConfig));
    if (ranks)
        vit::initialiseParams(rankerConfig, 1, params);
    else
        vit::initialiseParams(maeConfig, 1, params);
    const vit::RankerNet* ranker = ranks ? new vit::RankerNet(rankerConfig, params) : nullptr;
    const vit::Mae* mae = ranks ? nullptr : new vit::Mae(maeConfig, params);
    vit::Workspace ws(ops::trainingCpu(precision == "bf16" ? ops::Precision::BF16 : ops::Precision::FP32));

    const int patches = input.numPatches(), visible = vit::visibleCount(patches, ranks ? 0.9 : 0.75);
    const size_t side = static_cast<size_t>(input.imageSize), images = static_cast<size_t>(batch);
    RandomStream random(1, RandomPurpose::Mask);
    std::vector<float> pixels(images * 3 * side * side), noise(static_cast<size_t>(patches));
    std::vector<float> scores(images * static_cast<size_t>(patches));
    std::vector<int> keep(images * static_cast<size_t>(visible));
    for (float& v : pixels)
        v = static_cast<float>(random.normal());
    for (size_t b = 0; b < images; ++b)
    {
        for (float& v : noise)
            v = random.uniform();
        vit::maskFromNoise(noise.data(), patches, visible, keep.data() + b * static_cast<size_t>(visible));
    }

    cv::Mat grads = cv::Mat::zeros(1, static_cast<int>(params.layout.total()), CV_32F);
    train::AdamW optimizer(params.layout);
    std::cout << (ranks ? "ranker ViT-S" : "autoencoder ViT-B") << ", " << precision << ", batches of " << batch << ", "
              << ops::cpuLibrary() << ", " << computeThreads() << " threads\n"
              << "  step   total ms   an image ms   forward+backward ms   in products   GFLOP/s there   norm ms   AdamW ms\n";
    ops::profileMatmul(true);
    for (int step = 0; step <= steps; ++step)
    {
        ops::matmulProfile(true);
        const double start = now();
        if (ranks)
        {
            ranker->forwardTrain(pixels.data(), batch, keep.data(), visible, scores.data(), ws);
            ranker->backward(pixels.data(), batch, keep.data(), visible, scores.data(), grads.ptr<float>(), ws);
        }
        else
            mae->forwardBackward(pixels.data(), batch, keep.data(), visible, grads.ptr<float>(), ws);
        const double passed = now();
        const double size = train::gradientNorm(grads);
        const double normed = now();
        optimizer.step(params, grads.ptr<float>(), train::AdamWParams(), true);
        ws.ops().weightsChanged();
        const double end = now();
        const ops::MatmulProfile profile = ops::matmulProfile(true);
        const double inProducts = profile.seconds / computeThreads();
        if (step > 0 && size > 0)   // the first step prepares the library and the memory
            std::printf("  %4d   %8.1f   %11.1f   %19.1f   %10.0f%%   %13.1f   %7.1f   %8.1f\n", step, (end - start) * 1e3,
                        (end - start) * 1e3 / batch, (passed - start) * 1e3, 100 * inProducts / (passed - start),
                        profile.flop / inProducts * 1e-9, (normed - passed) * 1e3, (end - normed) * 1e3);
    }
    delete ranker;
    delete mae;
    return 0;
}
