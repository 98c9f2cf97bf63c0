// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Where the time of pseudo-scoring goes: ltrp_profile_score [IMAGES] [THREADS] [base|small]
//
// Runs the leave-one-out loop with random weights of a published geometry (time does not depend on the values), and
// prints which share of it is spent inside matrix products, at what rate, and the rate of the very same products alone,
// timed between the rounds of the same run.

#include "core/random.hpp"
#include "ops/cpu/matmul.hpp"
#include "vit/leave_one_out.hpp"

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

/// The decoder's products on `rows` tokens, as they follow each other in a block; returns GFLOP/s.
double aloneRate(const vit::StackConfig& stack, int rows)
{
    const int sizes[4][2] = {{3 * stack.dim, stack.dim}, {stack.dim, stack.dim}, {stack.hidden, stack.dim}, {stack.dim, stack.hidden}};
    const size_t widest = static_cast<size_t>(std::max(stack.hidden, 3 * stack.dim));
    std::vector<float> x(static_cast<size_t>(rows) * widest, 0.5f), y(x.size());
    std::vector<float> w(widest * static_cast<size_t>(stack.hidden), 0.01f), bias(widest, 0.1f);
    double flop = 0, start = 0;
    for (int round = 0; round < 6; ++round)
    {
        if (round == 1)   // the first one prepares the library
            start = now();
        for (const auto& size : sizes)
        {
            ops::matmul(x.data(), false, w.data(), true, bias.data(), y.data(), rows, size[0], size[1], false);
            if (round > 0)
                flop += 2.0 * rows * size[0] * size[1];
        }
    }
    return flop / (now() - start) * 1e-9;
}

}  // namespace

int main(int argc, char** argv)
{
    const int images = argc > 1 ? std::atoi(argv[1]) : 4;
    const std::string geometry = argc > 3 ? argv[3] : "base";
    if (images < 1 || (geometry != "base" && geometry != "small"))
    {
        std::cerr << "usage: ltrp_profile_score [IMAGES] [THREADS] [base|small]\n";
        return 2;
    }
    if (argc > 2)
        cv::setNumThreads(std::atoi(argv[2]));
    vit::MaeConfig config;   // ViT-B/16, decoder 512 x 8
    if (geometry == "small")
    {
        config.encoder = {384, 12, 6, 1536};
        config.decoder = {256, 4, 8, 1024};
    }
    vit::ParamArena params(vit::maeLayout(config));
    vit::initialiseParams(config, 1, params);
    const vit::Mae mae(config, params);
    const vit::LeaveOneOut loop(mae);
    vit::Workspace ws;
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, 0.9);
    const size_t side = static_cast<size_t>(config.input.imageSize);
    RandomStream random(1, RandomPurpose::Mask);
    std::vector<float> pixels(3 * side * side), noise(static_cast<size_t>(patches)), scores(static_cast<size_t>(visible));
    std::vector<int> keep(static_cast<size_t>(visible));
    for (float& v : pixels)
        v = static_cast<float>(random.normal());

    std::cout << "pseudo-scoring, ViT-" << geometry << ", " << visible << " of " << patches << " patches visible, "
              << ops::cpuLibrary() << ", " << ops::threads() << " threads\n"
              << "  image   total ms   in products ms   share   products GFLOP/s   alone GFLOP/s\n";
    ops::profileMatmul(true);
    for (int i = 0; i <= images; ++i)
    {
        for (float& v : noise)
            v = random.uniform();
        vit::maskFromNoise(noise.data(), patches, visible, keep.data());
        ops::matmulProfile(true);
        const double start = now();
        loop.scores(pixels.data(), 1, keep.data(), visible, vit::LeaveOneOutOptions(), scores.data(), ws);
        const double total = now() - start;
        const ops::MatmulProfile profile = ops::matmulProfile(true);
        const double alone = aloneRate(config.decoder, visible * patches);
        if (i > 0)   // the first image prepares the library and the scratch memory
            std::printf("  %5d   %8.1f   %14.1f   %4.0f%%   %16.1f   %13.1f\n", i, total * 1e3, profile.seconds * 1e3,
                        100 * profile.seconds / total, profile.flop / profile.seconds * 1e-9, alone);
    }
    return 0;
}
