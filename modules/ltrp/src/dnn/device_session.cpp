// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "device_session.hpp"
#include "passes.hpp"

namespace cv { namespace ltrp {

namespace {

/// Rows of tokens per pass: bounds the scratch memory for any number of images.
const int mostRows = 1 << 16, mostVariantRows = 1 << 18;

/// The caller's array for scores [images, each]: a GpuMat or on the host.
class WantedScores
{
public:
    WantedScores(OutputArray scores, int images, int each)
        : device_(scores.kind() == _InputArray::CUDA_GPU_MAT), row_(static_cast<size_t>(each) * sizeof(float))
    {
        const cuda::GpuMat* there = device_ ? &scores.getGpuMatRef() : nullptr;
        if (!device_ || there->size() != Size(each, images) || there->type() != CV_32F)
            scores.create(images, each, CV_32F);   // throws if OpenCV has no CUDA
        if (device_)
            there_ = scores.getGpuMatRef();
        else
            host_ = scores.getMat();
    }

    /// Copies rows first .. first + count from the dense array `from`.
    void put(const ops::Backend& ops, const float* from, int first, int count)
    {
        for (int i = 0; i < count; ++i, from += row_ / sizeof(float))
            if (device_)
                ops.copy(from, there_.ptr<float>(first + i), row_);
            else
                ops.download(from, host_.ptr<float>(first + i), row_);
    }

private:
    const bool device_;
    const size_t row_;
    cuda::GpuMat there_;
    Mat host_;
};

}  // namespace

void requireCuda(const ComputeDevice& computing)
{
    LTRP_REQUIRE(computing.onCuda(), Error::StsBadArg,
                 "the image lies on a GPU (cv::cuda::GpuMat) and the network runs on the CPU: "
                 "download it, or choose setPreferableBackend(DNN_BACKEND_CUDA)");
}

bool isOnDevice(InputArray images)
{
    return images.kind() == _InputArray::CUDA_GPU_MAT || images.kind() == _InputArray::STD_VECTOR_CUDA_GPU_MAT;
}

std::vector<cuda::GpuMat> deviceImages(InputArray images)
{
    CV_Assert(isOnDevice(images));
    // getGpuMat() cannot be used: OpenCV without CUDA rejects it.
    if (images.kind() == _InputArray::STD_VECTOR_CUDA_GPU_MAT)
        return *static_cast<const std::vector<cuda::GpuMat>*>(images.getObj());
    return {*static_cast<const cuda::GpuMat*>(images.getObj())};
}

void prepareDeviceImages(const cuda::GpuMat* images, int count, int first, const vit::InputConfig& input,
                         const ops::Backend& ops, float* pixels)
{
    std::vector<ops::DeviceImage> list;
    for (int i = 0; i < count; ++i)
    {
        const cuda::GpuMat& image = images[i];
        LTRP_REQUIRE(!image.empty(), Error::StsBadArg, "image " << first + i << " is empty");
        LTRP_REQUIRE(image.type() == CV_8UC3, Error::StsBadArg,
                     "image " << first + i << " lies on the GPU and is of type " << typeToString(image.type())
                              << ", expected CV_8UC3 (BGR)");
        list.push_back({image.data, image.step, image.cols, image.rows});
    }
    ops.prepareImages(list.data(), count, input.size(), input.mean, input.std, pixels);
}

void DeviceRankSession::rank(const std::vector<cuda::GpuMat>& images, OutputArray scores, void* stream)
{
    const vit::RankerNet& net = model_->net();
    const vit::InputConfig& input = net.config().input;
    requireCuda(model_->computing);
    vit::Workspace& ws = workspace_.of(model_->computing);
    const ops::Backend& ops = ws.ops();
    const std::shared_ptr<void> guard = ops.deviceGuard();
    const int total = static_cast<int>(images.size()), patches = input.numPatches();
    const int chunk = std::max(1, std::min(total, mostRows / (1 + patches)));
    const size_t image = 3 * static_cast<size_t>(input.size().area());
    WantedScores wanted(scores, total, patches);
    ops.waitForStream(stream);
    float* const pixels = ws.get("device.pixels", static_cast<size_t>(chunk) * image);
    float* const part = ws.get("device.scores", static_cast<size_t>(chunk) * static_cast<size_t>(patches));
    for (int first = 0; first < total; first += chunk)
    {
        const int count = std::min(chunk, total - first);
        prepareDeviceImages(images.data() + first, count, first, input, ops, pixels);
        rankImages(net, pixels, count, part, ws);
        wanted.put(ops, part, first, count);
    }
    ops.makeStreamWait(stream);
}

void DevicePseudoScoreSession::setImage(const cuda::GpuMat& image)
{
    requireCuda(model_->computing);
    vit::Workspace& ws = workspace_.of(model_->computing);
    const vit::InputConfig& input = model_->net.config().input;
    const size_t side = static_cast<size_t>(input.imageSize);
    const std::shared_ptr<void> guard = ws.ops().deviceGuard();
    ws.ops().waitForStream(nullptr);
    prepareDeviceImages(&image, 1, 0, input, ws.ops(), ws.get("device.image", 3 * side * side));
}

Mat DevicePseudoScoreSession::forward(const Mat& visible, const vit::LeaveOneOutOptions& options)
{
    CV_Assert(visible.type() == CV_32S && visible.isContinuous());
    vit::Workspace& ws = workspace_.of(model_->computing);
    const std::shared_ptr<void> guard = ws.ops().deviceGuard();
    const int batch = visible.rows, each = visible.cols;
    const size_t side = static_cast<size_t>(model_->net.config().input.imageSize), image = 3 * side * side;
    const float* one = ws.get("device.image", image);
    float* const pixels = ws.get("device.pixels", static_cast<size_t>(batch) * image);
    ws.ops().repeatItems(one, pixels, 1, static_cast<size_t>(batch), image * sizeof(float));
    const int* keep = ws.upload("device.visible", visible.ptr<int>(), visible.total());
    float* const scores = ws.get("device.scores", visible.total());
    scoreImages(model_->net, pixels, batch, keep, each, options, scores, ws);
    Mat result(batch, each, CV_32F);
    ws.ops().download(scores, result.ptr<float>(), result.total() * sizeof(float));
    return result;
}

void DevicePseudoScoreSession::score(const std::vector<cuda::GpuMat>& images, const std::vector<int>& visible,
                                     const vit::LeaveOneOutOptions& options, OutputArray scores, void* stream)
{
    requireCuda(model_->computing);
    vit::Workspace& ws = workspace_.of(model_->computing);
    const ops::Backend& ops = ws.ops();
    const std::shared_ptr<void> guard = ops.deviceGuard();
    const vit::InputConfig& input = model_->net.config().input;
    const int total = static_cast<int>(images.size()), each = static_cast<int>(visible.size());
    const int rows = (1 + each) * (1 + input.numPatches());
    const int chunk = std::max(1, std::min(total, mostVariantRows / rows));
    const size_t side = static_cast<size_t>(input.imageSize);
    WantedScores wanted(scores, total, each);
    ops.waitForStream(stream);
    float* const pixels = ws.get("device.pixels", static_cast<size_t>(chunk) * 3 * side * side);
    float* const part = ws.get("device.scores", static_cast<size_t>(chunk) * visible.size());
    const int* one = ws.upload("device.mask", visible.data(), visible.size());
    int* const keep = ws.ints("device.keep", static_cast<size_t>(chunk) * visible.size());
    ops.repeatItems(one, keep, 1, static_cast<size_t>(chunk), visible.size() * sizeof(int));
    for (int first = 0; first < total; first += chunk)
    {
        const int count = std::min(chunk, total - first);
        prepareDeviceImages(images.data() + first, count, first, input, ops, pixels);
        scoreImages(model_->net, pixels, count, keep, each, options, part, ws);
        wanted.put(ops, part, first, count);
    }
    ops.makeStreamWait(stream);
}

}}  // namespace
