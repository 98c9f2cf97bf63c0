// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

#include <algorithm>
#include <numeric>

namespace opcases
{
namespace
{

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

std::vector<GradientCase> gradientCases()
{
    std::vector<GradientCase> all = {
            linearGradient(1, 3, 2), linearGradient(23, 17, 11), linearGradient(150, 5, 9), layerNormGradient(3, 5),
            layerNormGradient(9, 48), layerNormGradient(130, 7), geluGradient(), attentionGradient(1, 3, 2, 1),
            attentionGradient(2, 19, 12, 3), attentionGradient(1, 33, 10, 2),
            attentionGradient(1, 2, 120, 1)};   // a GPU's shared memory: more than what a kernel has unasked
    for (const std::vector<GradientCase>& more : {classifyGradients(), headGradients(), listGradients()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

std::vector<GradientError> gradientErrors(const Backend& backend)
{
    std::vector<GradientError> errors;
    for (const GradientCase& c : gradientCases())
    {
        const Floats dOut = randomFloats(c.forward(c.inputs).size(), 7);
        const auto objective = [&](const Arrays& inputs) {
            const std::vector<double> y = c.forward(inputs);
            return std::inner_product(y.begin(), y.end(), dOut.begin(), 0.0);
        };
        for (const auto& gradient : c.backward(backend, c.inputs, dOut))
        {
            double largest = 0, worst = 0;
            const size_t step = 1 + gradient.second.size() / 60;
            for (size_t i = 0; i < gradient.second.size(); i += step)
            {
                Arrays moved = c.inputs;
                float& value = moved[gradient.first][i];
                const float centre = value, h = 1.f / 1024;
                value = centre + h;
                const double above = value, high = objective(moved);
                value = centre - h;
                const double expected = (high - objective(moved)) / (above - value);
                const double error = std::fabs(expected - gradient.second[i]);
                largest = std::max(largest, std::fabs(expected));
                if (!(error <= worst) && !std::isnan(worst))   // NaN is the worst and is kept
                    worst = error;
            }
            errors.push_back({c.name + " by " + gradient.first, worst, largest, c.tolerance * std::max(1.0, largest)});
        }
    }
    return errors;
}

}  // namespace opcases
