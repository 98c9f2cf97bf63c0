// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Tokens, patches, masks, augmentation and the optimizer, compared with the CPU's code.

#include "typed.hpp"
#include "image/preprocess.hpp"
#include "train/augment.hpp"
#include "train/optimizer.hpp"
#include "train/train_step.hpp"
#include "vit/patches.hpp"

#include <opencv2/core.hpp>

using namespace simttest;
using namespace cv::ltrp;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_training)

namespace
{

/// Random ascending places of an image, like masks.
std::vector<int> places(int batch, int visible, int all, uint32_t stream)
{
    std::vector<int> ids(z(batch * visible));
    for (int b = 0; b < batch; ++b)
    {
        const Floats noise = randomFloats(z(all), stream + static_cast<uint32_t>(b));
        vit::maskFromNoise(noise.data(), all, visible, ids.data() + b * visible);
    }
    return ids;
}

vit::InputConfig inputOf(int side, int patch)
{
    vit::InputConfig input;
    input.imageSize = side;
    input.patchSize = patch;
    return input;
}

cv::Mat noisyImage(cv::Size size, int seed)
{
    cv::Mat image(size, CV_8UC3);
    cv::RNG rng(static_cast<uint64_t>(seed));
    rng.fill(image, cv::RNG::UNIFORM, 0, 256);
    return image;
}

}  // namespace

void checkPatches(const cv::Size size)
{
    vit::InputConfig input = inputOf(20, 5);
    input.otherSize = size;
    const int patches = input.numPatches(), area = size.area();
    const int batch = 2, n = 7, values = input.patchValues();
    Floats pixels(z(batch) * 3 * z(area));
    for (int b = 0; b < batch; ++b)
        image::normalise(noisyImage(size, b + 1), input, pixels.data() + b * 3 * area);
    const std::vector<int> some = places(batch, n, patches, 1);
    const Buffer<float> planes(pixels, "planes");
    const Buffer<int> ids(some, "ids");
    for (const bool all : {false, true})
    {
        const int each = all ? patches : n;
        for (const bool last : {false, true})
            for (const DataType element : everyElement)
            {
                Floats want(z(batch * each * values));
                ops::cpu().patchify(vit::gridOf(input), pixels.data(), batch, all ? nullptr : some.data(), each,
                                    last ? ops::PatchOrder::ChannelLast : ops::PatchOrder::ChannelFirst, want.data());
                const Typed out(want.size(), element, "patches");
                kernels::patchify(nullptr, planes, all ? nullptr : ids.get(), last, out, batch, each, size.width, size.height, 5);
                BOOST_REQUIRE(out.values() == rounded(want, element));
            }
        Floats targets(z(batch * each * values)), deviation(z(batch * each));
        for (const bool normalised : {false, true})
        {
            ops::cpu().patchTargets(vit::gridOf(input), pixels.data(), batch, all ? nullptr : some.data(), each, normalised,
                                    targets.data(), deviation.data());
            const Buffer<float> out(targets.size(), "targets"), dd(deviation.size(), "deviation");
            kernels::patchTargets(nullptr, planes, all ? nullptr : ids.get(), normalised, out, dd, batch, each, size.width,
                                  size.height, 5);
            checkNear(out.values(), targets, 1e-6, 1e-6, "targets");
            checkNear(dd.values(), deviation, 1e-7, 1e-6, "deviation");
        }
    }
}

BOOST_AUTO_TEST_CASE(patches_equal_the_cpu_bit_for_bit)
{
    for (const cv::Size size : {cv::Size(20, 20), cv::Size(35, 10)})
        checkPatches(size);
}

BOOST_AUTO_TEST_CASE(tokens_stand_where_they_belong)
{
    for (const int dim : {5, 36, 520})
        for (const DataType element : everyElement)
        {
            const int batch = 3, visible = 4, all = 11, hidden = all - visible;
            const size_t d = z(dim);
            const std::vector<int> keep = places(batch, visible, all, 7);
            std::vector<int> removed(z(batch * hidden));
            ops::cpu().complement(keep.data(), removed.data(), batch, visible, all);
            const Buffer<int> dKeep(keep, "keep"), dRemoved(removed.size(), "removed");
            kernels::complementPatches(nullptr, dKeep, dRemoved, batch, visible, all);
            BOOST_TEST(dRemoved.values() == removed, boost::test_tools::per_element());

            const Floats positions = randomFloats(z(all + 1) * d, 1), cls = randomFloats(d, 2),
                         mask = randomFloats(d, 3);
            const Floats tokens = rounded(randomFloats(z(batch * visible) * d, 4), element);
            const Floats embedded = rounded(randomFloats(z(batch * (visible + 1)) * d, 5), element);
            const Buffer<float> dp(positions, "positions"), dc(cls, "classToken"), dm(mask, "maskToken");
            const Typed dt(tokens, element, "tokens"), de(embedded, element, "embedded");
            const auto place = [&](int b, int i) { return z(keep[z(b * visible + i)]); };

            const Buffer<float> x(z(batch * (visible + 1)) * d, "x");
            kernels::embedTokens(nullptr, dt, dc, dp, dKeep, x, batch, visible, dim);
            const Floats gotX = x.values();
            Buffer<float> natural(z(batch * (all + 1)) * d, "x"), ordered(natural.size(), "x");
            kernels::DecoderInputArgs args{de, dm, dp, dKeep, dRemoved, false, natural, batch, visible, all, dim};
            kernels::decoderInput(nullptr, args);
            args.maskedFirst = true;
            args.x = ordered;
            kernels::decoderInput(nullptr, args);
            const Floats gotNatural = natural.values(), gotOrdered = ordered.values();
            const Floats dx = randomFloats(natural.size(), 6), maskBefore = randomFloats(d, 8),
                         classBefore = randomFloats(d, 9);
            const Buffer<float> ddx(dx, "dx");
            const Typed dEmbedded(embedded.size(), element, "dEmbedded"),
                dTokens(z(batch * all) * d, element, "dTokens");
            const Floats sums = inEveryOrder([&] {
                const Buffer<float> dMask(maskBefore, "dMask"), dClass(classBefore, "dClass");
                const Buffer<uint8_t> scratch(kernels::decoderInputBackwardScratch(batch, visible, all, dim),
                                              "scratch");
                kernels::decoderInputBackward(nullptr, ddx, dKeep, dRemoved, dEmbedded, dMask, batch, visible, all, dim,
                                              scratch.get());
                kernels::embedTokensBackward(nullptr, ddx, dTokens, dClass, batch, all, dim);
                Floats both = dMask.values();
                append(both, dClass.values());
                return both;
            });
            const Floats gotEmbedded = dEmbedded.values(), gotTokens = dTokens.values();
            Floats wantSums = maskBefore;
            append(wantSums, classBefore);
            for (int b = 0; b < batch; ++b)
                for (size_t c = 0; c < d; ++c)
                {
                    const auto row = [&](const Floats& a, int each, int r)
                    { return a[(z(b) * z(each) + z(r)) * d + c]; };
                    BOOST_REQUIRE_EQUAL(row(gotX, visible + 1, 0), cls[c] + positions[c]);
                    BOOST_REQUIRE_EQUAL(row(gotNatural, all + 1, 0), row(embedded, visible + 1, 0) + positions[c]);
                    BOOST_REQUIRE_EQUAL(row(gotOrdered, all + 1, hidden), row(embedded, visible + 1, 0) + positions[c]);
                    BOOST_REQUIRE_EQUAL(row(gotEmbedded, visible + 1, 0), rounded(row(dx, all + 1, 0), element));
                    wantSums[d + c] += row(dx, all + 1, 0);
                    for (int i = 0; i < visible; ++i)
                    {
                        const float position = positions[(1 + place(b, i)) * d + c],
                                    from = row(embedded, visible + 1, 1 + i) + position;
                        BOOST_REQUIRE_EQUAL(row(gotX, visible + 1, 1 + i), row(tokens, visible, i) + position);
                        BOOST_REQUIRE_EQUAL(row(gotNatural, all + 1, 1 + keep[z(b * visible + i)]), from);
                        BOOST_REQUIRE_EQUAL(row(gotOrdered, all + 1, hidden + 1 + i), from);
                        BOOST_REQUIRE_EQUAL(row(gotEmbedded, visible + 1, 1 + i),
                                            rounded(row(dx, all + 1, 1 + keep[z(b * visible + i)]), element));
                    }
                    for (int i = 0; i < hidden; ++i)
                    {
                        const int at = removed[z(b * hidden + i)];
                        const float want = mask[c] + positions[z(1 + at) * d + c];
                        BOOST_REQUIRE_EQUAL(row(gotNatural, all + 1, 1 + at), want);
                        BOOST_REQUIRE_EQUAL(row(gotOrdered, all + 1, i), want);
                        wantSums[c] += row(dx, all + 1, 1 + at);
                    }
                    for (int i = 0; i < all; ++i)
                        BOOST_REQUIRE_EQUAL(row(gotTokens, all, i), rounded(row(dx, all + 1, 1 + i), element));
                }
            checkNear(sums, wantSums, 1e-5, 1e-5, "sums of token gradients");

            // Rows by index, there and back.
            const std::vector<int> ids = {3, -5, 0, 10, 2, 4};
            const Buffer<int> dIds(ids, "ids");
            const Typed gathered(6 * d, element, "gathered");
            const size_t stride = z(all + 1) * d;
            kernels::gatherRows(nullptr, ddx.get(), stride, dIds, 1, gathered, 2, 3, dim);
            const Floats rows = gathered.values();
            const Buffer<float> back(dx, "back");
            const Buffer<int> forward(std::vector<int>{1, 0, 2, 5, 10, 3}, "ids");
            kernels::scatterRows(nullptr, gathered, forward, 1, back.get(), stride, 2, 3, dim);
            Floats wantBack = dx;
            for (size_t i = 0; i < 6; ++i)
                for (size_t c = 0; c < d; ++c)
                {
                    const float from = ids[i] < 0 ? 0.f : rounded(dx[i / 3 * stride + z(1 + ids[i]) * d + c], element);
                    BOOST_REQUIRE_EQUAL(rows[i * d + c], from);
                    wantBack[i / 3 * stride + z(1 + forward.values()[i]) * d + c] = from;
                }
            BOOST_REQUIRE(back.values() == wantBack);
            kernels::gatherRows(nullptr, ddx.get(), stride, nullptr, 2, gathered, 2, 3, dim);
            BOOST_REQUIRE_EQUAL(gathered.values()[4 * d], rounded(dx[stride + 3 * d], element));
        }
}

BOOST_AUTO_TEST_CASE(masks_and_draws_equal_the_cpu_bit_for_bit)
{
    const uint64_t seed = 0x123456789abcdef0ull;
    const std::vector<kernels::SampleKey> keys = {{0, 0}, {0, 1}, {7, 123456}, {0xffffffffu, 0xfffffffeu}, {2, 3}};
    const Buffer<kernels::SampleKey> dKeys(keys, "keys");
    const int batch = static_cast<int>(keys.size());
    for (const auto& size :
         std::vector<std::pair<int, int>>{{196, 19}, {196, 196}, {1, 1}, {257, 1}, {1024, 100}, {9, 4}})
    {
        std::vector<int> masks, draws;
        for (const kernels::SampleKey& key : keys)
        {
            RandomStream random(seed, RandomPurpose::Mask, key.epoch, key.sample);
            Floats noise(z(size.first));
            for (float& v : noise)
                v = random.uniform();
            std::vector<int> keep(z(size.second));
            vit::maskFromNoise(noise.data(), size.first, size.second, keep.data());
            masks.insert(masks.end(), keep.begin(), keep.end());
            RandomStream loss(seed, RandomPurpose::Loss, key.epoch, key.sample);
            std::vector<int> order(z(size.first));
            for (int i = 0; i < size.first; ++i)
                order[z(i)] = i;
            loss.shuffle(order);
            draws.insert(draws.end(), order.begin(), order.begin() + size.second);
        }
        const std::vector<int> gotMasks = inEveryOrder([&] {
            const Buffer<int> keep(masks.size(), "keep");
            kernels::sampleMasks(nullptr, seed, dKeys, keep, batch, size.second, size.first);
            return keep.values();
        });
        BOOST_TEST(gotMasks == masks, boost::test_tools::per_element());
        const Buffer<int> columns(draws.size(), "columns");
        kernels::drawColumns(nullptr, seed, dKeys, columns, batch, size.first, size.second);
        BOOST_TEST(columns.values() == draws, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(equal_noise_goes_to_the_earlier_place)
{
    // Noise has 24 bits, so that among 1,024 places two are sometimes equal. The mask ends between them.
    const uint64_t seed = 42;
    const int places = 1024;
    int ties = 0;
    for (uint32_t sample = 0; ties < 4; ++sample)
    {
        BOOST_REQUIRE(sample < 2000);
        RandomStream random(seed, RandomPurpose::Mask, 0, sample);
        Floats noise(z(places));
        for (float& v : noise)
            v = random.uniform();
        Floats sorted = noise;
        std::sort(sorted.begin(), sorted.end());
        const auto tie = std::adjacent_find(sorted.begin(), sorted.end());
        if (tie == sorted.end())
            continue;
        ++ties;
        const int visible = static_cast<int>(tie - sorted.begin()) + 1;
        std::vector<int> want(z(visible));
        vit::maskFromNoise(noise.data(), places, visible, want.data());
        const Buffer<kernels::SampleKey> key(std::vector<kernels::SampleKey>{{0, sample}}, "keys");
        const Buffer<int> keep(want.size(), "keep");
        kernels::sampleMasks(nullptr, seed, key, keep, 1, visible, places);
        BOOST_TEST(keep.values() == want, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(augmented_images_equal_the_cpu_bit_for_bit)
{
    const int side = 21;
    const vit::InputConfig input = inputOf(side, 7);
    const train::AugmentOptions options;
    float mean[3], deviation[3];
    for (int c = 0; c < 3; ++c)
    {
        mean[c] = static_cast<float>(input.mean[c]);
        deviation[c] = static_cast<float>(input.std[c]);
    }
    std::vector<kernels::AugmentItem> items;
    std::vector<std::unique_ptr<Buffer<uint8_t>>> images;
    Floats want;
    int maxWidth = 1, maxHeight = 1;
    const cv::Size sizes[] = {{60, 47}, {21, 21}, {13, 90}, {100, 9}, {3, 2}, {40, 21}, {33, 64}, {1, 1}};
    for (size_t i = 0; i < 8; ++i)
    {
        const cv::Mat image = noisyImage(sizes[i], static_cast<int>(i) + 1);
        RandomStream random(3, RandomPurpose::Augment, 0, static_cast<uint32_t>(i)),
            same(3, RandomPurpose::Augment, 0, static_cast<uint32_t>(i));
        Floats one(3 * side * side);
        train::augment(image, input, options, random, one.data());
        append(want, one);
        const cv::Rect crop = train::randomCrop(image.size(), options, same);
        images.emplace_back(new Buffer<uint8_t>(std::vector<uint8_t>(image.datastart, image.dataend), "image"));
        items.push_back({images.back()->get() + z(crop.y) * image.step[0] + z(crop.x) * 3, image.step[0], crop.width,
                         crop.height, same.uniform() < options.flip});
        maxWidth = std::max(maxWidth, crop.width);
        maxHeight = std::max(maxHeight, crop.height);
    }
    const Buffer<kernels::AugmentItem> dItems(items, "items");
    const Floats got = inEveryOrder([&] {
        const Buffer<float> out(want.size(), "out");
        const Buffer<uint8_t> scratch(kernels::augmentScratch(8, side, side, maxWidth, maxHeight), "scratch");
        kernels::augment(nullptr, dItems, out, 8, side, side, maxWidth, maxHeight, mean, deviation,
                         scratch.get());
        return out.values();
    });
    for (size_t i = 0; i < want.size(); ++i)
        BOOST_REQUIRE_MESSAGE(got[i] == want[i], "image " << i / (3 * side * side) << ", value "
                                                          << i % (3 * side * side) << ": " << got[i] << ", expected "
                                                          << want[i]);
}

BOOST_AUTO_TEST_CASE(the_optimizer_equals_the_cpu)
{
    vit::ParamLayout layout;
    layout.add("a.weight", {7, 9});
    layout.add("a.bias", {7});
    layout.add("table", {5, 4}, false);
    layout.add("b.weight", {33, 3});
    layout.add("patch_embed.weight", {5, 3});
    layout.add("blocks.0.weight", {5, 3});
    layout.add("head.weight", {5, 3});
    layout.decayRates(1, 0.5f);
    BOOST_REQUIRE(layout.at("patch_embed.weight").rate == 0.25f);
    vit::ParamArena params(layout);
    const size_t total = layout.total();
    const ops::TrainingSetup setup = train::setupOf(params, inputOf(20, 5));
    const Floats start = randomFloats(total, 1);
    std::copy(start.begin(), start.end(), params.data());
    train::AdamW cpu(layout);
    train::AdamWParams options;
    options.learningRate = 0.01;
    const Buffer<float> w(start, "w"), m(Floats(total, 0.f), "m"), v(Floats(total, 0.f), "v");
    const Buffer<uint8_t> kinds(setup.kind, "kind");
    const Buffer<float> rates(setup.rate, "rate");
    for (int step = 1; step <= 3; ++step)
    {
        Floats gradient = randomFloats(total, static_cast<uint32_t>(step) + 10);
        cpu.step(params, gradient.data(), options);
        kernels::AdamWFactors f;
        f.decayed = static_cast<float>(1 - options.learningRate * options.weightDecay);
        f.beta1 = static_cast<float>(options.beta1);
        f.oneMinusBeta1 = static_cast<float>(1 - options.beta1);
        f.beta2 = static_cast<float>(options.beta2);
        f.oneMinusBeta2 = static_cast<float>(1 - options.beta2);
        f.rate = static_cast<float>(options.learningRate / (1 - std::pow(options.beta1, step)));
        f.inverseRoot2 = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, step)));
        f.eps = static_cast<float>(options.eps);
        f.gradient = 0.25f;   // for gradients that are four times as large
        for (float& g : gradient)
            g *= 4;
        const Buffer<kernels::AdamWFactors> factors(std::vector<kernels::AdamWFactors>(1, f), "factors");
        const Buffer<float> g(gradient, "gradient");
        const Typed copy(total, DataType::BFloat16, "copy");
        const Buffer<int> skip(std::vector<int>(1, 0), "skip"), stop(std::vector<int>(1, 1), "skip");
        kernels::adamW(nullptr, w, g, m, v, copy, kinds, rates, total, factors, stop);
        kernels::adamW(nullptr, w, g, m, v, copy, kinds, rates, total, factors, step == 2 ? nullptr : skip.get());
        const Floats got = w.values(), moments = m.values(), squares = v.values();
        BOOST_TEST(copy.values() == rounded(got, DataType::BFloat16), boost::test_tools::per_element());
        for (const vit::ParamInfo& info : layout.tensors())
            for (size_t i = info.offset; i < info.offset + info.count; ++i)
            {
                BOOST_REQUIRE_SMALL(std::fabs(got[i] - params.data()[i]), 3e-7f * (1 + std::fabs(got[i])));
                if (!info.trainable)
                    BOOST_REQUIRE_EQUAL(got[i], start[i]);
                BOOST_REQUIRE_SMALL(std::fabs(moments[i] - cpu.m.ptr<float>()[i]), 1e-6f);
                BOOST_REQUIRE_SMALL(std::fabs(squares[i] - cpu.v.ptr<float>()[i]), 1e-6f);
            }
    }
}

BOOST_AUTO_TEST_CASE(a_step_adds_up_its_losses_and_stops_at_what_is_not_finite)
{
    for (const size_t count : {size_t(1), size_t(3), size_t(999), size_t(40003)})
    {
        const Floats x = randomFloats(count, 3);
        double want = 0;
        for (const float v : x)
            want += static_cast<double>(v) * v;
        const Buffer<float> dx(x, "x");
        const std::vector<double> got = inEveryOrder([&] {
            const Buffer<double> sum(1, "sum");
            const Buffer<uint8_t> scratch(kernels::sumOfSquaresScratch(count), "scratch");
            kernels::sumOfSquares(nullptr, dx, sum, count, scratch.get());
            return sum.values();
        });
        BOOST_TEST(got[0] == want, boost::test_tools::tolerance(1e-12));
    }

    const double bad[] = {NAN, INFINITY};
    for (int failing = -1; failing < 3; ++failing)
        for (const double squares : {4., bad[0], bad[1]})
        {
            const Buffer<kernels::StepState> state(std::vector<kernels::StepState>{{0, squares, 0, -1}}, "state"), report(1, "report");
            const Buffer<int> skip(1, "skip");
            for (int batch = 0; batch < 3; ++batch)
            {
                // A second failure after the first one must not be reported.
                const bool fails = failing >= 0 && batch >= failing;
                const Buffer<double> loss(std::vector<double>(1, fails ? bad[batch % 2] : batch + 1), "loss");
                kernels::addLoss(nullptr, loss, 0.5, state);
            }
            kernels::closeStep(nullptr, state, report, skip);
            const kernels::StepState found = report.values()[0], after = state.values()[0];
            BOOST_TEST(found.failed == failing);
            BOOST_TEST(found.batches == 3);
            if (failing < 0)
                BOOST_TEST(found.loss == 3);
            else
                BOOST_TEST(!std::isfinite(found.loss));
            BOOST_TEST(skip.values()[0] == (failing >= 0 || !std::isfinite(squares)));
            BOOST_TEST(after.failed == -1);
            BOOST_TEST(after.batches == 0);
            BOOST_TEST(after.loss == 0);
        }
}

BOOST_AUTO_TEST_SUITE_END()
