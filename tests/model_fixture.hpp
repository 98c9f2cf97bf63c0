// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_MODEL_FIXTURE_HPP
#define LTRP_TESTS_MODEL_FIXTURE_HPP

#include "messages.hpp"
#include "precomp.hpp"
#include "core/random.hpp"
#include "io/model_file.hpp"
#include "process.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>

/// The tensors of a weight file in memory, to be renamed, damaged and written again.
class TensorBag
{
public:
    struct Item
    {
        std::string name;
        cv::ltrp::io::DType dtype;
        std::vector<int64_t> shape;
        std::vector<uint8_t> bytes;
    };

    TensorBag() = default;
    explicit TensorBag(const std::string& path)
    {
        const auto file = cv::ltrp::io::TensorFile::open(path);
        for (const cv::ltrp::io::TensorView& view : file->tensors())
            items.push_back({view.name, view.dtype, view.shape, {view.data, view.data + view.bytes}});
        metadata = file->metadata();
    }

    Item& at(const std::string& name)
    {
        const auto it = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.name == name; });
        if (it == items.end())
            throw std::runtime_error("no tensor " + name);
        return *it;
    }
    void erase(const std::string& name) { items.erase(items.begin() + (&at(name) - items.data())); }
    void add(const std::string& name, const std::vector<int64_t>& shape, float value = 0.5f)
    {
        size_t count = 1;
        for (int64_t extent : shape)
            count *= static_cast<size_t>(extent);
        items.push_back({name, cv::ltrp::io::DType::F32, shape, std::vector<uint8_t>(4 * count)});
        for (size_t i = 0; i < count; i++)
            set(name, i, value);
    }
    /// Gives a tensor another shape and the required number of bytes.
    void reshape(const std::string& name, const std::vector<int64_t>& shape)
    {
        erase(name);
        add(name, shape);
    }
    void set(const std::string& name, size_t element, float value)
    {
        std::memcpy(&at(name).bytes.at(4 * element + 3) - 3, &value, 4);
    }
    void prefix(const std::string& text)
    {
        for (Item& item : items)
            item.name = text + item.name;
    }
    /// Writes without the library: independent of it, and fast.
    std::string save(const std::string& path) const
    {
        std::string header = "{\"__metadata__\":{", data;
        for (const auto& entry : metadata)
            header += (header.back() == '{' ? "" : ",") + quoted(entry.first) + ":" + quoted(entry.second);
        header += "}";
        for (const Item& item : items)
        {
            header +=
                "," + quoted(item.name) + ":{\"dtype\":\"" + cv::ltrp::io::dtypeName(item.dtype) + "\",\"shape\":[";
            for (size_t i = 0; i < item.shape.size(); i++)
                header += (i ? "," : "") + std::to_string(item.shape[i]);
            header += "],\"data_offsets\":[" + std::to_string(data.size()) + ",";
            data.append(item.bytes.begin(), item.bytes.end());
            header += std::to_string(data.size()) + "]}";
        }
        header += "}";
        std::string length(8, '\0');
        for (size_t i = 0; i < 8; i++)
            length[i] = static_cast<char>(header.size() >> (8 * i));
        testing_tools::writeText(path, length + header + data);
        return path;
    }

    std::vector<Item> items;
    std::map<std::string, std::string> metadata;

private:
    static std::string quoted(const std::string& text)
    {
        std::string out = "\"";
        for (const char c : text)
            out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
        return out + "\"";
    }
};

namespace model_fixture
{

using namespace cv::ltrp;

const std::string golden = LTRP_SOURCE_DIR "/tests/data/golden/";

inline io::LoadHints tinyHeads()
{
    io::LoadHints hints;
    hints.heads = 3;
    hints.decoderHeads = 4;
    return hints;
}

inline std::string loadMessage(const std::string& path)
{
    return messageOf([&] { io::loadModel(path, tinyHeads()); });
}

inline bool sameArena(const vit::ParamArena& a, const vit::ParamArena& b)
{
    return a.layout.total() == b.layout.total() && !a.values.empty() &&
           std::memcmp(a.data(), b.data(), a.layout.total() * sizeof(float)) == 0;
}

/// transformers' name of a tensor of the facebook MAE, written independently of the library's own map.
inline std::string huggingFaceName(std::string name)
{
    const std::vector<std::pair<std::string, std::string>> rules = {
        {"decoder_blocks.", "decoder.decoder_layers."},
        {"blocks.", "vit.encoder.layer."},
        {"norm1.", "layernorm_before."},
        {"norm2.", "layernorm_after."},
        {"attn.proj.", "attention.output.dense."},
        {"mlp.fc1.", "intermediate.dense."},
        {"mlp.fc2.", "output.dense."},
        {"patch_embed.proj.", "vit.embeddings.patch_embeddings.projection."}};
    const std::map<std::string, std::string> whole = {{"cls_token", "vit.embeddings.cls_token"},
                                                      {"pos_embed", "vit.embeddings.position_embeddings"},
                                                      {"norm.weight", "vit.layernorm.weight"},
                                                      {"norm.bias", "vit.layernorm.bias"}};
    if (whole.count(name))
        return whole.at(name);
    for (const auto& rule : rules)
    {
        const size_t at = name.find(rule.first);
        const bool inDecoder = at != std::string::npos && at > 0 && name[at - 1] == '_';
        if (at != std::string::npos && !inDecoder)
            name.replace(at, rule.first.size(), rule.second);
    }
    return name.compare(0, 4, "vit.") == 0 || name.compare(0, 8, "decoder.") == 0 ? name : "decoder." + name;
}

inline TensorBag huggingFaceBag()
{
    const TensorBag facebook(golden + "mae_tiny/mae_fb.safetensors");
    TensorBag bag;
    for (const TensorBag::Item& item : facebook.items)
    {
        const size_t qkv = item.name.find("attn.qkv.");
        if (qkv == std::string::npos)
        {
            bag.items.push_back(item);
            bag.items.back().name = huggingFaceName(item.name);
            continue;
        }
        const std::string layer = huggingFaceName(item.name.substr(0, qkv) + "norm1.weight");
        const char* const parts[] = {"query", "key", "value"};
        for (size_t i = 0; i < 3; i++)
        {
            TensorBag::Item part = item;
            part.name = layer.substr(0, layer.find("layernorm_before")) + "attention.attention." + parts[i] +
                        item.name.substr(qkv + 8);
            part.shape[0] /= 3;
            const size_t bytes = item.bytes.size() / 3;
            part.bytes.assign(item.bytes.begin() + static_cast<std::ptrdiff_t>(i * bytes),
                              item.bytes.begin() + static_cast<std::ptrdiff_t>((i + 1) * bytes));
            bag.items.push_back(part);
        }
    }
    return bag;
}

const char* const tinyConfig =
    R"({"model_type": "vit_mae", "hidden_act": "gelu", "hidden_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 3, "intermediate_size": 192, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 2,
        "decoder_num_attention_heads": 4, "decoder_intermediate_size": 128, "image_size": 224, "patch_size": 16,
        "num_channels": 3, "layer_norm_eps": 1e-07, "norm_pix_loss": true})";

inline std::string replaced(std::string text, const std::string& what, const std::string& with)
{
    const size_t at = text.find(what);
    BOOST_REQUIRE(at != std::string::npos);
    return text.replace(at, what.size(), with);
}

/// A small model in which every weight is different.
inline io::Model smallModel(io::ModelKind kind)
{
    io::Model model;
    model.kind = kind;
    vit::InputConfig input;
    input.imageSize = 32;
    input.patchSize = 8;
    input.mean[1] = 0.25;
    input.std[2] = 0.75;
    model.mae.input = model.ranker.input = input;
    model.mae.encoder = {24, 2, 3, 40};
    model.mae.decoder = {16, 1, 2, 24};
    model.mae.layerNormEps = 3e-6f;
    model.mae.normPixLoss = false;
    model.ranker.encoder = {24, 2, 2, 40};
    model.ranker.layerNormEps = 2e-5f;
    if (kind == io::ModelKind::Mae)
        vit::initialiseParams(model.mae, 11, model.params);
    else
        vit::initialiseParams(model.ranker, 11, model.params);
    RandomStream random(4, RandomPurpose::Init, 1);
    for (const vit::ParamInfo& info : model.params.layout.tensors())
        for (size_t i = 0; i < info.count; i++)
            model.params.at(info.name)[i] += static_cast<float>(0.1 * random.normal());
    model.provenance = {{"training", "none"}, {"data", "\xc3\xa9t\xc3\xa9"}};
    return model;
}

}  // namespace model_fixture

#endif
