// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

namespace opcases
{
namespace
{

OpCase finishBlockCase(int rows, int dim, int hidden)
{
    OpCase c;
    c.name = cv::format("finishBlock %dx%d hidden %d", rows, dim, hidden);
    c.inputs["x"] = randomFloats(z(rows) * z(dim), 40);
    c.inputs["attended"] = randomFloats(z(rows) * z(dim), 41);
    c.inputs["proj.w"] = randomFloats(z(dim) * z(dim), 42, 1 / std::sqrt(dim));
    c.inputs["proj.b"] = randomFloats(z(dim), 43);
    c.inputs["norm.w"] = randomFloats(z(dim), 44);
    c.inputs["norm.b"] = randomFloats(z(dim), 45);
    c.inputs["fc1.w"] = randomFloats(z(hidden) * z(dim), 46, 1 / std::sqrt(dim));
    c.inputs["fc1.b"] = randomFloats(z(hidden), 47);
    c.inputs["fc2.w"] = randomFloats(z(dim) * z(hidden), 48, 1 / std::sqrt(hidden));
    c.inputs["fc2.b"] = randomFloats(z(dim), 49);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs p(backend, a);
        const There x(backend, a.at("x"));
        const cv::ltrp::ops::NormWeights norm{p("norm.w"), p("norm.b"), 1e-6f};
        backend.finishBlock({norm, {nullptr, nullptr, dim, 3 * dim}, {p("proj.w"), p("proj.b"), dim, dim}, norm,
                             {p("fc1.w"), p("fc1.b"), dim, hidden}, {p("fc2.w"), p("fc2.b"), hidden, dim}},
                            p("attended"), x, rows);
        return Arrays{{"x", x.back()}};
    };
    c.reference = [=](const Arrays& a) {
        const auto p = [&a](const char* name) { return wide(a.at(name)); };
        const auto added = [](Doubles to, const Doubles& what) {
            for (size_t i = 0; i < to.size(); ++i)
                to[i] += what[i];
            return to;
        };
        const Doubles x = added(p("x"), linearRef(p("attended"), p("proj.w"), p("proj.b"), rows, dim, dim));
        Doubles h = linearRef(layerNormRef(x, p("norm.w"), p("norm.b"), 1e-6f, rows, dim), p("fc1.w"), p("fc1.b"), rows, dim,
                              hidden);
        for (double& v : h)
            v = geluRef(v);
        return Arrays{{"x", narrow(added(x, linearRef(h, p("fc2.w"), p("fc2.b"), rows, hidden, dim)))}};
    };
    c.absolute = 2e-5;
    c.relative = 2e-5;
    return c;
}

/// Several blocks, compared with their parts' references in sequence. variants > 1: runVariants() with that many runs
/// per input.
OpCase runBlocksCase(int count, int batch, int tokens, int dim, int heads, int hidden, std::vector<int> droppedToken, int queries,
                     int variants = 1)
{
    OpCase c;
    c.name = cv::format("%s %d blocks batch %d tokens %d dim %d heads %d hidden %d%s queries %d",
                        variants > 1 ? "runVariants" : "runBlocks", count, batch, tokens, dim, heads, hidden,
                        droppedToken.empty() ? "" : " dropped token", queries);
    c.inputs["x"] = randomFloats(z(batch / variants) * z(tokens) * z(dim), 50);
    const std::vector<std::pair<std::string, int>> sizes = {
        {"norm1.w", dim}, {"norm1.b", dim}, {"qkv.w", 3 * dim * dim}, {"qkv.b", 3 * dim}, {"proj.w", dim * dim},
        {"proj.b", dim}, {"norm2.w", dim}, {"norm2.b", dim}, {"fc1.w", hidden * dim}, {"fc1.b", hidden},
        {"fc2.w", dim * hidden}, {"fc2.b", dim}};
    uint32_t stream = 51;
    for (int i = 0; i < count; ++i)
        for (const auto& size : sizes)
        {
            const bool matrix = size.second % (dim * dim) == 0 || size.second == hidden * dim;
            c.inputs[cv::format("%d.", i) + size.first] = randomFloats(z(size.second), stream++,
                matrix ? 1 / std::sqrt(size.first == "fc2.w" ? hidden : dim) : 0.5);
        }
    const auto wanted = [=](const auto& x) {   // the rows that the caller may read
        typename std::decay<decltype(x)>::type some;
        for (int b = 0; b < batch; ++b)
            some.insert(some.end(), x.begin() + b * tokens * dim, x.begin() + (b * tokens + queries) * dim);
        return some;
    };
    c.run = [=](const Backend& backend, const Arrays& a) {
        using namespace cv::ltrp::ops;
        const Inputs at(backend, a);
        std::vector<BlockWeights> blocks;
        for (int i = 0; i < count; ++i)
        {
            const auto p = [&](const char* name) { return at(cv::format("%d.", i) + name); };
            blocks.push_back({{p("norm1.w"), p("norm1.b"), 1e-6f}, {p("qkv.w"), p("qkv.b"), dim, 3 * dim},
                              {p("proj.w"), p("proj.b"), dim, dim}, {p("norm2.w"), p("norm2.b"), 1e-6f},
                              {p("fc1.w"), p("fc1.b"), dim, hidden}, {p("fc2.w"), p("fc2.b"), hidden, dim}});
        }
        const size_t size = z(batch) * z(tokens) * z(dim);
        const There flags(backend, droppedToken), qkv(backend, 3 * size), attended(backend, size);
        const There x(backend, variants > 1 ? Floats(size) : a.at("x"));
        if (variants > 1)
            backend.runVariants(blocks.data(), count, at("x"), batch / variants, variants, flags.ints(), x, tokens, heads, queries,
                                qkv, attended);
        else
            backend.runBlocks(blocks.data(), count, x, flags.ints(), batch, tokens, heads, queries, qkv, attended);
        return Arrays{{"x", wanted(x.back())}};
    };
    c.reference = [=](const Arrays& a) {
        Doubles x;
        for (int b = 0; b < batch; ++b)
        {
            const auto from = a.at("x").begin() + b / variants * tokens * dim;
            x.insert(x.end(), from, from + tokens * dim);
        }
        const int rows = batch * tokens;
        for (int i = 0; i < count; ++i)
        {
            const auto p = [&](const char* name) { return wide(a.at(cv::format("%d.", i) + name)); };
            const auto add = [&x](const Doubles& what) {
                for (size_t k = 0; k < x.size(); ++k)
                    x[k] += what[k];
            };
            Doubles attended, probabilities;
            attentionRef(linearRef(layerNormRef(x, p("norm1.w"), p("norm1.b"), 1e-6f, rows, dim), p("qkv.w"), p("qkv.b"), rows,
                                   dim, 3 * dim), droppedToken, batch, tokens, dim, heads, 1, attended, probabilities);
            add(linearRef(attended, p("proj.w"), p("proj.b"), rows, dim, dim));
            Doubles h = linearRef(layerNormRef(x, p("norm2.w"), p("norm2.b"), 1e-6f, rows, dim), p("fc1.w"), p("fc1.b"), rows,
                                  dim, hidden);
            for (double& v : h)
                v = geluRef(v);
            add(linearRef(h, p("fc2.w"), p("fc2.b"), rows, hidden, dim));
        }
        return Arrays{{"x", wanted(narrow(x))}};
    };
    c.absolute = 5e-5;
    c.relative = 5e-5;
    return c;
}

}  // namespace

std::vector<OpCase> blockCases()
{
    return {finishBlockCase(1, 4, 5), finishBlockCase(29, 36, 131), finishBlockCase(197, 192, 768), finishBlockCase(300, 48, 96),
            runBlocksCase(2, 1, 197, 48, 3, 96, {}, 197), runBlocksCase(2, 1, 197, 48, 3, 96, {}, 1),
            runBlocksCase(3, 5, 37, 20, 5, 70, {-1, 3, 36, 20, 19}, 18), runBlocksCase(1, 2, 20, 16, 1, 33, {}, 20),
            runBlocksCase(2, 3, 37, 64, 2, 40, {-1, 36, 5}, 20),   // heads of 32 and 64: tensor cores, in 16 bits
            runBlocksCase(2, 4, 21, 64, 1, 40, {-1, 20, 9, 0}, 18, 4), runBlocksCase(1, 1, 1, 4, 1, 8, {}, 1), runBlocksCase(2, 5, 37, 20, 5, 70, {-1, 3, 36, 20, 19}, 18, 5),
            runBlocksCase(3, 6, 21, 24, 2, 33, {-1, 20, 4, -1, 9, 0}, 21, 3)};
}

}  // namespace opcases
