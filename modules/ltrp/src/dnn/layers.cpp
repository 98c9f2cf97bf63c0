// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "layers.hpp"
#include "passes.hpp"

#include "../io/file_bytes.hpp"

#include <opencv2/core/utils/logger.hpp>
#include <opencv2/dnn/layer.hpp>

#include <map>
#include <mutex>

namespace cv { namespace ltrp {

namespace {

std::string shapeText(const Shape& shape)
{
    std::ostringstream text;
    text << "[";
    for (size_t i = 0; i < shape.size(); i++)
        text << (i ? "," : "") << shape[i];
    text << "]";
    return text.str();
}

/// The network's tensors as contiguous floats / 32-bit integers: OpenCV 4 passes everything as floats, OpenCV 5 keeps
/// the caller's type.
Mat contiguous(const Mat& mat, int depth)
{
    Mat result = mat;
    if (mat.depth() != depth)
        mat.convertTo(result, depth);
    return result.isContinuous() ? result : result.clone();
}

int checkPixels(const char* layer, const Shapes& in, size_t count, const vit::InputConfig& input)
{
    LTRP_REQUIRE(in.size() == count, Error::StsBadArg,
                 layer << ": expected " << count << " inputs, found " << in.size());
    const Size size = input.size();
    LTRP_REQUIRE(in[0].size() == 4 && in[0][0] >= 1 && in[0][1] == 3 && in[0][2] == size.height && in[0][3] == size.width,
                 Error::StsUnmatchedSizes,
                 layer << ": pixels: expected the shape [N,3," << size.height << "," << size.width << "], found "
                 << shapeText(in[0]));
    return in[0][0];
}

Shape matrixShape(int rows, int cols)
{
    Shape shape;
    shape.push_back(rows);
    shape.push_back(cols);
    return shape;
}

int enumParam(const cv::dnn::LayerParams& params, const char* name, int highest)
{
    const int value = params.get<int>(name, 0);
    LTRP_REQUIRE(value >= 0 && value <= highest, Error::StsOutOfRange,
                 "LtrpPseudoScore: parameter '" << name << "': expected 0 to " << highest << ", found " << value);
    return value;
}

/// A model read by registerLayerModel(); one of the two pointers is set.
struct LayerModel
{
    std::shared_ptr<const RankerModel> ranker;
    std::shared_ptr<const MaeModel> mae;
};

struct LayerModels
{
    std::mutex mutex;
    std::map<std::string, LayerModel> named;
};

/// Never destroyed, so that no static destructor depends on OpenCV.
LayerModels& layerModels()
{
    static LayerModels* const all = new LayerModels;
    return *all;
}

/// Returns the model named by the parameter "model", or an empty one. Names are never used as file names: the
/// parameters may come from an untrusted file.
LayerModel namedModel(const cv::dnn::LayerParams& params, const char* layer)
{
    if (!params.has("model"))
        return LayerModel();
    const std::string name = params.get<String>("model");
    LayerModels& models = layerModels();
    const std::lock_guard<std::mutex> lock(models.mutex);
    const auto found = models.named.find(name);
    LTRP_REQUIRE(found != models.named.end(), Error::StsObjectNotFound,
                 layer << ": no model is registered under the name " << io::printable(name)
                 << ": call registerLayerModel() with this name and a weight file before the network is made");
    return found->second;
}

}  // namespace

void registerLayers()
{
    // Not registered by a static object: a linker removes it from a static library if nothing else in its file is used.
    // Only once: cv::dnn throws for a repeated name.
    static std::once_flag once;
    std::call_once(once, []()
    {
        for (const char* domain : {"", "ltrp."})
        {
            cv::dnn::LayerFactory::registerLayer(std::string(domain) + "LtrpRank", RankLayer::create);
            cv::dnn::LayerFactory::registerLayer(std::string(domain) + "LtrpPseudoScore", PseudoScoreLayer::create);
        }
    });
}

void registerLayerModel(const String& name, const String& file)
{
    LTRP_REQUIRE(!name.empty(), Error::StsBadArg, "registerLayerModel: the name is empty");
    registerLayers();
    LayerModel model;
    if (!file.empty())
    {
        io::Model loaded = io::loadModel(file);
        for (const std::string& warning : loaded.warnings)
            CV_LOG_WARNING(NULL, warning);
        LTRP_REQUIRE(loaded.kind != io::ModelKind::Classifier, Error::StsBadArg,
                     file << ": this is a classifier, the layers run rankers and autoencoders");
        if (loaded.kind == io::ModelKind::Ranker)
            model.ranker = std::make_shared<const RankerModel>(std::move(loaded));
        else
            model.mae = std::make_shared<const MaeModel>(std::move(loaded));
    }
    LayerModels& models = layerModels();
    const std::lock_guard<std::mutex> lock(models.mutex);
    if (file.empty())
        models.named.erase(name);
    else
        models.named[name] = model;
}

#if CV_VERSION_MAJOR >= 5
void FloatLayer::getTypes(const dnn_names::Types&, const int requiredOutputs, const int requiredInternals,
                          dnn_names::Types& out, dnn_names::Types& internal) const
{
    out.assign(requiredOutputs, CV_32F);
    internal.assign(requiredInternals, CV_32F);
}
#endif

RankLayer::RankLayer(const cv::dnn::LayerParams& params) : FloatLayer(params)
{
    const LayerModel named = namedModel(params, "LtrpRank");
    LTRP_REQUIRE(!named.mae, Error::StsBadArg, "LtrpRank: " << named.mae->file.path << " is an autoencoder, expected a ranker");
    model_ = named.ranker;
}

Ptr<cv::dnn::Layer> RankLayer::create(cv::dnn::LayerParams& params)
{
    return makePtr<RankLayer>(params);
}

const RankerModel& RankLayer::model() const
{
    LTRP_REQUIRE(model_, Error::StsNullPtr,
                 "LtrpRank: the layer has no model: expected the parameter 'model', a ranker's name in registerLayerModel()");
    return *model_;
}

const vit::RankerNet& RankLayer::netFor(Size size)
{
    if (model().net().config().input.size() == size)
        return model().net();
    if (!own_ || own_->config().input.size() != size)
        own_ = model().netFor(size, "LtrpRank");
    return *own_;
}

bool RankLayer::getMemoryShapes(const Shapes& in, const int, Shapes& out, Shapes& internal) const
{
    vit::RankerConfig config = model().net().config();
    // A token head accepts any size, a class head only its own.
    if (config.head == vit::Head::Token && in.size() == 1 && in[0].size() == 4)
        vit::setInputSize(config, Size(in[0][3], in[0][2]), "LtrpRank: pixels of the shape " + shapeText(in[0]));
    const int batch = checkPixels("LtrpRank", in, 1, config.input);
    out.assign(1, matrixShape(batch, config.input.numPatches()));
    internal.clear();
    return false;
}

void RankLayer::forward(InputArrayOfArrays inArrays, OutputArrayOfArrays outArrays, OutputArrayOfArrays)
{
    std::vector<Mat> in, out;
    inArrays.getMatVector(in);
    outArrays.getMatVector(out);
    CV_Assert(in.size() == 1 && out.size() == 1 && out[0].type() == CV_32F && out[0].isContinuous());
    const Mat pixels = contiguous(in[0], CV_32F);
    CV_Assert(pixels.dims == 4);
    const vit::RankerNet& net = netFor(Size(pixels.size[3], pixels.size[2]));
    vit::Workspace& ws = workspace_.of(model().computing);
    const std::shared_ptr<void> guard = ws.ops().deviceGuard();
    float* scores = ws.result("layer.scores", out[0].ptr<float>(), out[0].total());
    const float* const values = ws.upload("layer.pixels", pixels.ptr<float>(), pixels.total());
    rankImages(net, values, pixels.size[0], scores, ws);
    ws.finish(scores, out[0].ptr<float>(), out[0].total());
}

PseudoScoreLayer::PseudoScoreLayer(const cv::dnn::LayerParams& params) : FloatLayer(params)
{
    const LayerModel named = namedModel(params, "LtrpPseudoScore");
    LTRP_REQUIRE(!named.ranker, Error::StsBadArg,
                 "LtrpPseudoScore: " << named.ranker->file.path << " is a ranker, expected an autoencoder");
    model_ = named.mae;
    options_.removal = enumParam(params, "removal", REMOVAL_ENCODER);
    options_.metric = enumParam(params, "metric", METRIC_PSNR);
    options_.space = enumParam(params, "space", SPACE_PIXEL);
}

Ptr<cv::dnn::Layer> PseudoScoreLayer::create(cv::dnn::LayerParams& params)
{
    return makePtr<PseudoScoreLayer>(params);
}

const MaeModel& PseudoScoreLayer::model() const
{
    LTRP_REQUIRE(model_, Error::StsNullPtr,
                 "LtrpPseudoScore: the layer has no model: expected the parameter 'model', an autoencoder's name in "
                 "registerLayerModel()");
    return *model_;
}

bool PseudoScoreLayer::getMemoryShapes(const Shapes& in, const int, Shapes& out, Shapes& internal) const
{
    const vit::InputConfig& input = model().net.config().input;
    const int batch = checkPixels("LtrpPseudoScore", in, 2, input);
    // 0: some importers query shapes with an unknown extent; the actual one is checked before the first pass.
    LTRP_REQUIRE(in[1].size() == 2 && (in[1][0] == batch || in[1][0] == 0) && in[1][1] >= 1 &&
                 in[1][1] < input.numPatches(),
                 Error::StsUnmatchedSizes,
                 "LtrpPseudoScore: visible patches: expected the shape [" << batch << ",1 to " << input.numPatches() - 1
                 << "], found " << shapeText(in[1]));
    out.assign(1, matrixShape(batch, in[1][1]));
    internal.clear();
    return false;
}

void PseudoScoreLayer::forward(InputArrayOfArrays inArrays, OutputArrayOfArrays outArrays, OutputArrayOfArrays)
{
    std::vector<Mat> in, out;
    inArrays.getMatVector(in);
    outArrays.getMatVector(out);
    CV_Assert(in.size() == 2 && out.size() == 1 && out[0].type() == CV_32F && out[0].isContinuous());
    const Mat pixels = contiguous(in[0], CV_32F);
    const Mat ids = contiguous(in[1], CV_32S);
    const int batch = ids.size[0], visible = ids.size[1];
    CV_Assert(batch == pixels.size[0]);
    const vit::InputConfig& input = model().net.config().input;

    for (int row = 0; row < batch; row++)
    {
        const int* values = ids.ptr<int>(row);
        for (int i = 0; i < visible; i++)
            LTRP_REQUIRE(values[i] >= 0 && values[i] < input.numPatches() && (i == 0 || values[i] > values[i - 1]),
                         Error::StsOutOfRange, "LtrpPseudoScore: visible patches of row " << row
                         << ": expected ascending numbers from 0 to " << input.numPatches() - 1 << ", found "
                         << values[i] << " at position " << i);
    }

    vit::Workspace& ws = workspace_.of(model().computing);
    const std::shared_ptr<void> guard = ws.ops().deviceGuard();
    const float* values = ws.upload("layer.pixels", pixels.ptr<float>(), pixels.total());
    const int* keep = ws.upload("layer.visible", ids.ptr<int>(), ids.total());
    float* scores = ws.result("layer.scores", out[0].ptr<float>(), out[0].total());
    scoreImages(model().net, values, batch, keep, visible, options_, scores, ws);
    ws.finish(scores, out[0].ptr<float>(), out[0].total());
}

}}  // namespace
