// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Images in the GPU's memory, written and read in the caller's own stream: only the final read waits.

#include "random_inputs.hpp"

#include "ops/target.hpp"
#include "dnn/device_session.hpp"
#include "dnn/session.hpp"
#include "vit/leave_one_out.hpp"

#include <opencv2/ltrp/types.hpp>

#include <boost/test/unit_test.hpp>
#include <cuda_runtime.h>

using namespace cv::ltrp;

namespace
{

void require(cudaError_t status) { BOOST_REQUIRE_EQUAL(cudaGetErrorString(status), cudaGetErrorString(cudaSuccess)); }

template <class Model>
std::shared_ptr<Model> onGpu(io::Model file)
{
    uint32_t stream = 900;
    for (const vit::ParamInfo& info : file.params.layout.tensors())
    {
        float* to = file.params.at(info.name);
        for (const float value : inputs::noise(info.count, stream++))
            *to++ = value * (info.shape.size() > 1 ? 0.05f : 0.5f);
    }
    std::shared_ptr<Model> model = std::make_shared<Model>(std::move(file));
    model->computing.set(TARGET_CUDA);
    return model;
}

std::shared_ptr<RankerModel> ranker()
{
    io::Model file;
    file.kind = io::ModelKind::Ranker;
    file.ranker.input.imageSize = 96;
    file.ranker.input.patchSize = 16;
    file.ranker.encoder = {192, 4, 3, 768};
    file.params = vit::ParamArena(vit::rankerLayout(file.ranker));
    return onGpu<RankerModel>(std::move(file));
}

std::shared_ptr<MaeModel> autoencoder()
{
    io::Model file;
    file.kind = io::ModelKind::Mae;
    file.mae.input.imageSize = 96;
    file.mae.input.patchSize = 16;
    file.mae.encoder = {192, 3, 3, 768};
    file.mae.decoder = {128, 2, 4, 512};
    file.params = vit::ParamArena(vit::maeLayout(file.mae));
    return onGpu<MaeModel>(std::move(file));
}

/// Photos that are uploaded in a stream, and scores that are read in it. Each pass is preceded by a copy long enough to
/// be still running when the pass is called; the memory contains another image before it.
class Traffic
{
public:
    Traffic(int scoresWide, const std::vector<cv::Size>& sizes) : there_(int(sizes.size()), scoresWide, CV_32F)
    {
        require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
        require(cudaMalloc(&ballast_, 2 * ballast));
        cv::RNG random(5);
        for (const cv::Size size : sizes)
        {
            hosts.emplace_back(size, CV_8UC3);
            random.fill(hosts.back(), cv::RNG::UNIFORM, 0, 256);
            void* memory = nullptr;
            const size_t step = size_t(size.width) * 3 + 13;
            require(cudaMalloc(&memory, step * size_t(size.height)));
            memory_.push_back(memory);
            images.emplace_back(size.height, size.width, CV_8UC3, memory, step);
        }
        require(cudaMalloc(&scores_, there_.total() * sizeof(float)));
        scores = cv::cuda::GpuMat(there_.rows, there_.cols, CV_32F, scores_, size_t(there_.cols) * sizeof(float));
    }

    ~Traffic()
    {
        cudaStreamSynchronize(stream_);
        for (void* memory : memory_)
            cudaFree(memory);
        cudaFree(scores_);
        cudaFree(ballast_);
        cudaStreamDestroy(stream_);
    }

    void arrive()
    {
        for (const cv::cuda::GpuMat& image : images)
            require(cudaMemset2D(image.data, image.step, 90, size_t(image.cols) * 3, size_t(image.rows)));
        require(cudaMemset(scores_, 0xff, there_.total() * sizeof(float)));
        require(cudaDeviceSynchronize());
        for (int i = 0; i < 20; ++i)
            require(cudaMemcpyAsync(ballast_, static_cast<char*>(ballast_) + ballast, ballast, cudaMemcpyDeviceToDevice,
                                    stream_));
        for (size_t i = 0; i < images.size(); ++i)
            require(cudaMemcpy2DAsync(images[i].data, images[i].step, hosts[i].data, hosts[i].step,
                                      size_t(hosts[i].cols) * 3, size_t(hosts[i].rows), cudaMemcpyHostToDevice, stream_));
    }

    cv::Mat leave()
    {
        require(cudaMemcpyAsync(there_.data, scores_, there_.total() * sizeof(float), cudaMemcpyDeviceToHost, stream_));
        require(cudaStreamSynchronize(stream_));
        return there_;
    }

    cudaStream_t stream() const { return stream_; }

    std::vector<cv::Mat> hosts;
    std::vector<cv::cuda::GpuMat> images;
    cv::cuda::GpuMat scores;

private:
    static const size_t ballast = size_t(256) << 20;
    cudaStream_t stream_ = nullptr;
    void *scores_ = nullptr, *ballast_ = nullptr;
    std::vector<void*> memory_;
    cv::Mat there_;
};

const std::vector<cv::Size> sizes = {{200, 150}, {96, 96}, {61, 300}};

/// Relative to the largest value, because sums are added in another order.
void checkScores(const cv::Mat& got, const cv::Mat& want)
{
    const double off = cv::norm(got, want, cv::NORM_INF), allowed = 1e-3 * cv::norm(want, cv::NORM_INF);
    BOOST_CHECK_MESSAGE(cv::checkRange(got) && off <= allowed, "off by " << off << ", at most " << allowed);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gpu_images)

BOOST_AUTO_TEST_CASE(rankings_follow_the_stream)
{
    const auto model = ranker();
    const vit::InputConfig& input = model->net().config().input;
    Traffic traffic(input.numPatches(), sizes);
    cv::Mat want(int(sizes.size()), input.numPatches(), CV_32F);
    for (int i = 0; i < want.rows; ++i)
    {
        std::vector<float> pixels(size_t(3) * 96 * 96);
        prepareImage(traffic.hosts[size_t(i)], input, pixels.data());
        vit::Workspace cpu;
        model->net().forward(pixels.data(), 1, nullptr, want.cols, want.ptr<float>(i), nullptr, cpu);
    }
    DeviceRankSession session(model);
    for (int round = 0; round < 3; ++round)
    {
        traffic.arrive();
        session.rank(traffic.images, traffic.scores, traffic.stream());
        checkScores(traffic.leave(), want);
    }
}

BOOST_AUTO_TEST_CASE(pseudo_scores_follow_the_stream)
{
    const auto model = autoencoder();
    const vit::InputConfig& input = model->net.config().input;
    const std::vector<int> visible = {3, 9, 20, 35};
    vit::LeaveOneOutOptions options;
    Traffic traffic(int(visible.size()), sizes);
    cv::Mat want(int(sizes.size()), int(visible.size()), CV_32F);
    for (int i = 0; i < want.rows; ++i)
    {
        std::vector<float> pixels(size_t(3) * 96 * 96);
        prepareImage(traffic.hosts[size_t(i)], input, pixels.data());
        vit::Workspace cpu;
        vit::LeaveOneOut(model->net).scores(pixels.data(), 1, visible.data(), want.cols, options, want.ptr<float>(i), cpu);
    }
    DevicePseudoScoreSession session(model);
    for (int round = 0; round < 3; ++round)
    {
        traffic.arrive();
        session.score(traffic.images, visible, options, traffic.scores, traffic.stream());
        checkScores(traffic.leave(), want);
    }
}

BOOST_AUTO_TEST_SUITE_END()
