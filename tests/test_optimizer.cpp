// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "core/random.hpp"
#include "train/optimizer.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <limits>

using namespace cv;
using namespace cv::ltrp;
using namespace cv::ltrp::train;

namespace
{

/// A matrix that spans several blocks of the vectorised loop and several parts of the parallel one, a bias, a token, a
/// frozen table.
vit::ParamLayout mixedLayout()
{
    vit::ParamLayout layout;
    layout.add("weight", {301, 443});
    layout.add("bias", {37});
    layout.add("token", {1, 1, 9});
    layout.add("table", {5, 7}, false);
    layout.add("last", {3, 1025});
    return layout;
}

void fill(vit::ParamArena& arena, uint64_t seed, double scale)
{
    RandomStream random(seed, RandomPurpose::Init);
    for (const vit::ParamInfo& info : arena.layout.tensors())
        for (size_t i = 0; i < info.count; i++)
            arena.data()[info.offset + i] = static_cast<float>(random.normal() * scale);
}

AdamWParams options(int step)
{
    AdamWParams o;
    o.learningRate = 0.01 / step;
    o.weightDecay = 0.3;
    return o;
}

vit::ParamArena runSteps(int steps, AdamW* kept = nullptr)
{
    vit::ParamArena params(mixedLayout());
    fill(params, 1, 1);
    AdamW own(params.layout);
    AdamW& optimizer = kept ? *kept : own;
    for (int step = 1; step <= steps; step++)
    {
        vit::ParamArena grads(params.layout);
        fill(grads, 100 + step, std::pow(10.0, step - 3));
        optimizer.step(params, grads.data(), options(step));
    }
    return params;
}

bool sameBytes(const Mat& a, const Mat& b)
{
    return a.total() == b.total() && std::memcmp(a.ptr(), b.ptr(), a.total() * a.elemSize()) == 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(optimizer)

BOOST_AUTO_TEST_CASE(steps_equal_the_formula)
{
    const int steps = 5;
    const vit::ParamLayout layout = mixedLayout();
    vit::ParamArena start(layout);
    fill(start, 1, 1);
    AdamW optimizer(layout);
    const vit::ParamArena got = runSteps(steps, &optimizer);
    BOOST_CHECK_EQUAL(optimizer.steps, steps);

    std::vector<vit::ParamArena> grads;
    for (int step = 1; step <= steps; step++)
    {
        grads.emplace_back(layout);
        fill(grads.back(), 100 + step, std::pow(10.0, step - 3));
    }
    for (const vit::ParamInfo& info : layout.tensors())
    {
        double error = 0, moved = 0;
        for (size_t i = info.offset; i < info.offset + info.count; i++)
        {
            double w = start.data()[i], m = 0, v = 0;
            for (int step = 1; step <= steps && info.name != "table"; step++)
            {
                const AdamWParams o = options(step);
                const double g = grads[step - 1].data()[i];
                m = o.beta1 * m + (1 - o.beta1) * g;
                v = o.beta2 * v + (1 - o.beta2) * g * g;
                if (info.name != "bias")
                    w -= o.learningRate * o.weightDecay * w;
                w -= o.learningRate * (m / (1 - std::pow(o.beta1, step))) /
                     (std::sqrt(v / (1 - std::pow(o.beta2, step))) + o.eps);
            }
            error = std::max(error, std::abs(got.data()[i] - w));
            moved = std::max(moved, std::abs(w - start.data()[i]));
        }
        BOOST_CHECK_MESSAGE(error < 1e-6, info.name << ": off by " << error);
        BOOST_CHECK_MESSAGE(info.trainable ? moved > 1e-3 : moved == 0, info.name << " moved by " << moved);
    }
}

BOOST_AUTO_TEST_CASE(padding_stays_zero)
{
    AdamW optimizer(mixedLayout());
    const vit::ParamArena params = runSteps(3, &optimizer);
    std::vector<bool> used(params.layout.total());
    for (const vit::ParamInfo& info : params.layout.tensors())
        std::fill_n(used.begin() + info.offset, info.count, true);
    size_t padding = 0;
    for (size_t i = 0; i < used.size(); i++)
        if (!used[i])
        {
            padding++;
            BOOST_REQUIRE_EQUAL(params.data()[i], 0.f);
            BOOST_REQUIRE_EQUAL(optimizer.m.ptr<float>()[i], 0.f);
            BOOST_REQUIRE_EQUAL(optimizer.v.ptr<float>()[i], 0.f);
        }
    BOOST_CHECK_GT(padding, 0u);
}

BOOST_AUTO_TEST_CASE(gradients_are_cleared_on_request_and_measured_alike_by_any_threads)
{
    vit::ParamArena params(mixedLayout()), grads(params.layout);
    fill(params, 1, 1);
    fill(grads, 2, 1);
    double squares = 0;
    for (size_t i = 0; i < grads.layout.total(); i++)
        squares += static_cast<double>(grads.data()[i]) * grads.data()[i];
    const int before = getNumThreads();
    setNumThreads(1);
    const double one = gradientNorm(grads.values);
    setNumThreads(3);
    BOOST_CHECK_EQUAL(gradientNorm(grads.values), one);
    setNumThreads(before);
    BOOST_CHECK_CLOSE(one, std::sqrt(squares), 1e-6);

    vit::ParamArena kept(params.layout), cleared(params.layout);
    params.values.copyTo(kept.values);
    params.values.copyTo(cleared.values);
    vit::ParamArena copy(params.layout);
    grads.values.copyTo(copy.values);
    AdamW(params.layout).step(kept, grads.data(), options(1));
    BOOST_CHECK(sameBytes(grads.values, copy.values));
    AdamW(params.layout).step(cleared, grads.data(), options(1), true);
    BOOST_CHECK(sameBytes(cleared.values, kept.values));
    for (const vit::ParamInfo& info : grads.layout.tensors())
        for (size_t i = 0; info.trainable && i < info.count; i++)
            BOOST_REQUIRE_EQUAL(grads.data()[info.offset + i], 0.f);
}

BOOST_AUTO_TEST_CASE(threads_do_not_change_a_bit)
{
    const int before = getNumThreads();
    setNumThreads(1);
    const vit::ParamArena one = runSteps(4);
    setNumThreads(3);
    const vit::ParamArena three = runSteps(4);
    setNumThreads(before);
    BOOST_CHECK(sameBytes(one.values, three.values));
}

BOOST_AUTO_TEST_CASE(state_restored_goes_on_the_same)
{
    const vit::ParamArena whole = runSteps(4);

    vit::ParamArena params(mixedLayout());
    fill(params, 1, 1);
    AdamW first(params.layout), second(params.layout);
    for (int step = 1; step <= 4; step++)
    {
        if (step == 3)
        {
            first.m.copyTo(second.m);
            first.v.copyTo(second.v);
            second.steps = first.steps;
        }
        vit::ParamArena grads(params.layout);
        fill(grads, 100 + step, std::pow(10.0, step - 3));
        (step < 3 ? first : second).step(params, grads.data(), options(step));
    }
    BOOST_CHECK(sameBytes(whole.values, params.values));
}

BOOST_AUTO_TEST_CASE(bad_state_and_options)
{
    vit::ParamArena params(mixedLayout()), grads(mixedLayout());
    fill(params, 1, 1);
    const Mat before = params.values.clone();
    vit::ParamLayout other;
    other.add("weight", {3, 4});
    AdamW wrong(other);
    BOOST_CHECK_THROW(wrong.step(params, grads.data(), AdamWParams()), cv::Exception);

    AdamW optimizer(params.layout);
    for (double rate : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    {
        AdamWParams o;
        o.learningRate = rate;
        BOOST_CHECK_THROW(optimizer.step(params, grads.data(), o), cv::Exception);
    }
    AdamWParams o;
    o.beta2 = 1;
    BOOST_CHECK_THROW(optimizer.step(params, grads.data(), o), cv::Exception);
    BOOST_CHECK_EQUAL(optimizer.steps, 0);
    BOOST_CHECK(sameBytes(before, params.values));
}

BOOST_AUTO_TEST_CASE(schedule)
{
    const double base = 2e-3, minimum = 1e-5;
    BOOST_CHECK_EQUAL(learningRate(base, minimum, 10, 100, 0), 0);
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 10, 100, 2.5), base / 4, 1e-10);
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 10, 100, 10), base, 1e-10);
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 10, 100, 55), (base + minimum) / 2, 1e-10);
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 10, 100, 100), minimum, 1e-10);
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 10, 100, 140), minimum, 1e-10);   // does not rise again
    for (int i = 0; i < 200; i++)   // rises to the warm-up's end, falls from there
    {
        const double epoch = i / 2.0, now = learningRate(base, minimum, 10, 100, epoch);
        const double next = learningRate(base, minimum, 10, 100, epoch + 0.5);
        BOOST_CHECK(epoch < 10 ? next > now : next < now);
    }
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 0, 100, 0), base, 1e-10);    // no warm-up
    BOOST_CHECK_CLOSE(learningRate(base, minimum, 5, 5, 5), minimum, 1e-10);   // only warm-up
}

BOOST_AUTO_TEST_SUITE_END()
