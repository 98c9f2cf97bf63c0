// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "fuzz.hpp"
#include "fuzz_folder.hpp"
#include "io/model_names.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace cv::ltrp;
using namespace cv::ltrp::io;

namespace
{

void write(const std::string& path, const std::string& bytes)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << bytes;
    if (!file.flush())
        throw std::runtime_error(path + ": cannot be written");
}

std::string read(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Concatenates two bytes of length, a config.json of that length, and the weights.
std::string together(const std::string& config, const std::string& weights)
{
    return std::string{static_cast<char>(config.size()), static_cast<char>(config.size() >> 8)} + config + weights;
}

/// The model with another project's names and without metadata.
std::string foreign(const Model& model, const NetworkInFile& network, const std::string& path)
{
    std::vector<TensorOut> tensors;
    for (const vit::ParamInfo& info : model.params.layout.tensors())
    {
        const std::vector<std::string> names = sourceNames(network, info.name);
        std::vector<int64_t> shape(info.shape.begin(), info.shape.end());
        shape[0] /= static_cast<int64_t>(names.size());
        for (size_t i = 0; i < names.size(); ++i)
            tensors.push_back({names[i], DType::F32, shape,
                               model.params.data() + info.offset + i * (info.count / names.size())});
    }
    writeSafetensors(path, tensors, {});
    return read(path);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size < 2)
        return -1;
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    const size_t length = std::min<size_t>(static_cast<size_t>(data[0]) | static_cast<size_t>(data[1]) << 8, size - 2);
    const std::string weights = folder().file("model.safetensors"), config = folder().file("config.json");
    write(weights, bytes.substr(2 + length));
    if (length > 0)
        write(config, bytes.substr(2, length));
    else
        std::filesystem::remove(config);
    try
    {
        LoadHints hints;   // information missing in a file of another project without config.json
        if (length == 0)
        {
            hints.heads = 2;
            hints.decoderHeads = 1;
        }
        const Model model = loadModel(weights, hints);
        describeModel(model, true);
        // A model that was read can be written and read again unchanged.
        const std::string again = folder().file("again.safetensors");
        saveModel(again, model);
        const Model copy = loadModel(again, model.kind);
        if (cv::norm(model.params.values, copy.params.values, cv::NORM_INF) != 0)
            std::abort();
        return 0;
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
}

std::vector<std::string> fuzzSeeds()
{
    const std::string path = folder().file("seed.safetensors");
    std::vector<std::string> seeds;
    Model model;
    model.kind = ModelKind::Ranker;
    model.ranker.input.imageSize = 4;
    model.ranker.input.patchSize = 2;
    model.ranker.encoder = {4, 1, 2, 4};
    vit::initialiseParams(model.ranker, 1, model.params);
    saveModel(path, model, DType::F32);
    seeds.push_back(together("", read(path)));

    model.kind = ModelKind::Mae;
    model.mae.input = model.ranker.input;
    model.mae.encoder = {4, 1, 2, 4};
    model.mae.decoder = {4, 1, 1, 4};
    vit::initialiseParams(model.mae, 1, model.params);
    saveModel(path, model, DType::F16);
    seeds.push_back(together("", read(path)));

    // The same in other projects' formats: facebook MAE, and Hugging Face with its configuration.
    NetworkInFile network;
    network.kind = ModelKind::Mae;
    seeds.push_back(together("", foreign(model, network, path)));
    network.style = NameStyle::HuggingFace;
    seeds.push_back(together(R"({"model_type": "vit_mae", "image_size": 4, "patch_size": 2, "hidden_size": 4,)"
                             R"("num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4,)"
                             R"("decoder_hidden_size": 4, "decoder_num_hidden_layers": 1, "layer_norm_eps": 1e-12,)"
                             R"("decoder_num_attention_heads": 1, "decoder_intermediate_size": 4,)"
                             R"("norm_pix_loss": true})",
                             foreign(model, network, path)));
    return seeds;
}
