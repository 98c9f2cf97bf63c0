// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Leave-one-out's metric and the losses, against double arithmetic.

#include "typed.hpp"
#include "train/losses.hpp"

using namespace simttest;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_metric)

BOOST_AUTO_TEST_CASE(sums_over_products_equal_the_plain_sums)
{
    struct Shape
    {
        size_t items, perScale, rows;
        int in, out;
    };
    // Tiles are 128 x 128 or 64 x 64, 32 or 16 deep; if `in` is a multiple of 8, tensor cores are used.
    for (const Shape& s : {Shape{1, 1, 1, 3, 1}, Shape{3, 3, 37, 20, 27}, Shape{4, 2, 61, 48, 130},
                           Shape{2, 1, 130, 72, 65}, Shape{2, 2, 5, 8, 300}, Shape{1, 1, 129, 40, 129}})
        for (const DataType element : everyElement)
            for (const bool squared : {false, true})
                for (const bool scaled : {false, true})
                {
                    const size_t all = s.items * s.rows, in = z(s.in), out = z(s.out);
                    const Floats x = rounded(randomFloats(all * in, 1), element),
                                 w = rounded(randomFloats(out * in, 2), element);
                    const Floats scale = randomFloats(s.items / s.perScale * s.rows, 3);
                    std::vector<double> want(s.items, 0.0);
                    for (size_t r = 0; r < all; ++r)
                        for (size_t o = 0; o < out; ++o)
                        {
                            double y = 0;
                            for (size_t i = 0; i < in; ++i)
                                y += static_cast<double>(x[r * in + i]) * w[o * in + i];
                            if (scaled)
                                y *= scale[r / s.rows / s.perScale * s.rows + r % s.rows];
                            want[r / s.rows] += (squared ? y * y : std::fabs(y)) / 7.0;
                        }
                    const Typed dx(x, element, "x"), dw(w, element, "weight");
                    const Buffer<float> ds(scale, "scale");
                    const Floats got = inEveryOrder([&] {
                        const Buffer<float> means(s.items, "means");
                        const Buffer<uint8_t> scratch(kernels::productSumScratch(s.items, s.rows, s.in, s.out),
                                                      "scratch");
                        kernels::productSum(nullptr,
                                            {dx, dw, scaled ? ds.get() : nullptr, squared, 7.0, means, s.items,
                                             s.perScale, s.rows, s.in, s.out},
                                            scratch.get());
                        return means.values();
                    });
                    checkNear(
                        got, want, 1e-6, 2e-5,
                        cv::format("productSum %s %zux%zu %d->%d", nameOf(element), s.items, s.rows, s.in, s.out));
                }
}

BOOST_AUTO_TEST_CASE(the_squared_loss_equals_the_plain_sum)
{
    for (const size_t count : {size_t(1), size_t(30), size_t(30000), size_t(20001)})
        for (const DataType element : everyElement)
        {
            const Floats a = rounded(randomFloats(count, 1), element), b = randomFloats(count, 2);
            double squares = 0;
            Floats gradient;
            for (size_t i = 0; i < count; ++i)
            {
                const double d = static_cast<double>(a[i]) - b[i];
                squares += d * d / static_cast<double>(count);
                gradient.push_back(static_cast<float>(d * 2 / static_cast<double>(count)));
            }
            const Buffer<float> db(b, "b");
            const Buffer<uint8_t> scratch(kernels::squaredLossScratch(count), "scratch");
            const Floats got = inEveryOrder([&] {
                const Typed da(a, element, "a");
                const Buffer<double> mean(1, "mean");
                kernels::squaredLoss(nullptr, da, db, da, mean, count, scratch.get());   // overwrites the prediction
                BOOST_TEST(mean.values()[0] == squares, boost::test_tools::tolerance(1e-6));
                return da.values();
            });
            checkNear(got, gradient, element == DataType::Float16 ? 6e-8 : 1e-12, stepOf(element) + 1e-6,
                      "squaredLoss gradient");
        }
}

BOOST_AUTO_TEST_CASE(list_mle_equals_the_cpu)
{
    using cv::ltrp::train::RankLoss;
    struct List
    {
        int batch, patches, n, k;
        bool drawn;
        double scale;
    };
    for (const List& l : {List{1, 1, 1, 1, false, 1}, List{3, 40, 19, 19, false, 1}, List{2, 196, 19, 13, true, 1},
                          List{4, 30, 30, 30, true, 100}, List{2, 70, 50, 50, false, 30}})
    {
        const Floats scores = randomFloats(z(l.batch * l.patches), 1, l.scale);
        Floats target = randomFloats(z(l.batch * l.n), 2);
        cv::ltrp::RandomStream random(5, cv::ltrp::RandomPurpose::Loss);
        std::vector<int> keep, columns;
        Floats predictions;
        for (int b = 0; b < l.batch; ++b)
        {
            for (int i = 0; i < l.n; ++i)
            {
                keep.push_back(i * l.patches / l.n + (l.patches >= 2 * l.n ? b % 2 : 0));   // ascending, as masks are
                predictions.push_back(scores[z(b * l.patches + keep.back())]);
            }
            for (int i = 0; i < l.k; ++i)
                columns.push_back(random.below(l.n));   // some twice
            if (l.n > 3)
                target[z(b * l.n + 3)] = target[z(b * l.n)];   // equal targets keep the drawn order
        }
        Floats gradient(predictions.size()), want(scores.size(), 0.f);
        const double loss = cv::ltrp::train::rankLoss(RankLoss::ListMleK, predictions.data(), target.data(), l.batch,
                                                      l.n, l.drawn ? columns.data() : nullptr, l.k, gradient.data());
        for (size_t i = 0; i < gradient.size(); ++i)
            want[i / z(l.n) * z(l.patches) + z(keep[i])] = gradient[i];
        const Buffer<float> ds(scores, "scores"), dt(target, "target");
        const Buffer<int> dk(keep, "keep"), dc(columns, "columns");
        const Buffer<double> value(1, "loss");
        const Floats got = inEveryOrder([&] {
            const Buffer<float> d(scores.size(), "dScores");
            const Buffer<uint8_t> scratch(kernels::listMleScratch(l.batch, l.n, l.k), "scratch");
            kernels::listMle(nullptr,
                             {ds, dk, dt, l.drawn ? dc.get() : nullptr, value, d, l.batch, l.patches, l.n, l.k, 8.f},
                             scratch.get());
            Floats gradients = d.values();
            for (float& g : gradients)
                g /= 8;
            return gradients;
        });
        checkNear(got, want, 1e-7, 1e-6, cv::format("listMle %d of %d", l.k, l.n));
        BOOST_TEST(value.values()[0] == loss, boost::test_tools::tolerance(1e-9));
    }
}

BOOST_AUTO_TEST_CASE(a_list_that_is_not_finite_has_no_loss)
{
    for (const int at : {0, 2, 5})
        for (const float bad : {NAN, INFINITY, -INFINITY, 1.f})
        {
            // A non-finite target counts even if it is not drawn, because it indicates another error.
            Floats target = randomFloats(6, 2);
            target[z(at)] = bad;
            const Buffer<float> ds(randomFloats(8, 1), "scores"), dt(target, "target"), d(8, "dScores");
            const Buffer<int> keep(std::vector<int>{0, 1, 2, 4, 5, 7}, "keep"), columns(std::vector<int>{1, 4, 3}, "columns");
            const Buffer<double> value(1, "loss");
            const Buffer<uint8_t> scratch(kernels::listMleScratch(1, 6, 3), "scratch");
            kernels::listMle(nullptr, {ds, keep, dt, columns, value, d, 1, 8, 6, 3}, scratch.get());
            BOOST_TEST(std::isnan(value.values()[0]) == (bad != 1.f));
        }
    Floats scores = randomFloats(8, 1);
    scores[2] = NAN;
    const Buffer<float> ds(scores, "scores"), dt(randomFloats(6, 2), "target"), d(8, "dScores");
    const Buffer<int> keep(std::vector<int>{0, 1, 2, 4, 5, 7}, "keep");
    const Buffer<double> value(1, "loss");
    const Buffer<uint8_t> scratch(kernels::listMleScratch(1, 6, 6), "scratch");
    kernels::listMle(nullptr, {ds, keep, dt, nullptr, value, d, 1, 8, 6, 6}, scratch.get());
    BOOST_TEST(std::isnan(value.values()[0]));
}

BOOST_AUTO_TEST_SUITE_END()
