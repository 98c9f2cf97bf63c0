// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "atomic_file.hpp"
#include "model_file.hpp"
#include "onnx_file.hpp"
#include "onnx_graph.hpp"
#include "../vit/positions.hpp"

#include <algorithm>
#include <cmath>

namespace cv { namespace ltrp { namespace io {

namespace
{

using Attributes = OnnxWriter::Attributes;

const int64_t opset = 11;

void addImage(OnnxWriter& writer, const vit::InputConfig& input)
{
    writer.addInput("image", {"N", 3, input.size().height, input.size().width});
}

/// Patch embedding of all patches: "image" -> [N, L, D]; the weights are centred, so that every token has mean zero.
std::string embedPatches(OnnxWriter& writer, VitGraph& graph, const vit::InputConfig& input, int64_t dim,
                         const vit::ParamArena& params)
{
    const int64_t p = input.patchSize, patches = input.numPatches();
    const size_t values = static_cast<size_t>(input.patchValues());
    const float* from = params.at("patch_embed.proj.weight");
    const float* fromBias = params.at("patch_embed.proj.bias");
    std::vector<float> weight(from, from + static_cast<size_t>(dim) * values), bias(fromBias, fromBias + dim);
    for (size_t column = 0; column <= values; column++)
    {
        float* first = column < values ? weight.data() + column : bias.data();
        const size_t step = column < values ? values : 1, count = static_cast<size_t>(dim);
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += first[i * step];
        for (size_t i = 0; i < count; i++)
            first[i * step] = static_cast<float>(first[i * step] - sum / static_cast<double>(dim));
    }
    writer.addInitializer("patch_embed.weight", {dim, 3, p, p}, weight.data());
    writer.addInitializer("patch_embed.bias", {dim}, bias.data());
    std::string x = writer.addNode(
        "Conv", "patch_embed", {"image", "patch_embed.weight", "patch_embed.bias"},
        Attributes().add("kernel_shape", std::vector<int64_t>{p, p}).add("strides", std::vector<int64_t>{p, p}));
    x = graph.reshape(x, "patches", {0, dim, patches});
    return graph.transpose(x, "tokens", {0, 2, 1});
}

/// Pads each image's rows with a zero row in front, for the class token.
std::string padFront(OnnxWriter& writer, const std::string& x)
{
    writer.addInitializer("room.pads", {0, 1, 0, 0, 0, 0});
    return writer.addNode("Pad", "room", {x, "room.pads"}, Attributes().add("mode", std::string("constant")));
}

/// The class token as the first row of a table.
std::vector<float> classRow(const vit::ParamArena& params, size_t dim)
{
    std::vector<float> row(params.at("cls_token"), params.at("cls_token") + dim);
    const float* position = params.at("pos_embed");
    for (size_t i = 0; i < dim; i++)
        row[i] += position[i];
    return row;
}

/// Norm and head of the class token: x [1, N*tokens, D] -> `name` [N, outputs].
void classHead(VitGraph& graph, std::string x, int64_t tokens, int64_t dim, int64_t outputs, const std::string& name)
{
    // Only the class token is used. The classic engine of OpenCV 5.0.0 chooses a kernel once, and for up to 12 rows one
    // with small buffers, which a growing batch would overrun: each product therefore gets more than 12 rows per image.
    const int64_t rows = std::min<int64_t>(tokens, 13);
    x = graph.rows(graph.slice(graph.images(x, "encoded", tokens), "cls", 0, rows), "cls.rows");
    VitGraph::Linear head = graph.layer("head", dim, outputs);
    head.norm = "norm";
    x = graph.linear(graph.normalise(x, "norm"), head);
    x = graph.slice(graph.reshape(x, name + ".rows", {-1, rows, outputs}), name + ".cls", 0, 1);
    graph.reshape(x, name, {-1, outputs});
}

void buildRanker(OnnxWriter& writer, const Model& model)
{
    const vit::RankerConfig& config = model.ranker;
    const int64_t patches = config.input.numPatches(), tokens = patches + 1, dim = config.encoder.dim;
    VitGraph graph(writer, model.params, config.encoder, config.layerNormEps);
    addImage(writer, config.input);
    std::string x = padFront(writer, embedPatches(writer, graph, config.input, dim, model.params));
    std::vector<float> table = classRow(model.params, static_cast<size_t>(dim));
    const float* stored = model.params.at("pos_embed");
    const std::vector<float> positions = config.input.otherSize.empty()
                                             ? std::vector<float>(stored, stored + tokens * dim)
                                             : vit::resizedPositions(config.input, config.encoder.dim, stored);
    table.insert(table.end(), positions.begin() + dim, positions.end());
    x = graph.rows(graph.addCentred(x, "embedded", std::move(table), tokens), "embedded.rows");
    x = graph.blocks(x, "blocks.", tokens);
    if (config.head == vit::Head::Token)
    {
        VitGraph::Linear head = graph.layer("head", dim, 1);
        head.norm = "norm";
        x = graph.linear(graph.normalise(x, "norm"), head);
        x = graph.slice(graph.reshape(x, "scores.rows", {-1, tokens, 1}), "scores.patches", 1, tokens);
        graph.reshape(x, "scores", {-1, patches});
        writer.addOutput("scores", {"N", patches});
        return;
    }
    classHead(graph, x, tokens, dim, patches, "scores");
    writer.addOutput("scores", {"N", patches});
}

/// "visible" [N, V] -> one row per visible patch with a 1 at its position: [N, V, L]. Uses no Gather, OneHot or
/// comparisons, which 4.6 lacks: 1 - |number - position|, clamped at 0.
std::string oneHot(OnnxWriter& writer, VitGraph& graph, int64_t visible, int64_t patches)
{
    std::vector<float> ones(static_cast<size_t>(patches), 1.f), places(ones.size());
    for (size_t i = 0; i < places.size(); i++)
        places[i] = -static_cast<float>(i);
    const float minus = -1.f, one = 1.f;
    writer.addInitializer("place.repeat", {1, patches}, ones.data());
    writer.addInitializer("place.numbers", {patches}, places.data());
    writer.addInitializer("place.minus", {1}, &minus);
    writer.addInitializer("place.one", {1}, &one);
    writer.addIntegerInput("visible", {"N", visible});
    std::string x = writer.addNode("Cast", "visible.float", {"visible"}, Attributes().add("to", int64_t(1)));
    x = graph.reshape(x, "visible.rows", {1, -1, 1});
    x = writer.addNode("MatMul", "visible.wide", {x, "place.repeat"});
    x = writer.addNode("Add", "visible.offset", {x, "place.numbers"});
    x = writer.addNode("Abs", "visible.distance", {x});
    x = writer.addNode("Mul", "visible.nearness", {x, "place.minus"});
    x = writer.addNode("Add", "visible.raised", {x, "place.one"});
    x = writer.addNode("Relu", "visible.cut", {x});
    return graph.reshape(x, "visible.one_hot", {-1, visible, patches});
}

/// "image" and "visible" -> the tokens after the last block, [1, N*(1+V), D].
std::string encodeVisible(OnnxWriter& writer, VitGraph& graph, const vit::InputConfig& input, int64_t dim,
                          const vit::ParamArena& params, int64_t visible)
{
    const int64_t patches = input.numPatches(), tokens = visible + 1;
    addImage(writer, input);
    std::string x = embedPatches(writer, graph, input, dim, params);
    const float* positions = params.at("pos_embed");
    x = graph.addCentred(x, "placed", {positions + dim, positions + (patches + 1) * dim}, patches);
    // cv::dnn does not know the batch size during import: both factors must have lost it in the same way.
    x = graph.images(x, "placed.images", patches);
    x = writer.addNode("MatMul", "kept", {oneHot(writer, graph, visible, patches), x});
    std::vector<float> table = classRow(params, static_cast<size_t>(dim));
    table.resize(static_cast<size_t>(tokens * dim), 0.f);
    x = graph.addCentred(padFront(writer, x), "embedded", std::move(table), tokens);
    return graph.blocks(graph.rows(x, "embedded.rows"), "blocks.", tokens);
}

void buildEncoder(OnnxWriter& writer, const Model& model, int64_t visible)
{
    const vit::MaeConfig& config = model.mae;
    const int64_t tokens = visible + 1, dim = config.encoder.dim;
    const vit::ParamArena& params = model.params;
    VitGraph graph(writer, params, config.encoder, config.layerNormEps);
    std::string x = encodeVisible(writer, graph, config.input, dim, params, visible);
    // No product follows into which the final norm's weight could be folded; 4.6 multiplies by a vector only along the
    // second axis.
    x = graph.reshape(graph.normalise(x, "norm"), "norm.flat", {-1, dim});
    writer.addInitializer("norm.weight", {dim}, params.at("norm.weight"));
    writer.addInitializer("norm.bias", {dim}, params.at("norm.bias"));
    x = writer.addNode("Mul", "norm.scaled", {x, "norm.weight"});
    x = writer.addNode("Add", "norm.shifted", {x, "norm.bias"});
    graph.images(x, "latent", tokens);
    writer.addOutput("latent", {"N", tokens, dim});
}

/// The queries' attention to the patches: normalised tokens x [1, N*tokens, D] -> [1, N*classes, D]. A query's products with
/// the keys are one product by constants for all classes and heads; the keys' bias cancels in the softmax.
std::string queryAttention(OnnxWriter& writer, VitGraph& graph, const Model& model, const std::string& x, int64_t tokens)
{
    const vit::ClassifierConfig& config = model.classifier;
    const int64_t dim = config.encoder.dim, classes = config.classes, heads = config.encoder.heads, width = dim / heads;
    const VitGraph::Linear kv = graph.layer("head.kv", dim, dim);
    const float* queries = model.params.at("head.queries");
    std::vector<float> asked(static_cast<size_t>(heads * classes * dim));
    for (int64_t h = 0; h < heads; h++)
        for (int64_t c = 0; c < classes; c++)
            for (int64_t i = 0; i < dim; i++)
            {
                double sum = 0;
                for (int64_t j = h * width; j < (h + 1) * width; j++)
                    sum += static_cast<double>(queries[c * dim + j]) * kv.weight[j * dim + i];
                asked[static_cast<size_t>((h * classes + c) * dim + i)] = static_cast<float>(sum);
            }
    const std::vector<float> none(static_cast<size_t>(heads * classes), 0.f);
    const auto patchesOf = [&](const std::string& rows, const std::string& name, int64_t columns)
    { return graph.slice(graph.reshape(rows, name + ".tokens", {-1, tokens, columns}), name + ".patches", 1, tokens); };

    VitGraph::Linear key = {"head.products", asked.data(), none.data(), dim, heads * classes, "norm", false,
                            static_cast<float>(1 / std::sqrt(static_cast<double>(width)))};
    std::string a = patchesOf(graph.linear(x, key), key.name, heads * classes);
    a = graph.reshape(graph.transpose(a, "head.spread", {0, 2, 1}), "head.scores", {-1, heads, classes, tokens - 1});
    a = writer.addNode("Softmax", "head.softmax", {a}, Attributes().add("axis", int64_t(3)));
    VitGraph::Linear value = {"head.values", kv.weight + dim * dim, kv.bias + dim, dim, dim, "norm", false, 1.f};
    std::string v = graph.reshape(patchesOf(graph.linear(x, value), value.name, dim), "head.values.split", {-1, tokens - 1, heads, width});
    a = writer.addNode("MatMul", "head.mixed", {a, graph.transpose(v, "head.values.heads", {0, 2, 1, 3})});
    return graph.rows(graph.transpose(a, "head.joined", {0, 2, 1, 3}), "head.attended");
}

/// Head of several labels: norm and each class's own linear layer of what its query has found -> "logits" [N, classes].
void queryHead(OnnxWriter& writer, VitGraph& graph, const Model& model, std::string x, int64_t tokens)
{
    const int64_t dim = model.classifier.encoder.dim, classes = model.classifier.classes;
    x = queryAttention(writer, graph, model, graph.normalise(x, "norm"), tokens);
    std::string mean = writer.addNode("MatMul", "head.mean", {x, "average"});
    mean = writer.addNode("MatMul", "head.mean_wide", {mean, "repeat"});
    x = graph.normalise(writer.addNode("Sub", "head.centred", {x, mean}), "head.norm");
    const VitGraph::Linear head = graph.layer("head", dim, classes);
    const float *normWeight = model.params.at("head.norm.weight"), *normBias = model.params.at("head.norm.bias");
    std::vector<float> weight(static_cast<size_t>(classes * dim)), bias(static_cast<size_t>(classes));
    for (size_t c = 0; c < bias.size(); c++)
    {
        double sum = head.bias[c];
        for (size_t i = 0; i < static_cast<size_t>(dim); i++)
        {
            const size_t at = c * static_cast<size_t>(dim) + i;
            weight[at] = head.weight[at] * normWeight[i];
            sum += static_cast<double>(head.weight[at]) * normBias[i];
        }
        bias[c] = static_cast<float>(sum);
    }
    const std::vector<float> ones(static_cast<size_t>(dim), 1.f);
    writer.addInitializer("head.weight", {classes, dim}, weight.data());
    writer.addInitializer("head.bias", {classes}, bias.data());
    writer.addInitializer("head.sum", {dim, 1}, ones.data());
    x = writer.addNode("Mul", "head.weighted", {graph.images(x, "head.classes", classes), "head.weight"});
    x = writer.addNode("MatMul", "head.summed", {graph.rows(x, "head.weighted.rows"), "head.sum"});
    writer.addNode("Add", "logits", {graph.reshape(x, "head.logits", {-1, classes}), "head.bias"});
}

void buildClassifier(OnnxWriter& writer, const Model& model, int64_t visible)
{
    const vit::ClassifierConfig& config = model.classifier;
    const int64_t dim = config.encoder.dim, classes = config.classes, tokens = visible + 1;
    VitGraph graph(writer, model.params, config.encoder, config.layerNormEps);
    std::string x = encodeVisible(writer, graph, config.input, dim, model.params, visible);
    const bool segment = config.task == vit::Task::Segment;
    writer.addOutput("logits", segment ? std::vector<OnnxWriter::Dim>{"N", visible, classes} : std::vector<OnnxWriter::Dim>{"N", classes});
    if (config.task == vit::Task::Multilabel)
        return queryHead(writer, graph, model, x, tokens);
    if (!segment && config.pooling == vit::Pooling::Class)
        return classHead(graph, x, tokens, dim, classes, "logits");
    VitGraph::Linear head = graph.layer("head", dim, classes);
    head.norm = "norm";
    x = graph.reshape(graph.linear(graph.normalise(x, "norm"), head), "logits.tokens", {-1, tokens, classes});
    if (segment)
    {
        graph.slice(x, "logits", 1, tokens);
        return;
    }
    // The mean of the tokens' logits equals the logits of their mean.
    x = graph.slice(x, "logits.patches", 1, tokens);
    x = graph.reshape(graph.transpose(x, "logits.spread", {0, 2, 1}), "logits.columns", {1, -1, visible});
    const std::vector<float> share(static_cast<size_t>(visible), 1 / static_cast<float>(visible));
    writer.addInitializer("logits.share", {visible, 1}, share.data());
    graph.reshape(writer.addNode("MatMul", "logits.mean", {x, "logits.share"}), "logits", {-1, classes});
}

void buildDecoder(OnnxWriter& writer, const Model& model, int64_t visible)
{
    const vit::MaeConfig& config = model.mae;
    const int64_t patches = config.input.numPatches(), from = config.encoder.dim, dim = config.decoder.dim;
    const vit::ParamArena& params = model.params;
    VitGraph graph(writer, params, config.decoder, config.layerNormEps);
    writer.addInput("latent", {"N", visible + 1, from});
    // The mask token is subtracted from the embedded tokens and added to every row of the table: a position without a
    // visible patch then needs only zeros.
    const float* maskToken = params.at("mask_token");
    VitGraph::Linear embed = graph.layer("decoder_embed", from, dim);
    std::vector<float> bias(embed.bias, embed.bias + dim);
    const float* positions = params.at("decoder_pos_embed");
    std::vector<float> table(positions, positions + (patches + 1) * dim);
    for (size_t i = 0; i < bias.size(); i++)
    {
        bias[i] -= maskToken[i];
        for (size_t row = 0; row <= static_cast<size_t>(patches); row++)
            table[row * bias.size() + i] += maskToken[i];
    }
    embed.bias = bias.data();
    embed.centred = true;
    std::string x = graph.linear(graph.reshape("latent", "latent.rows", {1, -1, from}), embed);
    x = graph.images(x, "decoder_embed.images", visible + 1);
    const std::string token = graph.slice(x, "cls", 0, 1), shown = graph.slice(x, "shown", 1, visible + 1);
    const std::string spread = graph.transpose(oneHot(writer, graph, visible, patches), "visible.spread", {0, 2, 1});
    x = writer.addNode("MatMul", "grid", {spread, shown});
    x = writer.addNode("Concat", "joined", {token, x}, Attributes().add("axis", int64_t(1)));
    x = graph.rows(graph.addCentred(x, "embedded", std::move(table), patches + 1), "embedded.rows");
    x = graph.images(graph.blocks(x, "decoder_blocks.", patches + 1), "decoded", patches + 1);
    x = graph.rows(graph.slice(x, "restored", 1, patches + 1), "restored.rows");
    VitGraph::Linear prediction = graph.layer("decoder_pred", dim, config.input.patchValues());
    prediction.norm = "decoder_norm";
    x = graph.linear(graph.normalise(x, "decoder_norm"), prediction);
    graph.reshape(x, "pred", {-1, patches, config.input.patchValues()});
    writer.addOutput("pred", {"N", patches, config.input.patchValues()});
}

}  // namespace

std::string onnxGraph(const vit::RankerConfig& config)
{
    Model model;
    model.kind = ModelKind::Ranker;
    model.ranker = config;
    model.params = vit::ParamArena(vit::rankerLayout(config));
    OnnxWriter writer;
    buildRanker(writer, model);
    return writer.graph();
}

void exportOnnx(const std::string& path, const Model& ranker)
{
    LTRP_REQUIRE(ranker.kind == ModelKind::Ranker, Error::StsBadArg,
                 path << ": a ranker is needed, this is a masked autoencoder, which makes two files");
    vit::checkConfig(ranker.ranker, path);
    OnnxWriter writer;
    buildRanker(writer, ranker);
    AtomicFile file(path);
    writer.write(file, path, "ltrp_ranker", opset, {{"ltrp", modelMetadata(ranker)}});
    file.commit();
}

void exportClassifierOnnx(const std::string& path, const Model& classifier, int visible)
{
    LTRP_REQUIRE(classifier.kind == ModelKind::Classifier, Error::StsBadArg, path << ": a classifier is needed, this is a "
                 << modelKindName(classifier.kind));
    vit::checkConfig(classifier.classifier, path);
    const int patches = classifier.input().numPatches();
    LTRP_REQUIRE(visible >= 1 && visible <= patches, Error::StsOutOfRange,
                 path << ": " << visible << " visible patches, expected 1 to " << patches);
    OnnxWriter writer;
    buildClassifier(writer, classifier, visible);
    AtomicFile file(path);
    writer.write(file, path, "ltrp_classifier", opset, {{"ltrp", modelMetadata(classifier)}});
    file.commit();
}

void exportOnnx(const std::string& encoderPath, const std::string& decoderPath, const Model& mae, int visible)
{
    LTRP_REQUIRE(mae.kind == ModelKind::Mae, Error::StsBadArg,
                 encoderPath << ": a masked autoencoder is needed, this is a ranker, which makes one file");
    const int patches = mae.mae.input.numPatches();
    LTRP_REQUIRE(visible >= 1 && visible < patches, Error::StsOutOfRange,
                 encoderPath << ": " << visible << " visible patches, expected 1 to " << patches - 1);
    AtomicFile encoder(encoderPath), decoder(decoderPath);
    const std::string common = modelMetadata(mae);
    const auto write = [&](AtomicFile& file, const std::string& path, const char* part,
                           void (*build)(OnnxWriter&, const Model&, int64_t))
    {
        OnnxWriter writer;
        build(writer, mae, visible);
        writer.write(file, path, std::string("ltrp_mae_") + part, opset, {{"ltrp", common}, {"ltrp.part", part}});
    };
    write(encoder, encoderPath, "encoder", buildEncoder);
    write(decoder, decoderPath, "decoder", buildDecoder);
    encoder.commit();
    decoder.commit();
}

}}}  // namespace
