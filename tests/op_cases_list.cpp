// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

#include "core/random.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace opcases
{
namespace
{

using cv::ltrp::ops::SampleKey;

struct ListShape
{
    int batch, patches, n, drawn;   ///< drawn: 0: all n
    double scale;                   ///< of the scores; large ones would overflow an exponential
};

/// Integer inputs of ListMLE: compared patches, and keys of the random draws.
std::vector<int> keptPatches(const ListShape& s)
{
    std::vector<int> keep;
    for (int i = 0; i < s.batch * s.n; ++i)
        keep.push_back(i % s.n * s.patches / s.n);
    return keep;
}

std::vector<SampleKey> keysOf(const ListShape& s)
{
    std::vector<SampleKey> keys;
    for (int i = 0; i < s.batch; ++i)
        keys.push_back({static_cast<uint32_t>(i % 2), static_cast<uint32_t>(3 * i)});
    return keys;
}

const uint64_t listSeed = 19;

/// By definition: the list in the order of the targets, each position compared with itself and those after it.
double listMleRef(const Doubles& scores, const Doubles& target, const ListShape& s, Doubles* gradient = nullptr)
{
    const std::vector<int> keep = keptPatches(s);
    if (gradient)
        gradient->assign(scores.size(), 0);
    double total = 0;
    for (int b = 0; b < s.batch; ++b)
    {
        std::vector<int> list(z(s.n));
        std::iota(list.begin(), list.end(), 0);
        if (s.drawn > 0)
        {
            const SampleKey key = keysOf(s)[z(b)];
            cv::ltrp::RandomStream(listSeed, cv::ltrp::RandomPurpose::Loss, key.epoch, key.sample).shuffle(list);
            list.resize(z(s.drawn));
        }
        std::stable_sort(list.begin(), list.end(), [&](int i, int k) { return target[z(b * s.n + i)] > target[z(b * s.n + k)]; });
        const auto at = [&](size_t i) { return z(b * s.patches + keep[z(b * s.n + list[i])]); };
        for (size_t i = 0; i < list.size(); ++i)
        {
            double largest = std::log(1e-10), sum = 0;
            for (size_t k = i; k < list.size(); ++k)
                largest = std::max(largest, scores[at(k)]);
            for (size_t k = i; k < list.size(); ++k)
                sum += std::exp(scores[at(k)] - largest);
            sum += std::exp(std::log(1e-10) - largest);
            total += (largest + std::log(sum) - scores[at(i)]) / s.batch;
            for (size_t k = i; gradient && k < list.size(); ++k)
                (*gradient)[at(k)] += (std::exp(scores[at(k)] - largest) / sum - (k == i ? 1 : 0)) / s.batch;
        }
    }
    return total;
}

Arrays runListMle(const Backend& backend, const Arrays& a, const ListShape& s, float scale)
{
    const There scores(backend, a.at("scores")), target(backend, a.at("target")), keep(backend, keptPatches(s)),
        gradient(backend, a.at("scores").size()), loss(backend, size_t(2));   // a double
    std::vector<int> words;
    for (const SampleKey& key : keysOf(s))
        words.insert(words.end(), {static_cast<int>(key.epoch), static_cast<int>(key.sample)});
    const There keys(backend, words);
    backend.listMle({scores, keep.ints(), target, reinterpret_cast<const SampleKey*>(keys.ints()), listSeed, s.batch, s.patches, s.n,
                     s.drawn, scale, gradient, reinterpret_cast<double*>(static_cast<float*>(loss))});
    const Floats bytes = loss.back();
    double value;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return {{"loss", Floats(1, static_cast<float>(value))}, {"gradient", gradient.back()}};
}

OpCase listMleCase(const ListShape& s)
{
    OpCase c;
    c.name = cv::format("listMle %dx%d of %d, %d drawn, scores of %g", s.batch, s.n, s.patches, s.drawn, s.scale);
    c.inputs["scores"] = randomFloats(z(s.batch) * z(s.patches), 44, s.scale);
    c.inputs["target"] = randomFloats(z(s.batch) * z(s.n), 45);
    if (s.n > 3)
        c.inputs["target"][3] = c.inputs["target"][1];   // equal targets keep their order
    c.run = [=](const Backend& backend, const Arrays& a) { return runListMle(backend, a, s, 1); };
    c.reference = [=](const Arrays& a) {
        Doubles gradient;
        const double loss = listMleRef(wide(a.at("scores")), wide(a.at("target")), s, &gradient);
        return Arrays{{"loss", Floats(1, static_cast<float>(loss))}, {"gradient", narrow(gradient)}};
    };
    c.absolute = 1e-6;
    c.relative = 2e-6;
    return c;
}

GradientCase listMleGradient(const ListShape& s)
{
    GradientCase c;
    c.name = listMleCase(s).name;
    c.inputs["scores"] = randomFloats(z(s.batch) * z(s.patches), 46, s.scale);
    const Floats target = randomFloats(z(s.batch) * z(s.n), 47);
    c.forward = [=](const Arrays& a) { return Doubles(1, listMleRef(wide(a.at("scores")), wide(target), s)); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        return Arrays{{"scores", runListMle(backend, {{"scores", a.at("scores")}, {"target", target}}, s, dOut[0]).at("gradient")}};
    };
    c.tolerance = 1e-5;
    return c;
}

}  // namespace

std::vector<OpCase> listCases()
{
    return {listMleCase({1, 1, 1, 0, 1}), listMleCase({3, 40, 19, 0, 1}), listMleCase({2, 196, 19, 13, 1}),
            listMleCase({2, 70, 50, 20, 60})};
}

std::vector<GradientCase> listGradients()
{
    return {listMleGradient({2, 30, 9, 0, 1}), listMleGradient({3, 40, 19, 7, 2})};
}

}  // namespace
