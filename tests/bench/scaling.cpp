// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What a second thread brings to ranking: ltrp_scaling [tiny|small|base] [ROUNDS] [fp32|bf16|int8]
//
// Random weights of a published geometry, one image at a time. In turns: one call on one thread; one call on two; one
// application thread, and two, whose calls use one thread each. Prints the medians and how many times as much two do.

#include "vit/ranker_net.hpp"

#include <opencv2/core/utility.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

using namespace cv::ltrp;

namespace
{

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string size = argc > 1 ? argv[1] : "small", wanted = argc > 3 ? argv[3] : "fp32";
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 7, dim = size == "tiny" ? 192 : size == "small" ? 384 : 768;
    const ops::Precision precision = wanted == "bf16" ? ops::Precision::BF16 : wanted == "int8" ? ops::Precision::INT8
                                                                                               : ops::Precision::FP32;
    if (rounds < 1 || (dim == 768 && size != "base") || (wanted != "fp32" && precision == ops::Precision::FP32))
    {
        std::cerr << "usage: ltrp_scaling [tiny|small|base] [ROUNDS] [fp32|bf16|int8]\n";
        return 2;
    }
    vit::RankerConfig config;
    config.encoder = {dim, 12, dim / 64, 4 * dim};
    vit::ParamArena params(vit::rankerLayout(config));
    vit::initialiseParams(config, 1, params);
    const vit::RankerNet net(config, params);
    const std::shared_ptr<const ops::Backend> backend = ops::frozenCpu(precision);
    const int patches = config.input.numPatches(), calls = std::max(3, 20 * 384 * 384 / (dim * dim));
    const std::vector<float> pixels(static_cast<size_t>(3) * 224 * 224, 0.5f);
    vit::Workspace workspaces[2] = {vit::Workspace(backend), vit::Workspace(backend)};
    const auto callSome = [&](int which) {
        std::vector<float> scores(static_cast<size_t>(patches));
        for (int i = 0; i < calls; ++i)
            net.forward(pixels.data(), 1, nullptr, patches, scores.data(), nullptr, workspaces[which]);
    };
    /// Milliseconds per call, of `applications` threads together.
    const auto measure = [&](int applications, int threads) {
        cv::setNumThreads(threads);
        const double start = now();
        if (applications == 1)
            callSome(0);
        else
        {
            std::thread other([&]() { callSome(1); });
            callSome(0);
            other.join();
        }
        return (now() - start) * 1e3 / (applications * calls);
    };
    std::vector<double> one, two, both;
    for (int round = 0; round <= rounds; ++round)
    {
        const double a = measure(1, 1), b = measure(1, 2), c = measure(2, 1);
        if (round == 0)
            continue;   // prepares the library and the scratch memory
        one.push_back(a);
        two.push_back(b);
        both.push_back(c);
    }
    std::printf("ranker %s, %s, %s: one thread %.1f ms an image\n"
                "  a call on two threads: %.1f ms, %.2f times as fast\n"
                "  two application threads, one thread a call: %.1f ms an image, %.2f times the throughput\n",
                size.c_str(), ops::precisionName(precision), ops::cpuLibrary().c_str(), median(one), median(two),
                median(one) / median(two), median(both), median(one) / median(both));
    return 0;
}
