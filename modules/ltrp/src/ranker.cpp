// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/models.hpp"

#include "ops/target.hpp"
#include "dnn/device_session.hpp"
#include "dnn/session.hpp"
#include "io/onnx_file.hpp"
#include "onnx_ranker.hpp"

namespace cv { namespace ltrp {

namespace {

/// The batch grows until its rows of tokens fill the matrix products; this bounds the scratch memory for any number of
/// images (ViT-B/16: 20 images, about 150 MB).
const int maxTokenRows = 4096, maxTokenRowsOnCuda = 1 << 16;

class RankerImpl CV_FINAL : public Ranker
{
public:
    explicit RankerImpl(std::shared_ptr<RankerModel> model)
        : model_(std::move(model)),
          sessions_([this]() { return std::unique_ptr<RankSession>(new RankSession(model_)); }),
          deviceSessions_([this]() { return std::unique_ptr<DeviceRankSession>(new DeviceRankSession(model_)); })
    {
    }

    PatchRanking rank(InputArray image) const CV_OVERRIDE
    {
        if (isOnDevice(image))
            return rankDevice(image)[0];
        PatchRanking ranking;
        SessionPool<RankSession>::Lease session(sessions_);
        ranking.imageSize = prepareImage(image, input(), pixelBlob(session->pixels, 1, input()));
        keepScores(session->forward(session->pixels).row(0), input(), model_->file.path, ranking);
        return ranking;
    }

    std::vector<PatchRanking> rankBatch(InputArrayOfArrays images) const CV_OVERRIDE
    {
        if (images.kind() == _InputArray::NONE)
            return std::vector<PatchRanking>();
        if (images.kind() == _InputArray::STD_VECTOR_CUDA_GPU_MAT)
            return rankDevice(images);
        const int rows = model_->computing.onCuda() ? maxTokenRowsOnCuda : maxTokenRows;
        SessionPool<RankSession>::Lease session(sessions_);
        return rankInParts(images, input(), model_->file.path, boundedBatch(rows / (1 + input().numPatches()), input()),
                           session->pixels, [&]() { return session->forward(session->pixels); });
    }

    void rankOnDevice(InputArray images, OutputArray scores) const CV_OVERRIDE { rankBehind(images, scores, nullptr); }
    void rankOnDevice(InputArray images, OutputArray scores, cuda::Stream& stream) const CV_OVERRIDE
    {
        rankBehind(images, scores, stream.cudaPtr());
    }

    void setPreferableBackend(int backendId) CV_OVERRIDE { chooseBackend(backendId, model_->computing); }
    void setPreferableTarget(int targetId) CV_OVERRIDE { model_->computing.set(targetId); }

    void setInputSize(Size size) CV_OVERRIDE { model_->setInputSize(size); }
    Size fittingInputSize(Size imageSize, int patches) const CV_OVERRIDE
    {
        const vit::InputConfig& trained = model_->file.ranker.input;
        return vit::fittingInputSize(trained, imageSize, patches == 0 ? trained.numPatches() : patches);
    }
    Size getInputSize() const CV_OVERRIDE { return input().size(); }
    Size getGrid() const CV_OVERRIDE { return Size(input().columns(), input().rows()); }
    Scalar getInputMean() const CV_OVERRIDE { return Scalar(input().mean[0], input().mean[1], input().mean[2]); }
    Scalar getInputStd() const CV_OVERRIDE { return Scalar(input().std[0], input().std[1], input().std[2]); }

    String info() const CV_OVERRIDE
    {
        const vit::StackConfig& encoder = model_->file.ranker.encoder;
        std::ostringstream text;
        text << "encoder: " << encoder.depth << " blocks, " << encoder.dim << " wide, " << encoder.heads << " heads\n"
             << "head: " << vit::headName(model_->file.ranker.head) << "\n";
        return describeRuntime(model_->file, input(), model_->computing) + text.str();
    }

private:
    const vit::InputConfig& input() const { return model_->net().config().input; }

    void rankBehind(InputArray images, OutputArray scores, void* stream) const
    {
        LTRP_REQUIRE(isOnDevice(images), Error::StsBadArg, "rankOnDevice: expected a cv::cuda::GpuMat or a vector of them");
        SessionPool<DeviceRankSession>::Lease session(deviceSessions_);
        session->rank(deviceImages(images), scores, stream);
    }

    /// Scores of device images, on the host.
    std::vector<PatchRanking> rankDevice(InputArray images) const
    {
        const std::vector<cuda::GpuMat> list = deviceImages(images);
        std::vector<PatchRanking> rankings(list.size());
        Mat scores;
        if (!list.empty())
            rankBehind(images, scores, nullptr);
        for (size_t i = 0; i < list.size(); i++)
        {
            rankings[i].imageSize = list[i].size();
            keepScores(scores.row(int(i)), input(), model_->file.path, rankings[i]);
        }
        return rankings;
    }

    std::shared_ptr<RankerModel> model_;
    mutable SessionPool<RankSession> sessions_;
    mutable SessionPool<DeviceRankSession> deviceSessions_;
};

}  // namespace

Ptr<Ranker> Ranker::create(const String& model, bool trusted)
{
    if (io::isOnnx(model))
        return createOnnxRanker(model, trusted);
    return makePtr<RankerImpl>(std::make_shared<RankerModel>(io::loadModel(model, io::ModelKind::Ranker)));
}

Ptr<Ranker> Ranker::create()
{
    return create(shippedModel("rank"));
}

}}  // namespace
