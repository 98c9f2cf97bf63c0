// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Where the time of pseudo-scoring goes: ltrp_profile_score [IMAGES] [THREADS] [base|small] [fp32|bf16|int8]
//
// Runs the leave-one-out loop with random weights of a published geometry (time does not depend on the values), and
// prints which share of it is spent inside matrix products, at what rate, the rate of the very same products alone, timed
// between the rounds of the same run, and which share of that rate the whole reaches ("of peak").

#include "core/parallel.hpp"
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

/// The decoder's products with packed weights, 128 rows at a time on each thread, nothing else; returns GFLOP/s.
double aloneRate(const vit::StackConfig& stack, ops::Precision precision)
{
    const int sizes[4][2] = {{3 * stack.dim, stack.dim}, {stack.dim, stack.dim}, {stack.hidden, stack.dim}, {stack.dim, stack.hidden}};
    const size_t widest = static_cast<size_t>(std::max(stack.hidden, 3 * stack.dim));
    const int rows = 128, blocks = 16;
    std::vector<float> w(widest * static_cast<size_t>(stack.hidden), 0.01f), bias(widest, 0.1f);
    std::vector<std::unique_ptr<ops::PackedMatrix>> weights;
    for (const auto& size : sizes)
        weights.emplace_back(new ops::PackedMatrix(w.data(), size[0], size[1], precision));
    const bool integers = precision == ops::Precision::INT8;
    double flop = 0, start = 0;
    for (int round = 0; round < 5; ++round)
    {
        if (round == 1)   // the first one prepares the library
            start = now();
        parallelRanges(blocks, 1, [&](size_t begin, size_t end) {
            std::vector<float> x(rows * widest, 0.f), y(rows * widest);
            for (size_t block = begin; block < end; ++block)
                for (const auto& matrix : weights)
                    matrix->multiply(x.data(), rows, y.data(), integers ? nullptr : bias.data(), false);
        });
        if (round > 0)
            for (const auto& size : sizes)
                flop += 2.0 * rows * blocks * size[0] * size[1];
    }
    return flop / (now() - start) * 1e-9;
}

/// Share of pairs that both order alike, minus the share they do not (Kendall's tau, no ties expected).
double rankAgreement(const std::vector<float>& a, const std::vector<float>& b)
{
    double sum = 0, pairs = 0;
    for (size_t i = 0; i < a.size(); ++i)
        for (size_t j = 0; j < i; ++j, ++pairs)
            sum += (a[i] - a[j]) * (b[i] - b[j]) > 0 ? 1 : -1;
    return sum / pairs;
}

}  // namespace

int main(int argc, char** argv)
{
    const int images = argc > 1 ? std::atoi(argv[1]) : 4;
    const std::string geometry = argc > 3 ? argv[3] : "base";
    const std::string wanted = argc > 4 ? argv[4] : "fp32";
    const ops::Precision precision = wanted == "bf16" ? ops::Precision::BF16 : wanted == "int8" ? ops::Precision::INT8
                                                                                               : ops::Precision::FP32;
    if (images < 1 || (geometry != "base" && geometry != "small") || (wanted != "fp32" && precision == ops::Precision::FP32))
    {
        std::cerr << "usage: ltrp_profile_score [IMAGES] [THREADS] [base|small] [fp32|bf16|int8]\n";
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
    const std::shared_ptr<const ops::Backend> backend = ops::frozenCpu(precision), exact = ops::frozenCpu(ops::Precision::FP32);
    vit::Workspace ws(*backend), exactWs(*exact);
    const int patches = config.input.numPatches(), visible = vit::visibleCount(patches, 0.9);
    const size_t side = static_cast<size_t>(config.input.imageSize);
    RandomStream random(1, RandomPurpose::Mask);
    std::vector<float> pixels(3 * side * side), noise(static_cast<size_t>(patches)), scores(static_cast<size_t>(visible));
    std::vector<int> keep(static_cast<size_t>(visible));
    for (float& v : pixels)
        v = static_cast<float>(random.normal());

    std::vector<float> reference(scores.size());
    std::cout << "pseudo-scoring, ViT-" << geometry << ", " << ops::precisionName(precision) << ", " << visible << " of "
              << patches << " patches visible, " << ops::cpuLibrary() << ", " << computeThreads() << " threads\n"
              << "  image   total ms   share in products   products GFLOP/s   alone GFLOP/s   of peak   tau to FP32\n";
    ops::profileMatmul(true);
    for (int i = 0; i <= images; ++i)
    {
        for (float& v : noise)
            v = random.uniform();
        vit::maskFromNoise(noise.data(), patches, visible, keep.data());
        if (precision != ops::Precision::FP32)
            loop.scores(pixels.data(), 1, keep.data(), visible, vit::LeaveOneOutOptions(), reference.data(), exactWs);
        ops::matmulProfile(true);
        const double start = now();
        loop.scores(pixels.data(), 1, keep.data(), visible, vit::LeaveOneOutOptions(), scores.data(), ws);
        const double total = now() - start;
        const ops::MatmulProfile profile = ops::matmulProfile(true);
        const double alone = aloneRate(config.decoder, precision), threadSeconds = profile.seconds / computeThreads();
        if (i > 0)   // the first image prepares the library and the scratch memory
            std::printf("  %5d   %8.1f   %16.0f%%   %16.1f   %13.1f   %6.0f%%   %11.3f\n", i, total * 1e3,
                        100 * threadSeconds / total, profile.flop / threadSeconds * 1e-9, alone,
                        100 * profile.flop / total * 1e-9 / alone,
                        precision == ops::Precision::FP32 ? 1. : rankAgreement(scores, reference));
    }
    return 0;
}
