// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Inference of a shape is recorded in its second call and replayed from then on: with the current values at the
// addresses, the same results, and no allocations or waits except those of the caller's own copies.

#include "emulated_device.hpp"
#include "typed.hpp"

#include "dnn/passes.hpp"

using namespace simttest;
using namespace cv::ltrp;

namespace
{

/// A ranker and an autoencoder, on the CPU and on an emulated device.
struct Networks
{
    Networks() : rankerParams(vit::rankerLayout(rankerConfig())), maeParams(vit::maeLayout(maeConfig())),
                 ranker(rankerConfig(), rankerParams), mae(maeConfig(), maeParams), device(new EmulatedDevice),
                 backend(kernels::makeBackend(std::unique_ptr<kernels::Device>(device), ops::Precision::FP32, true)), ws(backend)
    {
        uint32_t stream = 500;
        for (vit::ParamArena* const params : {&rankerParams, &maeParams})
            for (const vit::ParamInfo& info : params->layout.tensors())
            {
                const Floats values = randomFloats(info.count, stream++, info.shape.size() > 1 ? 0.2 : 0.5);
                std::copy(values.begin(), values.end(), params->at(info.name));
            }
    }
    static vit::RankerConfig rankerConfig()
    {
        vit::RankerConfig config;
        config.input.imageSize = 12;
        config.input.patchSize = 4;
        config.encoder = {16, 2, 2, 24};
        return config;
    }
    static vit::MaeConfig maeConfig()
    {
        vit::MaeConfig config;
        config.input = rankerConfig().input;
        config.encoder = {16, 1, 2, 24};
        config.decoder = {16, 2, 2, 24};
        return config;
    }
    static Floats images(int count, uint32_t number) { return randomFloats(z(count) * 3 * 12 * 12, 700 + number); }

    /// Compares scores on the device with the CPU's.
    void checkRanking(int batch, uint32_t number)
    {
        const Floats pixels = images(batch, number);
        Floats got(z(batch) * 9), want(got.size());
        vit::Workspace cpu;
        ranker.forward(pixels.data(), batch, nullptr, 9, want.data(), nullptr, cpu);
        const float* const there = ws.upload("test.pixels", pixels.data(), pixels.size());
        float* const scores = ws.get("test.scores", got.size());
        rankImages(ranker, there, batch, scores, ws);
        ws.finish(scores, got.data(), got.size());
        BOOST_TEST(largest(got, want) < 1e-4, "ranking of " << batch << ", " << number);
    }
    void checkPseudoScores(int removal, const std::vector<int>& keep, uint32_t number, int metric = METRIC_L1,
                           int space = SPACE_DECODER)
    {
        const int batch = static_cast<int>(keep.size()) / 3;
        const Floats pixels = images(batch, number);
        vit::LeaveOneOutOptions options;
        options.removal = removal;
        options.metric = metric;
        options.space = space;
        Floats got(keep.size()), want(got.size());
        vit::Workspace cpu;
        for (int row = 0; row < batch; ++row)   // for PSNR, the scores of a call are scaled together
            vit::LeaveOneOut(mae).scores(pixels.data() + z(row) * 3 * 12 * 12, 1, keep.data() + row * 3, 3, options,
                                         want.data() + row * 3, cpu);
        const float* const there = ws.upload("test.pixels", pixels.data(), pixels.size());
        const int* const kept = ws.upload("test.keep", keep.data(), keep.size());
        float* const scores = ws.get("test.scores", got.size());
        scoreImages(mae, there, batch, kept, 3, options, scores, ws);
        ws.finish(scores, got.data(), got.size());
        BOOST_TEST(largest(got, want) < 1e-4, "pseudo-scores, removal " << removal << ", " << number);
    }
    static double largest(const Floats& got, const Floats& want)
    {
        double worst = 0;
        for (size_t i = 0; i < want.size(); ++i)
            worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - want[i]));
        return worst;
    }

    vit::ParamArena rankerParams, maeParams;
    const vit::RankerNet ranker;
    const vit::Mae mae;
    EmulatedDevice* const device;
    const std::shared_ptr<const ops::Backend> backend;
    vit::Workspace ws;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(simt_replay)

BOOST_AUTO_TEST_CASE(the_second_call_is_recorded_and_later_ones_are_launched)
{
    Networks n;
    n.checkRanking(2, 1);
    BOOST_TEST(n.device->recordings == 0);
    n.checkRanking(2, 2);
    BOOST_TEST(n.device->recordings == 1);
    const int allocations = n.device->allocations, waits = n.device->waits;
    for (uint32_t i = 3; i < 6; ++i)   // other images each time
        n.checkRanking(2, i);
    BOOST_TEST(n.device->recordings == 1);
    BOOST_TEST(n.device->allocations == allocations);
    BOOST_TEST(n.device->waits == waits + 3 * 2);   // upload of pixels, download of scores
}

BOOST_AUTO_TEST_CASE(shapes_take_turns)
{
    Networks n;
    for (uint32_t i = 1; i < 4; ++i)
        n.checkRanking(1, i);
    for (uint32_t i = 4; i < 7; ++i)   // larger buffers invalidate the recordings
        n.checkRanking(3, i);
    for (uint32_t i = 7; i < 10; ++i)
    {
        n.checkRanking(1, i);
        n.checkRanking(3, i);
    }
    BOOST_TEST(n.device->recordings == 3);
    for (int shape = 1; shape < 12; ++shape)   // more shapes than recordings kept
        for (uint32_t i = 0; i < 3; ++i)
            n.checkRanking(shape, 20 + i);
}

BOOST_AUTO_TEST_CASE(pseudo_scores_are_recorded_too)
{
    for (const int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
        for (const bool several : {false, true})
        {
            Networks n;
            for (uint32_t i = 1; i < 5; ++i)
            {
                const std::vector<int> one = i % 2 ? std::vector<int>{0, 4, 7} : std::vector<int>{2, 3, 8};
                n.checkPseudoScores(removal, several ? std::vector<int>{1, 2, 6, one[0], one[1], one[2]} : one, i);
            }
            BOOST_TEST(n.device->recordings == 1);
        }
}

BOOST_AUTO_TEST_CASE(measures_of_one_shape_take_turns)
{
    Networks n;
    const std::vector<int> keep{0, 4, 7, 1, 2, 6};
    for (uint32_t i = 1; i < 5; ++i)
        for (const int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
        {
            n.checkPseudoScores(removal, keep, i);
            n.checkPseudoScores(removal, keep, i, METRIC_L2);
            n.checkPseudoScores(removal, keep, i, METRIC_L1, SPACE_PIXEL);
            n.checkPseudoScores(removal, keep, i, METRIC_PSNR);
        }
    BOOST_TEST(n.device->recordings == 6);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_recorded_is_launched_as_it_is)
{
    Networks n;
    n.device->refusesToRecord = true;
    for (uint32_t i = 1; i < 5; ++i)
        n.checkRanking(2, i);
    BOOST_TEST(n.device->recordings == 1);   // recording is not tried again
}

BOOST_AUTO_TEST_CASE(a_refused_allocation_costs_one_call)
{
    Networks counted;
    counted.checkRanking(2, 1);
    counted.checkRanking(2, 2);
    int refused = 0;
    for (int number = 1; number <= counted.device->allocations; ++number)
    {
        Networks n;
        n.device->refuses = number;
        for (uint32_t i = 1; i < 4; ++i)
            try
            {
                n.checkRanking(2, i);
            }
            catch (const cv::Exception& error)
            {
                BOOST_TEST(error.code == cv::Error::StsNoMem, error.err);
                ++refused;
            }
        n.checkRanking(2, 4);
        n.checkRanking(2, 5);
        BOOST_TEST(n.device->recordings == 1);
    }
    BOOST_TEST(refused == counted.device->allocations);
}

BOOST_AUTO_TEST_SUITE_END()
