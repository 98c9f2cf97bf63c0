// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "file_bytes.hpp"
#include "model_names.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace io {

namespace
{

bool startsWith(const std::string& text, const std::string& start)
{
    return text.compare(0, start.size(), start) == 0;
}

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Optimizer states, averaged copies and counters: everything in a training checkpoint outside the model.
bool isTrainingState(const std::string& name)
{
    static const char* const starts[] = {"optimizer", "scaler", "loss_scaler", "lr_scheduler", "scheduler",
                                         "model_ema", "ema",    "epoch",       "step",         "rng"};
    for (const char* start : starts)
    {
        const size_t length = std::string(start).size();
        if (startsWith(name, start) &&
            (name.size() == length || name[length] == '/' || name[length] == '.' || name[length] == '_'))
            return true;
    }
    return false;
}

/// Hugging Face names of one part of a block, without ".weight" or ".bias".
std::vector<std::string> huggingFacePart(const std::string& part)
{
    static const std::map<std::string, std::vector<std::string>> parts = {
        {"norm1", {"layernorm_before"}},
        {"attn.qkv", {"attention.attention.query", "attention.attention.key", "attention.attention.value"}},
        {"attn.proj", {"attention.output.dense"}},
        {"norm2", {"layernorm_after"}},
        {"mlp.fc1", {"intermediate.dense"}},
        {"mlp.fc2", {"output.dense"}}};
    return parts.at(part);
}

std::vector<std::string> huggingFaceNames(const std::string& name, bool decoderStack)
{
    static const std::map<std::string, std::string> whole = {
        {"cls_token", "vit.embeddings.cls_token"},
        {"pos_embed", "vit.embeddings.position_embeddings"},
        {"mask_token", "decoder.mask_token"},
        {"decoder_pos_embed", "decoder.decoder_pos_embed"},
        {"patch_embed.proj.weight", "vit.embeddings.patch_embeddings.projection.weight"},
        {"patch_embed.proj.bias", "vit.embeddings.patch_embeddings.projection.bias"},
        {"norm.weight", "vit.layernorm.weight"},
        {"norm.bias", "vit.layernorm.bias"}};
    const auto it = whole.find(name);
    if (it != whole.end())
        return {it->second};
    const bool decoder = startsWith(name, "decoder_blocks."), encoder = startsWith(name, "blocks.");
    if (!decoder && !encoder)
        return {"decoder." + name}; // decoder_embed, decoder_norm, decoder_pred
    const size_t number = name.find('.') + 1, part = name.find('.', number) + 1, last = name.rfind('.');
    const std::string layer =
        (!decoder ? "vit.encoder.layer." : decoderStack ? "decoder.decoder_encoder.layer." : "decoder.decoder_layers.") +
        name.substr(number, part - number);
    std::vector<std::string> names;
    for (const std::string& piece : huggingFacePart(name.substr(part, last - part)))
        names.push_back(layer + piece + name.substr(last));
    return names;
}

const TensorView& source(const TensorFile& file, const NetworkInFile& network, const std::string& name)
{
    const std::string found = sourceNames(network, name).front();
    const TensorView* view = file.find(found);
    LTRP_REQUIRE(view, Error::StsObjectNotFound, file.path() << ": tensor " << printable(found) << " is missing");
    return *view;
}

int extent(const TensorFile& file, const TensorView& view, size_t axis, size_t dims)
{
    LTRP_REQUIRE(view.shape.size() == dims, Error::StsBadArg,
                 file.path() << ": tensor " << printable(view.name) << " has shape " << shapeText(view.shape)
                             << ", expected " << dims << " dimensions");
    const int64_t value = view.shape[axis];
    LTRP_REQUIRE(value > 0 && value <= std::numeric_limits<int>::max(), Error::StsOutOfRange,
                 file.path() << ": tensor " << printable(view.name) << " has shape " << shapeText(view.shape));
    return static_cast<int>(value);
}

/// Blocks are counted by their first norm; gaps are then reported as missing or unknown tensors.
int countBlocks(const TensorFile& file, const NetworkInFile& network, const std::string& prefix)
{
    int depth = 0;
    while (file.find(sourceNames(network, prefix + std::to_string(depth) + ".norm1.weight").front()))
        depth++;
    LTRP_REQUIRE(depth > 0, Error::StsObjectNotFound,
                 file.path() << ": tensor " << printable(sourceNames(network, prefix + "0.norm1.weight").front())
                             << " is missing");
    return depth;
}

void deduceEncoder(const TensorFile& file, const NetworkInFile& network, vit::InputConfig& input,
                   vit::StackConfig& encoder)
{
    const TensorView& patches = source(file, network, "patch_embed.proj.weight");
    encoder.dim = extent(file, patches, 0, 4);
    input.patchSize = extent(file, patches, 3, 4);
    LTRP_REQUIRE(patches.shape[1] == 3 && patches.shape[2] == input.patchSize, Error::StsBadArg,
                 file.path() << ": tensor " << printable(patches.name) << " has shape " << shapeText(patches.shape)
                             << ", expected [dim, 3, patch, patch]");

    const TensorView& positions = source(file, network, "pos_embed");
    const int tokens = extent(file, positions, 1, 3);
    const int grid = static_cast<int>(std::lround(std::sqrt(static_cast<double>(tokens - 1))));
    LTRP_REQUIRE(grid > 0 && static_cast<int64_t>(grid) * grid + 1 == tokens, Error::StsBadArg,
                 file.path() << ": tensor " << printable(positions.name) << " has shape " << shapeText(positions.shape)
                             << ", expected one row for the class token and one for each place of a square grid");
    LTRP_REQUIRE(static_cast<int64_t>(grid) * input.patchSize <= std::numeric_limits<int>::max(), Error::StsOutOfRange,
                 file.path() << ": a grid of " << grid << " patches of " << input.patchSize << " pixels is too large");
    input.imageSize = grid * input.patchSize;

    encoder.depth = countBlocks(file, network, "blocks.");
    encoder.hidden = extent(file, source(file, network, "blocks.0.mlp.fc1.weight"), 0, 2);
}

}  // namespace

NetworkInFile identifyNetwork(const TensorFile& file, const ModelKind* wanted)
{
    std::vector<NetworkInFile> networks;
    std::vector<std::string> prefixes;
    std::string encoderOnly;
    for (const TensorView& view : file.tensors())
    {
        // Every supported network has a class token with the same prefix as its patch embedding: it determines the
        // prefix.
        if (!endsWith(view.name, "cls_token"))
            continue;
        NetworkInFile network;
        std::string suffix = "cls_token";
        if (endsWith(view.name, "embeddings.cls_token"))
        {
            network.style = NameStyle::HuggingFace;
            suffix =
                endsWith(view.name, "vit.embeddings.cls_token") ? "vit.embeddings.cls_token" : "embeddings.cls_token";
        }
        network.prefix = view.name.substr(0, view.name.size() - suffix.size());
        const bool boundary = network.prefix.empty() || network.prefix.back() == '.' || network.prefix.back() == '/';
        if (!boundary || isTrainingState(network.prefix))
            continue;
        const bool huggingFace = network.style == NameStyle::HuggingFace;
        const std::string base =
            huggingFace ? view.name.substr(0, view.name.size() - std::string("cls_token").size()) : network.prefix;
        if (!file.find(base + (huggingFace ? "patch_embeddings.projection.weight" : "patch_embed.proj.weight")))
            continue;
        prefixes.push_back(network.prefix);
        LTRP_REQUIRE(prefixes.size() <= 64, Error::StsBadArg, file.path() << ": holds more than 64 networks, expected one");
        const bool decoder =
            file.find(network.prefix + (huggingFace ? "decoder.decoder_embed.weight" : "decoder_embed.weight"));
        const bool head = !huggingFace && file.find(network.prefix + "head.weight");
        if (decoder || head)
        {
            network.kind = decoder ? ModelKind::Mae : ModelKind::Ranker;
            network.decoderStack =
                huggingFace && file.find(network.prefix + "decoder.decoder_encoder.layer.0.layernorm_before.weight");
            networks.push_back(network);
        }
        else
            encoderOnly = view.name;
    }
    if (networks.size() > 1 && wanted)
        networks.erase(
            std::remove_if(networks.begin(), networks.end(), [&](const NetworkInFile& n) { return n.kind != *wanted; }),
            networks.end());
    LTRP_REQUIRE(!networks.empty() || encoderOnly.empty(), Error::StsBadArg,
                 file.path() << ": this file has no decoder (Scorer needs "
                                "it) and no 'head.weight' (Ranker needs one output per patch), only the encoder of "
                             << printable(encoderOnly));
    LTRP_REQUIRE(!networks.empty(), Error::StsBadArg,
                 file.path() << ": no known network: none of its " << file.tensors().size()
                             << " tensors is the class token of a masked autoencoder or a ranker"
                             << (file.tensors().empty() ? std::string()
                                                        : ", the first is " + printable(file.tensors().front().name)));
    LTRP_REQUIRE(networks.size() == 1, Error::StsBadArg,
                 file.path() << ": holds several networks, under " << printable(networks[0].prefix) << " and "
                             << printable(networks[1].prefix) << ", expected one");
    NetworkInFile network = networks.front();
    for (const std::string& prefix : prefixes)
        if (!prefix.empty() && prefix != network.prefix)
            network.others.push_back(prefix);
    return network;
}

std::vector<std::string> sourceNames(const NetworkInFile& network, const std::string& name)
{
    std::vector<std::string> names{name};
    if (network.style == NameStyle::HuggingFace)
        names = huggingFaceNames(name, network.decoderStack);
    for (std::string& one : names)
        one = network.prefix + one;
    return names;
}

bool isHarmlessExtra(const NetworkInFile& network, const std::string& name)
{
    for (const std::string& other : network.others)
        if (startsWith(name, other))
            return true;
    if (!startsWith(name, network.prefix))
        return isTrainingState(name);
    const std::string rest = name.substr(network.prefix.size());
    // A ranker made from an autoencoder may still have the mask token, which is not used.
    return isTrainingState(rest) || (network.kind == ModelKind::Ranker && rest == "mask_token");
}

void deduceGeometry(const TensorFile& file, const NetworkInFile& network, vit::MaeConfig& config)
{
    deduceEncoder(file, network, config.input, config.encoder);
    config.decoder.dim = extent(file, source(file, network, "decoder_embed.weight"), 0, 2);
    config.decoder.depth = countBlocks(file, network, "decoder_blocks.");
    config.decoder.hidden = extent(file, source(file, network, "decoder_blocks.0.mlp.fc1.weight"), 0, 2);
}

void deduceGeometry(const TensorFile& file, const NetworkInFile& network, const std::string& headHint, vit::RankerConfig& config)
{
    deduceEncoder(file, network, config.input, config.encoder);
    const TensorView& head = source(file, network, "head.weight");
    const int outputs = extent(file, head, 0, 2);
    // One output may also be a classifier's or a regression's, so it is not taken for a token head without a hint.
    config.head = headHint.empty() ? vit::Head::Class : vit::parseHead(headHint, file.path());
    LTRP_REQUIRE(outputs == config.headOutputs(), Error::StsBadArg,
                 file.path() << ": " << printable(head.name) << " has " << outputs << " outputs, expected "
                             << config.headOutputs() << " for a ranker with a " << vit::headName(config.head) << " head"
                             << (config.head == vit::Head::Token ? "" : ", one per patch")
                             << (outputs == 1 ? " (if this is a ranker that gives one score a token, say so: 'ltrp convert --head token')"
                                              : " (this looks like a classifier)"));
}

}}}  // namespace
