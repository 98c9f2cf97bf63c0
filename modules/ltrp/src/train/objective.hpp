// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_OBJECTIVE_HPP
#define OPENCV_LTRP_TRAIN_OBJECTIVE_HPP

#include "targets.hpp"
#include "../io/model_file.hpp"
#include "../ops/training.hpp"

namespace cv { namespace ltrp { namespace train {

/// What differs between the two trainings: the network and its loss. The loop knows neither.
class Objective
{
public:
    virtual ~Objective() = default;

    /// The network in training.
    virtual io::Model& model() = 0;
    /// Sets the weights to their first values, a function of the seed.
    virtual void initialise() = 0;
    /// Score maps computed beforehand that this training learns from; null: none.
    virtual const TargetStore* targets() const { return nullptr; }
    /// Patches of each image that stay visible, or are compared.
    virtual int visible(double maskRatio) { return vit::visibleCount(model().input().numPatches(), maskRatio); }
    /// Options of this kind of training that have an influence on the result.
    virtual OptionList options() const = 0;
    /// Asked within passes over the host; true: vit::Stopped is thrown from them.
    virtual void setStop(const std::function<bool()>& stop) = 0;
    /// What it computes with.
    virtual const ops::Backend& backend() const = 0;
    /// Whether pass() neither waits nor carries values between the host and the backend's memory, once it has been called.
    virtual bool recordable() const = 0;
    /// What gradients are multiplied by, so that halves hold them.
    virtual float gradientScale(int images, int visible) const = 0;
    /// Everything in the backend's memory. *loss: mean over the batch, NaN or infinite where a value is; adds its gradient by the
    /// parameters, times `scale`, to gradients (the arena's layout).
    virtual void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) = 0;
};

}}}  // namespace

#endif
