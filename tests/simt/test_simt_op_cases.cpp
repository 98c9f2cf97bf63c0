// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The list of tests/op_cases.cpp on the emulated kernels, as far as they reach: what is not theirs (matrix products) is
// left to the CPU.

#include "typed.hpp"
#include "op_cases.hpp"
#include "ops/cpu/backend.hpp"

using namespace simttest;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_op_cases)

namespace
{

/// The operations of the list through the kernels, each on arrays of its own.
class KernelBackend : public cv::ltrp::ops::CpuBackend
{
public:
    void layerNorm(const float* x, const float* w, const float* b, float eps, float* y, int rows, int dim, float* mean,
                   float* rstd) const override
    {
        const size_t count = z(rows) * z(dim);
        const Buffer<float> dx(Floats(x, x + count), "x"), dw(Floats(w, w + dim), "weight"),
            db(Floats(b, b + dim), "bias");
        const Buffer<float> dy(count, "y"), dm(z(rows), "mean"), dr(z(rows), "rstd");
        kernels::layerNorm(nullptr,
                           {dx, count, kernels::Input(nullptr), nullptr, dw, db, eps, kernels::Output(dy.get()),
                            mean ? dm.get() : nullptr, rstd ? dr.get() : nullptr, 1, z(rows), dim});
        give(dy, y);
        if (mean)
            give(dm, mean);
        if (rstd)
            give(dr, rstd);
    }

    void layerNormBackward(const float* dy, const float* x, const float* w, const float* mean, const float* rstd,
                           float* dx, float* dw, float* db, int rows, int dim) const override
    {
        const size_t count = z(rows) * z(dim);
        const Buffer<float> ddy(Floats(dy, dy + count), "dy"), ddx(Floats(dx, dx + count), "dx"),
            x0(Floats(x, x + count), "x");
        const Buffer<float> weight(Floats(w, w + dim), "weight"), dm(Floats(mean, mean + rows), "mean"),
            dr(Floats(rstd, rstd + rows), "rstd");
        const Buffer<float> ddw(Floats(dw, dw + dim), "dWeight"), ddb(Floats(db, db + dim), "dBias");
        const Buffer<uint8_t> scratch(kernels::layerNormBackwardScratch(z(rows), dim), "scratch");
        kernels::layerNormBackward(nullptr, ddy.get(), x0.get(), weight, dm, dr, ddx, ddw, ddb, z(rows), dim,
                                   scratch.get());
        give(ddx, dx);
        give(ddw, dw);
        give(ddb, db);
    }

    void gelu(const float* x, float* y, size_t count) const override
    {
        const Buffer<float> dx(Floats(x, x + count), "x"), dy(count, "y");
        kernels::gelu(nullptr, dx.get(), nullptr, kernels::Output(nullptr), dy.get(), 1, static_cast<int>(count));
        give(dy, y);
    }

    void geluBackward(const float* x, const float* dy, float* dx, size_t count) const override
    {
        const Buffer<float> before(Floats(x, x + count), "before"), d(Floats(dy, dy + count), "dy"), to(count, "dx");
        kernels::geluBackward(nullptr, before.get(), d.get(), to.get(), count);
        give(to, dx);
    }

    int probabilityStride(int tokens) const override { return tokens; }

    /// The kernels keep the logarithm of a row's sum; the weights that the list asks for follow from it.
    void attention(const float* qkv, const int* flagged, float* out, float* probabilities, int batch, int tokens,
                   int dim, int heads, int sharedBy) const override
    {
        const size_t count = z(batch / sharedBy) * z(tokens) * 3 * z(dim);
        const Buffer<float> dq(Floats(qkv, qkv + count), "qkv"), to(z(batch) * z(tokens) * z(dim), "out");
        const Buffer<float> sums(z(batch) * z(heads) * z(tokens), "logSumExp");
        const Buffer<int> flags(flagged ? std::vector<int>(flagged, flagged + batch) : std::vector<int>(), "flagged");
        kernels::attention(nullptr,
                           {dq.get(), to.get(), flagged ? flags.get() : nullptr, probabilities ? sums.get() : nullptr,
                            batch, tokens, tokens, dim, heads, sharedBy});
        give(to, out);
        if (!probabilities)
            return;
        const Floats logs = sums.values();
        const int width = dim / heads;
        for (size_t row = 0; row < logs.size(); ++row)
        {
            const size_t b = row / z(tokens) / z(heads), h = row / z(tokens) % z(heads), i = row % z(tokens);
            const float* base = qkv + b / z(sharedBy) * z(tokens) * 3 * z(dim) + h * z(width);
            const int flag = flagged ? flagged[b] : -1;
            for (int j = 0; j < tokens; ++j)
            {
                double s = 0;
                for (int c = 0; c < width; ++c)
                    s += static_cast<double>(base[i * 3 * z(dim) + z(c)]) * base[z(j) * 3 * z(dim) + z(dim + c)];
                probabilities[row * z(tokens) + z(j)] = j == flag || static_cast<int>(i) == flag ? 0.f
                    : static_cast<float>(std::exp(s / std::sqrt(static_cast<double>(width)) - logs[row]));
            }
        }
    }

    void attentionBackward(const float* qkv, const float*, const float* dOut, float* dQkv, int batch, int tokens,
                           int dim, int heads) const override
    {
        const size_t rows = z(batch) * z(tokens), count = rows * z(dim);
        const Buffer<float> dq(Floats(qkv, qkv + 3 * count), "qkv"), d(Floats(dOut, dOut + count), "dOut"),
            out(count, "out");
        const Buffer<float> sums(rows * z(heads), "logSumExp"), to(3 * count, "dQkv");
        const Buffer<uint8_t> scratch(kernels::attentionBackwardScratch(batch, tokens, dim, heads), "scratch");
        kernels::attention(nullptr, {dq.get(), out.get(), nullptr, sums, batch, tokens, tokens, dim, heads, 1});
        kernels::attentionBackward(nullptr, {dq.get(), out.get(), d.get(), sums, to.get(), batch, tokens, dim, heads},
                                   scratch.get());
        give(to, dQkv);
    }

    double meanDifference(const float* a, const float* b, size_t count, const float* scale, size_t perScale,
                          bool squared) const override
    {
        const Buffer<float> da(Floats(a, a + count), "a"), db(Floats(b, b + count), "b");
        const Buffer<float> ds(scale ? Floats(scale, scale + count / perScale) : Floats(), "scale");
        const Buffer<double> mean(1, "mean");
        const Buffer<uint8_t> scratch(kernels::meanDifferenceScratch(count), "scratch");
        kernels::meanDifference(nullptr, da.get(), db.get(), count, scale ? ds.get() : nullptr,
                                scale ? perScale : count, squared, mean, scratch.get());
        return mean.values()[0];
    }

private:
    template <class T>
    static void give(const Buffer<T>& from, T* to)
    {
        simt::download(to, from.get(), from.size() * sizeof(T));
    }
};

/// The others are matrix products, or made of some.
bool byKernels(const std::string& name)
{
    for (const char* kernel : {"layerNorm", "gelu", "attention", "meanDifference"})
        if (name.compare(0, std::string(kernel).size(), kernel) == 0)
            return true;
    return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_operation_equals_its_plain_reference)
{
    const KernelBackend backend;
    int cases = 0;
    for (const opcases::OpCase& c : opcases::opCases())
    {
        if (!byKernels(c.name))
            continue;
        ++cases;
        simt::setSchedule({true, c.inputs.size()});
        const opcases::Arrays got = c.run(backend, c.inputs), want = c.reference(c.inputs);
        simt::setSchedule({});
        BOOST_REQUIRE_EQUAL(got.size(), want.size());
        for (const auto& array : want)
            checkNear(got.at(array.first), array.second, c.absolute, c.relative, c.name + ", " + array.first);
    }
    BOOST_TEST(cases >= 17);
}

BOOST_AUTO_TEST_CASE(every_backward_operation_equals_differences_of_the_forward_one)
{
    const KernelBackend backend;
    for (const opcases::GradientCase& c : opcases::gradientCases())
    {
        if (!byKernels(c.name))
            continue;
        const Floats dOut = randomFloats(c.forward(c.inputs).size(), 5);
        const auto objective = [&](const opcases::Arrays& inputs) {
            const std::vector<double> y = c.forward(inputs);
            double total = 0;
            for (size_t i = 0; i < y.size(); ++i)
                total += y[i] * dOut[i];
            return total;
        };
        for (const auto& gradient : c.backward(backend, c.inputs, dOut))
        {
            double largest = 0, worst = 0;
            const size_t step = 1 + gradient.second.size() / 60;
            for (size_t i = 0; i < gradient.second.size(); i += step)
            {
                opcases::Arrays moved = c.inputs;
                float& value = moved[gradient.first][i];
                const float centre = value, h = 1.f / 1024;
                value = centre + h;
                const double above = value, high = objective(moved);
                value = centre - h;
                const double expected = (high - objective(moved)) / (above - value);
                largest = std::max(largest, std::fabs(expected));
                worst = std::max(worst, std::fabs(expected - gradient.second[i]));
            }
            BOOST_CHECK_MESSAGE(worst <= c.tolerance * std::max(1.0, largest),
                                "gradient of " << c.name << " by " << gradient.first << ": off by " << worst
                                               << ", largest " << largest);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
