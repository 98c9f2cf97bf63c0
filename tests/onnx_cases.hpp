// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_ONNX_CASES_HPP
#define LTRP_TESTS_ONNX_CASES_HPP

#include "precomp.hpp"
#include "io/model_file.hpp"

/// Inputs of an exported file and the expected outputs, from the module's own forward pass. Rows of the first dimension
/// are independent, so the first k are a batch of k.
struct OnnxCase
{
    struct Tensor
    {
        std::string name;
        std::vector<int> shape;
        std::vector<float> floats;
        std::vector<int> integers;   ///< instead of floats, for patch numbers
    };

    std::string name;   ///< "mae-patch14-encoder"
    std::string file;   ///< the exported file
    std::vector<Tensor> inputs;
    Tensor want;
};

/// A ranker or autoencoder of that geometry before training: zero biases, equal norms.
cv::ltrp::io::Model untrainedRanker(int imageSize, int patchSize, const cv::ltrp::vit::StackConfig& stack,
                                    cv::ltrp::vit::Head head = cv::ltrp::vit::Head::Class);
cv::ltrp::io::Model untrainedMae(int imageSize, int patchSize, const cv::ltrp::vit::StackConfig& encoder,
                                 const cv::ltrp::vit::StackConfig& decoder);
/// Adds random numbers to every tensor, so that none is zero and no two are equal.
cv::ltrp::io::Model perturbed(cv::ltrp::io::Model model);

/// Exports into `folder` and computes the expected outputs for `batch` random images.
OnnxCase rankerCase(const std::string& folder, const std::string& name, const cv::ltrp::io::Model& model,
                    int batch = 14);
/// Encoder and decoder; `visible` patches.
std::vector<OnnxCase> maeCases(const std::string& folder, const std::string& name, const cv::ltrp::io::Model& model,
                               int visible, int batch = 3);

/// An untrained classifier of three classes or more on `visible` patches.
OnnxCase classifierCase(const std::string& folder, const std::string& name, int imageSize, int patchSize,
                        const cv::ltrp::vit::StackConfig& stack, cv::ltrp::vit::Pooling pooling, int classes, int visible, int batch = 3,
                        cv::ltrp::vit::Task task = cv::ltrp::vit::Task::Classify);

/// The cases for every runtime: the shipped models and random ones of several geometries.
std::vector<OnnxCase> allOnnxCases(const std::string& folder, const std::string& shippedModels);

#endif
