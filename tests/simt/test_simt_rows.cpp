// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Norms, activations and sums over rows, in every element type.

#include "typed.hpp"
#include "ops/ops.hpp"

using namespace simttest;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_rows)

namespace
{

const cv::ltrp::ops::Backend& cpu() { return cv::ltrp::ops::cpu(); }

}  // namespace

BOOST_AUTO_TEST_CASE(layer_norm_equals_the_cpu)
{
    const int dims[] = {1, 5, 48, 129, 250, 256, 300, 384, 511, 512, 700, 768, 1000, 1024, 1500};
    for (const int dim : dims)
        for (const DataType element : everyElement)
        {
            const size_t items = 3, rows = 7, between = 2, count = items * rows * z(dim),
                         stride = (rows + between) * z(dim);
            const Floats x = randomFloats(items * stride, 1, 3), w = randomFloats(z(dim), 2),
                         b = randomFloats(z(dim), 3);
            Floats dense, want(count), mean(items * rows), rstd(items * rows);
            for (size_t i = 0; i < count; ++i)
                dense.push_back(x[i / (rows * z(dim)) * stride + i % (rows * z(dim))]);
            cpu().layerNorm(dense.data(), w.data(), b.data(), 1e-6f, want.data(), static_cast<int>(items * rows), dim,
                            mean.data(), rstd.data());
            const Buffer<float> dx(x, "x"), dw(w, "weight"), db(b, "bias");
            const Floats got = inEveryOrder([&] {
                const Buffer<float> dm(items * rows, "mean"), dr(items * rows, "rstd");
                const Typed y(count, element, "y");
                kernels::layerNorm(nullptr, {dx, stride, dw, db, 1e-6f, y, dm, dr, items, rows, dim});
                Floats all = y.values();
                for (const Buffer<float>* more : {&dm, &dr})
                    append(all, more->values());
                return all;
            });
            append(want, mean);
            append(want, rstd);
            const double loose = dim == 1 ? 2e-3 : 1e-5;   // for one value the result is only rounding times 1000
            checkNear(got, want, loose, stepOf(element) + 1e-5,
                      cv::format("layerNorm %s dim %d", nameOf(element), dim));
        }
}

BOOST_AUTO_TEST_CASE(layer_norm_may_write_over_its_input)
{
    const int rows = 5, dim = 37;
    const Floats x = randomFloats(z(rows * dim), 1), w = randomFloats(z(dim), 2), b = randomFloats(z(dim), 3);
    Floats want(x.size());
    cpu().layerNorm(x.data(), w.data(), b.data(), 1e-6f, want.data(), rows, dim);
    const Buffer<float> dx(x, "x"), dw(w, "weight"), db(b, "bias");
    kernels::layerNorm(nullptr, {dx, x.size(), dw, db, 1e-6f, dx.get(), nullptr, nullptr, 1, z(rows), dim});
    checkNear(dx.values(), want, 1e-5, 1e-5, "in place");
}

BOOST_AUTO_TEST_CASE(norm_differences_equal_the_cpu)
{
    for (const int dim : {20, 128, 515})
    {
        const size_t items = 6, perReference = 3, rows = 5, stride = (rows + 3) * z(dim), each = rows * z(dim);
        const Floats x = randomFloats(items * stride, 1, 2), w = randomFloats(z(dim), 2), b = randomFloats(z(dim), 3);
        const Floats reference = randomFloats(items / perReference * each, 4);
        Floats want(items * each);
        for (size_t i = 0; i < items; ++i)
        {
            cpu().layerNorm(x.data() + i * stride, w.data(), b.data(), 1e-6f, want.data() + i * each,
                            static_cast<int>(rows), dim);
            for (size_t k = 0; k < each; ++k)
                want[i * each + k] -= reference[i / perReference * each + k];
        }
        const Buffer<float> dx(x, "x"), dw(w, "weight"), db(b, "bias"), dr(reference, "reference");
        const Typed y(want.size(), DataType::BFloat16, "y");
        kernels::normDifference(nullptr, {dx, stride, dr, dw, db, 1e-6f, y, items, perReference, rows, dim});
        checkNear(y.values(), want, 1e-5, 4e-3, cv::format("normDifference dim %d", dim));
    }
}

BOOST_AUTO_TEST_CASE(layer_norm_backward_equals_the_cpu)
{
    for (const int dim : {1, 7, 200, 384, 500, 768, 1000, 1300})
        for (const size_t rows : {size_t(1), size_t(53)})
        {
            const DataType element = rows == 1 ? DataType::Float32 : DataType::BFloat16;
            const Floats x = rounded(randomFloats(rows * z(dim), 1), element),
                         dy = rounded(randomFloats(rows * z(dim), 2), element);
            const Floats w = randomFloats(z(dim), 3), b(z(dim), 0.f), dx = randomFloats(rows * z(dim), 4),
                         dw = randomFloats(z(dim), 5);
            const Floats db = randomFloats(z(dim), 6);
            Floats y(x.size()), mean(rows), rstd(rows), wantX = dx, wantW = dw, wantB = db;
            cpu().layerNorm(x.data(), w.data(), b.data(), 0.01f, y.data(), static_cast<int>(rows), dim, mean.data(),
                            rstd.data());
            cpu().layerNormBackward(dy.data(), x.data(), w.data(), mean.data(), rstd.data(), wantX.data(), wantW.data(),
                                    wantB.data(), static_cast<int>(rows), dim);
            const Typed gx(x, element, "x"), gdy(dy, element, "dy");
            const Buffer<float> gw(w, "weight"), gm(mean, "mean"), gr(rstd, "rstd");
            const Floats got = inEveryOrder([&] {
                const Buffer<float> gdx(dx, "dx"), gdw(dw, "dWeight"), gdb(db, "dBias");
                const Buffer<uint8_t> scratch(kernels::layerNormBackwardScratch(rows, dim), "scratch");
                kernels::layerNormBackward(nullptr, gdy, gx, gw, gm, gr, gdx, gdw, gdb, rows, dim, scratch.get());
                Floats all = gdx.values();
                append(all, gdw.values());
                append(all, gdb.values());
                return all;
            });
            Floats want = wantX;
            append(want, wantW);
            append(want, wantB);
            checkNear(got, want, 2e-5, 2e-5, cv::format("layerNormBackward %zux%d", rows, dim));
        }
}

BOOST_AUTO_TEST_CASE(column_sums_equal_plain_sums)
{
    for (const DataType element : everyElement)
        for (const int columns : {1, 5, 197, 300})
        {
            const size_t rows = 71;
            const Floats x = rounded(randomFloats(rows * z(columns), 1, 3), element),
                         before = randomFloats(z(columns), 2);
            std::vector<double> sums(before.begin(), before.end());
            for (size_t i = 0; i < x.size(); ++i)
                sums[i % z(columns)] += x[i];
            const Typed dx(x, element, "x");
            const Floats got = inEveryOrder([&] {
                const Buffer<float> to(before, "sums");
                const Buffer<uint8_t> scratch(kernels::columnSumsScratch(rows, columns), "scratch");
                kernels::columnSums(nullptr, dx, to, rows, columns, scratch.get());
                return to.values();
            });
            checkNear(got, sums, 1e-4, 1e-5, std::string("columnSums ") + nameOf(element));
        }
}

BOOST_AUTO_TEST_CASE(activations_equal_the_cpu)
{
    for (const DataType element : everyElement)
        for (const int columns : {3, 64, 129})
        {
            const size_t rows = 11, count = rows * z(columns);
            const Floats x = rounded(randomFloats(count, 1, 2), element), bias = randomFloats(z(columns), 2);
            const Floats dy = rounded(randomFloats(count, 3), element);
            Floats sum = x, want(count), slope(count);
            for (size_t i = 0; i < count; ++i)
                sum[i] += bias[i % z(columns)];
            cpu().gelu(sum.data(), want.data(), count);
            const Typed dx(x, element, "x"), y(count, element, "y"), before(count, element, "before"),
                ddy(dy, element, "dy");
            const Buffer<float> dbias(bias, "bias");
            kernels::gelu(nullptr, dx, dbias, before, y, rows, columns);
            const double absolute = element == DataType::Float32 ? 2e-7 : 1.3e-4;
            checkNear(before.values(), sum, 1e-7, stepOf(element), "before gelu");
            checkNear(y.values(), want, absolute, stepOf(element) + 1e-6, std::string("gelu ") + nameOf(element));
            const Floats kept = before.values();
            cpu().geluBackward(kept.data(), dy.data(), slope.data(), count);
            kernels::geluBackward(nullptr, before, ddy, ddy, count);
            checkNear(ddy.values(), slope, 1e-6, stepOf(element) + 2e-6,
                      std::string("geluBackward ") + nameOf(element));
        }
}

BOOST_AUTO_TEST_CASE(casts_round_to_the_nearest_and_copies_copy)
{
    Floats x = randomFloats(1003, 1, 1000);
    for (const float special :
         {0.f, -0.f, INFINITY, -INFINITY, 65504.f, 65519.f, 65520.f, 1e-7f, 5.9e-8f, 6.1e-5f, 1e-40f})
        x.push_back(special);
    const Buffer<float> dx(x, "x");
    for (const DataType element : everyElement)
    {
        const Typed y(x.size(), element, "y");
        kernels::cast(nullptr, dx.get(), y, x.size());
        BOOST_TEST(y.values() == rounded(x, element), boost::test_tools::per_element());
        const Buffer<float> back(x.size(), "back");
        kernels::cast(nullptr, kernels::Input(y.data(), element), back.get(), x.size());
        BOOST_TEST(back.values() == rounded(x, element), boost::test_tools::per_element());
    }
    kernels::cast(nullptr, dx.get(), dx.get(), 0);
    const Buffer<float> many(3 * 5 * 7, "y"), few(randomFloats(3 * 7, 3), "x");
    kernels::repeatItems(nullptr, few, many, 3, 5, 7);
    for (size_t i = 0; i < 3 * 5 * 7; ++i)
        BOOST_REQUIRE_EQUAL(many.values()[i], few.values()[i / 35 * 7 + i % 7]);
}

BOOST_AUTO_TEST_SUITE_END()
