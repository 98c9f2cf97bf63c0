// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "onnx_ranker.hpp"

#include "ops/target.hpp"
#include "dnn/device_session.hpp"
#include "dnn/session.hpp"
#include "io/onnx_file.hpp"

namespace cv { namespace ltrp {

namespace {

/// A cv::dnn::Net for one thread at a time. Each is read from the file's bytes: copies of a Net share state.
class OnnxSession
{
public:
    explicit OnnxSession(std::shared_ptr<const io::OnnxRankerFile> file) : file_(std::move(file))
    {
        // The graph may contain the module's own operations.
        registerLayers();
        guarded([&]()
        {
            net_ = cv::dnn::readNetFromONNX(reinterpret_cast<const char*>(file_->bytes->data()), file_->bytes->size());
            if (net_.empty())
                CV_Error(Error::StsUnsupportedFormat, "it holds an operation that is not known");
#if CV_VERSION_MAJOR >= 5
            if (net_.getMainGraph())
                return;   // the new engine supports only the CPU, and warns if it is set
#endif
            net_.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
            net_.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
        });
    }

    bool usable() const { return usable_; }

    /// Whether the number of images may change between calls. Not in the classic engine of 5.0, which reads out of
    /// bounds if the batch of a product with constants grows.
    bool takesBatches() const
    {
#if CV_VERSION_MAJOR >= 5
        return file_->anyBatch && net_.getMainGraph();
#else
        return file_->anyBatch;
#endif
    }

    /// pixels [N,3,H,W] -> scores N x L, which belong to the Net and are overwritten by the next call.
    Mat forward()
    {
        usable_ = false;
        const int images = pixels.size[0];
        Mat scores;
        guarded([&]()
        {
            net_.setInput(pixels, file_->image);
            scores = net_.forward(file_->scores);
        });
        LTRP_REQUIRE(scores.type() == CV_32F && scores.dims == 2 && scores.rows == images && scores.isContinuous() &&
                         scores.cols == file_->input.numPatches(),
                     Error::StsUnmatchedSizes, file_->path() << ": gives other than " << file_->input.numPatches()
                                                             << " scores for each of " << images << " images");
        usable_ = true;
        return scores;
    }

    /// "cv::dnn OpenCV 5.0.0, new engine"
    std::string engine() const
    {
        std::string name = std::string("cv::dnn OpenCV ") + CV_VERSION;
#if CV_VERSION_MAJOR >= 5
        name += net_.getMainGraph() ? ", new engine" : ", classic engine";
#endif
        return name;
    }

    Mat pixels;

private:
    /// Adds the file's name to exceptions of cv::dnn, which do not contain it.
    template <class Work>
    void guarded(Work work) const
    {
        try
        {
            work();
        }
        catch (const cv::Exception& error)
        {
            LTRP_ERROR(static_cast<Error::Code>(error.code),
                       file_->path() << ": OpenCV " << CV_VERSION << " cannot run this ONNX graph: " << error.err);
        }
        catch (const std::exception& error)
        {
            LTRP_ERROR(Error::StsError,
                       file_->path() << ": OpenCV " << CV_VERSION << " cannot run this ONNX graph: " << error.what());
        }
    }

    std::shared_ptr<const io::OnnxRankerFile> file_;
    bool usable_ = true;
    cv::dnn::Net net_;
};

class OnnxRanker CV_FINAL : public Ranker
{
public:
    explicit OnnxRanker(std::shared_ptr<const io::OnnxRankerFile> file)
        : file_(std::move(file)),
          sessions_([this]() { return std::unique_ptr<OnnxSession>(new OnnxSession(file_)); })
    {
        // A graph that cannot run is rejected here instead of with the first photo.
        SessionPool<OnnxSession>::Lease session(sessions_);
        pixelBlob(session->pixels, 1, input());
        session->pixels.setTo(0);
        session->forward();
        engine_ = session->engine();
    }

    PatchRanking rank(InputArray image) const CV_OVERRIDE
    {
        PatchRanking ranking;
        SessionPool<OnnxSession>::Lease session(sessions_);
        ranking.imageSize = prepareImage(image, input(), pixelBlob(session->pixels, 1, input()));
        keepScores(session->forward().row(0), input(), file_->path(), ranking);
        return ranking;
    }

    std::vector<PatchRanking> rankBatch(InputArrayOfArrays images) const CV_OVERRIDE
    {
        if (images.kind() == _InputArray::NONE)
            return std::vector<PatchRanking>();
        if (isOnDevice(images))
            onCpuOnly("rankBatch");
        const int chunk = images.total() > 1 && takesBatches() ? batchSize : 1;
        SessionPool<OnnxSession>::Lease session(sessions_);
        return rankInParts(images, input(), file_->path(), chunk, session->pixels,
                           [&]() { return session->forward(); });
    }

    void setPreferableBackend(int backendId) CV_OVERRIDE
    {
        LTRP_REQUIRE(backendId != cv::dnn::DNN_BACKEND_CUDA, Error::StsNotImplemented,
                     "setPreferableBackend: an ONNX file computes on the CPU; CUDA needs the ranker's weights as .safetensors");
        requireBackend(backendId);
    }
    void setPreferableTarget(int targetId) CV_OVERRIDE
    {
        LTRP_REQUIRE(targetId == TARGET_CPU, Error::StsNotImplemented,
                     "setPreferableTarget: an ONNX file computes in 32-bit floats (TARGET_CPU, 0), found " << targetId
                     << "; other precisions need the ranker's weights as .safetensors");
    }

    void rankOnDevice(InputArray, OutputArray) const CV_OVERRIDE { onCpuOnly("rankOnDevice"); }
    void rankOnDevice(InputArray, OutputArray, cuda::Stream&) const CV_OVERRIDE { onCpuOnly("rankOnDevice"); }

    void setInputSize(Size size) CV_OVERRIDE
    {
        LTRP_REQUIRE(size == input().size(), Error::StsNotImplemented,
                     file_->path() << ": an input of " << size.width << " x " << size.height
                                   << " pixels: an ONNX file takes images of its own size alone, expected " << input().size().width
                                   << " x " << input().size().height << "; 'ltrp convert --size' makes one of another size");
    }
    Size fittingInputSize(Size imageSize, int patches) const CV_OVERRIDE
    {
        return vit::fittingInputSize(input(), imageSize, patches == 0 ? input().numPatches() : patches);
    }
    Size getInputSize() const CV_OVERRIDE { return input().size(); }
    Size getGrid() const CV_OVERRIDE { return Size(input().columns(), input().rows()); }
    Scalar getInputMean() const CV_OVERRIDE { return Scalar(input().mean[0], input().mean[1], input().mean[2]); }
    Scalar getInputStd() const CV_OVERRIDE { return Scalar(input().std[0], input().std[1], input().std[2]); }

    String info() const CV_OVERRIDE
    {
        std::ostringstream text;
        text << "model: " << file_->path() << " (ranker, format onnx, opset " << file_->opset << ")\n"
             << "parameters: " << file_->weights << "\n"
             << "input: " << input().size().width << " x " << input().size().height << " RGB, patch " << input().patchSize
             << ", grid " << input().columns() << " x " << input().rows() << "\n"
             << "backend: " << engine_ << ", imported graph\n"
             << "device: CPU\n"
             << "precision: fp32\n"
             << "threads: " << getNumThreads() << "\n";
        return text.str();
    }

private:
    const vit::InputConfig& input() const { return file_->input; }

    [[noreturn]] void onCpuOnly(const char* call) const
    {
        LTRP_ERROR(Error::StsNotImplemented,
                   call << ": an ONNX file computes on the CPU; CUDA needs the ranker's weights as .safetensors");
    }

    /// A graph may declare any number of images but have the number one in its constants, for example as a shape. This
    /// is tested once with two images: each must get the scores that it gets alone.
    bool takesBatches() const
    {
        std::call_once(asked_, [this]()
        {
            SessionPool<OnnxSession>::Lease session(sessions_);
            if (!session->takesBatches())
                return;
            try
            {
                const size_t imageValues = size_t(3) * size_t(input().size().area());
                pixelBlob(session->pixels, 2, input());
                RNG(1).fill(session->pixels, RNG::UNIFORM, -1, 1);
                const Mat pixels = session->pixels.clone(), both = session->forward().clone();
                for (int i = 0; i < 2; i++)
                {
                    std::copy_n(pixels.ptr<float>(i), imageValues, pixelBlob(session->pixels, 1, input()));
                    if (norm(session->forward(), both.row(i), NORM_INF) > 1e-4 * norm(both, NORM_INF))
                        return;
                }
                batches_ = true;
            }
            catch (const cv::Exception&)
            {
                // Falls back to single images; this session is not used again.
            }
        });
        return batches_;
    }

    /// cv::dnn computes four images together in 70 to 95 % of the time for four single ones; larger batches gain
    /// nothing.
    static const int batchSize = 4;

    std::shared_ptr<const io::OnnxRankerFile> file_;
    mutable SessionPool<OnnxSession> sessions_;
    std::string engine_;
    mutable std::once_flag asked_;
    mutable bool batches_ = false;   ///< written together with asked_
};

}  // namespace

Ptr<Ranker> createOnnxRanker(const std::string& path, bool trusted)
{
    const std::shared_ptr<const io::OnnxRankerFile> file = io::readOnnxRanker(io::FileBytes::map(path));
    if (!trusted)
        io::requireOwnGraph(*file);
    return makePtr<OnnxRanker>(file);
}

}}  // namespace
