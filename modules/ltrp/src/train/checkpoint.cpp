// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "checkpoint.hpp"
#include "../core/decimal.hpp"
#include "../io/checksum.hpp"
#include "../io/file_bytes.hpp"
#include "../io/json_text.hpp"
#include "../io/tensor_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <stdexcept>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace
{

const char* const stateKey = "ltrp.checkpoint";
const char* const crcKey = "ltrp.crc32";
const int checkpointVersion = 1;

/// A validated checkpoint file: the mapping and the parsed header.
struct OpenCheckpoint
{
    std::shared_ptr<const io::TensorFile> file;
    Json state;
    int64_t adamSteps = 0;
};

/// Truncated, or a wrong checksum: the previous checkpoint may be used instead. All other errors in a checkpoint are
/// reported.
class Damaged : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

const io::TensorView& floats(const io::TensorFile& file, const char* name, size_t count)
{
    const io::TensorView& view = file.at(name);
    LTRP_REQUIRE(view.dtype == io::DType::F32 && view.count() == count, Error::StsBadArg, file.path() << ": tensor '"
                 << name << "' has " << view.count() << " values of type " << io::dtypeName(view.dtype) << ", expected "
                 << count << " of type F32");
    return view;
}

/// @throws Damaged, or cv::Exception for a complete file that cannot be used
OpenCheckpoint openCheckpoint(const std::string& path, int64_t step)
{
    OpenCheckpoint result;
    try
    {
        result.file = io::TensorFile::open(path);
    }
    catch (const cv::Exception& error)
    {
        if (error.code == Error::StsParseError || error.code == Error::StsUnsupportedFormat)   // error in the container
            throw Damaged(error.err);
        throw;
    }
    const std::map<std::string, std::string>& metadata = result.file->metadata();
    const auto state = metadata.find(stateKey), crc = metadata.find(crcKey);
    LTRP_REQUIRE(state != metadata.end() && crc != metadata.end(), Error::StsBadArg,
                 path << ": not a training checkpoint");
    result.state = io::parseJsonText<Json>(state->second);
    // Checked first: a checkpoint of another version may fail the checks below.
    const Json version = result.state.is_object() ? result.state.value("version", Json()) : Json();
    LTRP_REQUIRE(!version.is_number() || version == checkpointVersion, Error::StsBadArg, path << ": a checkpoint of version "
                 << version << ", this program reads version " << checkpointVersion);
    io::Crc32 sum;
    sum.add(state->second);
    for (const char* name : {"params", "adam.m", "adam.v"})
    {
        const io::TensorView& view = result.file->at(name);
        sum.add(view.data, view.bytes);
    }
    if (sum.text() != crc->second)
        throw Damaged(path + ": damaged: the checksum is " + sum.text() + ", expected " + io::printable(crc->second));
    LTRP_REQUIRE(version.is_number(), Error::StsBadArg, path << ": the checkpoint's state is no JSON object with a version");
    LTRP_REQUIRE(io::jsonInteger(result.state, "step", path, 0, INT64_MAX) == step, Error::StsBadArg, path
                 << ": the file's name and the step inside differ");
    result.adamSteps = io::jsonInteger(result.state, "adam_steps", path, 0, step);
    io::jsonObject(result.state, "options", path);
    return result;
}

/// Rejects values that no training produces: they would fail in the next step, or later with an unrelated message.
void checkValues(const std::string& path, const io::TensorView& view, double least)
{
    for (size_t i = 0; i < view.count(); i++)
    {
        float value;
        std::memcpy(&value, view.data + i * sizeof(float), sizeof(float));
        LTRP_REQUIRE(std::isfinite(value) && value >= least, Error::StsOutOfRange, path << ": tensor '" << view.name << "' holds "
                     << value << " at element " << i << ", expected a finite number" << (least == 0 ? " of 0 or more" : ""));
    }
}

void compareOptions(const std::string& path, const Json& stored, const OptionList& options,
                    const std::function<void(const std::string&)>& report)
{
    for (const auto& option : options)
    {
        auto found = stored.find(option.first);
        if (found == stored.end() && option.first == "ranker-input")
            found = stored.find("sees");   // its name in older checkpoints
        const std::string old = found != stored.end() && found->is_string() ? found->get<std::string>() : "not given";
        const bool longer = option.first == "epochs" && parseDecimal(option.second) > parseDecimal(old);
        if (longer)
            report("extended from " + old + " to " + option.second + " epochs: the learning rate goes on as in a run of " +
                   option.second);
        LTRP_REQUIRE(longer || old == option.second, Error::StsBadArg, path << ": cannot resume with other options: "
                     << option.first << " is " << option.second << ", but the checkpoint was made with " << old);
    }
    LTRP_REQUIRE(stored.size() == options.size(), Error::StsBadArg, path << ": cannot resume: the checkpoint has "
                 << stored.size() << " options, expected " << options.size());
}

void compareWorkers(const std::string& path, const Json& state, const WorkerSetup& workerSetup,
                   const std::function<void(const std::string&)>& report)
{
    WorkerSetup old;
    if (state.contains("workers"))
    {
        old.workers = static_cast<int>(io::jsonInteger(state, "workers", path, 1, 1 << 20));
        old.ordered = io::jsonBoolean(state, "ordered", path);
    }
    if (old.text() != workerSetup.text())
        report("begun by " + old.text() + ", goes on with " + workerSetup.text() + ": the same samples, " +
               (old.ordered && workerSetup.ordered ? "the same result" : "sums rounded otherwise"));
}

}  // namespace

std::string optionsJson(const OptionList& options)
{
    Json json = Json::object();
    for (const auto& option : options)
        json[option.first] = option.second;
    return json.dump();
}

std::string WorkerSetup::text() const
{
    if (workers == 1)
        return "one worker";
    return std::to_string(workers) + " workers" + (ordered ? "" : " (not deterministic)");
}

std::string checkpointPath(const std::string& folder, int64_t step)
{
    char name[64];
    std::snprintf(name, sizeof(name), "checkpoint-%08lld.safetensors", static_cast<long long>(step));
    return (fs::path(folder) / name).string();
}

std::vector<int64_t> listCheckpoints(const std::string& folder)
{
    std::vector<int64_t> steps;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    {
        long long step = 0;
        if (std::sscanf(entry.path().filename().c_str(), "checkpoint-%18lld", &step) == 1 && step >= 0 &&
            entry.path() == checkpointPath(folder, step))
            steps.push_back(step);
    }
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

void writeCheckpoint(const std::string& folder, int64_t step, const OptionList& options, const WorkerSetup& workerSetup,
                     const vit::ParamArena& params, const AdamW& optimizer, std::vector<int64_t>& usable)
{
    Json state = Json::object();
    state["version"] = checkpointVersion;
    state["step"] = step;
    state["adam_steps"] = optimizer.steps;
    state["options"] = Json::parse(optionsJson(options));
    if (workerSetup.workers != 1)
    {
        state["workers"] = workerSetup.workers;
        state["ordered"] = workerSetup.ordered;
    }
    const std::string text = state.dump();

    const std::vector<int64_t> shape{static_cast<int64_t>(params.layout.total())};
    const std::vector<io::TensorOut> tensors{{"params", io::DType::F32, shape, params.data()},
                                             {"adam.m", io::DType::F32, shape, optimizer.m.ptr<float>()},
                                             {"adam.v", io::DType::F32, shape, optimizer.v.ptr<float>()}};
    io::Crc32 sum;
    sum.add(text);
    for (const io::TensorOut& tensor : tensors)
        sum.add(tensor.data, params.layout.total() * sizeof(float));
    io::writeSafetensors(checkpointPath(folder, step), tensors, {{stateKey, text}, {crcKey, sum.text()}});

    usable.erase(std::remove(usable.begin(), usable.end(), step), usable.end());
    usable.push_back(step);
    if (usable.size() < 2)
        return;
    usable.erase(usable.begin(), usable.end() - 2);
    for (const int64_t other : listCheckpoints(folder))
        if (std::find(usable.begin(), usable.end(), other) == usable.end())
        {
            std::error_code ignored;   // a remaining old checkpoint does no harm
            fs::remove(checkpointPath(folder, other), ignored);
        }
}

std::string storedOption(const std::string& folder, const std::string& name)
{
    for (const int64_t step : listCheckpoints(folder))
    {
        try
        {
            const std::shared_ptr<const io::TensorFile> file = io::TensorFile::open(checkpointPath(folder, step));
            const auto state = file->metadata().find(stateKey);
            if (state != file->metadata().end())
                return io::parseJsonText<Json>(state->second).at("options").at(name).get<std::string>();
        }
        catch (const std::exception&)
        {
            // The error is reported when the whole file is read.
        }
    }
    return std::string();
}

int64_t readNewestCheckpoint(const std::string& folder, const OptionList& options, const WorkerSetup& workerSetup,
                             vit::ParamArena& params, AdamW& optimizer, const std::function<void(const std::string&)>& report)
{
    std::string reasons;
    for (const int64_t step : listCheckpoints(folder))
    {
        const std::string path = checkpointPath(folder, step);
        OpenCheckpoint checkpoint;
        try
        {
            checkpoint = openCheckpoint(path, step);
        }
        catch (const Damaged& damage)
        {
            report(path + ": not usable, trying the checkpoint before it (" + damage.what() + ")");
            reasons += std::string(reasons.empty() ? "" : "; ") + damage.what();
            continue;
        }
        compareOptions(path, checkpoint.state["options"], options, report);
        compareWorkers(path, checkpoint.state, workerSetup, report);
        const size_t total = params.layout.total();
        const io::TensorView &weights = floats(*checkpoint.file, "params", total), &m = floats(*checkpoint.file, "adam.m", total),
                             &v = floats(*checkpoint.file, "adam.v", total);
        const double any = -std::numeric_limits<double>::infinity();
        checkValues(path, weights, any);
        checkValues(path, m, any);
        checkValues(path, v, 0);
        std::memcpy(params.data(), weights.data, total * sizeof(float));
        std::memcpy(optimizer.m.ptr<float>(), m.data, total * sizeof(float));
        std::memcpy(optimizer.v.ptr<float>(), v.data, total * sizeof(float));
        optimizer.steps = checkpoint.adamSteps;
        return step;
    }
    LTRP_REQUIRE(reasons.empty(), Error::StsBadArg, folder << ": none of its checkpoints can be used: " << reasons
                 << ". Remove them to begin anew, or choose another folder");
    return -1;
}

}}}  // namespace
