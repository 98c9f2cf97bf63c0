// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace opencv_test { namespace reference {

namespace {

const double mean[3] = {0.5, 0.45, 0.4}, deviation[3] = {0.25, 0.22, 0.2};   // R, G, B

std::string stackJson(const Stack& stack)
{
    std::ostringstream text;
    text << "{\\\"dim\\\":" << stack.dim << ",\\\"depth\\\":" << stack.depth << ",\\\"heads\\\":" << stack.heads
         << ",\\\"hidden\\\":" << stack.hidden << "}";
    return text.str();
}

}  // namespace

Network::Network(int imageSize, int patchSize, const Stack& encoder, const Stack& decoder, double eps, int seed)
    : path(tempfile(".safetensors")), size(imageSize), patch(patchSize), grid(imageSize / patchSize), encoder_(encoder),
      decoder_(decoder), eps_(eps)
{
    RNG rng(seed);
    const int patches = grid * grid, values = 3 * patch * patch;
    add("cls_token", {1, 1, encoder.dim}, 0.5, 0, rng);
    add("pos_embed", {1, 1 + patches, encoder.dim}, 0.5, 0, rng);
    add("patch_embed.proj.weight", {encoder.dim, 3, patch, patch}, 1 / std::sqrt(values), 0, rng);
    add("patch_embed.proj.bias", {encoder.dim}, 0.1, 0, rng);
    addStack("blocks.", "norm", encoder, rng);
    if (decoder.dim == 0)
    {
        add("head.weight", {patches, encoder.dim}, 0.3, 0, rng);
        add("head.bias", {patches}, 0.1, 0, rng);
    }
    else
    {
        add("mask_token", {1, 1, decoder.dim}, 0.5, 0, rng);
        add("decoder_pos_embed", {1, 1 + patches, decoder.dim}, 0.5, 0, rng);
        add("decoder_embed.weight", {decoder.dim, encoder.dim}, 1 / std::sqrt(encoder.dim), 0, rng);
        add("decoder_embed.bias", {decoder.dim}, 0.1, 0, rng);
        addStack("decoder_blocks.", "decoder_norm", decoder, rng);
        add("decoder_pred.weight", {values, decoder.dim}, 1 / std::sqrt(decoder.dim), 0, rng);
        add("decoder_pred.bias", {values}, 0.1, 0, rng);
    }
    write(eps);
}

Network::~Network()
{
    std::remove(path.c_str());
}

void Network::add(const String& name, const std::vector<int>& shape, double scale, double centre, RNG& rng)
{
    Tensor tensor;
    tensor.shape = shape;
    size_t count = 1;
    for (int extent : shape)
        count *= extent;
    for (size_t i = 0; i < count; i++)
        tensor.values.push_back(float(centre + rng.gaussian(scale)));
    names_.push_back(name);
    tensors_[name] = tensor;
}

void Network::addStack(const String& blocks, const String& finalNorm, const Stack& stack, RNG& rng)
{
    const double scale = 1 / std::sqrt(stack.dim);
    for (int i = 0; i < stack.depth; i++)
    {
        const String block = blocks + std::to_string(i) + ".";
        for (const char* name : {"norm1", "norm2"})
        {
            add(block + name + ".weight", {stack.dim}, 0.1, 1, rng);
            add(block + name + ".bias", {stack.dim}, 0.1, 0, rng);
        }
        add(block + "attn.qkv.weight", {3 * stack.dim, stack.dim}, 2 * scale, 0, rng);   // attention that is not even
        add(block + "attn.qkv.bias", {3 * stack.dim}, 0.1, 0, rng);
        add(block + "attn.proj.weight", {stack.dim, stack.dim}, scale, 0, rng);
        add(block + "attn.proj.bias", {stack.dim}, 0.1, 0, rng);
        add(block + "mlp.fc1.weight", {stack.hidden, stack.dim}, scale, 0, rng);
        add(block + "mlp.fc1.bias", {stack.hidden}, 0.1, 0, rng);
        add(block + "mlp.fc2.weight", {stack.dim, stack.hidden}, 1 / std::sqrt(stack.hidden), 0, rng);
        add(block + "mlp.fc2.bias", {stack.dim}, 0.1, 0, rng);
    }
    add(finalNorm + ".weight", {stack.dim}, 0.1, 1, rng);
    add(finalNorm + ".bias", {stack.dim}, 0.1, 0, rng);
}

void Network::write(double eps) const
{
    std::ostringstream header;
    header << "{\"__metadata__\":{\"ltrp\":\"{\\\"format\\\":1,\\\"kind\\\":\\\"" << (decoder_.dim ? "mae" : "ranker")
           << "\\\",\\\"image_size\\\":" << size << ",\\\"patch_size\\\":" << patch;
    for (const auto& triple : {std::make_pair("mean", mean), std::make_pair("std", deviation)})
        header << ",\\\"" << triple.first << "\\\":[" << triple.second[0] << "," << triple.second[1] << ","
               << triple.second[2] << "]";
    header << ",\\\"layer_norm_eps\\\":" << eps << ",\\\"encoder\\\":" << stackJson(encoder_);
    if (decoder_.dim)
        header << ",\\\"decoder\\\":" << stackJson(decoder_) << ",\\\"norm_pix_loss\\\":true";
    header << ",\\\"provenance\\\":{}}\"}";
    size_t offset = 0;
    for (const String& name : names_)
    {
        const Tensor& tensor = tensors_.at(name);
        header << ",\"" << name << "\":{\"dtype\":\"F32\",\"shape\":[";
        for (size_t i = 0; i < tensor.shape.size(); i++)
            header << (i ? "," : "") << tensor.shape[i];
        header << "],\"data_offsets\":[" << offset << "," << offset + 4 * tensor.values.size() << "]}";
        offset += 4 * tensor.values.size();
    }
    header << "}";
    std::string text = header.str();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::ofstream file(path.c_str(), std::ios::binary);
    uchar length[8];
    for (int i = 0; i < 8; i++)
        length[i] = uchar(uint64(text.size()) >> (8 * i));
    file.write(reinterpret_cast<const char*>(length), 8);
    file.write(text.data(), text.size());
    for (const String& name : names_)
    {
        const Tensor& tensor = tensors_.at(name);
        file.write(reinterpret_cast<const char*>(tensor.values.data()), 4 * tensor.values.size());
    }
    file.close();
    CV_Assert(file.good());
}

Token Network::linear(const String& name, const Token& x) const
{
    const std::vector<float>&w = tensors_.at(name + ".weight").values, &b = tensors_.at(name + ".bias").values;
    Token y(b.begin(), b.end());
    for (size_t o = 0; o < y.size(); o++)
        for (size_t i = 0; i < x.size(); i++)
            y[o] += w[o * x.size() + i] * x[i];
    return y;
}

Token Network::norm(const String& name, const Token& x) const
{
    const std::vector<float>&w = tensors_.at(name + ".weight").values, &b = tensors_.at(name + ".bias").values;
    double average = 0, variance = 0;
    for (double value : x)
        average += value / x.size();
    for (double value : x)
        variance += (value - average) * (value - average) / x.size();
    Token y;
    for (size_t i = 0; i < x.size(); i++)
        y.push_back((x[i] - average) / std::sqrt(variance + eps_) * w[i] + b[i]);
    return y;
}

Tokens Network::run(const String& blocks, const String& finalNorm, const Stack& stack, Tokens tokens, int droppedToken) const
{
    const int n = int(tokens.size()), width = stack.dim / stack.heads;
    for (int i = 0; i < stack.depth; i++)
    {
        const String block = blocks + std::to_string(i) + ".";
        Tokens qkv;
        for (const Token& token : tokens)
            qkv.push_back(linear(block + "attn.qkv", norm(block + "norm1", token)));
        for (int t = 0; t < n; t++)
        {
            Token mixed(stack.dim, 0.0);
            for (int head = 0; head < stack.heads && t != droppedToken; head++)
            {
                std::vector<double> weights(n, 0.0);
                double total = 0;
                for (int other = 0; other < n; other++)
                {
                    if (other == droppedToken)
                        continue;
                    double dot = 0;
                    for (int k = head * width; k < (head + 1) * width; k++)
                        dot += qkv[t][k] * qkv[other][stack.dim + k];
                    total += weights[other] = std::exp(dot / std::sqrt(double(width)));
                }
                for (int other = 0; other < n; other++)
                    for (int k = head * width; k < (head + 1) * width; k++)
                        mixed[k] += weights[other] / total * qkv[other][2 * stack.dim + k];
            }
            const Token projected = linear(block + "attn.proj", mixed);
            for (int k = 0; k < stack.dim; k++)
                tokens[t][k] += projected[k];
        }
        for (Token& token : tokens)
        {
            Token hidden = linear(block + "mlp.fc1", norm(block + "norm2", token));
            for (double& value : hidden)
                value *= 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
            hidden = linear(block + "mlp.fc2", hidden);
            for (int k = 0; k < stack.dim; k++)
                token[k] += hidden[k];
        }
    }
    for (Token& token : tokens)
        token = norm(finalNorm, token);
    return tokens;
}

Token Network::at(const String& name, int row) const
{
    const Tensor& tensor = tensors_.at(name);
    const int width = tensor.shape.back();
    return Token(tensor.values.begin() + row * width, tensor.values.begin() + (row + 1) * width);
}

Token Network::embed(const Mat& bgr, int place) const
{
    Token values;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < patch; y++)
            for (int x = 0; x < patch; x++)
            {
                const Vec3b pixel = bgr.at<Vec3b>(place / grid * patch + y, place % grid * patch + x);
                values.push_back((pixel[2 - c] / 255.0 - mean[c]) / deviation[c]);
            }
    Token token = linear("patch_embed.proj", values);
    const Token position = at("pos_embed", 1 + place);
    for (size_t k = 0; k < token.size(); k++)
        token[k] += position[k];
    return token;
}

Tokens Network::encode(const Mat& bgr, const std::vector<int>& visible, int droppedToken) const
{
    Tokens tokens(1, at("cls_token", 0));
    const Token position = at("pos_embed", 0);
    for (size_t k = 0; k < position.size(); k++)
        tokens[0][k] += position[k];
    for (int place : visible)
        tokens.push_back(embed(bgr, place));
    return run("blocks.", "norm", encoder_, tokens, droppedToken);
}

std::vector<double> Network::rank(const Mat& bgr) const
{
    std::vector<int> all;
    for (int i = 0; i < grid * grid; i++)
        all.push_back(i);
    return linear("head", encode(bgr, all, -1)[0]);
}

Token Network::reconstruct(const Tokens& latent, const std::vector<int>& visible, int removed) const
{
    Tokens tokens;
    std::vector<size_t> hidden;
    for (int place = -1; place < grid * grid; place++)
    {
        if (removed >= 0 && place == removed)
            continue;
        const auto found = std::find(visible.begin(), visible.end(), place);
        Token token;
        if (place < 0)
            token = linear("decoder_embed", latent[0]);
        else if (found != visible.end())
            token = linear("decoder_embed", latent[1 + (found - visible.begin())]);
        else
        {
            token = at("mask_token", 0);
            hidden.push_back(tokens.size());
        }
        const Token position = at("decoder_pos_embed", 1 + place);
        for (size_t k = 0; k < token.size(); k++)
            token[k] += position[k];
        tokens.push_back(token);
    }
    tokens = run("decoder_blocks.", "decoder_norm", decoder_, tokens, -1);
    Token values;
    for (size_t t : hidden)
    {
        const Token predicted = linear("decoder_pred", tokens[t]);
        values.insert(values.end(), predicted.begin(), predicted.end());
    }
    return values;
}

std::vector<double> Network::score(const Mat& bgr, const std::vector<int>& visible, bool removeInEncoder,
                                   bool squared) const
{
    const Tokens latent = encode(bgr, visible, -1);
    const Token anchor = reconstruct(latent, visible, -1);
    std::vector<double> scores;
    for (size_t i = 0; i < visible.size(); i++)
    {
        const Token without = removeInEncoder ? reconstruct(encode(bgr, visible, int(1 + i)), visible, -1)
                                              : reconstruct(latent, visible, visible[i]);
        double sum = 0;
        for (size_t k = 0; k < anchor.size(); k++)
        {
            const double difference = std::abs(anchor[k] - without[k]);
            sum += squared ? difference * difference : difference;
        }
        scores.push_back(sum / anchor.size());
    }
    return scores;
}

Mat photo(Size size, int number)
{
    Mat image(size, CV_8UC3);
    RNG noise(number + 1);
    for (int y = 0; y < size.height; y++)
        for (int x = 0; x < size.width; x++)
            for (int c = 0; c < 3; c++)
            {
                const double wave = std::sin(0.07 * (number + 3) * x + c) * std::cos(0.05 * (number + 5) * y - c);
                image.at<Vec3b>(y, x)[c] = saturate_cast<uchar>(120 + 80 * wave + noise.uniform(-20, 21));
            }
    return image;
}

Mat pixels(const std::vector<Mat>& bgr)
{
    const std::vector<int> shape = {int(bgr.size()), 3, bgr[0].rows, bgr[0].cols};
    Mat blob(shape, CV_32F);
    float* to = blob.ptr<float>();
    for (const Mat& image : bgr)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < image.rows; y++)
                for (int x = 0; x < image.cols; x++)
                    *to++ = float((image.at<Vec3b>(y, x)[2 - c] / 255.0 - mean[c]) / deviation[c]);
    return blob;
}

double relativeError(const Mat& got, const std::vector<double>& expected)
{
    EXPECT_EQ(got.total(), expected.size());
    EXPECT_EQ(got.type(), CV_32FC1);
    double largest = 0, error = 0;
    for (size_t i = 0; i < expected.size() && i < got.total(); i++)
    {
        largest = std::max(largest, std::abs(expected[i]));
        error = std::max(error, std::abs(got.ptr<float>()[i] - expected[i]));
    }
    return error / largest;
}

void needCudaOfOpencv()
{
    if (cuda::getCudaEnabledDeviceCount() < 1)
        throw SkipTestException("this OpenCV was built without CUDA, or there is no device or driver for it");
    const String missing = ltrp::missingForTarget(dnn::DNN_TARGET_CUDA);
    if (!missing.empty())
        throw SkipTestException(missing);
}

}}  // namespace
