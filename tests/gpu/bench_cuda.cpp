// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The CUDA backend's rates: ltrp_bench_cuda [--device] [--seconds S] [ROW...]
//
// The first line names the device and the libraries; with --device it is the only one.
// Then one line of JSON per row. Weights are random, of published sizes, because time does not depend on the values.
// Times are wall-clock times over many calls, with a wait after the last one; in rows with host copies every call has
// its own copy and wait. Without a GPU: the reason, and exit status 3.

#include "bench_cuda.hpp"

#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>

using namespace cv::ltrp;
using namespace bench;

namespace
{

void score(const std::string& row, int removal, ops::Precision precision, int batch, double seconds)
{
    const vit::MaeConfig config;   // ViT-B/16, decoder 512 x 8
    vit::ParamArena params(vit::maeLayout(config));
    vit::initialiseParams(config, 1, params);
    const vit::Mae mae(config, params);
    const int visible = 19, patches = config.input.numPatches();
    const size_t images = static_cast<size_t>(batch), side = static_cast<size_t>(config.input.imageSize);
    const Floats pixels = noise(images * 3 * side * side, 1);
    const std::vector<int> keep = masks(batch, patches, visible);
    vit::LeaveOneOutOptions options;
    options.removal = removal;
    vit::Workspace ws(ops::cudaBackend(precision, true));
    peakMemory();
    const float* there = ws.upload("bench.pixels", pixels.data(), pixels.size());
    const int* kept = ws.upload("bench.keep", keep.data(), keep.size());
    Floats scores(images * visible);
    float* result = ws.get("bench.scores", scores.size());
    const double ms = milliseconds(seconds,
        [&] {
            ws.repeat("score", [&] { vit::LeaveOneOut(mae).scores(there, batch, kept, visible, options, result, ws); });
        },
        [&] { ws.ops().download(result, scores.data(), scores.size() * sizeof(float)); });
    report(row, ops::precisionName(precision), batch, ms, peakMemory());
}

void rank(const std::string& row, ops::Precision precision, int batch, bool copies, double seconds)
{
    vit::RankerConfig config;   // ViT-S/16
    config.encoder = {384, 12, 6, 1536};
    vit::ParamArena params(vit::rankerLayout(config));
    vit::initialiseParams(config, 1, params);
    const vit::RankerNet net(config, params);
    const int patches = config.input.numPatches();
    const size_t images = static_cast<size_t>(batch), side = static_cast<size_t>(config.input.imageSize);
    const Floats pixels = noise(images * 3 * side * side, 1);
    vit::Workspace ws(ops::cudaBackend(precision, true));
    peakMemory();
    const float* there = ws.upload("bench.pixels", pixels.data(), pixels.size());
    Floats scores(images * static_cast<size_t>(patches));
    float* result = ws.get("bench.scores", scores.size());
    const auto fetch = [&] { ws.ops().download(result, scores.data(), scores.size() * sizeof(float)); };
    const double ms = milliseconds(seconds, [&] {
        if (copies)
            there = ws.upload("bench.pixels", pixels.data(), pixels.size());
        ws.repeat("rank", [&] { net.forward(there, batch, nullptr, patches, result, nullptr, ws); });
        if (copies)
            fetch();
    }, fetch);
    report(row, ops::precisionName(precision), batch, ms, peakMemory());
}

struct Row
{
    const char* name;
    std::function<void(const std::string& name, double seconds)> run;
};

std::vector<Row> rows()
{
    using ops::Precision;
    return {{"score-decoder-bf16",
             [](const std::string& n, double s) { score(n, REMOVAL_DECODER, Precision::BF16, 64, s); }},
            {"score-decoder-bf16-256",
             [](const std::string& n, double s) { score(n, REMOVAL_DECODER, Precision::BF16, 256, s); }},
            {"score-encoder-bf16",
             [](const std::string& n, double s) { score(n, REMOVAL_ENCODER, Precision::BF16, 64, s); }},
            {"score-decoder-tf32",
             [](const std::string& n, double s) { score(n, REMOVAL_DECODER, Precision::TF32, 64, s); }},
            {"score-decoder-fp32",
             [](const std::string& n, double s) { score(n, REMOVAL_DECODER, Precision::FP32, 16, s); }},
            {"train-rank-bf16", [](const std::string& n, double s) { trainRanker(n, Precision::BF16, 256, s); }},
            {"pretrain-bf16", [](const std::string& n, double s) { pretrain(n, Precision::BF16, 256, s); }},
            {"rank-256-bf16", [](const std::string& n, double s) { rank(n, Precision::BF16, 256, false, s); }},
            {"rank-1-bf16", [](const std::string& n, double s) { rank(n, Precision::BF16, 1, true, s); }}};
}

}  // namespace

int main(int argc, char** argv)
try
{
    double seconds = 2;
    bool deviceOnly = false;
    std::vector<std::string> wanted;
    for (int i = 1; i < argc; ++i)
    {
        if (!std::strcmp(argv[i], "--device"))
            deviceOnly = true;
        else if (!std::strcmp(argv[i], "--seconds") && i + 1 < argc)
            seconds = std::atof(argv[++i]);
        else
            wanted.push_back(argv[i]);
    }
    std::string known;
    for (const Row& row : rows())
        known += std::string(" ") + row.name;
    for (const std::string& name : wanted)
        if ((known + " ").find(" " + name + " ") == std::string::npos)
            seconds = 0;
    if (!(seconds > 0 && seconds <= 100))
    {
        std::cerr << "usage: ltrp_bench_cuda [--device] [--seconds S] [ROW...]; rows:" << known << "\n";
        return 2;
    }
    const std::string lacks = ops::cudaLacks();
    if (!lacks.empty())
    {
        std::cerr << lacks << std::endl;
        return 3;
    }
    std::string device;
    ops::cudaBackend(ops::Precision::FP32, true, &device);
    std::cout << "{\"device\": \"" << device << "\", \"library\": \"" << ops::cudaLibrary() << "\"}" << std::endl;
    if (deviceOnly)
        return 0;
    bool good = true;
    for (const Row& row : rows())
        if (wanted.empty() || std::find(wanted.begin(), wanted.end(), row.name) != wanted.end())
            try
            {
                row.run(row.name, seconds);
            }
            catch (const std::exception& error)   // memory may be enough for the others
            {
                std::cerr << row.name << ": " << error.what() << std::endl;
                good = false;
            }
    return good ? 0 : 1;
}
catch (const std::exception& error)
{
    std::cerr << error.what() << std::endl;
    return 1;
}
