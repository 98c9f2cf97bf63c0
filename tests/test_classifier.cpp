// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Classifiers on kept patches: labelled data, selectors, training, files, accuracy.

#include "model_fixture.hpp"
#include "train_fixture.hpp"

#include "eval/accuracy.hpp"
#include "teach/baselines.hpp"
#include "opencv2/ltrp/ranker.hpp"
#include "opencv2/ltrp/select.hpp"
#include "select/selector.hpp"
#include "train/initial_weights.hpp"
#include "train/loader.hpp"
#include "train/trainer.hpp"
#include "vit/classifier.hpp"

#include <numeric>
#include <set>

using namespace cv::ltrp;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

/// A folder of pictures in two classes: bright stripes across, or upright; where they lie differs.
struct ClassFixture : TrainFixture
{
    ClassFixture()
    {
        for (int i = 0; i < 16; i++)
        {
            const std::string name = i % 2 ? "data/upright" : "data/across";
            fs::create_directories(root.path() / name);
            cv::Mat image(32, 32, CV_8UC3, cv::Scalar::all(20 + 5 * i));
            for (int k = i % 8; k < 32; k += 8)
                image(i % 2 ? cv::Rect(k, 0, std::min(4, 32 - k), 32) : cv::Rect(0, k, 32, std::min(4, 32 - k))).setTo(cv::Scalar::all(240));
            cv::imwrite(root.file(name + "/" + std::to_string(i) + ".png"), image);
        }
    }

    train::ClassifierTrainParams classifier(const std::string& out) const
    {
        train::ClassifierTrainParams p;
        common(p, out);
        p.data.assign(1, root.file("data"));
        p.imageSize = 24;
        p.patchSize = 8;
        p.scaleMin = 0.9;
        p.flip = 0;
        p.smoothing = 0;
        return p;
    }
};

vit::ClassifierConfig smallConfig()
{
    vit::ClassifierConfig config;
    config.input.imageSize = 12;
    config.input.patchSize = 4;
    config.encoder = {12, 3, 2, 24};
    config.classes = 3;
    return config;
}

io::Model smallClassifier()
{
    io::Model model;
    model.kind = io::ModelKind::Classifier;
    model.classifier = smallConfig();
    model.classifier.pooling = vit::Pooling::Mean;
    model.classes = {"cat", "d\xc3\xb6g", "a, \"quoted\" one"};
    vit::initialiseParams(model.classifier, 5, model.params);
    return model;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(classifier, ClassFixture)

BOOST_AUTO_TEST_CASE(labelled_folders_give_classes_by_name)
{
    const train::Dataset data = train::listLabelled(file("data"));
    BOOST_TEST(data.classes == (std::vector<std::string>{"across", "upright"}), boost::test_tools::per_element());
    BOOST_REQUIRE(data.labels.size() == 16u);
    for (size_t i = 0; i < data.labels.size(); i++)
        BOOST_TEST((data.paths[i].find("/upright/") != std::string::npos) == (data.labels[i] == 1));
    // another order of names, as a network has them
    const train::Dataset other = train::listLabelled(file("data"), {"upright", "none", "across"});
    for (size_t i = 0; i < data.labels.size(); i++)
        BOOST_TEST(other.labels[i] == (data.labels[i] == 1 ? 0 : 2));
}

BOOST_AUTO_TEST_CASE(labelled_lists_say_the_same_as_folders)
{
    writeText(file("list.csv"), "\xef\xbb\xbfPath,Label\r\ndata/across/0.png,across\r\n\r\n\"data/upright/1.png\",\"an, upright \"\"one\"\"\"\r\n");
    const train::Dataset data = train::listLabelled(file("list.csv"));
    BOOST_TEST(data.classes == (std::vector<std::string>{"across", "an, upright \"one\""}), boost::test_tools::per_element());
    BOOST_TEST(data.labels == (std::vector<int>{0, 1}), boost::test_tools::per_element());
    BOOST_TEST(fs::exists(data.paths[1]));
    writeText(file("other.csv"), "data/across/0.png,b\ndata/upright/1.png,a\n");
    writeText(file("third.csv"), "data/across/0.png,a\ndata/upright/1.png,b\n");
    BOOST_TEST(train::listLabelled(file("other.csv")).fingerprint != train::listLabelled(file("third.csv")).fingerprint);
}

BOOST_AUTO_TEST_CASE(bad_labels_are_refused)
{
    const auto csv = [&](const std::string& text)
    {
        writeText(file("bad.csv"), text);
        return messageOf([&] { train::listLabelled(file("bad.csv")); });
    };
    const auto says = [](const std::string& text, const std::string& part)
    { BOOST_TEST(text.find(part) != std::string::npos, "'" << part << "' is not in: " << text); };
    says(csv("data/across/0.png,a\ndata/across/2.png,\n"), "line 2: image 'data/across/2.png' has no label");
    says(csv("data/across/0.png,a\ndata/across/2.png, a\n"), "bad.csv, line 2: label ' a' begins or ends with a blank");
    says(csv("data/across/0.png,a \ndata/across/2.png,a\n"), "bad.csv, line 1: label 'a ' begins or ends with a blank");
    says(messageOf([] { io::checkClasses({"a", "a "}, "f"); }), "f: class 'a ' begins or ends with a blank");
    says(csv("data/across/0.png,a\ndata/none.png,b\n"), "line 2: ");
    says(csv("data/across/0.png,a\ndata/none.png,b\n"), "is no file");
    says(csv("data/across/0.png,a\ndata/across/2.png,a\n"), "1 class ('a'), expected two or more");
    says(csv("data/across/0.png,a\ndata/across/../across/0.png,b\n"), "is named twice");
    says(csv("data/across/0.png\n"), "1 field in");
    says(csv("data/across/0.png,a,b\n"), "3 fields in");
    says(csv("\"data/across/0.png,a\n"), "quotes do not pair up");
    says(csv("path,label\n"), "names no image");
    says(csv(std::string("data/across/0.png,a\0\n", 22)), "is no text");
    says(csv("data/across/0.png,a\ndata/across/2.png,b\tc\n"), "is no name");
    says(messageOf([&] { train::listLabelled(file("data"), {"across", "sideways"}); }), "its label 'upright' is none of the 2 classes");
    fs::create_directories(file("data/empty"));
    says(messageOf([&] { train::listLabelled(file("data")); }), "the folder of class 'empty' holds no image");
    fs::remove(file("data/empty"));
    fs::copy(file("data/across/0.png"), file("data/alone.png"));
    says(messageOf([&] { train::listLabelled(file("data")); }), "alone.png: an image without label");
}

BOOST_AUTO_TEST_CASE(accuracy_has_the_binomial_errors)
{
    // class 0: 3 of 4 right, class 1: 1 of 2, class 2: 0 of 1, class 3: no image
    const eval::Accuracy a = eval::accuracyOf({0, 0, 0, 0, 1, 1, 2}, {0, 0, 0, 1, 1, 3, 0}, 4);
    BOOST_TEST(a.images == 7);
    BOOST_TEST(a.right == 4);
    BOOST_TEST(std::abs(a.overall - 4 / 7.) < 1e-12);
    BOOST_TEST(std::abs(a.overallError - std::sqrt(4 / 7. * (3 / 7.) / 6)) < 1e-12);
    BOOST_TEST(std::abs(a.classMean - (0.75 + 0.5 + 0) / 3) < 1e-12);
    BOOST_TEST(std::abs(a.classMeanError - std::sqrt(0.75 * 0.25 / 3 + 0.25 / 1 + 0.25) / 3) < 1e-12);
    BOOST_TEST(a.classes[1].right == 1);
    BOOST_TEST(a.classes[3].images == 0);
    BOOST_TEST(messageOf([] { eval::accuracyOf({}, {}, 2); }).find("no image") != std::string::npos);
    BOOST_TEST(messageOf([] { eval::accuracyOf({2}, {0}, 2); }).find("label 2") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_selector_orders_all_patches)
{
    io::Model ranker = model_fixture::smallModel(io::ModelKind::Ranker), mae = model_fixture::smallModel(io::ModelKind::Mae);
    mae.mae.input.imageSize = 48;   // of 36 patches three are visible
    vit::initialiseParams(mae.mae, 2, mae.params);
    io::saveModel(file("ranker.safetensors"), ranker);
    io::saveModel(file("mae.safetensors"), mae);
    io::saveModel(file("classifier.safetensors"), smallClassifier());
    const select::SelectorModels models{file("ranker.safetensors"), file("mae.safetensors"), file("classifier.safetensors"), TARGET_CPU};
    cv::Mat photo(50, 60, CV_8UC3);
    cv::randu(photo, 0, 255);
    std::set<std::string> names;
    for (const std::string& name : select::selectorNames())
        for (const cv::Size grid : {cv::Size(14, 14), cv::Size(6, 3)})
            BOOST_TEST_CONTEXT(name)
            {
                names.insert(name);
                std::shared_ptr<const select::Selector> selector;
                try
                {
                    selector = select::makeSelector(name, models);
                }
                catch (const cv::Exception& e)
                {
                    BOOST_TEST(e.code == cv::Error::StsNotImplemented, e.err);   // a build without the saliency module
                    continue;
                }
                const select::Draw draw{3, 1, 7};
                const PatchRanking ranking = selector->rank(photo, grid, draw);
                BOOST_TEST(ranking.grid() == grid);
                std::vector<int> order = ranking.order();
                BOOST_TEST(order == selector->rank(photo, grid, draw).order(), boost::test_tools::per_element());
                const bool random = name == "random" || name == "ranker_sample";
                for (const select::Draw other : {select::Draw{4, 1, 7}, select::Draw{3, 2, 7}, select::Draw{3, 1, 8}})
                    if (name != "own_error" && name != "leave_one_out")   // whose masks are drawn by the seed
                        BOOST_TEST((selector->rank(photo, grid, other).order() == order) == !random);
                std::sort(order.begin(), order.end());
                for (int i = 0; i < grid.area(); i++)
                    BOOST_TEST(order[static_cast<size_t>(i)] == i);
            }
    BOOST_TEST(names.size() == teach::baselines().size() + 12);
    const std::string unknown = messageOf([&] { select::makeSelector("best", models); });
    BOOST_TEST(unknown.find("'best' is not known") != std::string::npos);
    BOOST_TEST(unknown.find("ranker_sample") != std::string::npos);

    // The text follows what is computed, not the file's bytes.
    const auto textOf = [&](const std::string& name, const io::Model& model)
    {
        io::saveModel(file("other.safetensors"), model);
        return select::makeSelector(name, {file("other.safetensors"), file("other.safetensors"), "", TARGET_CPU})->text();
    };
    const std::string ofRanker = select::makeSelector("ranker", models)->text(), ofMae = select::makeSelector("own_error", models)->text();
    BOOST_TEST(ofRanker.size() == std::string("ranker 01234567").size());
    io::Model other = ranker;
    other.provenance["note"] = "the same weights in other bytes";
    BOOST_TEST(textOf("ranker", other) == ofRanker);
    other.ranker.input.mean[1] = 0.5;
    BOOST_TEST(textOf("ranker", other) != ofRanker);
    other = mae;
    other.mae.normPixLoss = !other.mae.normPixLoss;
    BOOST_TEST(textOf("own_error", mae) == ofMae);
    BOOST_TEST(textOf("own_error", other) != ofMae);

    // The order is the ranking's own; a sample prefers what ranks high.
    const PatchRanking own = Ranker::create(models.ranker)->rank(photo);
    const std::shared_ptr<const select::Selector> plain = select::makeSelector("ranker", models), sample = select::makeSelector("ranker_sample", models);
    SelectParams quarter;
    BOOST_TEST(select::firstPatches(*plain, photo, own.grid(), keepCount(own.grid().area(), 0.25), {}) == selectPatches(own, quarter),
               boost::test_tools::per_element());
    int best = 0, worst = 0;
    const std::vector<int> order = own.order();
    for (uint32_t i = 0; i < 400; i++)
    {
        const std::vector<int> kept = select::firstPatches(*sample, photo, own.grid(), keepCount(own.grid().area(), 0.25), {0, 0, i});
        best += std::binary_search(kept.begin(), kept.end(), order.front());
        worst += std::binary_search(kept.begin(), kept.end(), order.back());
    }
    BOOST_TEST(best > 2 * worst);
}

BOOST_AUTO_TEST_CASE(uniform_patches_are_spread_evenly)
{
    const std::shared_ptr<const select::Selector> uniform = select::makeSelector("uniform", {});
    const cv::Mat photo(64, 64, CV_8UC3, cv::Scalar::all(0));
    for (const int count : {4, 16, 64})
    {
        // 16 x 16 patches: one in each square of a regular division
        const int side = 16 / static_cast<int>(std::lround(std::sqrt(count)));
        std::set<std::pair<int, int>> squares;
        for (const int patch : select::firstPatches(*uniform, photo, cv::Size(16, 16), count, {}))
            squares.insert({patch / 16 / side, patch % 16 / side});
        BOOST_TEST(squares.size() == static_cast<size_t>(count));
    }
}

BOOST_AUTO_TEST_CASE(it_learns_and_files_give_the_same_answers)
{
    train::ClassifierTrainParams p = classifier("run");
    p.epochs = 60;
    p.keepMin = p.keepMax = 0.7;
    p.selectors = {"centre"};
    p.pool = "mean";
    BOOST_TEST(make(p)->run());
    const std::vector<nlohmann::json> lines = log("run");
    std::vector<double> losses;
    for (const nlohmann::json& line : lines)
        if (line["event"] == "step")
            losses.push_back(line["loss"]);
    BOOST_TEST(std::abs(losses.front() - std::log(2)) < 0.1);   // at first no class is preferred
    BOOST_TEST(std::accumulate(losses.end() - 8, losses.end(), 0.0) / 8 < 0.3);
    BOOST_TEST(lines[0]["options"]["keep"] == "0.7");
    BOOST_TEST(lines[0]["options"]["selector"] == "centre");
    BOOST_TEST(!lines[0]["options"].contains("mask-ratio"));
    const io::Model model = io::loadModel(file("run/final.safetensors"), io::ModelKind::Classifier);
    BOOST_TEST(model.classes == (std::vector<std::string>{"across", "upright"}), boost::test_tools::per_element());
    BOOST_TEST((model.classifier.pooling == vit::Pooling::Mean));
    BOOST_TEST(model.classifier.encoder.dim == 16);
}

BOOST_AUTO_TEST_CASE(stopped_and_resumed_it_ends_with_the_same_bytes)
{
    io::Model start;
    start.kind = io::ModelKind::Mae;
    start.mae.input.imageSize = 24;
    start.mae.input.patchSize = 8;
    start.mae.encoder = {16, 2, 2, 64};
    start.mae.decoder = {16, 1, 2, 64};
    vit::initialiseParams(start.mae, 3, start.params);
    io::saveModel(file("mae.safetensors"), start);
    train::ClassifierTrainParams p = classifier("whole");
    p.init = file("mae.safetensors");
    p.keepMin = 0.2;
    p.keepMax = 0.9;
    p.selectors = {"random", "centre", "gradient"};
    p.smoothing = 0.1;
    p.flip = 0.5;   // a mirrored sample must leave the image in the cache as it is
    p.workers = 0;
    BOOST_TEST(make(p)->run());
    p.out = file("parts");
    p.workers = 2;
    for (const int64_t stop : {1, 5, 6})
    {
        const cv::Ptr<Trainer> part = make(p);
        part->setProgress([stop](const TrainProgress& state) { return state.step < stop; });
        BOOST_TEST(!part->run());
        p.resume = true;
    }
    BOOST_TEST(make(p)->run());
    int64_t resumed = 0;
    for (const nlohmann::json& line : log("parts"))
        if (line["event"] == "resume")
            resumed = line["step"].get<int64_t>();
    BOOST_TEST(resumed == 6);
    BOOST_TEST((bytes("parts/final.safetensors") == bytes("whole/final.safetensors")));
    p.keepMax = 0.8;
    BOOST_TEST(messageOf([&] { make(p)->run(); }).find("keep is ") != std::string::npos);
    p.keepMax = 0.9;
    p.selectors = {"random"};
    BOOST_TEST(messageOf([&] { make(p)->run(); }).find("selector is ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_loader_keeps_what_the_selector_chose)
{
    const train::Dataset data = train::listLabelled(file("data"));
    train::LoaderOptions options;
    options.input.imageSize = 24;
    options.input.patchSize = 8;
    options.batch = 3;
    options.batchesPerEpoch = 5;
    options.visible = 6;
    options.visibleOf = [](uint32_t epoch, uint32_t batch) { return 1 + static_cast<int>((epoch + batch) % 6); };
    options.choose = [](const cv::Mat& crop, const ops::SampleKey& key, int visible, int* keep)
    {
        CV_Assert(crop.type() == CV_8UC3);
        for (int i = 0; i < visible; i++)
            keep[i] = i + static_cast<int>(key.sample % 3);
    };
    for (const int workers : {0, 3})
    {
        options.workers = workers;
        train::Loader loader(data, options, 0, nullptr);
        for (int number = 0; number < 12; number++)
        {
            const train::Batch& batch = loader.next();
            BOOST_TEST(batch.visible == 1 + (number / 5 + number % 5) % 6);
            for (int b = 0; b < 3; b++)
            {
                BOOST_TEST(batch.labels[static_cast<size_t>(b)] == data.labels[static_cast<size_t>(batch.images[static_cast<size_t>(b)])]);
                for (int i = 0; i < batch.visible; i++)
                    BOOST_TEST(batch.idsKeep[static_cast<size_t>(b * batch.visible + i)] ==
                               i + static_cast<int>(batch.keys[static_cast<size_t>(b)].sample % 3));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(rates_fall_from_the_head_to_the_embeddings)
{
    vit::ParamLayout layout = vit::classifierLayout(smallConfig());   // three blocks
    layout.decayRates(3, 0.5f);
    const std::pair<const char*, float> wanted[] = {{"head.weight", 1.f}, {"norm.bias", 1.f}, {"blocks.2.mlp.fc2.bias", 0.5f},
                                                    {"blocks.1.norm1.weight", 0.25f}, {"blocks.0.attn.qkv.weight", 0.125f},
                                                    {"patch_embed.proj.weight", 0.0625f}, {"cls_token", 0.0625f}};
    for (const auto& one : wanted)
        BOOST_TEST(layout.at(one.first).rate == one.second, one.first);
    // One AdamW step on gradients of 1 moves each weight by its rate, and decays it by its rate.
    vit::ParamArena params(layout);
    params.values.setTo(1);
    train::AdamW optimizer(layout);
    cv::Mat grads(params.values.size(), CV_32F, cv::Scalar(1));
    train::AdamWParams adam;
    adam.learningRate = 0.01;
    adam.weightDecay = 0.5;
    optimizer.step(params, grads.ptr<float>(), adam);
    for (const auto& one : wanted)
    {
        const bool decays = layout.at(one.first).decay;
        const double moved = 0.01 * one.second * (decays ? 1.5 : 1);
        BOOST_TEST(std::abs(1 - params.at(one.first)[0] - moved) < 1e-6, one.first);
    }
    BOOST_TEST(params.at("pos_embed")[0] == 1.f);
}

BOOST_AUTO_TEST_CASE(parameters_out_of_range_are_refused)
{
    const auto refused = [&](const std::function<void(train::ClassifierTrainParams&)>& change)
    {
        train::ClassifierTrainParams p = classifier("refused");
        change(p);
        return messageOf([&] { make(p); });
    };
    typedef train::ClassifierTrainParams P;
    const std::pair<std::function<void(P&)>, const char*> cases[] = {
        {[](P& p) { p.keepMin = 0; }, "keep is 0"},
        {[](P& p) { p.keepMin = 0.5; p.keepMax = 0.4; p.selectors = {"random"}; }, "keep is 0.5"},
        {[](P& p) { p.keepMax = 1.5; }, "keep is 1.5"},
        {[](P& p) { p.keepMin = 0.5; }, "selector 'all' keeps every patch"},
        {[](P& p) { p.selectors = {"best"}; }, "'best' is not known"},
        {[](P& p) { p.smoothing = 1; }, "smoothing is 1"},
        {[](P& p) { p.layerDecay = 0; }, "layer-decay is 0"},
        {[](P& p) { p.pool = "max"; }, "'pool' is 'max'"},
        {[](P& p) { p.heads = 3; }, "not a multiple of its 3 heads"},
        {[](P& p) { p.data.push_back("more"); }, "2 arguments"}};
    for (const auto& one : cases)
        BOOST_TEST(refused(one.first).find(one.second) != std::string::npos, one.second << ": " << refused(one.first));
    BOOST_TEST(!fs::exists(file("refused")));
    io::Model ranker;
    ranker.kind = io::ModelKind::Ranker;
    vit::initialiseParams(ranker.ranker, 1, ranker.params);
    io::saveModel(file("ranker.safetensors"), ranker);
    const std::string said = refused([&](P& p) { p.init = file("ranker.safetensors"); });
    BOOST_TEST(said.find("is a ranker, expected an autoencoder or a classifier") != std::string::npos, said);
}

BOOST_AUTO_TEST_CASE(it_begins_as_another_classifier_whose_head_it_keeps_for_the_same_classes)
{
    const io::Model from = smallClassifier();
    const auto begun = [&](const std::function<void(io::Model&)>& change)
    {
        io::Model to = smallClassifier();
        change(to);
        vit::initialiseParams(to.classifier, 6, to.params);
        train::copyInitialWeights(from, to);
        std::set<std::string> other;
        for (const vit::ParamInfo& tensor : to.params.layout.tensors())
        {
            const float* source = from.params.data() + from.params.layout.at(tensor.name).offset;
            if (!std::equal(source, source + tensor.count, to.params.data() + tensor.offset))
                other.insert(tensor.name);
        }
        return other;
    };
    const std::set<std::string> none, head = {"head.weight"};   // the biases of both begin as 0
    BOOST_TEST((begun([](io::Model&) {}) == none));
    BOOST_TEST((begun([](io::Model& to) { to.classes[1] = "dog"; }) == head));
    BOOST_TEST((begun([](io::Model& to) { std::swap(to.classes[0], to.classes[1]); }) == head));
    BOOST_TEST((begun([](io::Model& to) { to.classifier.pooling = vit::Pooling::Class; }) == head));
    const std::string refused = messageOf([&] { begun([](io::Model& to) { to.classifier.encoder.depth = 2; }); });
    BOOST_TEST(refused.find("its depth is 3, expected 2") != std::string::npos, refused);
}

BOOST_AUTO_TEST_CASE(files_hold_classes_and_are_checked)
{
    const io::Model model = smallClassifier();
    io::saveModel(file("c.safetensors"), model);
    const io::Model read = io::loadModel(file("c.safetensors"));
    BOOST_TEST((read.kind == io::ModelKind::Classifier));
    BOOST_TEST(read.classes == model.classes, boost::test_tools::per_element());
    BOOST_TEST(cv::norm(read.params.values, model.params.values, cv::NORM_INF) == 0);
    BOOST_TEST(io::describeModel(read, false).find("classes     3: cat ... ") != std::string::npos);
    BOOST_TEST(messageOf([&] { io::loadModel(file("c.safetensors"), io::ModelKind::Ranker); })
                   .find("this is a classifier (format ltrp), a ranker is needed") != std::string::npos);
    BOOST_TEST(messageOf([&] { Ranker::create(file("c.safetensors")); }).find("is a classifier") != std::string::npos);
    BOOST_TEST(TensorBag(file("c.safetensors")).metadata.at("classes") == "cat\nd\xc3\xb6g\na, \"quoted\" one");

    const std::pair<const char*, const char*> damages[] = {
        {"[\"cat\"]", "1 class"}, {"[\"cat\",\"cat\",\"dog\"]", "occurs twice"}, {"[\"cat\",\"\",\"dog\"]", "is no name"},
        {"[\"cat\",3,\"dog\"]", "expected texts"}, {"{}", "expected texts"}, {"[\"a\",\"b\"]", "has shape"},
        {"[\"a\\u0007\",\"b\",\"c\"]", "is no name"}};
    for (const auto& damage : damages)
    {
        TensorBag bag(file("c.safetensors"));
        nlohmann::json about = nlohmann::json::parse(bag.metadata.at("ltrp"));
        about["classes"] = nlohmann::json::parse(damage.first);
        bag.metadata = {{"ltrp", about.dump()}};
        bag.save(file("bad.safetensors"));
        const std::string said = messageOf([&] { io::loadModel(file("bad.safetensors")); });
        BOOST_TEST(said.find(damage.second) != std::string::npos, damage.first << ": " << said);
    }
}

BOOST_AUTO_TEST_SUITE_END()
