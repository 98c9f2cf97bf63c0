// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_API_MODELS_HPP
#define LTRP_TESTS_API_MODELS_HPP

#include "precomp.hpp"
#include "core/random.hpp"
#include "dnn/session.hpp"
#include "image/preprocess.hpp"
#include "io/model_file.hpp"
#include "ops/ops.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/scorer.hpp"
#include "../modules/ltrp/test/test_vit.hpp"

#include <opencv2/imgproc.hpp>

#include <filesystem>
#include <unistd.h>

/// A small ranker and a small masked autoencoder with random weights, on disk in a temporary folder.
struct ApiModels
{
    ApiModels()
    {
        static int number = 0;
        folder = std::filesystem::temp_directory_path() /
                 ("ltrp_api_" + std::to_string(getpid()) + "_" + std::to_string(number++));
        std::filesystem::create_directories(folder);

        ranker.kind = cv::ltrp::io::ModelKind::Ranker;
        setInput(ranker.ranker.input);
        ranker.ranker.encoder = {48, 2, 3, 96};
        ranker.params = cv::ltrp::vit::ParamArena(cv::ltrp::vit::rankerLayout(ranker.ranker));
        cv::ltrp::vit::initialiseParams(ranker.ranker, 5, ranker.params);
        perturb(ranker.params, 1);
        rankerPath = (folder / "ranker.safetensors").string();
        cv::ltrp::io::saveModel(rankerPath, ranker);

        mae.kind = cv::ltrp::io::ModelKind::Mae;
        setInput(mae.mae.input);
        mae.mae.encoder = {48, 2, 3, 96};
        mae.mae.decoder = {32, 2, 2, 64};
        mae.params = cv::ltrp::vit::ParamArena(cv::ltrp::vit::maeLayout(mae.mae));
        cv::ltrp::vit::initialiseParams(mae.mae, 6, mae.params);
        perturb(mae.params, 2);
        maePath = (folder / "mae.safetensors").string();
        cv::ltrp::io::saveModel(maePath, mae);
    }
    ~ApiModels()
    {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
    }

    std::filesystem::path folder;
    std::string rankerPath, maePath;
    cv::ltrp::io::Model ranker, mae;

private:
    static void setInput(cv::ltrp::vit::InputConfig& input)
    {
        input.imageSize = 48;
        input.patchSize = 8;
    }

    /// Initial weights have zero biases and unit norms, which would hide mistakes.
    static void perturb(cv::ltrp::vit::ParamArena& params, uint64_t seed)
    {
        cv::ltrp::RandomStream random(seed, cv::ltrp::RandomPurpose::Init, 77);
        for (const cv::ltrp::vit::ParamInfo& tensor : params.layout.tensors())
            for (size_t i = 0; i < tensor.count; i++)
                params.data()[tensor.offset + i] += float(0.1 * random.normal());
    }
};

using opencv_test::reference::photo;

#endif
