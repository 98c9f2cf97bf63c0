// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include <opencv2/core/cuda.hpp>

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
    : path(tempfile(".safetensors")), config{{imageSize, patchSize}, encoder, decoder, eps}
{
    RNG rng(seed);
    const int patches = config.input.numPatches(), values = 3 * patchSize * patchSize;
    add("cls_token", {1, 1, encoder.dim}, 0.5, 0, rng);
    add("pos_embed", {1, 1 + patches, encoder.dim}, 0.5, 0, rng);
    add("patch_embed.proj.weight", {encoder.dim, 3, patchSize, patchSize}, 1 / std::sqrt(values), 0, rng);
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
    write();
}

Network::~Network()
{
    std::remove(path.c_str());
}

void Network::add(const String& name, const std::vector<int>& shape, double scale, double centre, RNG& rng)
{
    size_t count = 1;
    for (int extent : shape)
        count *= extent;
    for (size_t i = 0; i < count; i++)
        params_[name].push_back(float(centre + rng.gaussian(scale)));   // as in the file
    shapes_[name] = shape;
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
        add(block + "attn.qkv.weight", {3 * stack.dim, stack.dim}, 2 * scale, 0, rng);   // so that attention varies
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

void Network::write() const
{
    std::ostringstream header;
    header << "{\"__metadata__\":{\"ltrp\":\"{\\\"format\\\":1,\\\"kind\\\":\\\""
           << (config.decoder.dim ? "mae" : "ranker") << "\\\",\\\"image_size\\\":" << config.input.side
           << ",\\\"patch_size\\\":" << config.input.patchSize;
    for (const auto& triple : {std::make_pair("mean", mean), std::make_pair("std", deviation)})
        header << ",\\\"" << triple.first << "\\\":[" << triple.second[0] << "," << triple.second[1] << ","
               << triple.second[2] << "]";
    header << ",\\\"layer_norm_eps\\\":" << config.layerNormEps << ",\\\"encoder\\\":" << stackJson(config.encoder);
    if (config.decoder.dim)
        header << ",\\\"decoder\\\":" << stackJson(config.decoder) << ",\\\"norm_pix_loss\\\":true";
    header << ",\\\"provenance\\\":{}}\"}";
    std::vector<float> values;
    for (const auto& tensor : shapes_)
    {
        const size_t begin = 4 * values.size();
        for (double value : params_.at(tensor.first))
            values.push_back(float(value));
        header << ",\"" << tensor.first << "\":{\"dtype\":\"F32\",\"shape\":[";
        for (size_t i = 0; i < tensor.second.size(); i++)
            header << (i ? "," : "") << tensor.second[i];
        header << "],\"data_offsets\":[" << begin << "," << 4 * values.size() << "]}";
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
    file.write(reinterpret_cast<const char*>(values.data()), 4 * values.size());
    file.close();
    CV_Assert(file.good());
}

std::vector<double> Network::rank(const Mat& bgr) const
{
    std::vector<int> all;
    for (int i = 0; i < config.input.numPatches(); i++)
        all.push_back(i);
    return linear(params_, "head", encode(config, params_, pixels({bgr}).ptr<float>(), all)[0]);
}

std::vector<double> Network::score(const Mat& bgr, const std::vector<int>& visible, bool removeInEncoder,
                                   bool squared) const
{
    const Mat input = pixels({bgr});
    const auto encoded = [&](int droppedToken)
    { return encode(config, params_, input.ptr<float>(), visible, droppedToken); };
    const Matrix latent = encoded(-1), anchor = decode(config, params_, latent, visible, -1);
    std::vector<double> scores;
    for (size_t i = 0; i < visible.size(); i++)
    {
        const Matrix without = removeInEncoder ? decode(config, params_, encoded(int(1 + i)), visible, -1)
                                               : decode(config, params_, latent, visible, 1 + visible[i], true);
        double sum = 0, count = 0;
        for (int place = 0; place < config.input.numPatches(); place++)
            for (size_t k = 0; k < anchor[place].size() && !contains(visible, place); k++)
            {
                const double difference = std::abs(anchor[place][k] - without[place][k]);
                sum += squared ? difference * difference : difference;
                count++;
            }
        scores.push_back(sum / count);
    }
    return scores;
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

double relativeError(const Mat& got, const Mat& expected)
{
    EXPECT_EQ(got.size(), expected.size());
    return cvtest::norm(got, expected, NORM_INF) / cvtest::norm(expected, NORM_INF);
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
