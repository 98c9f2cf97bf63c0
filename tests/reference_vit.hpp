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
#include "../modules/ltrp/test/test_vit.hpp"

/// The reference networks of the module's tests with the library's weights, and related functions.
namespace opencv_test { namespace reference {

using cv::ltrp::vit::MaeConfig;
using cv::ltrp::vit::ParamArena;
using cv::ltrp::vit::ParamInfo;
using cv::ltrp::vit::RankerConfig;

/// Networks this small gain nothing from threads, and are much slower with them on a busy machine.
struct OneThread
{
    OneThread() : before(cv::getNumThreads()) { cv::setNumThreads(1); }
    ~OneThread() { cv::setNumThreads(before); }
    int before;
};

inline Params toDouble(const ParamArena& arena)
{
    Params params;
    for (const ParamInfo& info : arena.layout.tensors())
        params[info.name] = Vector(arena.data() + info.offset, arena.data() + info.offset + info.count);
    return params;
}

inline Vector classToken(const RankerConfig& config, const Params& params, const float* pixels, const std::vector<int>& ids)
{
    return encode(config, params, pixels, ids)[0];
}

inline Vector rankerScores(const RankerConfig& config, const Params& params, const float* pixels,
                           const std::vector<int>& ids)
{
    const Matrix x = encode(config, params, pixels, ids);
    if (config.head == cv::ltrp::vit::Head::Class)
        return linear(params, "head", x[0]);
    Vector scores(config.input.numPatches(), 0.0);
    for (size_t i = 0; i < ids.size(); i++)
        scores[ids[i]] = linear(params, "head", x[1 + i])[0];
    return scores;
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
        const Vector truth = patch(pixels, config.input.size(), config.input.patchSize, id, true);
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

/// Random values in every tensor, position tables included, of a size at which each part of the network has an effect.
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

}}  // namespace

namespace reference = opencv_test::reference;

#endif
