// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_LAYERS_HPP
#define OPENCV_LTRP_DNN_LAYERS_HPP

#include "../ops/target.hpp"
#include "../io/model_file.hpp"
#include "../vit/leave_one_out.hpp"
#include "../vit/ranker_net.hpp"

#include <opencv2/dnn.hpp>
#include <opencv2/ltrp/layers.hpp>

namespace cv { namespace ltrp {

/// cv::dnn::MatShape in OpenCV 4, cv::MatShape in OpenCV 5: only the unqualified name finds both.
namespace dnn_names
{
using namespace cv::dnn;
typedef MatShape Shape;
#if CV_VERSION_MAJOR >= 5
typedef std::vector<MatType> Types;
#endif
}
typedef dnn_names::Shape Shape;
typedef std::vector<Shape> Shapes;

/// Scratch memory of one layer; depends on the current backend.
class LayerWorkspace
{
public:
    vit::Workspace& of(const ComputeDevice& computing)
    {
        if (backend_ != computing.backend)
        {
            workspace_.reset(new vit::Workspace(computing.backend));
            backend_ = computing.backend;
        }
        return *workspace_;
    }

private:
    std::shared_ptr<const ops::Backend> backend_;
    std::unique_ptr<vit::Workspace> workspace_;
};

/// A ranker's weights, loaded once and shared by all sessions. Neither copyable nor movable: net() refers to `file`.
struct RankerModel
{
    explicit RankerModel(io::Model model) : file(std::move(model)), net_(new vit::RankerNet(file.ranker, file.params)) {}
    RankerModel(const RankerModel&) = delete;
    RankerModel& operator=(const RankerModel&) = delete;

    const vit::RankerNet& net() const { return *net_; }
    /// The network for images of another size than the file's. @throws cv::Exception as vit::setInputSize()
    std::unique_ptr<const vit::RankerNet> netFor(Size size, const std::string& where) const
    {
        vit::RankerConfig config = file.ranker;
        vit::setInputSize(config, size, where);
        return std::unique_ptr<const vit::RankerNet>(new vit::RankerNet(config, file.params));
    }
    void setInputSize(Size size)
    {
        if (size != net().config().input.size())
            net_ = netFor(size, file.path);
    }

    const io::Model file;
    ComputeDevice computing;   ///< changed by setters; these must not run concurrently with a forward pass

private:
    std::unique_ptr<const vit::RankerNet> net_;
};

/// The same for a masked autoencoder.
struct MaeModel
{
    explicit MaeModel(io::Model model) : file(std::move(model)), net(file.mae, file.params) {}
    MaeModel(const MaeModel&) = delete;
    MaeModel& operator=(const MaeModel&) = delete;

    const io::Model file;
    const vit::Mae net;
    ComputeDevice computing;   ///< changed by setters, which must not run concurrently with a forward pass
};

/// Base of both layers: outputs are floats for inputs of any type.
class FloatLayer : public cv::dnn::Layer
{
public:
    explicit FloatLayer(const cv::dnn::LayerParams& params) : cv::dnn::Layer(params) {}

#if CV_VERSION_MAJOR >= 5
    // The default gives every output the type of input 0 and rejects 16- and 32-bit integers.
    void getTypes(const dnn_names::Types& in, const int requiredOutputs, const int requiredInternals,
                  dnn_names::Types& out, dnn_names::Types& internal) const CV_OVERRIDE;
#endif
};

/// The whole ranker as one cv::dnn layer: normalised pixels [N,3,H,W] -> scores [N,L]. See registerLayers().
class RankLayer CV_FINAL : public FloatLayer
{
public:
    explicit RankLayer(const cv::dnn::LayerParams& params);
    static Ptr<cv::dnn::Layer> create(cv::dnn::LayerParams& params);

    /// Sets a model that is in memory; the factory can only pass a file name.
    void setModel(std::shared_ptr<const RankerModel> model)
    {
        own_.reset();
        model_ = std::move(model);
    }

    bool getMemoryShapes(const Shapes& in, const int requiredOutputs, Shapes& out, Shapes& internal) const CV_OVERRIDE;
    void forward(InputArrayOfArrays in, OutputArrayOfArrays out, OutputArrayOfArrays internal) CV_OVERRIDE;

private:
    const RankerModel& model() const;
    const vit::RankerNet& netFor(Size size);

    std::shared_ptr<const RankerModel> model_;
    std::unique_ptr<const vit::RankerNet> own_;   ///< for images of another size than the model's
    LayerWorkspace workspace_;
};

/// The whole leave-one-out measurement as one cv::dnn layer: normalised pixels [N,3,S,S] and the ascending numbers of
/// each image's visible patches [N,Lv] -> scores [N,Lv]. SSIM and PSNR are scaled within each row. See
/// registerLayers().
class PseudoScoreLayer CV_FINAL : public FloatLayer
{
public:
    explicit PseudoScoreLayer(const cv::dnn::LayerParams& params);
    static Ptr<cv::dnn::Layer> create(cv::dnn::LayerParams& params);

    void setModel(std::shared_ptr<const MaeModel> model) { model_ = std::move(model); }
    void setOptions(const vit::LeaveOneOutOptions& options) { options_ = options; }

    bool getMemoryShapes(const Shapes& in, const int requiredOutputs, Shapes& out, Shapes& internal) const CV_OVERRIDE;
    void forward(InputArrayOfArrays in, OutputArrayOfArrays out, OutputArrayOfArrays internal) CV_OVERRIDE;

private:
    const MaeModel& model() const;

    std::shared_ptr<const MaeModel> model_;
    vit::LeaveOneOutOptions options_;
    LayerWorkspace workspace_;
};

}}  // namespace

#endif
