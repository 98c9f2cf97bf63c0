// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Images in device memory: cv::cuda::GpuMat wraps the emulation's memory, which an OpenCV without CUDA allows.

#include "emulated_device.hpp"
#include "typed.hpp"
#include "dnn/device_session.hpp"
#include "dnn/session.hpp"

#include <opencv2/ltrp/scorer.hpp>

using namespace simttest;
using namespace cv::ltrp;
using simt::Buffer;

BOOST_AUTO_TEST_SUITE(simt_device_images)

namespace
{

std::shared_ptr<const ops::Backend> emulated(bool wantsVisitors = false)
{
    std::unique_ptr<EmulatedDevice> device(new EmulatedDevice(1));
    device->wantsVisitors = wantsVisitors;
    return kernels::makeBackend(std::move(device), ops::Precision::FP32, true);
}

/// An image on the host and on the device, where its rows are followed by `padding` uninitialised bytes.
struct Image
{
    cv::Mat host;
    std::unique_ptr<Buffer<uint8_t>> memory;
    cv::cuda::GpuMat device;

    Image(cv::Size size, int padding, int seed) : host(size, CV_8UC3)
    {
        cv::RNG random(static_cast<uint64_t>(seed));
        random.fill(host, cv::RNG::UNIFORM, 0, 256);
        const size_t row = z(size.width) * 3, step = row + z(padding);
        memory.reset(new Buffer<uint8_t>(step * z(size.height - 1) + row, "image"));
        for (int y = 0; y < size.height; ++y)
            simt::upload(memory->get() + z(y) * step, host.ptr(y), row);
        device = cv::cuda::GpuMat(size.height, size.width, CV_8UC3, memory->get(), step);
    }
};

template <class Model>
std::shared_ptr<Model> onEmulation(io::Model file)
{
    uint32_t stream = 900;
    for (const vit::ParamInfo& info : file.params.layout.tensors())
    {
        const Floats values = randomFloats(info.count, stream++, info.shape.size() > 1 ? 0.2 : 0.5);
        std::copy(values.begin(), values.end(), file.params.at(info.name));
    }
    std::shared_ptr<Model> model = std::make_shared<Model>(std::move(file));
    model->computing.backend = emulated(true);
    return model;
}

std::shared_ptr<RankerModel> ranker(vit::Head head = vit::Head::Class)
{
    io::Model file;
    file.ranker.head = head;
    file.kind = io::ModelKind::Ranker;
    file.ranker.input.imageSize = 20;
    file.ranker.input.patchSize = 5;
    file.ranker.encoder = {16, 1, 2, 24};
    file.params = vit::ParamArena(vit::rankerLayout(file.ranker));
    return onEmulation<RankerModel>(std::move(file));
}

std::shared_ptr<MaeModel> autoencoder()
{
    io::Model file;
    file.kind = io::ModelKind::Mae;
    file.mae.input.imageSize = 12;
    file.mae.input.patchSize = 4;
    file.mae.encoder = {16, 1, 2, 24};
    file.mae.decoder = {16, 1, 2, 24};
    file.params = vit::ParamArena(vit::maeLayout(file.mae));
    return onEmulation<MaeModel>(std::move(file));
}

std::string messageOf(const std::function<void()>& call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& error)
    {
        BOOST_TEST(error.code == int(cv::Error::StsBadArg));
        return error.err;
    }
    return "no exception";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(prepared_images_equal_the_hosts_bit_for_bit)
{
    for (const cv::Size other : {cv::Size(), cv::Size(35, 14), cv::Size(7, 56)})
    {
        vit::InputConfig input;
        input.imageSize = 21;
        input.patchSize = 7;
        input.otherSize = other;
        std::vector<Image> images;
        int seed = 1;
        for (const cv::Size size : {cv::Size(60, 47), cv::Size(21, 14), cv::Size(13, 90), cv::Size(1, 1), cv::Size(100, 9)})
            images.emplace_back(size, seed % 2 ? 0 : 37, seed), ++seed;
        std::vector<cv::cuda::GpuMat> list;
        Floats want;
        for (const Image& image : images)
        {
            list.push_back(image.device);
            Floats one(z(3 * input.size().area()));
            prepareImage(image.host, input, one.data());
            append(want, one);
        }
        const auto backend = emulated();
        const Buffer<float> pixels(want.size(), "pixels");
        prepareDeviceImages(list.data(), 5, 0, input, *backend, pixels.get());
        BOOST_CHECK(pixels.values() == want);
    }
}

BOOST_AUTO_TEST_CASE(rankings_of_images_on_the_device_equal_those_of_the_hosts)
{
    const auto model = ranker();
    const Image first({33, 27}, 5, 3), second({20, 20}, 0, 4), third({9, 40}, 11, 5);
    const std::vector<cv::cuda::GpuMat> images = {first.device, second.device, third.device};
    cv::Mat want(3, 16, CV_32F);
    for (int i = 0; i < 3; ++i)
    {
        const cv::Mat& host = (i == 0 ? first : i == 1 ? second : third).host;
        Floats pixels(3 * 20 * 20);
        prepareImage(host, model->file.ranker.input, pixels.data());
        vit::Workspace cpu;
        model->net().forward(pixels.data(), 1, nullptr, 16, want.ptr<float>(i), nullptr, cpu);
    }
    DeviceRankSession session(model);
    cv::Mat onHost;
    session.rank(images, onHost, nullptr);
    BOOST_TEST(onHost.size() == want.size());
    BOOST_TEST(cv::norm(onHost, want, cv::NORM_INF) < 1e-5);

    // Writes into the caller's memory with padded rows; the padding is not changed.
    const size_t step = 20 * sizeof(float);
    const Buffer<float> memory(Floats(3 * 20, -5.f), "scores");
    cv::cuda::GpuMat scores(3, 16, CV_32F, memory.get(), step);
    session.rank(images, scores, nullptr);
    BOOST_TEST(static_cast<const void*>(scores.data) == static_cast<const void*>(memory.get()));
    const Floats got = memory.values();
    for (int i = 0; i < 3; ++i)
        for (int c = 0; c < 20; ++c)
            BOOST_REQUIRE_EQUAL(got[z(i * 20 + c)], c < 16 ? onHost.at<float>(i, c) : -5.f);
}

BOOST_AUTO_TEST_CASE(rankings_follow_the_input_size)
{
    const auto model = ranker(vit::Head::Token);
    const Image image({33, 27}, 5, 3);
    DeviceRankSession session(model);
    for (const cv::Size size : {cv::Size(20, 20), cv::Size(35, 10), cv::Size(10, 35), cv::Size(20, 20)})
    {
        model->setInputSize(size);
        const vit::InputConfig& input = model->net().config().input;
        cv::Mat want(1, input.numPatches(), CV_32F), got;
        Floats pixels(z(3 * size.area()));
        prepareImage(image.host, input, pixels.data());
        vit::Workspace cpu;
        model->net().forward(pixels.data(), 1, nullptr, want.cols, want.ptr<float>(), nullptr, cpu);
        session.rank({image.device}, got, nullptr);
        BOOST_TEST(got.size() == want.size());
        BOOST_TEST(cv::norm(got, want, cv::NORM_INF) < 1e-5);
    }
}

BOOST_AUTO_TEST_CASE(pseudo_scores_of_an_image_on_the_device_equal_those_of_the_hosts)
{
    const auto model = autoencoder();
    const Image image({30, 25}, 7, 6);
    const cv::Mat ids = (cv::Mat_<int>(2, 3) << 0, 4, 7, 2, 3, 8);
    Floats one(3 * 12 * 12), pixels;
    prepareImage(image.host, model->file.mae.input, one.data());
    append(pixels, one);
    append(pixels, one);
    DevicePseudoScoreSession session(model);
    session.setImage(image.device);
    for (const int metric : {METRIC_L1, METRIC_PSNR})
    {
        vit::LeaveOneOutOptions options;
        options.metric = metric;
        cv::Mat want(2, 3, CV_32F);
        vit::Workspace cpu;
        for (int row = 0; row < 2; ++row)
            vit::LeaveOneOut(model->net)
                .scores(pixels.data(), 1, ids.ptr<int>(row), 3, options, want.ptr<float>(row), cpu);
        BOOST_TEST(cv::norm(session.forward(ids, options), want, cv::NORM_INF) < 1e-4);
    }
}

BOOST_AUTO_TEST_CASE(pseudo_scores_of_several_images_stay_on_the_device)
{
    const auto model = autoencoder();
    const Image first({30, 25}, 7, 8), second({12, 12}, 0, 9), third({8, 51}, 3, 10);
    const std::vector<cv::cuda::GpuMat> images = {first.device, second.device, third.device};
    const std::vector<int> visible = {1, 2, 6};
    DevicePseudoScoreSession session(model);
    for (const int metric : {METRIC_L1, METRIC_PSNR})
    {
        vit::LeaveOneOutOptions options;
        options.metric = metric;
        cv::Mat want(3, 3, CV_32F), onHost;
        for (int i = 0; i < 3; ++i)
        {
            Floats pixels(3 * 12 * 12);
            prepareImage((i == 0 ? first : i == 1 ? second : third).host, model->file.mae.input, pixels.data());
            vit::Workspace cpu;
            vit::LeaveOneOut(model->net).scores(pixels.data(), 1, visible.data(), 3, options, want.ptr<float>(i), cpu);
        }
        session.score(images, visible, options, onHost, nullptr);
        BOOST_TEST(onHost.size() == want.size());
        BOOST_TEST(cv::norm(onHost, want, cv::NORM_INF) < 1e-4);

        const Buffer<float> memory(Floats(3 * 8, -5.f), "scores");
        cv::cuda::GpuMat scores(3, 3, CV_32F, memory.get(), 8 * sizeof(float));
        session.score(images, visible, options, scores, nullptr);
        const Floats got = memory.values();
        for (int i = 0; i < 3; ++i)
            for (int c = 0; c < 8; ++c)
                BOOST_REQUIRE_EQUAL(got[z(i * 8 + c)], c < 3 ? onHost.at<float>(i, c) : -5.f);
    }
}

BOOST_AUTO_TEST_CASE(other_images_are_refused)
{
    const auto model = ranker();
    const Image image({12, 9}, 0, 7);
    DeviceRankSession session(model);
    cv::Mat scores;
    const auto rank = [&](const cv::cuda::GpuMat& one) { session.rank({image.device, one}, scores, nullptr); };
    BOOST_TEST(contains(messageOf([&] { rank(cv::cuda::GpuMat()); }), "image 1 is empty"));
    const cv::cuda::GpuMat grey(9, 12, CV_8UC1, image.memory->get(), 12);
    BOOST_TEST(
        contains(messageOf([&] { rank(grey); }), "image 1 lies on the GPU and is of type CV_8UC1, expected CV_8UC3"));

    const auto host = ranker();
    host->computing = ComputeDevice();
    DeviceRankSession onCpu(host);
    BOOST_TEST(contains(messageOf([&] { onCpu.rank({image.device}, scores, nullptr); }),
                        "the network runs on the CPU: download it"));
    Floats pixels(3 * 20 * 20);
    BOOST_TEST(contains(messageOf([&] { prepareImage(image.device, host->file.ranker.input, pixels.data()); }),
                        "the network runs on the CPU: download it"));
    BOOST_CHECK(isOnDevice(image.device) && !isOnDevice(image.host));
    BOOST_CHECK(deviceImages(image.device).at(0).data == image.device.data);   // by InputArray, without CUDA in OpenCV
    const std::vector<cv::cuda::GpuMat> two = {grey, image.device};
    BOOST_CHECK(deviceImages(two).size() == 2 && deviceImages(two)[1].step == image.device.step);
}

BOOST_AUTO_TEST_SUITE_END()
