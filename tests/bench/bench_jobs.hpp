// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_BENCH_JOBS_HPP
#define OPENCV_LTRP_BENCH_JOBS_HPP

#include "io/model_file.hpp"
#include "train/optimizer.hpp"
#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>

namespace cv { namespace ltrp { namespace bench {

using Json = nlohmann::json;

/// The devices' arithmetic by its name in the benchmark: "fp32", "bf16", "int8". The one place that knows which exist.
/// forTraining: the weights will change between calls.
/// @throws cv::Exception saying what this build or processor lacks
std::unique_ptr<vit::Workspace> makeWorkspace(const std::string& precision, bool forTraining);

/// A loaded network that stays warm between commands.
struct LoadedModel
{
    io::Model file;
    std::string precision;
    std::unique_ptr<vit::RankerNet> ranker;   ///< ModelKind::Ranker
    std::unique_ptr<vit::Mae> mae;            ///< ModelKind::Mae
    std::unique_ptr<vit::Workspace> workspace;

    // Made at the first training step.
    std::unique_ptr<vit::Workspace> trainWorkspace;
    std::unique_ptr<train::AdamW> optimizer;
    std::vector<float> grads;
};

typedef std::map<std::string, std::unique_ptr<LoadedModel>> Models;

/// Work that has its input in memory: what run() takes is what is timed.
struct Job
{
    std::function<void()> run;
    std::function<Json()> result;
};

std::unique_ptr<LoadedModel> loadForBench(const std::string& path, const std::string& precision);

/// From a command whose "do" is rank, score, train_step, pretrain_step or select.
Job makeJob(Models& models, const Json& command);

/// Rate in GFLOP/s of matrix products alone: {"shapes": [[m, n, k], ...], "precision": ..., "seconds": ...}.
Json matrixRate(const Json& command);

/// An entry of a command, or an exception that names it.
template <class T>
T value(const Json& command, const char* name)
{
    const auto entry = command.find(name);
    LTRP_REQUIRE(entry != command.end(), Error::StsBadArg, "the command has no \"" << name << "\"");
    return entry->get<T>();
}

template <class T>
T value(const Json& command, const char* name, const T& otherwise)
{
    const auto entry = command.find(name);
    return entry == command.end() ? otherwise : entry->get<T>();
}

}}}  // namespace

#endif
