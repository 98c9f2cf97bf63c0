// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_TRAIN_FIXTURE_HPP
#define LTRP_TESTS_TRAIN_FIXTURE_HPP

#include "process.hpp"

#include "precomp.hpp"
#include "core/random.hpp"
#include "opencv2/ltrp/train.hpp"
#include "train/trainer.hpp"

#include <opencv2/imgcodecs.hpp>

#include <nlohmann/json.hpp>

#include <numeric>

/// A folder of small images with structure (gradients and blocks), some with a side of one pixel more or less.
struct TrainFixture
{
    TrainFixture()
    {
        std::filesystem::create_directories(root.path() / "images/b");
        for (int i = 0; i < 12; i++)
            cv::imwrite(root.file((i % 2 ? "images/b/p" : "images/p") + std::to_string(i) + ".png"), picture(i));
    }

    /// 1, 2, ... last
    static std::vector<int64_t> countTo(int64_t last)
    {
        std::vector<int64_t> steps(static_cast<size_t>(last));
        std::iota(steps.begin(), steps.end(), 1);
        return steps;
    }

    static cv::Mat picture(int number)
    {
        cv::Mat image(40 + number, 50 - number, CV_8UC3);
        for (int y = 0; y < image.rows; y++)
            for (int x = 0; x < image.cols; x++)
                image.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<uchar>(4 * x + number), static_cast<uchar>(3 * y),
                                                      static_cast<uchar>((x / 8 + y / 8 + number) % 2 ? 220 : 30));
        return image;
    }

    template<typename Params> void common(Params& p, const std::string& out) const
    {
        p.data.assign(1, root.file("images"));
        p.out = root.file(out);
        p.batch = 4;
        p.accumulate = 1;
        p.epochs = 4;
        p.warmupEpochs = 1;
        p.learningRate = 2e-3;
        p.checkpointEvery = 3;
        p.logEvery = 1;
        p.seed = 11;
        p.embedDim = 16;
        p.depth = 1;
        p.heads = 2;
    }

    cv::ltrp::MaePretrainParams pretrain(const std::string& out) const
    {
        cv::ltrp::MaePretrainParams p;
        common(p, out);
        p.imageSize = 24;
        p.patchSize = 8;
        p.maskRatio = 0.5;
        p.decoderEmbedDim = 16;
        p.decoderDepth = 1;
        p.decoderHeads = 2;
        return p;
    }

    cv::ltrp::RankerTrainParams ranker(const std::string& out, const std::string& mae) const
    {
        cv::ltrp::RankerTrainParams p;
        common(p, out);
        p.maskRatio = 0.5;
        p.mae = mae;
        p.listK = 3;
        return p;
    }

    template<typename Params> static cv::Ptr<cv::ltrp::Trainer> make(const Params& params)
    {
        cv::Ptr<cv::ltrp::Trainer> trainer = create(params);
        trainer->setMessage([](const cv::String&) {});
        return trainer;
    }
    static cv::Ptr<cv::ltrp::Trainer> create(const cv::ltrp::MaePretrainParams& p)
    {
        return cv::ltrp::Trainer::createPretrain(p);
    }
    static cv::Ptr<cv::ltrp::Trainer> create(const cv::ltrp::RankerTrainParams& p)
    {
        return cv::ltrp::Trainer::createRanker(p);
    }
    static cv::Ptr<cv::ltrp::Trainer> create(const cv::ltrp::train::ClassifierTrainParams& p)
    {
        return cv::ltrp::train::makeClassifierTrainer(p, cv::ltrp::ComputeDevice::forTraining(p.target));
    }

    std::string file(const std::string& name) const { return root.file(name); }
    std::string bytes(const std::string& name) const { return testing_tools::readText(root.file(name)); }

    std::vector<nlohmann::json> log(const std::string& out) const
    {
        std::vector<nlohmann::json> lines;
        std::istringstream text(bytes(out + "/log.jsonl"));
        for (std::string line; std::getline(text, line);)
            lines.push_back(nlohmann::json::parse(line));
        return lines;
    }

    std::vector<int64_t> loggedSteps(const std::string& out) const
    {
        std::vector<int64_t> steps;
        for (const nlohmann::json& line : log(out))
            if (line["event"] == "step")
                steps.push_back(line["step"].get<int64_t>());
        return steps;
    }

    testing_tools::TemporaryFolder root;
};

#endif
