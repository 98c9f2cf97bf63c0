// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_TRAIN_TRAINER_HPP
#define OPENCV_LTRP_TRAIN_TRAINER_HPP

#include "opencv2/ltrp/train.hpp"
#include "objective.hpp"
#include "workers.hpp"
#include "../ops/target.hpp"
#include "../select/selector.hpp"

namespace cv { namespace ltrp { namespace train {

/// Converts a number to text without loss.
std::string optionText(double value);

/// Throws Error::StsOutOfRange naming the parameter, its value and its range.
void checkParams(const TrainParams& params);
/// What is not given follows the data, the device and the run's length; a resumed run keeps what it began with.
void chooseDefaults(TrainParams& params, int64_t images, bool onHost);
/// All options with an influence on the result. rate: the learning rate, data: text of the data set
OptionList runOptions(const TrainParams& params, const Objective& objective, double rate, const std::string& data);
/// Creates a trainer that runs the training loop (data, checkpoints, log, result) for an objective.
Ptr<Trainer> makeTrainer(const TrainParams& params, std::unique_ptr<Objective> objective, const std::string& device);

/// Has a trainer of makeTrainer() be one of several workers from its next run() on. They must outlive the run.
void trainTogether(Trainer& trainer, Workers& workers);

/// Training of a classifier that sees the kept patches of an image. Its images and labels: listLabelled() of data[0].
/// Defaults: ViT-Ti/16, 50 epochs, rate 1e-3 per 256 images, layer-wise decay 0.75, as autoencoders are fine-tuned (He et
/// al., CVPR 2022), with crops that fit small data sets.
struct ClassifierTrainParams : public TrainParams
{
    ClassifierTrainParams();

    vit::Task task = vit::Task::Classify;
    std::string images;                ///< LabelledData::images
    double keepMin = 1, keepMax = 1;   ///< share of patches to keep, in (0, 1]: drawn uniformly for each batch
    std::vector<std::string> selectors = {"all"};   ///< one is drawn for each sample
    select::SelectorModels selectorModels;
    int imageSize = 224, patchSize = 16, embedDim = 192, depth = 12, heads = 3;   ///< without `init`, an autoencoder's
    std::string pool = "class";        ///< "class" or "mean": input of the head of Task::Classify
    double smoothing = 0.1;            ///< of labels, in [0, 1); not of Task::Multilabel
    double layerDecay = 0.75;          ///< factor of the learning rate from block to block, in (0, 1]
};
/// @throws as Trainer::createRanker
Ptr<Trainer> makeClassifierTrainer(const ClassifierTrainParams& params, const ComputeDevice& computing);

/// Objective of pretraining.
std::unique_ptr<Objective> makePretraining(const MaePretrainParams& params, const ComputeDevice& computing);
/// The two trainings with given backends; teacher: backend of the frozen autoencoder.
Ptr<Trainer> makePretrainer(const MaePretrainParams& params, const ComputeDevice& computing);
Ptr<Trainer> makeRankerTrainer(const RankerTrainParams& params, const ComputeDevice& computing, const ComputeDevice& teacher);

}}}  // namespace

#endif
