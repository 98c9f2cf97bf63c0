// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases.hpp"
#include "core/random.hpp"

#include <cmath>
#include <limits>

namespace opcases
{
namespace
{

using cv::ltrp::RandomPurpose;
using cv::ltrp::RandomStream;
using cv::ltrp::ops::Epilogue;
typedef std::vector<float> Floats;
typedef std::vector<double> Doubles;

Floats randomFloats(size_t count, uint32_t stream, double scale = 1)
{
    RandomStream random(20240400680ull, RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal() * scale);
    return values;
}

/// Values in the memory of a backend, for as long as this lives.
class There
{
public:
    There(const Backend& backend, const Floats& values) : There(backend, values.data(), values.size()) {}
    There(const Backend& backend, const std::vector<int>& values) : There(backend, values.data(), values.size()) {}
    /// `count` values that nobody has written yet.
    There(const Backend& backend, size_t count)
        : There(backend, Floats(count, std::numeric_limits<float>::quiet_NaN()))
    {
    }
    ~There() { backend_.release(data_); }
    There(const There&) = delete;
    There& operator=(const There&) = delete;

    operator float*() const { return static_cast<float*>(data_); }
    const int* ints() const { return count_ ? static_cast<const int*>(data_) : nullptr; }
    Floats back() const
    {
        Floats values(count_);
        backend_.download(data_, values.data(), count_ * sizeof(float));
        return values;
    }

private:
    template <class T>
    There(const Backend& backend, const T* values, size_t count)
        : backend_(backend), data_(backend.allocate(count * sizeof(T))), count_(count)
    {
        static_assert(sizeof(T) == sizeof(float), "read back as floats");
        backend.upload(values, data_, count * sizeof(T));
    }

    const Backend& backend_;
    void* data_;
    size_t count_;
};

/// All inputs of a case in the memory of a backend: on the host themselves, whose addresses a backend may know weights by.
class Inputs
{
public:
    Inputs(const Backend& backend, const Arrays& arrays) : host_(arrays), onHost_(backend.onHost())
    {
        for (const auto& array : arrays)
            if (!onHost_)
                values_.emplace(std::piecewise_construct, std::forward_as_tuple(array.first),
                                std::forward_as_tuple(backend, array.second));
    }
    const float* operator()(const std::string& name) const
    {
        return onHost_ ? host_.at(name).data() : static_cast<float*>(values_.at(name));
    }

private:
    const Arrays& host_;
    const bool onHost_;
    std::map<std::string, There> values_;
};

Doubles wide(const Floats& values) { return Doubles(values.begin(), values.end()); }
Floats narrow(const Doubles& values) { return Floats(values.begin(), values.end()); }
size_t z(int n) { return static_cast<size_t>(n); }

Doubles linearRef(const Doubles& x, const Doubles& w, const Doubles& b, int rows, int in, int out)
{
    Doubles y(z(rows) * z(out));
    for (int r = 0; r < rows; ++r)
        for (int o = 0; o < out; ++o)
        {
            double s = b.empty() ? 0 : b[z(o)];
            for (int i = 0; i < in; ++i)
                s += x[z(r) * z(in) + z(i)] * w[z(o) * z(in) + z(i)];
            y[z(r) * z(out) + z(o)] = s;
        }
    return y;
}

Doubles layerNormRef(const Doubles& x, const Doubles& w, const Doubles& b, double eps, int rows, int dim)
{
    Doubles y(x.size());
    for (int r = 0; r < rows; ++r)
    {
        const double* p = x.data() + z(r) * z(dim);
        double mean = 0, variance = 0;
        for (int i = 0; i < dim; ++i)
            mean += p[i] / dim;
        for (int i = 0; i < dim; ++i)
            variance += (p[i] - mean) * (p[i] - mean) / dim;
        for (int i = 0; i < dim; ++i)
            y[z(r) * z(dim) + z(i)] = (p[i] - mean) / std::sqrt(variance + eps) * w[z(i)] + b[z(i)];
    }
    return y;
}

double geluRef(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// Outputs "out" and "probabilities" [batch, heads, tokens, tokens].
void attentionRef(const Doubles& qkv, const std::vector<int>& flagged, int batch, int tokens, int dim, int heads, int sharedBy,
                  Doubles& out, Doubles& probabilities)
{
    const int width = dim / heads;
    out.assign(z(batch) * z(tokens) * z(dim), 0);
    probabilities.assign(z(batch) * z(heads) * z(tokens) * z(tokens), 0);
    for (int b = 0; b < batch; ++b)
        for (int h = 0; h < heads; ++h)
            for (int i = 0; i < tokens; ++i)
            {
                const int flag = flagged.empty() ? -1 : flagged[z(b)];
                if (i == flag)
                    continue;
                const double* base = qkv.data() + z(b / sharedBy) * z(tokens) * 3 * z(dim) + z(h * width);
                double* p = probabilities.data() + ((z(b) * z(heads) + z(h)) * z(tokens) + z(i)) * z(tokens);
                double peak = -std::numeric_limits<double>::infinity(), total = 0;
                for (int j = 0; j < tokens; ++j)
                {
                    p[j] = 0;
                    for (int c = 0; c < width; ++c)
                        p[j] += base[z(i) * 3 * z(dim) + z(c)] * base[z(j) * 3 * z(dim) + z(dim + c)];
                    p[j] /= std::sqrt(static_cast<double>(width));
                    if (j != flag)
                        peak = std::max(peak, p[j]);
                }
                for (int j = 0; j < tokens; ++j)
                    total += p[j] = j == flag ? 0 : std::exp(p[j] - peak);
                for (int j = 0; j < tokens; ++j)
                {
                    p[j] /= total;
                    for (int c = 0; c < width; ++c)
                        out[(z(b) * z(tokens) + z(i)) * z(dim) + z(h * width + c)]
                            += p[j] * base[z(j) * 3 * z(dim) + z(2 * dim + c)];
                }
            }
}

OpCase linearCase(int rows, int in, int out, bool bias, Epilogue epilogue)
{
    OpCase c;
    c.name = cv::format("linear %dx%d->%d%s%s", rows, in, out, bias ? " bias" : "", epilogue == Epilogue::Add ? " add" : "");
    c.inputs["x"] = randomFloats(z(rows) * z(in), 1);
    c.inputs["w"] = randomFloats(z(out) * z(in), 2, 1 / std::sqrt(in));
    if (bias)
        c.inputs["b"] = randomFloats(z(out), 3);
    c.inputs["y"] = randomFloats(z(rows) * z(out), 4);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There y(backend, a.at("y"));
        backend.linear(at("x"), at("w"), bias ? at("b") : nullptr, y, rows, in, out, epilogue);
        return Arrays{{"y", y.back()}};
    };
    c.reference = [=](const Arrays& a) {
        Doubles y = linearRef(wide(a.at("x")), wide(a.at("w")), bias ? wide(a.at("b")) : Doubles(), rows, in, out);
        for (size_t i = 0; epilogue == Epilogue::Add && i < y.size(); ++i)
            y[i] += a.at("y")[i];
        return Arrays{{"y", narrow(y)}};
    };
    c.absolute = 1e-5;
    c.relative = 1e-5;
    return c;
}

OpCase layerNormCase(int rows, int dim, double shift)
{
    OpCase c;
    c.name = cv::format("layerNorm %dx%d shift %g", rows, dim, shift);
    c.inputs["x"] = randomFloats(z(rows) * z(dim), 5, 3);
    for (float& v : c.inputs["x"])
        v += static_cast<float>(shift);
    c.inputs["w"] = randomFloats(z(dim), 6);
    c.inputs["b"] = randomFloats(z(dim), 7);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There y(backend, z(rows) * z(dim));
        backend.layerNorm(at("x"), at("w"), at("b"), 1e-6f, y, rows, dim);
        return Arrays{{"y", y.back()}};
    };
    c.reference = [=](const Arrays& a) {
        return Arrays{{"y", narrow(layerNormRef(wide(a.at("x")), wide(a.at("w")), wide(a.at("b")), 1e-6f, rows, dim))}};
    };
    c.absolute = 3e-6 * (1 + std::fabs(shift));
    c.relative = 1e-5;
    return c;
}

OpCase normLinearCase(int rows, int in, int out)
{
    OpCase c;
    c.name = cv::format("normLinear %dx%d->%d", rows, in, out);
    c.inputs["x"] = randomFloats(z(rows) * z(in), 30, 2);
    c.inputs["nw"] = randomFloats(z(in), 31);
    c.inputs["nb"] = randomFloats(z(in), 32);
    c.inputs["w"] = randomFloats(z(out) * z(in), 33, 1 / std::sqrt(in));
    c.inputs["b"] = randomFloats(z(out), 34);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There y(backend, z(rows) * z(out));
        backend.normLinear({at("nw"), at("nb"), 1e-6f}, {at("w"), at("b"), in, out}, at("x"), y, rows);
        return Arrays{{"y", y.back()}};
    };
    c.reference = [=](const Arrays& a) {
        const Doubles normed = layerNormRef(wide(a.at("x")), wide(a.at("nw")), wide(a.at("nb")), 1e-6f, rows, in);
        return Arrays{{"y", narrow(linearRef(normed, wide(a.at("w")), wide(a.at("b")), rows, in, out))}};
    };
    c.absolute = 2e-5;
    c.relative = 2e-5;
    return c;
}

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

OpCase geluCase()
{
    OpCase c;
    c.name = "gelu -20..20";
    for (int i = -2003; i <= 2003; ++i)
        c.inputs["x"].push_back(static_cast<float>(i) * 0.01f);
    c.run = [](const Backend& backend, const Arrays& a) {
        const There x(backend, a.at("x")), y(backend, a.at("x").size());
        backend.gelu(x, y, a.at("x").size());
        return Arrays{{"y", y.back()}};
    };
    c.reference = [](const Arrays& a) {
        Doubles y = wide(a.at("x"));
        for (double& v : y)
            v = geluRef(v);
        return Arrays{{"y", narrow(y)}};
    };
    c.absolute = 2e-7;
    c.relative = 3e-7;
    return c;
}

OpCase attentionCase(int batch, int tokens, int dim, int heads, std::vector<int> flagged, int sharedBy, double scale)
{
    OpCase c;
    c.name = cv::format("attention batch %d tokens %d dim %d heads %d%s%s scale %g", batch, tokens, dim, heads,
                        flagged.empty() ? "" : " flagged", sharedBy > 1 ? " shared" : "", scale);
    c.inputs["qkv"] = randomFloats(z(batch / sharedBy) * z(tokens) * 3 * z(dim), 8, scale);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There flags(backend, flagged), out(backend, z(batch) * z(tokens) * z(dim));
        const There again(backend, z(batch) * z(tokens) * z(dim));   // without keeping the weights
        const size_t stride = z(backend.probabilityStride(tokens));
        const There kept(backend, z(batch) * z(heads) * z(tokens) * stride);
        backend.attention(at("qkv"), flags.ints(), out, kept, batch, tokens, dim, heads, sharedBy);
        backend.attention(at("qkv"), flags.ints(), again, nullptr, batch, tokens, dim, heads, sharedBy);
        Arrays result{{"out", out.back()}, {"again", again.back()}};
        if (!backend.onHost())
            return result;   // what a device keeps for the backward pass is its own
        const Floats stored = kept.back();
        Floats probabilities;
        for (size_t row = 0; row < z(batch) * z(heads) * z(tokens); ++row)
            probabilities.insert(probabilities.end(), stored.begin() + static_cast<ptrdiff_t>(row * stride),
                                 stored.begin() + static_cast<ptrdiff_t>(row * stride + z(tokens)));
        result["probabilities"] = probabilities;
        return result;
    };
    c.reference = [=](const Arrays& a) {
        Doubles out, probabilities;
        attentionRef(wide(a.at("qkv")), flagged, batch, tokens, dim, heads, sharedBy, out, probabilities);
        return Arrays{{"out", narrow(out)}, {"probabilities", narrow(probabilities)}, {"again", narrow(out)}};
    };
    c.absolute = 1e-5 * scale * scale;
    c.relative = 1e-5;
    return c;
}

/// Blocks in a row, against their parts' references one after the other. variants > 1: runVariants() of as many runs an input.
OpCase runBlocksCase(int count, int batch, int tokens, int dim, int heads, int hidden, std::vector<int> flagged, int queries,
                     int variants = 1)
{
    OpCase c;
    c.name = cv::format("%s %d blocks batch %d tokens %d dim %d heads %d hidden %d%s queries %d",
                        variants > 1 ? "runVariants" : "runBlocks", count, batch, tokens, dim, heads, hidden,
                        flagged.empty() ? "" : " flagged", queries);
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
    const auto wanted = [=](const auto& x) {   // what the caller may read
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
        const There flags(backend, flagged), qkv(backend, 3 * size), attended(backend, size);
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
                                   dim, 3 * dim), flagged, batch, tokens, dim, heads, 1, attended, probabilities);
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

/// keepReference() of the anchors, then differencesFromReference() of `each` items for every one of them.
OpCase metricCase(int anchors, int each, int rows, int in, int out, bool scaled, bool squared)
{
    OpCase c;
    c.name = cv::format("metric %d anchors with %d items of %dx%d->%d%s%s", anchors, each, rows, in, out,
                        scaled ? " scaled" : "", squared ? " squared" : "");
    const int between = 5;   // rows of an item that do not count
    const size_t stride = z(rows + between) * z(in);
    c.inputs["x"] = randomFloats(z(anchors * each) * stride, 70);
    c.inputs["anchor"] = randomFloats(z(anchors) * stride, 75);
    c.inputs["nw"] = randomFloats(z(in), 71);
    c.inputs["nb"] = randomFloats(z(in), 72);
    c.inputs["w"] = randomFloats(z(out) * z(in), 73, 1 / std::sqrt(in));
    c.inputs["b"] = randomFloats(z(out), 74);
    c.inputs["scale"] = randomFloats(z(anchors * rows), 76);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There reference(backend, z(anchors * rows) * z(std::max(in, out))), means(backend, z(anchors * each));
        const cv::ltrp::ops::NormWeights norm{at("nw"), at("nb"), 1e-6f};
        const cv::ltrp::ops::LinearWeights linear{at("w"), at("b"), in, out};
        backend.keepReference(norm, linear, at("anchor"), stride, anchors, rows, reference);
        backend.differencesFromReference(norm, linear, at("x"), stride, anchors * each, each, rows, reference,
                                         scaled ? at("scale") : nullptr, squared, rows * out, means);
        return Arrays{{"means", means.back()}};
    };
    c.reference = [=](const Arrays& a) {
        const auto predictions = [&](const char* name, int items) {
            const int all = items * (rows + between);
            return linearRef(layerNormRef(wide(a.at(name)), wide(a.at("nw")), wide(a.at("nb")), 1e-6f, all, in),
                             wide(a.at("w")), wide(a.at("b")), all, in, out);
        };
        const Doubles y = predictions("x", anchors * each), r = predictions("anchor", anchors);
        Doubles means(z(anchors * each));
        for (int i = 0; i < anchors * each; ++i)
            for (int row = 0; row < rows; ++row)
                for (int k = 0; k < out; ++k)
                {
                    const double d = (y[z((i * (rows + between) + row) * out + k)]
                                      - r[z((i / each * (rows + between) + row) * out + k)])
                        * (scaled ? a.at("scale")[z(i / each * rows + row)] : 1.f);
                    means[z(i)] += (squared ? d * d : std::fabs(d)) / (rows * out);
                }
        return Arrays{{"means", narrow(means)}};
    };
    c.absolute = 1e-6;
    c.relative = 1e-5;
    return c;
}

OpCase differenceCase(size_t blocks, size_t perScale, bool scaled, bool squared)
{
    OpCase c;
    c.name = cv::format("meanDifference %zux%zu%s%s", blocks, perScale, scaled ? " scaled" : "", squared ? " squared" : "");
    c.inputs["a"] = randomFloats(blocks * perScale, 9);
    c.inputs["b"] = randomFloats(blocks * perScale, 10);
    c.inputs["scale"] = randomFloats(blocks, 11);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const double mean = backend.meanDifference(at("a"), at("b"), blocks * perScale, scaled ? at("scale") : nullptr, perScale,
                                                   squared);
        return Arrays{{"mean", Floats(1, static_cast<float>(mean))}};
    };
    c.reference = [=](const Arrays& a) {
        double total = 0;
        for (size_t i = 0; i < blocks * perScale; ++i)
        {
            const double d = (static_cast<double>(a.at("a")[i]) - a.at("b")[i]) * (scaled ? a.at("scale")[i / perScale] : 1.f);
            total += squared ? d * d : std::fabs(d);
        }
        return Arrays{{"mean", Floats(1, static_cast<float>(total / static_cast<double>(blocks * perScale)))}};
    };
    c.absolute = 1e-7;
    c.relative = 1e-6;
    return c;
}

GradientCase linearGradient(int rows, int in, int out)
{
    GradientCase c;
    c.name = cv::format("linear %dx%d->%d", rows, in, out);
    c.inputs["x"] = randomFloats(z(rows) * z(in), 12);
    c.inputs["w"] = randomFloats(z(out) * z(in), 13);
    c.inputs["b"] = randomFloats(z(out), 14);
    c.forward = [=](const Arrays& a) { return linearRef(wide(a.at("x")), wide(a.at("w")), wide(a.at("b")), rows, in, out); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dy) {
        const Inputs at(backend, a);
        const There dOut(backend, dy), dx(backend, z(rows) * z(in)), dw(backend, Floats(z(out) * z(in)));
        const There db(backend, Floats(z(out)));
        backend.linearBackwardInput(dOut, at("w"), dx, rows, in, out);
        backend.linearBackwardWeight(dOut, at("x"), dw, db, rows, in, out);
        return Arrays{{"x", dx.back()}, {"w", dw.back()}, {"b", db.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

GradientCase layerNormGradient(int rows, int dim)
{
    GradientCase c;
    c.name = cv::format("layerNorm %dx%d", rows, dim);
    c.inputs["x"] = randomFloats(z(rows) * z(dim), 15, 2);
    c.inputs["w"] = randomFloats(z(dim), 16);
    c.inputs["b"] = randomFloats(z(dim), 17);
    c.forward = [=](const Arrays& a) {
        return layerNormRef(wide(a.at("x")), wide(a.at("w")), wide(a.at("b")), 1e-6f, rows, dim);
    };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dy) {
        const Inputs at(backend, a);
        const There dOut(backend, dy), y(backend, dy.size()), mean(backend, z(rows)), rstd(backend, z(rows));
        const There dx(backend, Floats(dy.size())), dw(backend, Floats(z(dim))), db(backend, Floats(z(dim)));
        backend.layerNorm(at("x"), at("w"), at("b"), 1e-6f, y, rows, dim, mean, rstd);
        backend.layerNormBackward(dOut, at("x"), at("w"), mean, rstd, dx, dw, db, rows, dim);
        return Arrays{{"x", dx.back()}, {"w", dw.back()}, {"b", db.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

GradientCase geluGradient()
{
    GradientCase c;
    c.name = "gelu";
    c.inputs["x"] = randomFloats(333, 18, 2);
    c.forward = [](const Arrays& a) {
        Doubles y = wide(a.at("x"));
        for (double& v : y)
            v = geluRef(v);
        return y;
    };
    c.backward = [](const Backend& backend, const Arrays& a, const Floats& dy) {
        const There x(backend, a.at("x")), dOut(backend, dy), dx(backend, dy.size());
        backend.geluBackward(x, dOut, dx, dy.size());
        return Arrays{{"x", dx.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

GradientCase attentionGradient(int batch, int tokens, int dim, int heads)
{
    GradientCase c;
    c.name = cv::format("attention batch %d tokens %d dim %d heads %d", batch, tokens, dim, heads);
    c.inputs["qkv"] = randomFloats(z(batch) * z(tokens) * 3 * z(dim), 19);
    c.forward = [=](const Arrays& a) {
        Doubles out, probabilities;
        attentionRef(wide(a.at("qkv")), {}, batch, tokens, dim, heads, 1, out, probabilities);
        return out;
    };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        const There qkv(backend, a.at("qkv")), d(backend, dOut), out(backend, dOut.size()), dQkv(backend, a.at("qkv").size());
        const There kept(backend, z(batch) * z(heads) * z(tokens) * z(backend.probabilityStride(tokens)));
        backend.attention(qkv, nullptr, out, kept, batch, tokens, dim, heads);
        backend.attentionBackward(qkv, out, kept, d, dQkv, batch, tokens, dim, heads);
        return Arrays{{"qkv", dQkv.back()}};
    };
    c.tolerance = 2e-4;
    return c;
}

}  // namespace

std::vector<OpCase> opCases()
{
    // Sizes that are multiples of nothing stand beside those of real models.
    return {linearCase(1, 1, 1, true, Epilogue::Store), linearCase(37, 19, 53, true, Epilogue::Store),
            linearCase(197, 192, 576, true, Epilogue::Store), linearCase(61, 129, 33, true, Epilogue::Add),
            linearCase(61, 129, 33, false, Epilogue::Add), linearCase(5, 768, 7, false, Epilogue::Store),
            layerNormCase(1, 1, 0), layerNormCase(7, 5, 0), layerNormCase(197, 192, 0), layerNormCase(33, 129, 100),
            layerNormCase(1000, 48, 0), geluCase(), normLinearCase(1, 4, 3), normLinearCase(31, 19, 53),
            normLinearCase(197, 192, 576), normLinearCase(401, 33, 70), finishBlockCase(1, 4, 5),
            finishBlockCase(29, 36, 131), finishBlockCase(197, 192, 768), finishBlockCase(300, 48, 96),
            runBlocksCase(2, 1, 197, 48, 3, 96, {}, 197), runBlocksCase(2, 1, 197, 48, 3, 96, {}, 1),
            runBlocksCase(3, 5, 37, 20, 5, 70, {-1, 3, 36, 20, 19}, 18), runBlocksCase(1, 2, 20, 16, 1, 33, {}, 20),
            runBlocksCase(1, 1, 1, 4, 1, 8, {}, 1), runBlocksCase(2, 5, 37, 20, 5, 70, {-1, 3, 36, 20, 19}, 18, 5),
            runBlocksCase(3, 6, 21, 24, 2, 33, {-1, 20, 4, -1, 9, 0}, 21, 3), metricCase(1, 1, 1, 4, 3, false, false),
            metricCase(1, 7, 31, 20, 27, true, false), metricCase(2, 3, 177, 64, 192, true, true),
            metricCase(3, 2, 300, 33, 48, false, true),
            attentionCase(1, 1, 4, 1, {}, 1, 1), attentionCase(2, 20, 48, 3, {}, 1, 1),
            attentionCase(2, 197, 64, 2, {}, 1, 2), attentionCase(3, 50, 24, 3, {0, -1, 49}, 1, 1),
            attentionCase(6, 37, 32, 4, {-1, 1, 2, 36, 17, 5}, 6, 1), attentionCase(1, 257, 80, 1, {16}, 1, 1),
            attentionCase(1, 33, 34, 2, {}, 1, 6),   // large scores: the softmax is nearly one-hot
            differenceCase(1, 1, false, false), differenceCase(7, 192, false, false), differenceCase(7, 192, true, false),
            differenceCase(5, 1237, true, true), differenceCase(3, 768, false, true)};
}

std::vector<GradientCase> gradientCases()
{
    return {linearGradient(1, 3, 2), linearGradient(23, 17, 11), linearGradient(150, 5, 9), layerNormGradient(3, 5),
            layerNormGradient(9, 48), layerNormGradient(130, 7), geluGradient(), attentionGradient(1, 3, 2, 1),
            attentionGradient(2, 19, 12, 3), attentionGradient(1, 33, 10, 2)};
}

}  // namespace opcases
