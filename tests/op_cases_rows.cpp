// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "op_cases_tools.hpp"

namespace opcases
{
namespace
{

using cv::ltrp::ops::Epilogue;

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

}  // namespace

std::vector<OpCase> rowCases()
{
    // Odd sizes in addition to those of real models, here and in the other groups.
    return {linearCase(1, 1, 1, true, Epilogue::Store), linearCase(37, 19, 53, true, Epilogue::Store),
            linearCase(197, 192, 576, true, Epilogue::Store), linearCase(61, 129, 33, true, Epilogue::Add),
            linearCase(61, 129, 33, false, Epilogue::Add), linearCase(5, 768, 7, false, Epilogue::Store),
            layerNormCase(1, 1, 0), layerNormCase(7, 5, 0), layerNormCase(197, 192, 0), layerNormCase(33, 129, 100),
            layerNormCase(1000, 48, 0), geluCase(), normLinearCase(1, 4, 3), normLinearCase(31, 19, 53),
            normLinearCase(197, 192, 576), normLinearCase(401, 33, 70)};
}

}  // namespace opcases
