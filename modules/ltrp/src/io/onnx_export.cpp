// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "model_file.hpp"
#include "onnx_writer.hpp"

#include <cmath>

namespace cv { namespace ltrp { namespace io {

namespace
{

/// Builds the ranker from operations that cv::dnn has run since OpenCV 4.6, for any batch size. What that rules out,
/// and the way round: LayerNormalization and broadcasts along the last axis -> means and their spreading as products
/// with a vector of constants, the norm's weight and bias going into the product that follows; InstanceNormalization
/// (4.6 adds an epsilon of its own) -> the same; Expand of the class token -> one zero row padded in front, the token
/// itself being part of the position table; Gemm and Split -> MatMul by constants, one each for query, key and value.
class RankerGraph
{
public:
    explicit RankerGraph(const Model& model) : config_(model.ranker), params_(model.params)
    {
        dim_ = config_.encoder.dim;
        tokens_ = config_.input.numPatches() + 1;
    }

    void build()
    {
        const int64_t size = config_.input.imageSize, patches = config_.input.numPatches();
        writer_.addInput("image", {"N", 3, size, size});
        const std::vector<float> share(static_cast<size_t>(dim_), 1.f / static_cast<float>(dim_)),
            one(share.size(), 1.f);
        writer_.addInitializer("average", {dim_, 1}, share.data());
        writer_.addInitializer("repeat", {1, dim_}, one.data());
        writer_.addInitializer("epsilon", {1}, &config_.layerNormEps);
        std::string x = embed();
        for (int i = 0; i < config_.encoder.depth; i++)
            x = block(x, "blocks." + std::to_string(i) + ".");
        // Only the class token is read: the final norm and the head need no other.
        writer_.addInitializer("cls.starts", {0});
        writer_.addInitializer("cls.ends", {1});
        writer_.addInitializer("cls.axes", {1});
        x = writer_.addNode("Slice", "cls", {x, "cls.starts", "cls.ends", "cls.axes"});
        x = linear(normalise(x, "norm"), "head", "norm", dim_, patches);
        writer_.addInitializer("scores.shape", {0, patches});
        writer_.addNode("Reshape", "scores", {x, "scores.shape"});
        writer_.addOutput("scores", {"N", patches});
    }

    const OnnxWriter& writer() const { return writer_; }

private:
    using Attributes = OnnxWriter::Attributes;

    std::string reshape(const std::string& x, const std::string& name, const std::vector<int64_t>& shape)
    {
        writer_.addInitializer(name + ".shape", shape);
        return writer_.addNode("Reshape", name, {x, name + ".shape"});
    }

    std::string transpose(const std::string& x, const std::string& name, const std::vector<int64_t>& perm)
    {
        return writer_.addNode("Transpose", name, {x}, Attributes().add("perm", perm));
    }

    /// x [N, T, in] * weight [out, in]^T + bias, both times scale. With `norm`, x is what normalise() returned and that
    /// norm's weight and bias go into the product: cv::dnn of 4.6 cannot multiply by a vector along the last axis.
    std::string linear(const std::string& x, const std::string& name, const std::string& norm, const float* weight,
                       const float* bias, int64_t in, int64_t out, float scale = 1.f)
    {
        const float* normWeight = norm.empty() ? nullptr : params_.at(norm + ".weight");
        const float* normBias = norm.empty() ? nullptr : params_.at(norm + ".bias");
        std::vector<float> matrix(static_cast<size_t>(in * out)), shift(static_cast<size_t>(out));
        for (int64_t o = 0; o < out; o++)
        {
            double sum = bias[o];
            for (int64_t i = 0; i < in; i++)
            {
                const double w = weight[o * in + i];
                matrix[static_cast<size_t>(i * out + o)] =
                    static_cast<float>(scale * (normWeight ? w * normWeight[i] : w));
                sum += normBias ? w * normBias[i] : 0;
            }
            shift[static_cast<size_t>(o)] = static_cast<float>(scale * sum);
        }
        writer_.addInitializer(name + ".weight", {in, out}, matrix.data());
        writer_.addInitializer(name + ".bias", {out}, shift.data());
        const std::string product = writer_.addNode("MatMul", name + ".product", {x, name + ".weight"});
        return writer_.addNode("Add", name, {product, name + ".bias"});
    }

    std::string linear(const std::string& x, const std::string& name, const std::string& norm, int64_t in, int64_t out)
    {
        return linear(x, name, norm, params_.at(name + ".weight"), params_.at(name + ".bias"), in, out);
    }

    /// Zero mean and unit variance of every token.
    std::string normalise(const std::string& x, const std::string& name)
    {
        const std::string mean = writer_.addNode("MatMul", name + ".mean", {x, "average"});
        const std::string meanWide = writer_.addNode("MatMul", name + ".mean_wide", {mean, "repeat"});
        const std::string centred = writer_.addNode("Sub", name + ".centred", {x, meanWide});
        const std::string squared = writer_.addNode("Mul", name + ".squared", {centred, centred});
        const std::string variance = writer_.addNode("MatMul", name + ".variance", {squared, "average"});
        const std::string safe = writer_.addNode("Add", name + ".safe", {variance, "epsilon"});
        const std::string deviation = writer_.addNode("Sqrt", name + ".deviation", {safe});
        const std::string deviationWide = writer_.addNode("MatMul", name + ".deviation_wide", {deviation, "repeat"});
        return writer_.addNode("Div", name, {centred, deviationWide});
    }

    std::string embed()
    {
        const int64_t p = config_.input.patchSize, patches = tokens_ - 1;
        writer_.addInitializer("patch_embed.weight", {dim_, 3, p, p}, params_.at("patch_embed.proj.weight"));
        writer_.addInitializer("patch_embed.bias", {dim_}, params_.at("patch_embed.proj.bias"));
        std::string x = writer_.addNode(
            "Conv", "patch_embed", {"image", "patch_embed.weight", "patch_embed.bias"},
            Attributes().add("kernel_shape", std::vector<int64_t>{p, p}).add("strides", std::vector<int64_t>{p, p}));
        x = reshape(x, "patches", {0, dim_, patches});
        x = transpose(x, "tokens", {0, 2, 1});
        writer_.addInitializer("room.pads", {0, 1, 0, 0, 0, 0});
        x = writer_.addNode("Pad", "room", {x, "room.pads"}, Attributes().add("mode", std::string("constant")));

        const float* positions = params_.at("pos_embed");
        const float* token = params_.at("cls_token");
        std::vector<float> table(positions, positions + tokens_ * dim_);
        for (int64_t i = 0; i < dim_; i++)
            table[static_cast<size_t>(i)] += token[i];
        writer_.addInitializer("positions", {tokens_, dim_}, table.data());
        return writer_.addNode("Add", "embedded", {x, "positions"});
    }

    /// `block` ends with a dot: "blocks.3.".
    std::string attention(const std::string& x, const std::string& block)
    {
        const int64_t heads = config_.encoder.heads, width = dim_ / heads;
        const std::string name = block + "attn";
        const float* weight = params_.at(name + ".qkv.weight");
        const float* bias = params_.at(name + ".qkv.bias");
        std::string qkv[3];
        for (int i = 0; i < 3; i++)
        {
            const std::string part = name + "." + "qkv"[i];
            // The scale of the products goes into the queries.
            const float scale = i == 0 ? static_cast<float>(1 / std::sqrt(static_cast<double>(width))) : 1.f;
            qkv[i] = linear(x, part, block + "norm1", weight + i * dim_ * dim_, bias + i * dim_, dim_, dim_, scale);
            qkv[i] = reshape(qkv[i], part + ".split", {0, tokens_, heads, width});
            qkv[i] = transpose(qkv[i], part + ".heads",
                               i == 1 ? std::vector<int64_t>{0, 2, 3, 1} : std::vector<int64_t>{0, 2, 1, 3});
        }
        std::string a = writer_.addNode("MatMul", name + ".products", {qkv[0], qkv[1]});
        a = writer_.addNode("Softmax", name + ".softmax", {a}, Attributes().add("axis", int64_t(3)));
        a = writer_.addNode("MatMul", name + ".mixed", {a, qkv[2]});
        a = transpose(a, name + ".joined", {0, 2, 1, 3});
        a = reshape(a, name + ".out", {0, tokens_, dim_});
        return linear(a, name + ".proj", "", dim_, dim_);
    }

    std::string mlp(const std::string& x, const std::string& block)
    {
        const int64_t hidden = config_.encoder.hidden;
        const std::string name = block + "mlp";
        const float root = static_cast<float>(std::sqrt(2.)), one = 1.f, half = 0.5f;
        const std::string h = linear(x, name + ".fc1", block + "norm2", dim_, hidden);
        writer_.addInitializer(name + ".root", {1}, &root);
        writer_.addInitializer(name + ".one", {1}, &one);
        writer_.addInitializer(name + ".half", {1}, &half);
        std::string g = writer_.addNode("Div", name + ".gelu.div", {h, name + ".root"});
        g = writer_.addNode("Erf", name + ".gelu.erf", {g});
        g = writer_.addNode("Add", name + ".gelu.add", {g, name + ".one"});
        g = writer_.addNode("Mul", name + ".gelu.mul", {h, g});
        g = writer_.addNode("Mul", name + ".gelu", {g, name + ".half"});
        return linear(g, name + ".fc2", "", hidden, dim_);
    }

    std::string block(const std::string& x, const std::string& name)
    {
        const std::string a = attention(normalise(x, name + "norm1"), name);
        const std::string y = writer_.addNode("Add", name + "residual1", {x, a});
        const std::string m = mlp(normalise(y, name + "norm2"), name);
        return writer_.addNode("Add", name + "residual2", {y, m});
    }

    const vit::RankerConfig& config_;
    const vit::ParamArena& params_;
    int64_t dim_ = 0, tokens_ = 0;
    OnnxWriter writer_;
};

}  // namespace

void exportOnnx(const std::string& path, const Model& ranker)
{
    LTRP_REQUIRE(ranker.kind == ModelKind::Ranker, Error::StsBadArg,
                 path << ": only rankers are exported to ONNX, this is a masked autoencoder");
    RankerGraph graph(ranker);
    graph.build();
    graph.writer().write(path, "ltrp_ranker", 11, {{"ltrp", modelMetadata(ranker)}});
}

}}}  // namespace
