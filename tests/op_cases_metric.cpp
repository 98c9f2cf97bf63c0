// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

#include <cstring>

namespace opcases
{
namespace
{

/// storeAnchor() of the anchors, then differencesFromReference() with `each` items per anchor.
OpCase metricCase(int anchors, int each, int rows, int in, int out, bool scaled, bool squared)
{
    OpCase c;
    c.name = cv::format("metric %d anchors with %d items of %dx%d->%d%s%s", anchors, each, rows, in, out,
                        scaled ? " scaled" : "", squared ? " squared" : "");
    const int between = 5;   // rows of an item that must be ignored
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
        backend.storeAnchor(norm, linear, at("anchor"), stride, anchors, rows, reference);
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

OpCase squaredLossCase(size_t count)
{
    OpCase c;
    c.name = cv::format("squaredLoss %zu", count);
    c.inputs["a"] = randomFloats(count, 9);
    c.inputs["b"] = randomFloats(count, 10);
    c.run = [=](const Backend& backend, const Arrays& a) {
        const Inputs at(backend, a);
        const There gradient(backend, count), loss(backend, size_t(2));   // the size of a double
        backend.squaredLoss(at("a"), at("b"), count, gradient, reinterpret_cast<double*>(static_cast<float*>(loss)));
        const Floats bytes = loss.back();
        double value;
        std::memcpy(&value, bytes.data(), sizeof(value));
        return Arrays{{"loss", Floats(1, static_cast<float>(value))}, {"gradient", gradient.back()}};
    };
    c.reference = [=](const Arrays& a) {
        double total = 0;
        Doubles gradient;
        for (size_t i = 0; i < count; ++i)
        {
            const double d = static_cast<double>(a.at("a")[i]) - a.at("b")[i];
            total += d * d / static_cast<double>(count);
            gradient.push_back(2 * d / static_cast<double>(count));
        }
        return Arrays{{"loss", Floats(1, static_cast<float>(total))}, {"gradient", narrow(gradient)}};
    };
    c.absolute = 1e-7;
    c.relative = 1e-6;
    return c;
}

}  // namespace

std::vector<OpCase> metricCases()
{
    return {metricCase(1, 1, 1, 4, 3, false, false), metricCase(1, 7, 31, 20, 27, true, false),
            metricCase(2, 3, 177, 64, 192, true, true), metricCase(3, 2, 300, 33, 48, false, true),
            squaredLossCase(1), squaredLossCase(1344), squaredLossCase(6185)};
}

}  // namespace opcases
