// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The library's side of the benchmark, warm in a process of its own: reads a line of JSON per command from stdin and
// answers each with a line of JSON on stdout, {"error": reason} where it cannot. bench.py says what is asked; by hand:
//   echo '{"do": "info"}' | ltrp_bench --threads 2

#include "bench_jobs.hpp"

#include "core/parallel.hpp"

#include <opencv2/core/utility.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>

using namespace cv;
using namespace cv::ltrp;
using bench::Json;

namespace
{

struct Preset
{
    const char* name;
    vit::StackConfig encoder, decoder;
    vit::Head head;   ///< of rankers
    int grid;         ///< patches a side
};

/// Published geometries, 14 x 14 patches of 16 pixels; tiny and small autoencoders as MaePretrainParams has them. Then the
/// shipped ranker's with a token head, on grids of several sizes.
const Preset presets[] = {{"tiny", {192, 12, 3, 768}, {192, 4, 6, 768}, vit::Head::Class, 14},
                          {"small", {384, 12, 6, 1536}, {256, 4, 8, 1024}, vit::Head::Class, 14},
                          {"base", {768, 12, 12, 3072}, {512, 8, 16, 2048}, vit::Head::Class, 14},
                          {"token14", {192, 6, 3, 768}, {192, 4, 6, 768}, vit::Head::Token, 14},
                          {"token28", {192, 6, 3, 768}, {192, 4, 6, 768}, vit::Head::Token, 28},
                          {"token42", {192, 6, 3, 768}, {192, 4, 6, 768}, vit::Head::Token, 42}};

Json info()
{
    const std::string features = getCPUFeaturesLine();
    return {{"library", ops::cpuLibrary()}, {"kernels", ops::kernelsInUse()}, {"threads", computeThreads()},
            {"opencv", getVersionString()}, {"features", features}};
}

/// Random weights as training would begin with, written as a model file.
Json writeWeights(const Json& command)
{
    const std::string kind = bench::value<std::string>(command, "kind");
    const std::string out = bench::value<std::string>(command, "out");
    const std::string wanted = bench::value<std::string>(command, "preset");
    const uint64_t seed = bench::value<uint64_t>(command, "seed", 1);
    for (const Preset& preset : presets)
    {
        if (wanted != preset.name)
            continue;
        io::Model model;
        if (kind == "ranker")
        {
            model.kind = io::ModelKind::Ranker;
            model.ranker.encoder = preset.encoder;
            model.ranker.head = preset.head;
            model.ranker.input.imageSize = preset.grid * model.ranker.input.patchSize;
            vit::initialiseParams(model.ranker, seed, model.params);
        }
        else
        {
            LTRP_REQUIRE(kind == "mae", Error::StsBadArg, "kind is '" << kind << "', expected ranker or mae");
            model.kind = io::ModelKind::Mae;
            model.mae.encoder = preset.encoder;
            model.mae.input.imageSize = preset.grid * model.mae.input.patchSize;
            model.mae.decoder = preset.decoder;
            vit::initialiseParams(model.mae, seed, model.params);
        }
        model.provenance["weights"] = "random, seed " + std::to_string(seed);
        io::saveModel(out, model);
        return {{"parameters", model.params.layout.parameterCount()}};
    }
    LTRP_ERROR(Error::StsBadArg, "preset is '" << wanted << "', expected tiny, small, base, token14, token28 or token42");
}

Json load(bench::Models& models, const Json& command)
{
    const std::string id = bench::value<std::string>(command, "id");
    std::unique_ptr<bench::LoadedModel> model =
        bench::loadForBench(bench::value<std::string>(command, "model"),
                            bench::value<std::string>(command, "precision"));
    const Json answer = {{"kind", io::modelKindName(model->file.kind)},
                         {"parameters", model->file.params.layout.parameterCount()},
                         {"geometry", Json::parse(io::modelMetadata(model->file))}};
    models[id] = std::move(model);
    return answer;
}

Json timeJob(bench::Models& models, const Json& command)
{
    const bench::Job job = bench::makeJob(models, bench::value<Json>(command, "call"));
    const int repeat = bench::value<int>(command, "repeat", 1);
    LTRP_REQUIRE(repeat >= 1 && repeat <= 1000000, Error::StsOutOfRange, "repeat is " << repeat);
    std::vector<double> milliseconds;
    for (int i = 0; i < repeat; ++i)
    {
        const auto start = std::chrono::steady_clock::now();
        job.run();
        const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
        milliseconds.push_back(spent.count());
    }
    return {{"ms", milliseconds}};
}

Json answerTo(bench::Models& models, const Json& command)
{
    const std::string what = bench::value<std::string>(command, "do");
    if (what == "info")
        return info();
    if (what == "weights")
        return writeWeights(command);
    if (what == "onnx")
    {
        io::exportOnnx(bench::value<std::string>(command, "out"),
                       io::loadModel(bench::value<std::string>(command, "model"), io::ModelKind::Ranker));
        return Json::object();
    }
    if (what == "load")
        return load(models, command);
    if (what == "drop")
    {
        models.clear();
        return Json::object();
    }
    if (what == "rate")
        return bench::matrixRate(command);
    if (what == "time")
        return timeJob(models, command);
    const bench::Job job = bench::makeJob(models, command);
    job.run();
    return job.result();
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc == 3 && std::string(argv[1]) == "--threads" && std::atoi(argv[2]) > 0)
        setNumThreads(std::atoi(argv[2]));
    else if (argc != 1)
    {
        std::cerr << "usage: ltrp_bench [--threads N], commands on stdin\n";
        return 2;
    }
    bench::Models models;
    std::string line;
    while (std::getline(std::cin, line))
    {
        Json answer;
        try
        {
            answer = answerTo(models, Json::parse(line));
        }
        catch (const cv::Exception& e)
        {
            answer = {{"error", e.err}};
        }
        catch (const std::exception& e)
        {
            answer = {{"error", e.what()}};
        }
        std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
    }
    return 0;
}
