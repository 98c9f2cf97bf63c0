// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_TRAINER_HPP
#define OPENCV_LTRP_TRAIN_TRAINER_HPP

#include "opencv2/ltrp/train.hpp"
#include "../io/model_file.hpp"
#include "../ops/ops.hpp"
#include "checkpoint.hpp"
#include "loader.hpp"

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
    /// Options of this kind of training that have an influence on the result.
    virtual OptionList options() const = 0;
    /// The weights have other values than at the last call of forwardBackward().
    virtual void weightsChanged() = 0;
    /// Mean loss of a batch; adds d loss / d parameter to grads (the arena's layout). NaN or infinite where a value is.
    virtual double forwardBackward(const Batch& batch, int visible, float* grads) = 0;
};

/// Text of a number from which the same number is read again.
std::string optionText(double value);

/// Throws Error::StsOutOfRange naming the parameter, its value and its range.
void checkParams(const TrainParams& params);
/// The precision that params.target asks for in training. @throws for targets that cannot train, or not here
ops::Precision trainingPrecision(const TrainParams& params);

/// A trainer that runs the loop (data, checkpoints, log, result) over an objective.
Ptr<Trainer> makeTrainer(const TrainParams& params, std::unique_ptr<Objective> objective);

}}}  // namespace

#endif
