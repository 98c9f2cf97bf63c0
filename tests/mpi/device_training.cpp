// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A worker with an emulated GPU: ltrp_mpi_device DATA OUT [EPOCHS [RATE [STOP [PRECISION]]]], started by mpirun.
//
// Pretrains a tiny autoencoder, three batches per update; resumes if OUT has checkpoints. STOP: after this update, 0:
// at the end. PRECISION: fp32 or bf16. Worker 0 prints how many parts of a step were recorded.

#include "../simt/emulated_device.hpp"

#include "modules/ltrp/src/precomp.hpp"
#include "modules/ltrp/src/train/trainer.hpp"
#include "samples/mpi/workers.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

using namespace cv::ltrp;
namespace kernels = cv::ltrp::ops::simt;

namespace
{

int trainTiny(int argc, char** argv, MpiWorkers& workers)
{
    const auto argument = [&](int i, const char* otherwise) { return argc > i ? std::string(argv[i]) : std::string(otherwise); };
    const int stop = std::atoi(argument(5, "0").c_str());
    MaePretrainParams params;
    params.data.assign(1, argument(1, ""));
    params.out = argument(2, "");
    params.epochs = std::atof(argument(3, "3").c_str());
    params.learningRate = std::atof(argument(4, "0.001").c_str());
    params.batch = 1;
    params.accumulate = 3;
    params.warmupEpochs = 0;
    params.seed = 4;
    params.logEvery = 1;
    params.checkpointEvery = 2;
    params.workers = 1;
    params.imageSize = 32;
    params.patchSize = 8;
    params.embedDim = params.decoderEmbedDim = 16;
    params.depth = params.decoderDepth = 1;
    params.heads = params.decoderHeads = 2;
    params.resume = std::filesystem::exists(std::string(params.out) + "/log.jsonl");

    simttest::EmulatedDevice* const device = new simttest::EmulatedDevice(1);
    ComputeDevice computing;
    computing.precision = argument(6, "fp32") == "bf16" ? ops::Precision::BF16 : ops::Precision::FP32;
    computing.backend = kernels::makeBackend(std::unique_ptr<kernels::Device>(device), computing.precision, false);
    computing.target = TARGET_CUDA;
    computing.device = device->name();

    workers.ordered = false;
    workers.stallSeconds = 10;
    const cv::Ptr<Trainer> trainer = train::makePretrainer(params, computing);
    trainer->setMessage([](const cv::String& line) { std::cerr << line << "\n"; });
    trainer->setProgress([&](const TrainProgress& state) { return state.step != stop; });
    train::trainTogether(*trainer, workers);
    trainer->run();
    if (workers.first())
        std::cout << device->recordings << "\n";
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    int threading = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &threading);
    int status = 1;
    try
    {
        MpiWorkers workers;
        status = trainTiny(argc, argv, workers);
    }
    catch (const std::exception& error)
    {
        std::cerr << error.what() << "\n";
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
    return status;
}
