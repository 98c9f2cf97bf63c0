// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_OBJECTIVE_HPP
#define OPENCV_LTRP_TRAIN_OBJECTIVE_HPP

#include "targets.hpp"
#include "../io/model_file.hpp"
#include "../ops/training.hpp"

namespace cv { namespace ltrp { namespace train {

struct LoaderOptions;

/// Network and loss of a training; the loop is the same for all trainings.
class Objective
{
public:
    virtual ~Objective() = default;

    /// The network in training.
    virtual io::Model& model() = 0;
    /// Sets the initial weights, a function of the seed.
    virtual void initialise() = 0;
    /// The images of TrainParams::data.
    virtual Dataset images(const std::vector<std::string>& data) { return listImages(data); }
    /// Stored score maps that this training learns from; null: none.
    virtual const TargetStore* targets() const { return nullptr; }
    /// Whether patches are masked by TrainParams::maskRatio, which is then one of its options.
    virtual bool masks() const { return true; }
    /// Sets how the patches that the network sees are chosen, other than at random.
    virtual void prepare(LoaderOptions&) const {}
    /// Number of visible, or compared, patches per image.
    virtual int visible(double maskRatio) { return vit::visibleCount(model().input().numPatches(), maskRatio); }
    /// Warnings about the files that it reads.
    virtual std::vector<std::string> warnings() const { return {}; }
    /// Options of this kind of training that influence the result.
    virtual OptionList options() const = 0;
    /// Whether each image has one class, which the passes are told.
    virtual bool labelled() const { return false; }
    /// Asked within passes over the host; true: vit::Stopped is thrown from them.
    virtual void setStop(const std::function<bool()>& stop) = 0;
    /// Backend of the passes.
    virtual const ops::Backend& backend() const = 0;
    /// Whether pass(), after its first call, neither waits nor copies between the host and the backend's memory.
    virtual bool recordable() const = 0;
    /// Factor of the gradients that keeps them within half precision.
    virtual float gradientScale(int images, int visible) const = 0;
    /// All arguments are in the backend's memory. *loss: mean over the batch, NaN or infinite if a value is. Adds the
    /// gradients of the parameters, times `scale`, to gradients (the arena's layout).
    virtual void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) = 0;
};

}}}  // namespace

#endif
