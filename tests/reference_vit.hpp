// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_REFERENCE_VIT_HPP
#define LTRP_TESTS_REFERENCE_VIT_HPP

#include "precomp.hpp"
#include "core/random.hpp"
#include "vit/classifier.hpp"
#include "vit/mae.hpp"
#include "vit/ranker_net.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

/// The networks once more, as slow and plain as can be: double precision, one loop per sum, one image at a time, the
/// removed token masked in every attention. What the module computes fast is held against this.
namespace reference
{

using cv::ltrp::vit::MaeConfig;
using cv::ltrp::vit::ParamArena;
using cv::ltrp::vit::ParamInfo;
using cv::ltrp::vit::RankerConfig;
using cv::ltrp::vit::StackConfig;

/// Networks this small gain nothing from threads, and on a busy machine lose much.
struct OneThread
{
    OneThread() : before(cv::getNumThreads()) { cv::setNumThreads(1); }
    ~OneThread() { cv::setNumThreads(before); }
    int before;
};

typedef std::vector<double> Vector;
typedef std::vector<Vector> Matrix;   ///< rows
typedef std::map<std::string, Vector> Params;

inline Params toDouble(const ParamArena& arena)
{
    Params params;
    for (const ParamInfo& info : arena.layout.tensors())
        params[info.name] = Vector(arena.data() + info.offset, arena.data() + info.offset + info.count);
    return params;
}

inline Vector linear(const Params& params, const std::string& name, const Vector& x)
{
    const Vector &w = params.at(name + ".weight"), &b = params.at(name + ".bias");
    Vector y(b);
    for (size_t o = 0; o < y.size(); o++)
        for (size_t i = 0; i < x.size(); i++)
            y[o] += w[o * x.size() + i] * x[i];
    return y;
}

inline Vector layerNorm(const Params& params, const std::string& name, const Vector& x, double eps)
{
    double mean = 0, variance = 0;
    for (double value : x)
        mean += value / x.size();
    for (double value : x)
        variance += (value - mean) * (value - mean) / x.size();
    const Vector &w = params.at(name + ".weight"), &b = params.at(name + ".bias");
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); i++)
        y[i] = (x[i] - mean) / std::sqrt(variance + eps) * w[i] + b[i];
    return y;
}

/// droppedToken: token that is neither key nor query, -1 for none.
inline Matrix attention(const Params& params, const std::string& name, const Matrix& x, const StackConfig& stack,
                        int droppedToken)
{
    const size_t tokens = x.size(), dim = stack.dim, width = stack.dim / stack.heads;
    Matrix qkv, out(tokens, Vector(dim, 0.0));
    for (const Vector& row : x)
        qkv.push_back(linear(params, name + ".qkv", row));
    for (size_t head = 0; head < static_cast<size_t>(stack.heads); head++)
        for (size_t t = 0; t < tokens; t++)
        {
            if (static_cast<int>(t) == droppedToken)
                continue;
            Vector weight(tokens, 0.0);
            double sum = 0;
            for (size_t s = 0; s < tokens; s++)
            {
                if (static_cast<int>(s) == droppedToken)
                    continue;
                double product = 0;
                for (size_t i = 0; i < width; i++)
                    product += qkv[t][head * width + i] * qkv[s][dim + head * width + i];
                weight[s] = std::exp(product / std::sqrt(static_cast<double>(width)));
                sum += weight[s];
            }
            for (size_t s = 0; s < tokens; s++)
                for (size_t i = 0; i < width; i++)
                    out[t][head * width + i] += weight[s] / sum * qkv[s][2 * dim + head * width + i];
        }
    for (Vector& row : out)
        row = linear(params, name + ".proj", row);
    return out;
}

/// Blocks and the final norm.
inline Matrix transformer(const Params& params, const std::string& blocks, const std::string& norm, Matrix x,
                          const StackConfig& stack, double eps, int droppedToken)
{
    for (int d = 0; d < stack.depth; d++)
    {
        const std::string block = blocks + "." + std::to_string(d);
        Matrix normed;
        for (const Vector& row : x)
            normed.push_back(layerNorm(params, block + ".norm1", row, eps));
        const Matrix attended = attention(params, block + ".attn", normed, stack, droppedToken);
        for (size_t t = 0; t < x.size(); t++)
        {
            for (size_t i = 0; i < x[t].size(); i++)
                x[t][i] += attended[t][i];
            Vector hidden = linear(params, block + ".mlp.fc1", layerNorm(params, block + ".norm2", x[t], eps));
            for (double& value : hidden)
                value *= 0.5 * std::erfc(-value / std::sqrt(2.0));
            const Vector mlp = linear(params, block + ".mlp.fc2", hidden);
            for (size_t i = 0; i < x[t].size(); i++)
                x[t][i] += mlp[i];
        }
    }
    for (Vector& row : x)
        row = layerNorm(params, norm, row, eps);
    return x;
}

/// One patch of an image [3, height, width]: row, column, channel (channelLast) or channel, row, column.
inline Vector patch(const float* pixels, cv::Size image, int size, int id, bool channelLast)
{
    const int grid = image.width / size, top = id / grid * size, left = id % grid * size;
    Vector values(static_cast<size_t>(3) * size * size);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                values[channelLast ? (y * size + x) * 3 + c : (c * size + y) * size + x] =
                    pixels[(c * image.height + top + y) * image.width + left + x];
    return values;
}

inline Vector patch(const float* pixels, int side, int size, int id, bool channelLast)
{
    return patch(pixels, cv::Size(side, side), size, id, channelLast);
}

/// Class token and the patches `ids`, positions added.
template <class Config>
Matrix embed(const Config& config, const Params& params, const float* pixels, const std::vector<int>& ids)
{
    const Vector &positions = params.at("pos_embed"), &token = params.at("cls_token");
    const size_t dim = token.size();
    Matrix x(1, token);
    for (size_t i = 0; i < dim; i++)
        x[0][i] += positions[i];
    for (int id : ids)
    {
        Vector row = linear(params, "patch_embed.proj",
                            patch(pixels, config.input.size(), config.input.patchSize, id, false));
        for (size_t i = 0; i < dim; i++)
            row[i] += positions[(1 + id) * dim + i];
        x.push_back(row);
    }
    return x;
}

/// Of a ranker or classifier, after the final norm; the class token first.
template <class Config>
Matrix encoderTokens(const Config& config, const Params& params, const float* pixels, const std::vector<int>& ids)
{
    return transformer(params, "blocks", "norm", embed(config, params, pixels, ids), config.encoder, config.layerNormEps, -1);
}

inline Vector classToken(const RankerConfig& config, const Params& params, const float* pixels, const std::vector<int>& ids)
{
    return encoderTokens(config, params, pixels, ids)[0];
}

inline Vector rankerScores(const RankerConfig& config, const Params& params, const float* pixels,
                           const std::vector<int>& ids)
{
    const Matrix x = encoderTokens(config, params, pixels, ids);
    if (config.head == cv::ltrp::vit::Head::Class)
        return linear(params, "head", x[0]);
    Vector scores(config.input.numPatches(), 0.0);
    for (size_t i = 0; i < ids.size(); i++)
        scores[ids[i]] = linear(params, "head", x[1 + i])[0];
    return scores;
}

inline Matrix encode(const MaeConfig& config, const Params& params, const float* pixels, const std::vector<int>& keep,
                     int droppedToken)
{
    return transformer(params, "blocks", "norm", embed(config, params, pixels, keep), config.encoder,
                       config.layerNormEps, droppedToken);
}

/// One predicted vector per patch. droppedToken: 1 + place, or -1. drop: the sequence lacks that token instead, and its own
/// prediction is no result.
inline Matrix decode(const MaeConfig& config, const Params& params, const Matrix& latent, const std::vector<int>& keep,
                     int droppedToken, bool drop = false)
{
    const Vector& positions = params.at("decoder_pos_embed");
    const size_t dim = config.decoder.dim;
    Matrix x(1 + config.input.numPatches(), params.at("mask_token"));
    x[0] = linear(params, "decoder_embed", latent[0]);
    for (size_t i = 0; i < keep.size(); i++)
        x[1 + keep[i]] = linear(params, "decoder_embed", latent[1 + i]);
    for (size_t t = 0; t < x.size(); t++)
        for (size_t i = 0; i < dim; i++)
            x[t][i] += positions[t * dim + i];
    if (drop)
        x.erase(x.begin() + droppedToken);
    x = transformer(params, "decoder_blocks", "decoder_norm", x, config.decoder, config.layerNormEps, drop ? -1 : droppedToken);
    if (drop)
        x.insert(x.begin() + droppedToken, Vector(dim, 0.0));
    Matrix pred;
    for (size_t t = 1; t < x.size(); t++)
        pred.push_back(linear(params, "decoder_pred", x[t]));
    return pred;
}

inline bool contains(const std::vector<int>& list, int value)
{
    return std::find(list.begin(), list.end(), value) != list.end();
}

/// Mean and sqrt(variance + 1e-6), the variance with divisor n - 1.
inline void statistics(const Vector& values, double& mean, double& deviation)
{
    double squares = 0;
    mean = 0;
    for (double value : values)
        mean += value / values.size();
    for (double value : values)
        squares += (value - mean) * (value - mean);
    deviation = std::sqrt(squares / (values.size() - 1) + 1e-6);
}

/// Mean squared error of the removed patches of one image.
inline double maeLoss(const MaeConfig& config, const float* pixels, const std::vector<int>& keep, const Matrix& pred)
{
    double total = 0;
    for (int id = 0; id < config.input.numPatches(); id++)
    {
        if (contains(keep, id))
            continue;
        const Vector truth = patch(pixels, config.input.imageSize, config.input.patchSize, id, true);
        double mean = 0, deviation = 1;
        if (config.normPixLoss)
            statistics(truth, mean, deviation);
        for (size_t i = 0; i < truth.size(); i++)
        {
            const double error = pred[id][i] - (truth[i] - mean) / deviation;
            total += error * error / truth.size();
        }
    }
    return total / (config.input.numPatches() - static_cast<double>(keep.size()));
}

/// Every tensor random and of a size that keeps each part of the network at work, position tables included.
inline void randomise(ParamArena& arena, uint64_t seed)
{
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Init);
    for (const ParamInfo& info : arena.layout.tensors())
    {
        const bool norm = info.name.find("norm") != std::string::npos && info.name.find("weight") != std::string::npos;
        const double inputs = info.shape.size() >= 2 ? static_cast<double>(info.count) / info.shape[0] : 4.0;
        const bool token = info.name.find("token") != std::string::npos || info.name.find("pos") != std::string::npos;
        const double size = token ? 0.5 : 1.0 / std::sqrt(inputs);
        for (size_t i = 0; i < info.count; i++)
            arena.data()[info.offset + i] = static_cast<float>((norm ? 1.0 : 0.0) + random.normal() * size);
    }
}

inline std::vector<float> randomPixels(size_t count, uint64_t seed)
{
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Augment);
    std::vector<float> pixels(count);
    for (float& value : pixels)
        value = static_cast<float>(random.normal());
    return pixels;
}

/// `visible` different patch numbers per image, ascending.
inline std::vector<int> randomMask(int batch, int patches, int visible, uint64_t seed)
{
    cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Mask);
    std::vector<int> result;
    for (int b = 0; b < batch; b++)
    {
        std::vector<int> all(patches);
        for (int i = 0; i < patches; i++)
            all[i] = i;
        random.shuffle(all);
        std::sort(all.begin(), all.begin() + visible);
        result.insert(result.end(), all.begin(), all.begin() + visible);
    }
    return result;
}

inline std::vector<int> row(const std::vector<int>& ids, int b, int n)
{
    return std::vector<int>(ids.begin() + static_cast<size_t>(b) * n, ids.begin() + static_cast<size_t>(b + 1) * n);
}

}  // namespace reference

#endif
