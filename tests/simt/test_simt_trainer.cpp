// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Whole trainings with the CUDA backend on the emulated device, compared with the same trainings on the CPU.

#include "emulated_device.hpp"
#include "typed.hpp"
#include "../train_fixture.hpp"

#include "io/model_file.hpp"
#include "train/checkpoint.hpp"
#include "train/trainer.hpp"

using namespace simttest;
using namespace cv::ltrp;
using ops::Precision;

namespace
{

struct Emulated
{
    ComputeDevice computing;
    EmulatedDevice* device;
};

Emulated emulated(Precision precision)
{
    EmulatedDevice* const device = new EmulatedDevice(1);   // images are bytes
    device->wantsVisitors = true;
    Emulated made;
    made.device = device;
    made.computing.backend = kernels::makeBackend(std::unique_ptr<kernels::Device>(device), precision, false);
    made.computing.precision = precision;
    made.computing.target = TARGET_CUDA;
    made.computing.device = device->name();
    return made;
}

ComputeDevice teacherBeside(const ComputeDevice& computing, Precision precision)
{
    ComputeDevice made = computing;
    made.backend = computing.backend->companion(precision, true);
    made.precision = precision;
    return made;
}

cv::Ptr<Trainer> quiet(const cv::Ptr<Trainer>& trainer)
{
    trainer->setMessage([](const cv::String&) {});
    return trainer;
}
cv::Ptr<Trainer> onDevice(const MaePretrainParams& params, const Emulated& device)
{
    return quiet(train::makePretrainer(params, device.computing));
}
cv::Ptr<Trainer> onDevice(const RankerTrainParams& params, const Emulated& device)
{
    return quiet(train::makeRankerTrainer(params, device.computing, teacherBeside(device.computing, device.computing.precision)));
}
cv::Ptr<Trainer> onDevice(const train::ClassifierTrainParams& params, const Emulated& device)
{
    return quiet(train::makeClassifierTrainer(params, device.computing));
}

/// Pretraining in half precision with a gradient factor so large that gradients overflow; `hopeless`: with any factor.
class Loud : public train::Objective
{
public:
    Loud(const MaePretrainParams& params, const ComputeDevice& computing, bool hopeless)
        : inner_(train::makePretraining(params, computing)), hopeless_(hopeless)
    {
    }
    io::Model& model() override { return inner_->model(); }
    void initialise() override { inner_->initialise(); }
    train::OptionList options() const override { return inner_->options(); }
    void setStop(const std::function<bool()>& stop) override { inner_->setStop(stop); }
    const ops::Backend& backend() const override { return inner_->backend(); }
    bool recordable() const override { return inner_->recordable(); }
    float gradientScale(int images, int visible) const override { return 65536 * inner_->gradientScale(images, visible); }
    void pass(const ops::Samples& samples, float* gradients, double* loss, float scale) override
    {
        inner_->pass(samples, gradients, loss, hopeless_ ? 1e30f * scale : scale);
    }

    static cv::Ptr<Trainer> training(const MaePretrainParams& params, bool hopeless = false)
    {
        const ComputeDevice computing = emulated(Precision::FP16).computing;
        std::unique_ptr<train::Objective> loud(new Loud(params, computing, hopeless));
        return quiet(train::makeTrainer(params, std::move(loud), computing.device));
    }

private:
    const std::unique_ptr<train::Objective> inner_;
    const bool hopeless_;
};

struct Fixture : TrainFixture
{
    Fixture()
    {
        // So wide that its crops are resized to the network's size before the upload.
        cv::imwrite(root.file("images/wide.png"), cv::Mat(cv::repeat(picture(3), 1, 7)));
    }

    MaePretrainParams pretrain(const std::string& out) const { return shortened(TrainFixture::pretrain(out)); }
    RankerTrainParams ranker(const std::string& out) const
    {
        // The bias of a token head shifts all scores equally: with ranking losses its gradient is rounding noise, which
        // AdamW turns into whole steps. The gradients of both heads are compared in device_parity.cpp.
        RankerTrainParams p = TrainFixture::ranker(out, file("mae/final.safetensors"));
        p.head = "class";
        return shortened(p);
    }

    /// Photos of each task's kind: classes by folder, foreground, labels in a list.
    train::ClassifierTrainParams classifier(const std::string& out, vit::Task task) const
    {
        std::string list;
        for (int i = 0; i < 12; ++i)
        {
            const cv::Mat image = picture(i);
            const std::string name = std::to_string(i) + ".png";
            cv::Mat labels(image.size(), CV_8UC1, cv::Scalar(0));
            labels(cv::Rect(i, i, 20, 20)).setTo(255);
            for (const std::string& folder : {std::string(i % 3 ? "classes/a" : "classes/b"), std::string("shapes/images"),
                                              std::string("shapes/foreground")})
            {
                std::filesystem::create_directories(root.path() / folder);
                cv::imwrite(root.file(folder + "/" + name), folder == "shapes/foreground" ? labels : image);
            }
            list += "shapes/images/" + name + (i % 2 ? ",odd" : ",even") + (i % 3 ? "\n" : ";third\n");
        }
        testing_tools::writeText(root.file("labels.csv"), list);
        train::ClassifierTrainParams p;
        common(p, out);
        p.task = task;
        p.data.assign(1, file(task == vit::Task::Classify ? "classes" : task == vit::Task::Segment ? "shapes" : "labels.csv"));
        p.imageSize = 24;
        p.patchSize = 8;
        p.selectors = {"gradient", "random"};
        p.keepMin = p.keepMax = 0.6;
        return shortened(p);
    }

    template <class Params>
    static Params shortened(Params p)
    {
        p.epochs = 2;   // 6 updates, some of which replay recordings
        p.workers = 1;
        p.warmupEpochs = 0.5;
        return p;
    }

    std::vector<double> logged(const std::string& out, const char* what) const
    {
        std::vector<double> values;
        for (const nlohmann::json& line : log(out))
            if (line["event"] == "step")
                values.push_back(line[what].get<double>());
        return values;
    }

    /// Trains on the CPU and on the device, which must agree; returns the number of recordings there.
    template <class Params>
    int followsTheCpu(Params params, const std::string& name = {}) const
    {
        params.out = file("cpu" + name);
        BOOST_TEST(make(params)->run());
        params.out = file("device" + name);
        const Emulated device = emulated(Precision::FP32);
        BOOST_TEST(onDevice(params, device)->run());
        const auto worst = apart("device" + name, "cpu" + name);
        BOOST_TEST(worst.first < 1e-5);
        BOOST_TEST(worst.second < 1e-5);
        return device.device->recordings;
    }

    size_t overflows(const std::string& out) const
    {
        const std::vector<nlohmann::json> lines = log(out);
        return static_cast<size_t>(std::count_if(lines.begin(), lines.end(),
                                                 [](const nlohmann::json& line) { return line["event"] == "overflow"; }));
    }

    /// Largest relative difference of the losses; and the distance of the weights relative to their change in training.
    std::pair<double, double> apart(const std::string& got, const std::string& want) const
    {
        const std::vector<double> a = logged(got, "loss"), b = logged(want, "loss");
        BOOST_REQUIRE(a.size() == b.size());
        BOOST_REQUIRE(!a.empty());
        double losses = 0, distance = 0, moved = 0;
        for (size_t i = 0; i < a.size(); ++i)
            losses = std::max(losses, std::fabs(a[i] / b[i] - 1));
        const io::Model first = io::loadModel(file(got + "/final.safetensors")),
                        second = io::loadModel(file(want + "/final.safetensors"));
        vit::ParamArena start(second.params.layout);
        if (second.kind == io::ModelKind::Mae)
            vit::initialiseParams(second.mae, 11, start);
        else if (second.kind == io::ModelKind::Classifier)
            vit::initialiseParams(second.classifier, 11, start);
        else
            vit::initialiseParams(second.ranker, 11, start);
        const auto square = [](float x, float y) { return (static_cast<double>(x) - y) * (static_cast<double>(x) - y); };
        for (const vit::ParamInfo& info : start.layout.tensors())
        {
            // A key's bias adds the same to all logits of a query: its gradient is only rounding noise, which AdamW
            // turns into whole steps.
            const bool queriesToo = info.name.find("attn.qkv.bias") != std::string::npos;
            const size_t key = queriesToo ? info.count / 3 : 0;
            const size_t value = queriesToo ? 2 * key : info.name == "head.kv.bias" ? info.count / 2 : 0;
            for (size_t i = 0; i < info.count; ++i)
            {
                if (i >= key && i < value)
                    continue;
                const size_t at = info.offset + i;
                distance += square(first.params.data()[at], second.params.data()[at]);
                moved += square(start.data()[at], second.params.data()[at]);
            }
        }
        const std::pair<double, double> result(losses, std::sqrt(distance / moved));
        BOOST_TEST_MESSAGE(got << ": losses " << result.first << ", weights " << result.second << " apart");
        return result;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(simt_trainer, Fixture)

BOOST_AUTO_TEST_CASE(pretraining_follows_the_cpu)
{
    BOOST_TEST(make(pretrain("cpu"))->run());
    const Emulated device = emulated(Precision::FP32);
    MaePretrainParams params = pretrain("device");
    params.checkpointEvery = 1000;
    const cv::Ptr<Trainer> trainer = onDevice(params, device);
    std::vector<int> allocations, waits;
    trainer->setProgress([&](const TrainProgress&)
    {
        allocations.push_back(device.device->allocations);
        waits.push_back(device.device->waits);
        return true;
    });
    BOOST_TEST(trainer->run());
    const auto worst = apart("device", "cpu");
    BOOST_TEST(worst.first < 1e-5);
    BOOST_TEST(worst.second < 1e-5);
    const std::vector<double> norms = logged("device", "grad_norm"), wanted = logged("cpu", "grad_norm");
    for (size_t i = 0; i < wanted.size(); ++i)
        BOOST_TEST(norms[i] == wanted[i], boost::test_tools::tolerance(1e-4));
    BOOST_TEST(logged("device", "lr") == logged("cpu", "lr"), boost::test_tools::per_element());

    // One recording, without allocations and waits inside (the emulation rejects those) or outside.
    BOOST_TEST(device.device->recordings == 1);
    BOOST_REQUIRE(waits.size() == 6u);
    for (size_t i = 2; i < waits.size(); ++i)
    {
        BOOST_TEST(allocations[i] == allocations[1]);
        BOOST_TEST(waits[i] == waits[1]);
    }
}

BOOST_AUTO_TEST_CASE(accumulated_batches_follow_the_cpu)
{
    MaePretrainParams params = pretrain("cpu");
    params.batch = 2;
    params.accumulate = 2;
    params.normPixLoss = false;
    BOOST_TEST(followsTheCpu(params) == 2);   // recordings of a batch, and of a step's last batch
}

BOOST_AUTO_TEST_CASE(ranker_training_follows_the_cpu)
{
    BOOST_TEST(make(pretrain("mae"))->run());
    struct Case
    {
        const char* loss;
        bool seesAll;
        int removal, metric, space, recordings;
    };
    for (const Case& c : {Case{"list-mle-k", false, REMOVAL_DECODER, METRIC_L1, SPACE_DECODER, 1},
                          Case{"list-mle", true, REMOVAL_ENCODER, METRIC_L2, SPACE_PIXEL, 1},
                          Case{"rank-net", false, REMOVAL_DECODER, METRIC_L1, SPACE_DECODER, 0},
                          Case{"list-mle-k", false, REMOVAL_DECODER, METRIC_PSNR, SPACE_DECODER, 0}})
    {
        RankerTrainParams params = ranker("cpu");
        params.loss = c.loss;
        params.seesAll = c.seesAll;
        params.removal = c.removal;
        params.metric = c.metric;
        params.space = c.space;
        BOOST_TEST(followsTheCpu(params, cv::format("-%s-%d", c.loss, c.metric)) == c.recordings);
    }
}

BOOST_AUTO_TEST_CASE(classifiers_follow_the_cpu)
{
    for (const vit::Task task : {vit::Task::Classify, vit::Task::Multilabel, vit::Task::Segment})
        for (const bool varied : {false, true})
        {
            train::ClassifierTrainParams params = classifier("cpu", task);
            if (varied)   // another number of patches in each batch; two batches in each update
            {
                params.keepMin = 0.2;
                params.keepMax = 1;
                params.pool = "mean";
                params.batch = params.accumulate = 2;
            }
            BOOST_TEST(followsTheCpu(params, cv::format("-%s-%d", vit::taskName(task), varied)) == (varied ? 0 : 1));
        }
}

BOOST_AUTO_TEST_CASE(stopped_and_resumed_it_ends_with_the_same_bytes)
{
    const auto run = [this](auto params, const std::vector<int64_t>& stops)
    {
        for (const int64_t stop : stops)
        {
            const cv::Ptr<Trainer> trainer = onDevice(params, emulated(Precision::BF16));
            trainer->setProgress([stop](const TrainProgress& state) { return state.step < stop; });
            BOOST_TEST(!trainer->run());
            params.resume = true;
        }
        BOOST_TEST(onDevice(params, emulated(Precision::BF16))->run());
    };
    run(pretrain("whole"), {});
    run(pretrain("stops"), {1, 4});
    BOOST_TEST((bytes("whole/final.safetensors") == bytes("stops/final.safetensors")));
    BOOST_TEST((bytes("whole/checkpoint-00000006.safetensors") == bytes("stops/checkpoint-00000006.safetensors")));
    train::ClassifierTrainParams labels = classifier("labels", vit::Task::Multilabel);
    labels.keepMin = 0.3;
    run(labels, {});
    labels.out = file("labels-stops");
    run(labels, {2, 5});
    BOOST_TEST((bytes("labels/final.safetensors") == bytes("labels-stops/final.safetensors")));

    // Its checkpoints equal the CPU's except for the option of the number of threads.
    MaePretrainParams params = pretrain("whole");
    params.resume = true;
    params.target = TARGET_CPU;
    std::string message;
    try
    {
        quiet(train::makePretrainer(params, ComputeDevice::forTraining(TARGET_CPU)))->run();
    }
    catch (const cv::Exception& e)
    {
        message = e.err;
    }
    BOOST_TEST(message.find("cannot resume with other options: precision is FP32") != std::string::npos, message);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_belongs_to_the_cpu_or_to_a_gpu)
{
    MaePretrainParams params = pretrain("cpu");
    const cv::Ptr<Trainer> trainer = make(params);
    trainer->setProgress([](const TrainProgress& state) { return state.step < 3; });
    BOOST_TEST(!trainer->run());
    params.resume = true;
    const Emulated device = emulated(Precision::FP32);
    try
    {
        onDevice(params, device)->run();
        BOOST_ERROR("resumed elsewhere");
    }
    catch (const cv::Exception& e)
    {
        BOOST_TEST(e.err.find("threads is those of a GPU, but the checkpoint was made with ") != std::string::npos, e.err);
    }
}

BOOST_AUTO_TEST_CASE(reduced_precision_stays_near)
{
    BOOST_TEST(make(pretrain("mae"))->run());
    BOOST_TEST(make(ranker("rank"))->run());
    for (const Precision precision : {Precision::BF16, Precision::FP16})
    {
        const std::string name = ops::precisionName(precision);
        BOOST_TEST(onDevice(pretrain(name), emulated(precision))->run());
        BOOST_TEST(onDevice(ranker(name + "-rank"), emulated(precision))->run());
        for (const auto& worst : {apart(name, "mae"), apart(name + "-rank", "rank")})
        {
            BOOST_TEST(worst.first < (precision == Precision::BF16 ? 0.02 : 0.003));
            BOOST_TEST(worst.second < (precision == Precision::BF16 ? 0.03 : 0.005));
            BOOST_TEST(worst.second > 1e-5);
        }
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_recorded_is_launched_as_it_is)
{
    BOOST_TEST(onDevice(pretrain("recorded"), emulated(Precision::FP32))->run());
    const Emulated device = emulated(Precision::FP32);
    device.device->refusesToRecord = true;
    BOOST_TEST(onDevice(pretrain("launched"), device)->run());
    BOOST_TEST(device.device->recordings == 1);   // recording is not tried again
    BOOST_TEST((bytes("recorded/final.safetensors") == bytes("launched/final.safetensors")));
}

BOOST_AUTO_TEST_CASE(an_allocation_that_is_refused_leaves_the_trainer_as_it_was)
{
    const auto params = [this](const std::string& name)
    {
        MaePretrainParams p = pretrain(name);
        p.epochs = 1;   // 3 updates: the third is recorded
        return p;
    };
    const Emulated undisturbed = emulated(Precision::BF16);
    BOOST_TEST(onDevice(params("undisturbed"), undisturbed)->run());
    const int allocations = undisturbed.device->allocations;
    BOOST_REQUIRE(allocations > 20);
    // Allocations while the training is prepared, in the first update, and the last one, that of the temporary memory.
    for (const int number : {3, allocations / 2, allocations - 2, allocations})
    {
        const std::string name = "refused-" + std::to_string(number);
        const Emulated device = emulated(Precision::BF16);
        device.device->refuses = number;
        const cv::Ptr<Trainer> trainer = onDevice(params(name), device);
        BOOST_CHECK_EXCEPTION(trainer->run(), cv::Exception,
                              [](const cv::Exception& e) { return e.code == cv::Error::StsNoMem; });
        std::filesystem::remove_all(file(name));
        BOOST_TEST(trainer->run());
        BOOST_TEST((bytes(name + "/final.safetensors") == bytes("undisturbed/final.safetensors")), name);
        BOOST_TEST(device.device->recordings == 1);
    }
}

BOOST_AUTO_TEST_CASE(half_precision_overflows_and_goes_on)
{
    BOOST_TEST(onDevice(pretrain("plain"), emulated(Precision::FP16))->run());
    BOOST_TEST(overflows("plain") == 0u);
    for (const int accumulate : {1, 2})
    {
        const auto loud = [&](const std::string& name)
        {
            MaePretrainParams params = pretrain(name + std::to_string(accumulate));
            params.batch /= accumulate;
            params.accumulate = accumulate;
            return params;
        };
        MaePretrainParams params = loud("loud");
        BOOST_TEST(Loud::training(params)->run());
        BOOST_TEST(overflows("loud" + std::to_string(accumulate)) >= 6u);   // each update starts with the same factor
        const auto worst = apart("loud" + std::to_string(accumulate), "plain");
        BOOST_TEST(worst.first < 0.003);
        BOOST_TEST(worst.second < 0.005);

        params = loud("stopped");
        const cv::Ptr<Trainer> trainer = Loud::training(params);
        trainer->setProgress([](const TrainProgress& state) { return state.step < 3; });
        BOOST_TEST(!trainer->run());
        params.resume = true;
        BOOST_TEST(Loud::training(params)->run());
        BOOST_TEST((bytes("loud" + std::to_string(accumulate) + "/final.safetensors") ==
                    bytes("stopped" + std::to_string(accumulate) + "/final.safetensors")));
    }

    std::string message;
    try
    {
        Loud::training(pretrain("hopeless"), true)->run();
    }
    catch (const cv::Exception& e)
    {
        message = e.err;
    }
    BOOST_TEST(message.find("gradient norm is ") == 0u, message);
    BOOST_TEST(overflows("hopeless") > 4u);
    BOOST_TEST(train::listCheckpoints(file("hopeless")).empty());
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_names_its_images_and_changes_nothing)
{
    for (const bool accumulated : {false, true})
    {
        const std::string name = accumulated ? "split" : "whole";
        MaePretrainParams params = pretrain(name);
        params.learningRate = 1e30;   // warm-up begins at 0: the first update changes nothing, the second everything
        if (accumulated)
            params.batch = params.accumulate = 2;
        std::string message;
        const Emulated device = emulated(Precision::FP32);
        try
        {
            onDevice(params, device)->run();
        }
        catch (const cv::Exception& e)
        {
            message = e.err;
        }
        BOOST_TEST(message.find(" at update 2, epoch 0, images: ") != std::string::npos, message);
        const nlohmann::json last = log(name).back();
        BOOST_TEST(last["event"] == "error");
        BOOST_TEST(last["images"].size() == static_cast<size_t>(params.batch));
        BOOST_TEST(train::listCheckpoints(file(name)).empty());
    }
}

BOOST_AUTO_TEST_SUITE_END()
