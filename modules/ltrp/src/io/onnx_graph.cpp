// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "onnx_graph.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace io {

namespace
{

using Attributes = OnnxWriter::Attributes;

/// Subtracts the mean from each column's or row's `count` values, which are `step` apart.
void centre(float* values, size_t count, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i * step];
    const double mean = sum / static_cast<double>(count);
    for (size_t i = 0; i < count; i++)
        values[i * step] = static_cast<float>(values[i * step] - mean);
}

}  // namespace

VitGraph::VitGraph(OnnxWriter& writer, const vit::ParamArena& params, const vit::StackConfig& stack,
                   float layerNormEps)
    : writer_(writer), params_(params), stack_(stack)
{
    const std::vector<float> share(static_cast<size_t>(stack_.dim), 1.f / static_cast<float>(stack_.dim)),
        ones(share.size(), 1.f);
    const float root = static_cast<float>(std::sqrt(2.)), one = 1.f, half = 0.5f;
    writer_.addInitializer("average", {stack_.dim, 1}, share.data());
    writer_.addInitializer("repeat", {1, stack_.dim}, ones.data());
    writer_.addInitializer("epsilon", {1}, &layerNormEps);
    writer_.addInitializer("gelu.root", {1}, &root);
    writer_.addInitializer("gelu.one", {1}, &one);
    writer_.addInitializer("gelu.half", {1}, &half);
}

std::string VitGraph::reshape(const std::string& x, const std::string& name, const std::vector<int64_t>& shape)
{
    writer_.addInitializer(name + ".shape", shape);
    return writer_.addNode("Reshape", name, {x, name + ".shape"});
}

std::string VitGraph::transpose(const std::string& x, const std::string& name, const std::vector<int64_t>& perm)
{
    return writer_.addNode("Transpose", name, {x}, Attributes().add("perm", perm));
}

std::string VitGraph::slice(const std::string& x, const std::string& name, int64_t from, int64_t to)
{
    writer_.addInitializer(name + ".starts", {from});
    writer_.addInitializer(name + ".ends", {to});
    writer_.addInitializer(name + ".axes", {1});
    return writer_.addNode("Slice", name, {x, name + ".starts", name + ".ends", name + ".axes"});
}

std::string VitGraph::addCentred(const std::string& x, const std::string& name, std::vector<float> table, int64_t rows)
{
    const size_t dim = static_cast<size_t>(stack_.dim);
    CV_Assert(table.size() == static_cast<size_t>(rows) * dim);
    for (size_t row = 0; row < static_cast<size_t>(rows); row++)
        centre(table.data() + row * dim, dim, 1);
    writer_.addInitializer(name + ".table", {rows, stack_.dim}, table.data());
    return writer_.addNode("Add", name, {x, name + ".table"});
}

VitGraph::Linear VitGraph::layer(const std::string& name, int64_t in, int64_t out) const
{
    return {name, params_.at(name + ".weight"), params_.at(name + ".bias"), in, out, "", false, 1.f};
}

std::string VitGraph::linear(const std::string& x, const Linear& layer)
{
    const size_t in = static_cast<size_t>(layer.in), out = static_cast<size_t>(layer.out);
    const float* normWeight = layer.norm.empty() ? nullptr : params_.at(layer.norm + ".weight");
    const float* normBias = layer.norm.empty() ? nullptr : params_.at(layer.norm + ".bias");
    std::vector<float> matrix(in * out), shift(out);
    for (size_t o = 0; o < out; o++)
    {
        double sum = layer.bias[o];
        for (size_t i = 0; i < in; i++)
        {
            const double w = layer.weight[o * in + i];
            matrix[i * out + o] = static_cast<float>(layer.scale * (normWeight ? w * normWeight[i] : w));
            sum += normBias ? w * normBias[i] : 0;
        }
        shift[o] = static_cast<float>(layer.scale * sum);
    }
    if (layer.centred)
    {
        for (size_t i = 0; i < in; i++)
            centre(matrix.data() + i * out, out, 1);
        centre(shift.data(), out, 1);
    }
    writer_.addInitializer(layer.name + ".weight", {layer.in, layer.out}, matrix.data());
    writer_.addInitializer(layer.name + ".bias", {layer.out}, shift.data());
    const std::string product = writer_.addNode("MatMul", layer.name + ".product", {x, layer.name + ".weight"});
    return writer_.addNode("Add", layer.name, {product, layer.name + ".bias"});
}

std::string VitGraph::normalise(const std::string& x, const std::string& name)
{
    const std::string squared = writer_.addNode("Mul", name + ".squared", {x, x});
    const std::string variance = writer_.addNode("MatMul", name + ".variance", {squared, "average"});
    const std::string safe = writer_.addNode("Add", name + ".safe", {variance, "epsilon"});
    const std::string deviation = writer_.addNode("Sqrt", name + ".deviation", {safe});
    const std::string wide = writer_.addNode("MatMul", name + ".deviation_wide", {deviation, "repeat"});
    return writer_.addNode("Div", name, {x, wide});
}

std::string VitGraph::attention(const std::string& x, const std::string& block, int64_t tokens)
{
    const int64_t dim = stack_.dim, heads = stack_.heads, width = dim / heads;
    const std::string name = block + "attn";
    std::string qkv[3];
    for (int i = 0; i < 3; i++)
    {
        Linear part = layer(name + ".qkv", dim, dim);
        part.name = name + "." + "qkv"[i];
        part.weight += i * dim * dim;
        part.bias += i * dim;
        part.norm = block + "norm1";
        if (i == 0)
            part.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(width)));
        qkv[i] = reshape(linear(x, part), part.name + ".split", {-1, tokens, heads, width});
        qkv[i] = transpose(qkv[i], part.name + ".heads",
                           i == 1 ? std::vector<int64_t>{0, 2, 3, 1} : std::vector<int64_t>{0, 2, 1, 3});
    }
    std::string a = writer_.addNode("MatMul", name + ".products", {qkv[0], qkv[1]});
    a = writer_.addNode("Softmax", name + ".softmax", {a}, Attributes().add("axis", int64_t(3)));
    a = writer_.addNode("MatMul", name + ".mixed", {a, qkv[2]});
    a = rows(transpose(a, name + ".joined", {0, 2, 1, 3}), name + ".out");
    Linear projection = layer(name + ".proj", dim, dim);
    projection.centred = true;
    return linear(a, projection);
}

std::string VitGraph::mlp(const std::string& x, const std::string& block)
{
    const std::string name = block + "mlp";
    Linear first = layer(name + ".fc1", stack_.dim, stack_.hidden);
    first.norm = block + "norm2";
    const std::string h = linear(x, first);
    std::string g = writer_.addNode("Div", name + ".gelu.div", {h, "gelu.root"});
    g = writer_.addNode("Erf", name + ".gelu.erf", {g});
    g = writer_.addNode("Add", name + ".gelu.add", {g, "gelu.one"});
    g = writer_.addNode("Mul", name + ".gelu.mul", {h, g});
    g = writer_.addNode("Mul", name + ".gelu", {g, "gelu.half"});
    Linear second = layer(name + ".fc2", stack_.hidden, stack_.dim);
    second.centred = true;
    return linear(g, second);
}

std::string VitGraph::blocks(std::string x, const std::string& prefix, int64_t tokens)
{
    for (int i = 0; i < stack_.depth; i++)
    {
        const std::string block = prefix + std::to_string(i) + ".";
        const std::string a = attention(normalise(x, block + "norm1"), block, tokens);
        x = writer_.addNode("Add", block + "residual1", {x, a});
        const std::string m = mlp(normalise(x, block + "norm2"), block);
        x = writer_.addNode("Add", block + "residual2", {x, m});
    }
    return x;
}

}}}  // namespace
