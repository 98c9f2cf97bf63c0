// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

#include <algorithm>
#include <cstring>

namespace opcases
{
namespace
{

/// Items are `gap` floats apart; the first row of each is skipped.
struct Rows
{
    int items, n, dim, gap;

    size_t stride() const { return z(n + 1) * z(dim) + z(gap); }
    size_t total() const { return z(items) * stride(); }
};

Doubles meanRowsRef(const Doubles& x, const Rows& rows)
{
    Doubles mean(z(rows.items) * z(rows.dim));
    for (int i = 0; i < rows.items; ++i)
        for (int j = 1; j <= rows.n; ++j)
            for (int c = 0; c < rows.dim; ++c)
                mean[z(i) * z(rows.dim) + z(c)] += x[z(i) * rows.stride() + z(j) * z(rows.dim) + z(c)] / rows.n;
    return mean;
}

OpCase meanRowsCase(const Rows& rows)
{
    OpCase c;
    c.name = cv::format("meanRows %dx%dx%d", rows.items, rows.n, rows.dim);
    c.inputs["x"] = randomFloats(rows.total(), 40);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There mean(backend, z(rows.items) * z(rows.dim));
        backend.meanRows(at("x"), rows.stride(), 1, mean, rows.items, rows.n, rows.dim);
        return Arrays{{"mean", mean.back()}};
    };
    c.reference = [=](const Arrays& a) { return Arrays{{"mean", narrow(meanRowsRef(wide(a.at("x")), rows))}}; };
    c.absolute = 1e-6;
    c.relative = 1e-6;
    return c;
}

GradientCase meanRowsGradient(const Rows& rows)
{
    GradientCase c;
    c.name = cv::format("meanRows %dx%dx%d", rows.items, rows.n, rows.dim);
    c.inputs["x"] = randomFloats(rows.total(), 41);
    c.forward = [=](const Arrays& a) { return meanRowsRef(wide(a.at("x")), rows); };
    c.backward = [=](const Backend& backend, const Arrays&, const Floats& dOut) {
        const There d(backend, dOut), dx(backend, Floats(rows.total()));   // rows that are not read have no gradient
        backend.meanRowsBackward(d, dx, rows.stride(), 1, rows.items, rows.n, rows.dim);
        return Arrays{{"x", dx.back()}};
    };
    c.tolerance = 1e-4;
    return c;
}

std::vector<int> labelsFor(int batch, int classes)
{
    std::vector<int> labels;
    for (int i = 0; i < batch; ++i)
        labels.push_back((7 * i + classes - 1) % classes);
    return labels;
}

double crossEntropyRef(const Doubles& logits, int batch, int classes, double smoothing, Doubles* gradient = nullptr)
{
    const std::vector<int> labels = labelsFor(batch, classes);
    double total = 0;
    for (int i = 0; i < batch; ++i)
    {
        const double* row = logits.data() + z(i) * z(classes);
        const double largest = *std::max_element(row, row + classes);
        double sum = 0;
        for (int c = 0; c < classes; ++c)
            sum += std::exp(row[c] - largest);
        for (int c = 0; c < classes; ++c)
        {
            const double target = smoothing / classes + (c == labels[z(i)] ? 1 - smoothing : 0);
            const double logShare = row[c] - largest - std::log(sum);
            total -= target * logShare / batch;
            if (gradient)
                gradient->push_back((std::exp(logShare) - target) / batch);
        }
    }
    return total;
}

/// The loss, and the gradient, which overwrites the logits.
Arrays runCrossEntropy(const Backend& backend, const Floats& logits, int batch, int classes, float smoothing, float scale)
{
    const There x(backend, logits), labels(backend, labelsFor(batch, classes)), loss(backend, size_t(2));   // a double
    backend.crossEntropy({x, labels.ints(), batch, classes, smoothing, scale, x,
                          reinterpret_cast<double*>(static_cast<float*>(loss))});
    const Floats bytes = loss.back();
    double value;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return {{"loss", Floats(1, static_cast<float>(value))}, {"gradient", x.back()}};
}

/// scale: of the logits; large ones would overflow an exponential.
OpCase crossEntropyCase(int batch, int classes, float smoothing, double scale)
{
    OpCase c;
    c.name = cv::format("crossEntropy %dx%d smoothing %g logits of %g", batch, classes, smoothing, scale);
    c.inputs["logits"] = randomFloats(z(batch) * z(classes), 42, scale);
    c.run = [=](const Backend& backend, const Arrays& a) { return runCrossEntropy(backend, a.at("logits"), batch, classes, smoothing, 1); };
    c.reference = [=](const Arrays& a) {
        Doubles gradient;
        const double loss = crossEntropyRef(wide(a.at("logits")), batch, classes, smoothing, &gradient);
        return Arrays{{"loss", Floats(1, static_cast<float>(loss))}, {"gradient", narrow(gradient)}};
    };
    c.absolute = 1e-6;
    c.relative = 2e-6;
    return c;
}

GradientCase crossEntropyGradient(int batch, int classes, float smoothing)
{
    GradientCase c;
    c.name = cv::format("crossEntropy %dx%d smoothing %g", batch, classes, smoothing);
    c.inputs["logits"] = randomFloats(z(batch) * z(classes), 43, 2);
    c.forward = [=](const Arrays& a) { return Doubles(1, crossEntropyRef(wide(a.at("logits")), batch, classes, smoothing)); };
    c.backward = [=](const Backend& backend, const Arrays& a, const Floats& dOut) {
        return Arrays{{"logits", runCrossEntropy(backend, a.at("logits"), batch, classes, smoothing, dOut[0]).at("gradient")}};
    };
    c.tolerance = 1e-5;
    return c;
}

}  // namespace

std::vector<OpCase> classifyCases()
{
    return {meanRowsCase({1, 1, 3, 0}), meanRowsCase({3, 49, 33, 5}), meanRowsCase({2, 5, 192, 0}),
            crossEntropyCase(1, 2, 0, 1), crossEntropyCase(5, 101, 0.1f, 3), crossEntropyCase(3, 300, 0.f, 200)};
}

std::vector<GradientCase> classifyGradients()
{
    return {meanRowsGradient({2, 7, 5, 3}), crossEntropyGradient(1, 2, 0.f), crossEntropyGradient(4, 11, 0.1f)};
}

}  // namespace opcases
