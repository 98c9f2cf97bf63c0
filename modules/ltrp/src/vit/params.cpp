// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "params.hpp"
#include "positions.hpp"
#include "../core/random.hpp"

#include <cmath>
#include <limits>

namespace cv { namespace ltrp { namespace vit {

namespace
{

const size_t alignment = 16; // floats: 64 bytes, a cache line and an AVX-512 register

void addLinear(ParamLayout& layout, const std::string& name, int out, int in)
{
    layout.add(name + ".weight", {out, in});
    layout.add(name + ".bias", {out});
}

void addNorm(ParamLayout& layout, const std::string& name, int dim)
{
    layout.add(name + ".weight", {dim});
    layout.add(name + ".bias", {dim});
}

void addBlocks(ParamLayout& layout, const std::string& prefix, const StackConfig& stack)
{
    for (int i = 0; i < stack.depth; i++)
    {
        const std::string block = prefix + std::to_string(i) + ".";
        addNorm(layout, block + "norm1", stack.dim);
        addLinear(layout, block + "attn.qkv", 3 * stack.dim, stack.dim);
        addLinear(layout, block + "attn.proj", stack.dim, stack.dim);
        addNorm(layout, block + "norm2", stack.dim);
        addLinear(layout, block + "mlp.fc1", stack.hidden, stack.dim);
        addLinear(layout, block + "mlp.fc2", stack.dim, stack.hidden);
    }
}

void addPatchEmbed(ParamLayout& layout, const InputConfig& input, int dim)
{
    layout.add("patch_embed.proj.weight", {dim, 3, input.patchSize, input.patchSize});
    layout.add("patch_embed.proj.bias", {dim});
}

/// An encoder with a final norm.
ParamLayout encoderLayout(const InputConfig& input, const StackConfig& encoder)
{
    ParamLayout layout;
    layout.add("cls_token", {1, 1, encoder.dim});
    layout.add("pos_embed", {1, input.trainedPatches() + 1, encoder.dim}, false);
    addPatchEmbed(layout, input, encoder.dim);
    addBlocks(layout, "blocks.", encoder);
    addNorm(layout, "norm", encoder.dim);
    return layout;
}

bool endsWith(const std::string& text, const std::string& end)
{
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// One random stream per tensor: its values do not depend on how much was drawn for earlier tensors.
void initialise(const ParamLayout& layout, uint64_t seed, int grid, ParamArena& params)
{
    params = ParamArena(layout);
    for (size_t i = 0; i < layout.tensors().size(); i++)
    {
        const ParamInfo& info = layout.tensors()[i];
        float* values = params.data() + info.offset;
        RandomStream random(seed, RandomPurpose::Init, 0, static_cast<uint32_t>(i));
        if (endsWith(info.name, "pos_embed"))
            sinCosPositions(grid, info.shape.back(), values);
        else if (endsWith(info.name, "_token"))
        {
            for (size_t k = 0; k < info.count; k++)
                values[k] = static_cast<float>(0.02 * random.normal());
        }
        else if (info.shape.size() >= 2)
        {
            // A convolution without overlap is a linear layer with its flattened weight.
            const double out = info.shape[0], in = info.count / out, bound = std::sqrt(6 / (in + out));
            for (size_t k = 0; k < info.count; k++)
                values[k] = static_cast<float>(random.uniform(-bound, bound));
        }
        else if (info.name.find("norm") != std::string::npos && endsWith(info.name, ".weight"))
            std::fill(values, values + info.count, 1.f);
    }
}

}  // namespace

void ParamLayout::add(const std::string& name, std::vector<int> shape, bool trainable)
{
    CV_Assert(!shape.empty() && index_.count(name) == 0);
    ParamInfo info;
    info.name = name;
    info.count = 1;
    for (int extent : shape)
    {
        CV_Assert(extent > 0);
        info.count *= static_cast<size_t>(extent);
        CV_Assert(info.count <= static_cast<size_t>(std::numeric_limits<int>::max()));
    }
    info.offset = total_;
    info.trainable = trainable;
    info.decay = trainable && shape.size() >= 2;
    info.shape = std::move(shape);
    index_[name] = tensors_.size();
    total_ += (info.count + alignment - 1) / alignment * alignment;
    tensors_.push_back(std::move(info));
}

void ParamLayout::decayRates(int depth, float decay)
{
    const std::string blocks = "blocks.";
    for (ParamInfo& info : tensors_)
    {
        int behind = depth + 1;   // number of blocks between the embeddings and the head
        if (info.name.compare(0, blocks.size(), blocks) == 0)
            behind = depth - std::stoi(info.name.substr(blocks.size()));
        else if (info.name.compare(0, 5, "norm.") == 0 || info.name.compare(0, 5, "head.") == 0)
            behind = 0;
        info.rate = static_cast<float>(std::pow(decay, behind));
    }
}

const ParamInfo* ParamLayout::find(const std::string& name) const
{
    const auto it = index_.find(name);
    return it == index_.end() ? nullptr : &tensors_[it->second];
}

const ParamInfo& ParamLayout::at(const std::string& name) const
{
    const ParamInfo* info = find(name);
    LTRP_REQUIRE(info, Error::StsObjectNotFound, "the network has no parameter '" << name << "'");
    return *info;
}

size_t ParamLayout::parameterCount() const
{
    size_t count = 0;
    for (const ParamInfo& info : tensors_)
        count += info.count;
    return count;
}

ParamLayout maeLayout(const MaeConfig& config)
{
    checkConfig(config, "autoencoder");
    const int tokens = config.input.numPatches() + 1, de = config.encoder.dim, dd = config.decoder.dim;
    ParamLayout layout;
    layout.add("cls_token", {1, 1, de});
    layout.add("pos_embed", {1, tokens, de}, false);
    layout.add("mask_token", {1, 1, dd});
    layout.add("decoder_pos_embed", {1, tokens, dd}, false);
    addPatchEmbed(layout, config.input, de);
    addBlocks(layout, "blocks.", config.encoder);
    addNorm(layout, "norm", de);
    addLinear(layout, "decoder_embed", dd, de);
    addBlocks(layout, "decoder_blocks.", config.decoder);
    addNorm(layout, "decoder_norm", dd);
    addLinear(layout, "decoder_pred", config.input.patchValues(), dd);
    return layout;
}

ParamLayout rankerLayout(const RankerConfig& config)
{
    checkConfig(config, "ranker");
    ParamLayout layout = encoderLayout(config.input, config.encoder);
    addLinear(layout, "head", config.headOutputs(), config.encoder.dim);
    return layout;
}

ParamLayout classifierLayout(const ClassifierConfig& config)
{
    checkConfig(config, "classifier");
    const int dim = config.encoder.dim;
    ParamLayout layout = encoderLayout(config.input, config.encoder);
    if (config.task == Task::Multilabel)
    {
        layout.add("head.queries", {config.classes, dim});
        addLinear(layout, "head.kv", 2 * dim, dim);
        addNorm(layout, "head.norm", dim);
    }
    addLinear(layout, "head", config.classes, dim);   // of several labels: row c is that of query c
    return layout;
}

ParamArena::ParamArena(ParamLayout l) : layout(std::move(l))
{
    LTRP_REQUIRE(layout.total() <= static_cast<size_t>(std::numeric_limits<int>::max()), Error::StsOutOfRange,
                 "a network of " << layout.total() << " parameters is too large");
    values = Mat::zeros(1, static_cast<int>(layout.total()), CV_32F);
    CV_Assert(reinterpret_cast<uintptr_t>(values.data) % (alignment * sizeof(float)) == 0);
}

void initialiseParams(const MaeConfig& config, uint64_t seed, ParamArena& params)
{
    initialise(maeLayout(config), seed, config.input.grid(), params);
}

void initialiseParams(const RankerConfig& config, uint64_t seed, ParamArena& params)
{
    initialise(rankerLayout(config), seed, config.input.grid(), params);
}

void initialiseParams(const ClassifierConfig& config, uint64_t seed, ParamArena& params)
{
    initialise(classifierLayout(config), seed, config.input.grid(), params);
}

}}}  // namespace
