// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A simple reference implementation of the networks: double precision, one loop per sum, one image at a time, the
// removed token masked in every attention. The module's results are compared with it. It uses nothing from the library.
// tests/reference_vit.hpp uses it too, with the library's own configurations for Config and Stack.

#ifndef OPENCV_TEST_LTRP_VIT_HPP
#define OPENCV_TEST_LTRP_VIT_HPP

#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace opencv_test { namespace reference {

typedef std::vector<double> Vector;
typedef std::vector<Vector> Matrix;   ///< rows
typedef std::map<std::string, Vector> Params;

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
template <class Stack>
Matrix attention(const Params& params, const std::string& name, const Matrix& x, const Stack& stack, int droppedToken)
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
template <class Stack>
Matrix transformer(const Params& params, const std::string& blocks, const std::string& norm, Matrix x,
                   const Stack& stack, double eps, int droppedToken)
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

/// Class token and the patches `ids`, with positions added.
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

/// Tokens of the patches `ids` after the final norm; the class token first.
template <class Config>
Matrix encode(const Config& config, const Params& params, const float* pixels, const std::vector<int>& ids,
              int droppedToken = -1)
{
    return transformer(params, "blocks", "norm", embed(config, params, pixels, ids), config.encoder,
                       config.layerNormEps, droppedToken);
}

/// An autoencoder's prediction for each patch. droppedToken: 1 + position, or -1. drop: that token is omitted from the
/// sequence instead, and its own prediction is not valid.
template <class Config>
Matrix decode(const Config& config, const Params& params, const Matrix& latent, const std::vector<int>& keep,
              int droppedToken, bool drop = false)
{
    const Vector& positions = params.at("decoder_pos_embed");
    const size_t dim = config.decoder.dim;
    Matrix x(positions.size() / dim, params.at("mask_token"));
    x[0] = linear(params, "decoder_embed", latent[0]);
    for (size_t i = 0; i < keep.size(); i++)
        x[1 + keep[i]] = linear(params, "decoder_embed", latent[1 + i]);
    for (size_t t = 0; t < x.size(); t++)
        for (size_t i = 0; i < dim; i++)
            x[t][i] += positions[t * dim + i];
    if (drop)
        x.erase(x.begin() + droppedToken);
    x = transformer(params, "decoder_blocks", "decoder_norm", x, config.decoder, config.layerNormEps,
                    drop ? -1 : droppedToken);
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

/// A test image with structure: waves, an edge and a little noise, different for every number.
inline cv::Mat photo(cv::Size size, int number)
{
    cv::Mat image(size, CV_8UC3);
    cv::RNG noise(number + 1);
    for (int y = 0; y < size.height; y++)
        for (int x = 0; x < size.width; x++)
            for (int c = 0; c < 3; c++)
            {
                const double wave = std::sin(0.05 * (number + 3) * x + c) * std::cos(0.03 * (number + 5) * y - c);
                const int edge = x * 3 > size.width * (1 + number % 2) ? 40 : -20;
                image.at<cv::Vec3b>(y, x)[c] = cv::saturate_cast<uchar>(120 + 70 * wave + edge + noise.uniform(-9, 10));
            }
    return image;
}

}}  // namespace

#endif
