// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_DNN_LAYERS_HPP
#define OPENCV_LTRP_DNN_LAYERS_HPP

#include "../core/target.hpp"
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

/// The scratch memory of one layer, which belongs to the backend that the model computes with at the time.
class LayerWorkspace
{
public:
    vit::Workspace& of(const Computing& computing)
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

/// A ranker's weights, loaded once and shared by every session. Neither copied nor moved: `net` refers to `file`.
struct RankerModel
{
    explicit RankerModel(io::Model model) : file(std::move(model)), net(file.ranker, file.params) {}
    RankerModel(const RankerModel&) = delete;
    RankerModel& operator=(const RankerModel&) = delete;

    const io::Model file;
    const vit::RankerNet net;
    Computing computing;   ///< changed by the setters, which must not run beside a forward pass
};

/// The same for a masked autoencoder.
struct MaeModel
{
    explicit MaeModel(io::Model model) : file(std::move(model)), net(file.mae, file.params) {}
    MaeModel(const MaeModel&) = delete;
    MaeModel& operator=(const MaeModel&) = delete;

    const io::Model file;
    const vit::Mae net;
    Computing computing;   ///< changed by the setters, which must not run beside a forward pass
};

/// What both layers share: their outputs are floats whatever their inputs are.
class FloatLayer : public cv::dnn::Layer
{
public:
    explicit FloatLayer(const cv::dnn::LayerParams& params) : cv::dnn::Layer(params) {}

#if CV_VERSION_MAJOR >= 5
    // The default gives every output the type of input 0 and refuses 16- and 32-bit integers.
    void getTypes(const dnn_names::Types& in, const int requiredOutputs, const int requiredInternals,
                  dnn_names::Types& out, dnn_names::Types& internal) const CV_OVERRIDE;
#endif
};

/// The whole ranker as one cv::dnn layer: normalised pixels [N,3,S,S] -> scores [N,L]. See registerLayers().
class RankLayer CV_FINAL : public FloatLayer
{
public:
    explicit RankLayer(const cv::dnn::LayerParams& params);
    static Ptr<cv::dnn::Layer> create(cv::dnn::LayerParams& params);

    /// The factory can pass a file's name, not a model that is already in memory: that is handed over afterwards.
    void setModel(std::shared_ptr<const RankerModel> model) { model_ = std::move(model); }

    bool getMemoryShapes(const Shapes& in, const int requiredOutputs, Shapes& out, Shapes& internal) const CV_OVERRIDE;
    void forward(InputArrayOfArrays in, OutputArrayOfArrays out, OutputArrayOfArrays internal) CV_OVERRIDE;

private:
    const RankerModel& model() const;

    std::shared_ptr<const RankerModel> model_;
    LayerWorkspace workspace_;
};

/// The whole leave-one-out measurement as one cv::dnn layer: normalised pixels [N,3,S,S] and, for each image, the
/// ascending numbers of its visible patches [N,Lv] -> scores [N,Lv]. SSIM and PSNR are scaled within each row.
/// See registerLayers().
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
