// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "checkpoint.hpp"
#include "checksum.hpp"
#include "../io/tensor_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace cv { namespace ltrp { namespace train {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace
{

const char* const stateKey = "ltrp.checkpoint";
const char* const crcKey = "ltrp.crc32";
const int checkpointVersion = 1;

std::string hex(uint32_t value)
{
    char text[9];
    std::snprintf(text, sizeof(text), "%08x", value);
    return text;
}

/// A checkpoint file, checked whole: the mapping and what its header says.
struct OpenCheckpoint
{
    std::shared_ptr<const io::TensorFile> file;
    Json state;
};

const io::TensorView& floats(const io::TensorFile& file, const char* name, size_t count)
{
    const io::TensorView& view = file.at(name);
    LTRP_REQUIRE(view.dtype == io::DType::F32 && view.count() == count, Error::StsBadArg, file.path() << ": tensor '"
                 << name << "' has " << view.count() << " values of type " << io::dtypeName(view.dtype) << ", expected "
                 << count << " of type F32");
    return view;
}

/// @throws with the reason when the file is not a complete checkpoint
OpenCheckpoint openCheckpoint(const std::string& path)
{
    OpenCheckpoint result;
    result.file = io::TensorFile::open(path);
    const std::map<std::string, std::string>& metadata = result.file->metadata();
    const auto state = metadata.find(stateKey), crc = metadata.find(crcKey);
    LTRP_REQUIRE(state != metadata.end() && crc != metadata.end(), Error::StsBadArg,
                 path << ": not a training checkpoint");
    Crc32 sum;
    sum.add(state->second);
    for (const char* name : {"params", "adam.m", "adam.v"})
    {
        const io::TensorView& view = result.file->at(name);
        sum.add(view.data, view.bytes);
    }
    LTRP_REQUIRE(hex(sum.value()) == crc->second, Error::StsBadArg, path << ": damaged: the checksum is "
                 << hex(sum.value()) << ", expected " << crc->second);
    result.state = Json::parse(state->second, nullptr, false);
    LTRP_REQUIRE(result.state.is_object() && result.state.value("version", 0) == checkpointVersion, Error::StsBadArg,
                 path << ": a checkpoint of another version");
    return result;
}

void compareOptions(const std::string& path, const Json& stored, const OptionList& options)
{
    for (const auto& option : options)
    {
        const auto found = stored.find(option.first);
        const std::string old = found != stored.end() && found->is_string() ? found->get<std::string>() : "not given";
        LTRP_REQUIRE(old == option.second, Error::StsBadArg, path << ": cannot resume with other options: "
                     << option.first << " is " << option.second << ", but the checkpoint was made with " << old);
    }
    LTRP_REQUIRE(stored.size() == options.size(), Error::StsBadArg, path << ": cannot resume: the checkpoint has "
                 << stored.size() << " options, expected " << options.size());
}

}  // namespace

std::string optionsJson(const OptionList& options)
{
    Json json = Json::object();
    for (const auto& option : options)
        json[option.first] = option.second;
    return json.dump();
}

std::string checkpointPath(const std::string& folder, int64_t step)
{
    char name[64];
    std::snprintf(name, sizeof(name), "checkpoint-%08lld.safetensors", static_cast<long long>(step));
    return (fs::path(folder) / name).string();
}

std::vector<int64_t> listCheckpoints(const std::string& folder)
{
    const std::string head = "checkpoint-", tail = ".safetensors";
    std::vector<int64_t> steps;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    {
        const std::string name = it->path().filename().string();
        if (name.size() <= head.size() + tail.size() || name.compare(0, head.size(), head) != 0 ||
            name.compare(name.size() - tail.size(), tail.size(), tail) != 0)
            continue;
        const std::string digits = name.substr(head.size(), name.size() - head.size() - tail.size());
        if (digits.size() <= 18 && digits.find_first_not_of("0123456789") == std::string::npos &&
            checkpointPath(folder, std::stoll(digits)) == (fs::path(folder) / name).string())
            steps.push_back(std::stoll(digits));
    }
    LTRP_REQUIRE(!error, Error::StsError, folder << ": cannot read the folder: " << error.message());
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

void writeCheckpoint(const std::string& folder, int64_t step, const OptionList& options, const vit::ParamArena& params,
                     const AdamW& optimizer)
{
    Json state = Json::object();
    state["version"] = checkpointVersion;
    state["step"] = step;
    state["adam_steps"] = optimizer.steps;
    state["options"] = Json::parse(optionsJson(options));
    const std::string text = state.dump();

    const std::vector<int64_t> shape{static_cast<int64_t>(params.layout.total())};
    const std::vector<io::TensorOut> tensors{{"params", io::DType::F32, shape, params.data()},
                                             {"adam.m", io::DType::F32, shape, optimizer.m.ptr<float>()},
                                             {"adam.v", io::DType::F32, shape, optimizer.v.ptr<float>()}};
    Crc32 sum;
    sum.add(text);
    for (const io::TensorOut& tensor : tensors)
        sum.add(tensor.data, params.layout.total() * sizeof(float));
    io::writeSafetensors(checkpointPath(folder, step), tensors, {{stateKey, text}, {crcKey, hex(sum.value())}});

    const std::vector<int64_t> steps = listCheckpoints(folder);
    for (size_t i = 2; i < steps.size(); i++)
    {
        std::error_code ignored;   // an old checkpoint that stays does no harm
        fs::remove(checkpointPath(folder, steps[i]), ignored);
    }
}

int64_t readNewestCheckpoint(const std::string& folder, const OptionList& options, vit::ParamArena& params,
                             AdamW& optimizer, const std::function<void(const std::string&)>& report)
{
    for (const int64_t step : listCheckpoints(folder))
    {
        const std::string path = checkpointPath(folder, step);
        OpenCheckpoint checkpoint;
        try
        {
            checkpoint = openCheckpoint(path);
        }
        catch (const cv::Exception& e)
        {
            report(path + ": not usable, trying the checkpoint before it (" + e.err + ")");
            continue;
        }
        compareOptions(path, checkpoint.state.value("options", Json::object()), options);
        const size_t total = params.layout.total();
        LTRP_REQUIRE(checkpoint.state.value("step", int64_t(-1)) == step, Error::StsBadArg, path
                     << ": the file's name and the step inside differ");
        std::memcpy(params.data(), floats(*checkpoint.file, "params", total).data, total * sizeof(float));
        std::memcpy(optimizer.m.ptr<float>(), floats(*checkpoint.file, "adam.m", total).data, total * sizeof(float));
        std::memcpy(optimizer.v.ptr<float>(), floats(*checkpoint.file, "adam.v", total).data, total * sizeof(float));
        optimizer.steps = checkpoint.state.value("adam_steps", int64_t(0));
        return step;
    }
    return -1;
}

}}}  // namespace
