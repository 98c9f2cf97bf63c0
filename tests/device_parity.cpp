// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "device_parity.hpp"
#include "op_cases.hpp"

#include "core/random.hpp"
#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>

namespace parity
{

using namespace cv::ltrp;
using ops::z;
using ops::Precision;

double distance(const Floats& got, const Floats& want)
{
    double error = 0, size = 1e-12;
    for (size_t i = 0; i < want.size(); ++i)
    {
        error += (static_cast<double>(got[i]) - want[i]) * (static_cast<double>(got[i]) - want[i]);
        size += static_cast<double>(want[i]) * want[i];
    }
    return std::sqrt(error / size);
}

namespace
{

Floats randomFloats(size_t count, uint32_t stream, double scale = 1)
{
    RandomStream random(271828, RandomPurpose::Init, 0, stream);
    Floats values(count);
    for (float& v : values)
        v = static_cast<float>(random.normal() * scale);
    return values;
}

void checkNear(const Floats& got, const Floats& want, double absolute, double relative, const std::string& what)
{
    BOOST_REQUIRE_EQUAL(got.size(), want.size());
    double worst = -1;
    size_t at = 0;
    for (size_t i = 0; i < got.size(); ++i)
    {
        const double error = std::fabs(static_cast<double>(got[i]) - want[i]) /
                             (absolute + relative * std::fabs(want[i]));
        if (!(error <= worst) && !std::isnan(worst))   // NaN is the worst and is kept
        {
            worst = error;
            at = i;
        }
    }
    BOOST_CHECK_MESSAGE(worst <= 1, what << " [" << at << "]: got " << got[at] << ", expected " << want[at] << " ("
                                         << worst << " of the tolerance)");
}

vit::MaeConfig smallMae()
{
    vit::MaeConfig config;
    config.input.imageSize = 12;
    config.input.patchSize = 4;
    config.encoder = {24, 2, 3, 40};
    config.decoder = {16, 2, 2, 24};
    return config;
}

void randomise(vit::ParamArena& params, uint32_t stream)
{
    for (const vit::ParamInfo& info : params.layout.tensors())
    {
        const Floats values = randomFloats(info.count, stream++, info.shape.size() > 1 ? 0.2 : 0.5);
        std::copy(values.begin(), values.end(), params.at(info.name));
    }
}

Floats leaveOneOut(const vit::Mae& mae, vit::Workspace& ws, const Floats& pixels, const std::vector<int>& keep, int batch,
                   int visible, const vit::LeaveOneOutOptions& options)
{
    Floats result(z(batch * visible));
    float* scores = ws.result("test.scores", result.data(), result.size());
    vit::LeaveOneOut(mae).scores(ws.upload("test.pixels", pixels.data(), pixels.size()), batch,
                                 ws.upload("test.keep", keep.data(), keep.size()), visible, options, scores, ws);
    ws.finish(scores, result.data(), result.size());
    return result;
}

/// Anchors and variants, one after the other.
Floats reconstructions(const vit::Mae& mae, vit::Workspace& ws, const Floats& pixels, const std::vector<int>& keep,
                       int batch, int visible, const vit::LeaveOneOutOptions& options)
{
    Floats all;
    vit::LeaveOneOut(mae).reconstructions(ws.upload("test.pixels", pixels.data(), pixels.size()), batch,
        ws.upload("test.keep", keep.data(), keep.size()), visible, options,
        [&](int, int, const float* prediction) { all.insert(all.end(), prediction, prediction + 9 * 48); }, ws);
    return all;
}

/// Results of an operation; if it throws, it fails on its own and the others are still checked.
opcases::Arrays results(const opcases::OpCase& c, const ops::Backend& backend)
{
    try
    {
        const opcases::Arrays got = c.run(backend, c.inputs);
        BOOST_CHECK_MESSAGE(!got.empty(), c.name << ": gave nothing");
        return got;
    }
    catch (const cv::Exception& error)
    {
        BOOST_ERROR(c.name << ": " << error.err);
        return {};
    }
}

}  // namespace

void everyOperation(const MakeBackend& make, const std::function<void(size_t)>& before)
{
    const auto backend = make(Precision::FP32, true);
    size_t number = 0;
    for (const opcases::OpCase& c : opcases::opCases())
    {
        before(number++);
        const opcases::Arrays got = results(c, *backend), want = c.reference(c.inputs);
        for (const auto& array : got)
            checkNear(array.second, want.at(array.first), c.absolute, c.relative, c.name + ", " + array.first);
    }
    BOOST_REQUIRE(number > 40);
}

void everyOperationRoughly(const MakeBackend& make, Precision precision, double bound)
{
    const auto backend = make(precision, true);
    for (const opcases::OpCase& c : opcases::opCases())
    {
        const opcases::Arrays got = results(c, *backend), want = c.reference(c.inputs);
        for (const auto& array : got)
        {
            const double off = distance(array.second, want.at(array.first));
            BOOST_CHECK_MESSAGE(off <= bound, ops::precisionName(precision)
                                                  << " " << c.name << ", " << array.first << ": " << off);
        }
    }
}

void everyGradient(const MakeBackend& make)
{
    for (const opcases::GradientError& error : opcases::gradientErrors(*make(Precision::FP32, true)))
        BOOST_CHECK_MESSAGE(error.worst <= error.allowed, "gradient of " << error.name << ": off by " << error.worst
                                                                         << ", largest " << error.largest);
}

void trainingPass(const MakeBackend& make)
{
    const vit::MaeConfig config = smallMae();
    vit::ParamArena params(vit::maeLayout(config));
    randomise(params, 100);
    const int batch = 2, visible = 3;
    const Floats pixels = randomFloats(2 * 3 * 12 * 12, 200);
    const std::vector<int> keep = {0, 4, 7, 2, 3, 8};
    const vit::Mae mae(config, params);
    const size_t total = params.layout.total();

    vit::Workspace cpu;
    Floats want(total);
    const double wantedLoss = mae.forwardBackward(pixels.data(), batch, keep.data(), visible, want.data(), cpu);

    const auto backend = make(Precision::FP32, false);
    for (int round = 0; round < 2; ++round)   // the second time with other weights: the device's copies are updated
    {
        vit::Workspace ws(backend);
        float* grads = ws.get("test.grads", total);
        backend->zero(grads, total * sizeof(float));
        const double loss = mae.forwardBackward(ws.upload("test.pixels", pixels.data(), pixels.size()), batch,
                                                ws.upload("test.keep", keep.data(), keep.size()), visible, grads, ws);
        const float* got = ws.download("test.grads", grads, total);
        if (round == 1)
        {
            std::fill(want.begin(), want.end(), 0.f);
            const double changed = mae.forwardBackward(pixels.data(), batch, keep.data(), visible, want.data(), cpu);
            BOOST_CHECK_CLOSE(loss, changed, 1e-3);
        }
        else
            BOOST_CHECK_CLOSE(loss, wantedLoss, 1e-3);
        for (const vit::ParamInfo& info : params.layout.tensors())
            checkNear(Floats(got + info.offset, got + info.offset + info.count),
                      Floats(want.begin() + static_cast<ptrdiff_t>(info.offset),
                             want.begin() + static_cast<ptrdiff_t>(info.offset + info.count)), 2e-5, 1e-3, info.name);
        randomise(params, 300);
        backend->weightsChanged();
    }
}

void trainingPassRoughly(const MakeBackend& make)
{
    for (const int wide : {40, 36})   // GELU fused into the product, and separate
    {
        vit::MaeConfig config = smallMae();
        config.encoder.hidden = wide;
        vit::ParamArena params(vit::maeLayout(config));
        randomise(params, 100);
        const vit::Mae mae(config, params);
        const int batch = 2, visible = 3;
        const Floats pixels = randomFloats(2 * 3 * 12 * 12, 200);
        const std::vector<int> keep = {0, 4, 7, 2, 3, 8};
        const size_t total = params.layout.total();
        vit::Workspace cpu;
        Floats want(total);
        const double wanted = mae.forwardBackward(pixels.data(), batch, keep.data(), visible, want.data(), cpu);
        for (const Precision precision : {Precision::BF16, Precision::FP16})
        {
            const auto backend = make(precision, false);
            vit::Workspace ws(backend);
            float* grads = ws.get("test.grads", total);
            double* there = ws.doubles("test.loss", 1);
            backend->zero(grads, total * sizeof(float));
            for (int round = 0; round < 2; ++round)   // gradients are added to what is there
                mae.trainPass(ws.upload("test.pixels", pixels.data(), pixels.size()), batch,
                              ws.upload("test.keep", keep.data(), keep.size()), visible, grads, there, ws, 4.f);
            double loss = 0;
            backend->download(there, &loss, sizeof(loss));
            const float* got = ws.download("test.grads", grads, total);
            const double bound = precision == Precision::BF16 ? 0.03 : 0.004;
            BOOST_TEST(loss == wanted, boost::test_tools::tolerance(bound / 2));
            for (const vit::ParamInfo& info : params.layout.tensors())
            {
                if (!info.trainable)
                    continue;
                Floats mine(got + info.offset, got + info.offset + info.count), other(want.begin() + static_cast<ptrdiff_t>(info.offset),
                    want.begin() + static_cast<ptrdiff_t>(info.offset + info.count));
                const size_t third = info.count / 3;
                if (info.name.find("attn.qkv.bias") != std::string::npos)   // key biases: only rounding noise
                    for (Floats* one : {&mine, &other})
                        one->erase(one->begin() + static_cast<ptrdiff_t>(third), one->begin() + static_cast<ptrdiff_t>(2 * third));
                for (float& v : mine)
                    v /= 8;
                const double off = distance(mine, other);
                BOOST_CHECK_MESSAGE(off < bound, ops::precisionName(precision) << ", " << wide << " wide, " << info.name << ": " << off);
            }
        }
    }
}

void pseudoScores(const MakeBackend& make)
{
    const vit::MaeConfig config = smallMae();
    vit::ParamArena params(vit::maeLayout(config));
    randomise(params, 100);
    const vit::Mae mae(config, params);
    const int batch = 3, visible = 4;
    const Floats pixels = randomFloats(3 * 3 * 12 * 12, 201);
    const std::vector<int> keep = {0, 4, 5, 7, 1, 2, 3, 8, 0, 6, 7, 8};
    const auto backend = make(Precision::FP32, true), half = make(Precision::FP16, true);
    for (const int removal : {REMOVAL_DECODER, REMOVAL_ENCODER})
    {
        vit::LeaveOneOutOptions options;
        options.removal = removal;
        for (const int metric : {METRIC_L1, METRIC_L2, METRIC_PSNR})
            for (const int space : {SPACE_DECODER, SPACE_PIXEL})
            {
                options.metric = metric;
                options.space = space;
                const std::string name = cv::format("removal %d metric %d space %d", removal, metric, space);
                vit::Workspace cpu, ws(backend), reduced(half);
                const Floats want = leaveOneOut(mae, cpu, pixels, keep, batch, visible, options);
                checkNear(leaveOneOut(mae, ws, pixels, keep, batch, visible, options), want, 1e-5, 2e-4, name);
                if (metric == METRIC_PSNR)
                    continue;
                const double off = distance(leaveOneOut(mae, reduced, pixels, keep, batch, visible, options), want);
                BOOST_CHECK_MESSAGE(off < 0.03, name << " in FP16: " << off);
            }
        vit::Workspace cpu, ws(backend);
        const Floats want = reconstructions(mae, cpu, pixels, keep, batch, visible, options);
        BOOST_CHECK_EQUAL(want.size(), z(batch * (1 + visible) * 9 * 48));
        checkNear(reconstructions(mae, ws, pixels, keep, batch, visible, options), want, 1e-5, 1e-4,
                  cv::format("removal %d, reconstructions", removal));
    }
}

void rankerScores(const MakeBackend& make)
{
    for (const vit::Head head : {vit::Head::Class, vit::Head::Token})
        for (const cv::Size size : {cv::Size(15, 15), cv::Size(25, 10)})
        {
            if (head == vit::Head::Class && size.width != size.height)
                continue;
            vit::RankerConfig config;
            config.input.imageSize = 15;
            config.input.patchSize = 5;
            config.encoder = {24, 3, 3, 48};
            config.head = head;
            vit::ParamArena params(vit::rankerLayout(config));
            randomise(params, 400);
            vit::setInputSize(config, size, "test");
            const vit::RankerNet net(config, params);
            const int patches = config.input.numPatches();
            const size_t values = static_cast<size_t>(2 * patches);
            const Floats pixels = randomFloats(values * 75, 202);
            Floats want(values), got(values);
            vit::Workspace cpu, ws(make(Precision::FP32, true));
            net.forward(pixels.data(), 2, nullptr, patches, want.data(), nullptr, cpu);
            float* scores = ws.result("test.scores", got.data(), got.size());
            // Twice: data that the device keeps between calls must still be valid.
            for (int call = 0; call < 2; ++call)
                net.forward(ws.upload("test.pixels", pixels.data(), pixels.size()), 2, nullptr, patches, scores, nullptr, ws);
            ws.finish(scores, got.data(), got.size());
            checkNear(got, want, 1e-5, 1e-4, std::string(vit::headName(head)) + " scores of " + std::to_string(patches));
        }
}

/// Scores and gradients of the ranker's training pass.
void rankerGradients(const MakeBackend& make)
{
    for (const vit::Head head : {vit::Head::Class, vit::Head::Token})
        for (const int n : {9, 4})
        {
            vit::RankerConfig config;
            config.input.imageSize = 15;
            config.input.patchSize = 5;
            config.encoder = {24, 2, 3, 48};
            config.head = head;
            vit::ParamArena params(vit::rankerLayout(config));
            randomise(params, 401);
            const vit::RankerNet net(config, params);
            const Floats pixels = randomFloats(2 * 3 * 15 * 15, 203), dScores = randomFloats(18, 204);
            const std::vector<int> visible = {0, 3, 4, 8, 1, 2, 5, 7};
            const std::string name = std::string(vit::headName(head)) + " head, " + std::to_string(n) + " patches";
            Floats scores[2], gradients[2];
            for (const bool device : {false, true})
            {
                vit::Workspace cpu, other(make(Precision::FP32, false));
                vit::Workspace& ws = device ? other : cpu;
                const int* ids = n == 9 ? nullptr : ws.upload("test.ids", visible.data(), visible.size());
                const float* images = ws.upload("test.pixels", pixels.data(), pixels.size());
                Floats& values = scores[device];
                Floats& grads = gradients[device];
                values.assign(18, -7.f);
                grads.assign(params.layout.total(), 0.f);
                float* there = ws.result("test.scores", values.data(), values.size());
                net.forwardTrain(images, 2, ids, n, there, ws);
                ws.finish(there, values.data(), values.size());
                float* sums = ws.result("test.grads", grads.data(), grads.size());
                ws.ops().zero(sums, grads.size() * sizeof(float));
                net.backward(images, 2, ids, n, ws.upload("test.dScores", dScores.data(), dScores.size()), sums, ws);
                ws.finish(sums, grads.data(), grads.size());
            }
            checkNear(scores[1], scores[0], 1e-5, 1e-4, name + ": scores");
            checkNear(gradients[1], gradients[0], 1e-4, 1e-3, name + ": gradients");
        }
}

}  // namespace parity
