// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "session.hpp"

#include "../core/parallel.hpp"
#include "../image/preprocess.hpp"
#include "../ops/ops.hpp"
#include "opencv2/ltrp/types.hpp"

namespace cv { namespace ltrp {

namespace {

/// Selects OpenCV's own backend on the CPU: the default may be another engine in builds that have it.
void useOpenCvOnCpu(cv::dnn::Net& net)
{
    net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
}

template <class LayerType>
Ptr<LayerType> layerOf(const cv::dnn::Net& net, int id)
{
    Ptr<LayerType> layer = net.getLayer(id).dynamicCast<LayerType>();
    CV_Assert(layer);
    return layer;
}

}  // namespace

RankSession::RankSession(std::shared_ptr<const RankerModel> model)
{
    registerLayers();
    cv::dnn::LayerParams params;
    const int id = net_.addLayerToPrev("scores", "LtrpRank", params);
    layerOf<RankLayer>(net_, id)->setModel(std::move(model));
    useOpenCvOnCpu(net_);
}

Mat RankSession::forward(const Mat& input)
{
    usable_ = false;
    net_.setInput(input);
    const Mat scores = net_.forward();
    usable_ = true;
    return scores;
}

PseudoScoreSession::PseudoScoreSession(std::shared_ptr<const MaeModel> model)
{
    registerLayers();
    cv::dnn::LayerParams params;
    const int id = net_.addLayer("scores", "LtrpPseudoScore", params);
    net_.setInputsNames({"image", "visible"});
    net_.connect(0, 0, id, 0);
    net_.connect(0, 1, id, 1);
    layer_ = layerOf<PseudoScoreLayer>(net_, id);
    layer_->setModel(std::move(model));
    useOpenCvOnCpu(net_);
}

Mat PseudoScoreSession::forward(const Mat& input, const Mat& visible, const vit::LeaveOneOutOptions& options)
{
    usable_ = false;
    layer_->setOptions(options);
    visible.convertTo(visible_, CV_32F);   // accepted by every version of cv::dnn; exact up to 2^24
    net_.setInput(input, "image");
    net_.setInput(visible_, "visible");
    const Mat scores = net_.forward();
    usable_ = true;
    return scores;
}

void requireBackend(int backendId)
{
    LTRP_REQUIRE(backendId == cv::dnn::DNN_BACKEND_DEFAULT || backendId == cv::dnn::DNN_BACKEND_OPENCV ||
                 backendId == cv::dnn::DNN_BACKEND_CUDA, Error::StsNotImplemented,
                 "setPreferableBackend: expected DNN_BACKEND_DEFAULT (" << int(cv::dnn::DNN_BACKEND_DEFAULT)
                 << "), DNN_BACKEND_OPENCV (" << int(cv::dnn::DNN_BACKEND_OPENCV) << ") or DNN_BACKEND_CUDA ("
                 << int(cv::dnn::DNN_BACKEND_CUDA) << "), found " << backendId << ", which this build of ltrp does not have");
}

void chooseBackend(int backendId, ComputeDevice& computing)
{
    requireBackend(backendId);
    const bool cuda = backendId == cv::dnn::DNN_BACKEND_CUDA;
    if (cuda != computing.onCuda())
        computing.set(cuda ? TARGET_CUDA : TARGET_CPU);
}

Size prepareImage(InputArray image, const vit::InputConfig& input, float* pixels)
{
    Mat rgb, resized;
    image::toRgb8(image, rgb);
    image::resizeAntialiasedCubic(rgb, resized, input.size());
    image::normalise(resized, input, pixels);
    return rgb.size();
}

float* pixelBlob(Mat& blob, int batch, const vit::InputConfig& input)
{
    const int shape[] = {batch, 3, input.size().height, input.size().width};
    blob.create(4, shape, CV_32F);
    return blob.ptr<float>();
}

int boundedBatch(int64_t wanted, const vit::InputConfig& input)
{
    const int64_t bytes = int64_t(3) * input.imageSize * input.imageSize * int64_t(sizeof(float));
    return static_cast<int>(std::max<int64_t>(1, std::min(wanted, (int64_t(256) << 20) / bytes)));
}

void keepScores(const Mat& row, const vit::InputConfig& input, const std::string& file, PatchRanking& ranking)
{
    LTRP_REQUIRE(checkRange(row), Error::StsBadArg, file << ": the model's scores are not finite numbers");
    row.reshape(1, input.rows()).copyTo(ranking.scores);
}

std::vector<PatchRanking> rankInParts(InputArrayOfArrays images, const vit::InputConfig& input, const std::string& file, int chunk,
                                      Mat& pixels, const std::function<Mat()>& forward)
{
    // A single Mat would be treated as a list of its rows.
    LTRP_REQUIRE(images.isMatVector() || images.isUMatVector() || images.kind() == _InputArray::STD_ARRAY_MAT,
                 Error::StsBadArg, "rankBatch: expected a vector of images, found a single array");
    const int total = int(images.total());
    const size_t imageValues = size_t(3) * size_t(input.size().area());
    std::vector<PatchRanking> rankings(total);
    for (int first = 0; first < total; first += chunk)
    {
        const int batch = std::min(chunk, total - first);
        float* to = pixelBlob(pixels, batch, input);
        for (int i = 0; i < batch; i++, to += imageValues)
        {
            try
            {
                rankings[first + i].imageSize = prepareImage(images.getMat(first + i), input, to);
            }
            catch (const cv::Exception& error)
            {
                LTRP_ERROR(static_cast<Error::Code>(error.code), "rankBatch: image " << first + i << ": " << error.err);
            }
        }
        const Mat scores = forward();
        for (int i = 0; i < batch; i++)
            keepScores(scores.row(i), input, file, rankings[first + i]);
    }
    return rankings;
}

std::string describeRuntime(const io::Model& model, const vit::InputConfig& input, const ComputeDevice& computing)
{
    std::ostringstream text;
    text << "model: " << model.path << " (" << io::modelKindName(model.kind) << ", format " << model.format
         << ", stored as " << model.storage << ")\n"
         << "parameters: " << model.params.layout.parameterCount() << "\n"
         << "input: " << input.size().width << " x " << input.size().height << " RGB, patch " << input.patchSize << ", grid "
         << input.columns() << " x " << input.rows() << "\n"
         << "backend: " << (computing.onCuda() ? "CUDA, " : "") << "cv::dnn OpenCV " << CV_VERSION << ", one custom layer\n"
         << "device: " << computing.device << "\n"
         << "precision: " << ops::precisionName(computing.precision) << "\n"
         << "library: " << (computing.onCuda() ? ops::cudaLibrary() : ops::cpuLibrary()) << "\n"
         << "threads: " << computeThreads() << "\n";
    for (const std::string& warning : model.warnings)
        text << "warning: " << warning << "\n";
    return text.str();
}

}}  // namespace
