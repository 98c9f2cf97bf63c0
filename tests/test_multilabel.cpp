// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Several labels for an image: lists of them, training, average precision.

#include "messages.hpp"
#include "train_fixture.hpp"

#include "eval/ranking.hpp"
#include "io/model_file.hpp"
#include "train/loader.hpp"
#include "train/trainer.hpp"
#include "vit/classifier.hpp"

#include <opencv2/imgproc.hpp>

#include <boost/test/unit_test.hpp>

using namespace cv::ltrp;
using testing_tools::writeText;
namespace fs = std::filesystem;

namespace
{

/// Pictures with a red square, a blue one, both or none, each in its half.
struct LabelsFixture : TrainFixture
{
    LabelsFixture()
    {
        fs::create_directories(root.path() / "photos");
        std::string csv = "path,labels\n";
        nlohmann::json coco = {{"images", nlohmann::json::array()}, {"annotations", nlohmann::json::array()}, {"info", {{"year", 2017}}},
                               {"categories", {{{"id", 7}, {"name", "red"}, {"supercategory", "colour"}}, {{"id", 3}, {"name", "blue"}}}}};
        for (int i = 0; i < 24; i++)
        {
            const std::string name = "photos/" + std::to_string(i) + ".png";
            cv::Mat image(32, 32, CV_8UC3, cv::Scalar::all(60 + 4 * (i % 5)));
            std::string labels;
            coco["images"].push_back({{"id", 100 - i}, {"file_name", std::to_string(i) + ".png"}, {"width", 32}});
            if (i & 1)
            {
                image(cv::Rect(i % 3, i % 16, 14, 14)).setTo(cv::Scalar(20, 20, 230));
                labels = "red";
                for (int k = 0; k < 2; k++)   // two of them are one label
                    coco["annotations"].push_back({{"image_id", 100 - i}, {"category_id", 7}, {"bbox", {1, 2, 3, 4}},
                                                   {"segmentation", {{1.5, 2, 3, 4}}}});
            }
            if (i & 2)
            {
                image(cv::Rect(17 - i % 3, i % 16, 14, 14)).setTo(cv::Scalar(230, 20, 20));
                labels += labels.empty() ? "blue" : ";blue";
                coco["annotations"].push_back({{"image_id", 100 - i}, {"category_id", 3}});
            }
            cv::imwrite(root.file(name), image);
            if (!labels.empty())
                csv += name + "," + labels + "\n";
        }
        writeText(root.file("labels.csv"), csv);
        writeText(root.file("photos/coco.json"), coco.dump());
        writeText(root.file("coco.json"), coco.dump());
        coco_ = coco;
    }

    static train::Dataset list(const std::string& data, const std::string& images = {}, const std::vector<std::string>& classes = {})
    {
        return train::listLabelled({data, vit::Task::Multilabel, images}, classes);
    }
    train::ClassifierTrainParams multilabel(const std::string& out) const
    {
        train::ClassifierTrainParams p;
        common(p, out);
        p.task = vit::Task::Multilabel;
        p.data.assign(1, root.file("photos/coco.json"));
        p.imageSize = 32;
        p.patchSize = 8;
        p.scaleMin = 0.9;
        p.flip = 0;
        return p;
    }

    nlohmann::json coco_;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(multilabel, LabelsFixture)

BOOST_AUTO_TEST_CASE(lists_and_json_say_the_same)
{
    const train::Dataset json = list(file("photos/coco.json")), csv = list(file("labels.csv"));
    BOOST_TEST((list(file("coco.json"), file("photos")).labelSets == json.labelSets));
    for (const train::Dataset* data : {&json, &csv})
        BOOST_TEST(data->classes == (std::vector<std::string>{"blue", "red"}), boost::test_tools::per_element());
    BOOST_REQUIRE(json.labelSets.size() == 24u);
    BOOST_REQUIRE(csv.labelSets.size() == 18u);   // it cannot name images without labels
    size_t listed = 0;
    for (size_t i = 0; i < 24; i++)
    {
        std::vector<int> wanted;
        if (i & 2)
            wanted.push_back(0);
        if (i & 1)
            wanted.push_back(1);
        BOOST_TEST(json.labelSets[i] == wanted, boost::test_tools::per_element());
        if (!wanted.empty())
            BOOST_TEST(csv.labelSets[listed++] == wanted, boost::test_tools::per_element());
    }
    // Numbers are those of the network.
    BOOST_TEST(list(file("labels.csv"), {}, {"red", "x", "blue"}).labelSets[2] == (std::vector<int>{0, 2}), boost::test_tools::per_element());
    coco_["annotations"].erase(0);
    coco_["annotations"].erase(0);
    writeText(file("photos/coco.json"), coco_.dump());
    BOOST_TEST(list(file("photos/coco.json")).fingerprint != json.fingerprint);
}

BOOST_AUTO_TEST_CASE(bad_lists_are_refused)
{
    const auto csv = [&](const std::string& text)
    {
        writeText(file("bad.csv"), text);
        return messageOf([&] { list(file("bad.csv")); });
    };
    checkMentions(csv("photos/0.png,a;b\nphotos/1.png,\n"), {"line 2: image 'photos/1.png' has no label"});
    checkMentions(csv("photos/0.png,a;;b\n"), {"line 1: an empty label in 'a;;b'"});
    checkMentions(csv("photos/0.png,a;\n"), {"line 1: an empty label in 'a;'"});
    checkMentions(csv("photos/0.png,a; b\n"), {"label ' b' begins or ends with a blank"});
    checkMentions(csv("photos/0.png,a;b;a\n"), {"label 'a' is given twice"});
    checkMentions(csv("photos/0.png,a\nphotos/1.png,a\n"), {"1 class ('a'), expected two or more"});
    checkMentions(messageOf([&] { list(file("photos")); }), {"is a folder; the labels of task multilabel are a CSV file"});
    checkMentions(messageOf([&] { list(file("labels.csv"), file("photos")); }), {"goes with a JSON file"});
    checkMentions(messageOf([&] { list(file("labels.csv"), {}, {"red", "green"}); }), {"its label 'blue' is none of the 2 classes"});
    checkMentions(messageOf([&] { train::listLabelled(file("photos/coco.json")); }), {"has the labels of task multilabel"});
}

BOOST_AUTO_TEST_CASE(bad_json_is_refused)
{
    typedef nlohmann::json Json;
    const auto changed = [&](const std::function<void(Json&)>& change)
    {
        Json json = coco_;
        change(json);
        writeText(file("photos/bad.json"), json.dump());
        return messageOf([&] { list(file("photos/bad.json")); });
    };
    BOOST_TEST(changed([](Json&) {}) == "");
    checkMentions(changed([](Json& j) { j.erase("categories"); }), {"bad.json: 'categories' is missing"});
    checkMentions(changed([](Json& j) { j["images"] = 3; }), {"'images' is 3, expected a list"});
    checkMentions(changed([](Json& j) { j["images"] = Json::array(); j["annotations"] = Json::array(); }), {"names no image"});
    checkMentions(changed([](Json& j) { j["images"][2] = "x"; }), {"bad.json: images 2: is \"x\", expected an object"});
    checkMentions(changed([](Json& j) { j["images"][2]["file_name"] = "none.png"; }), {"none.png is no file; paths are relative to the JSON file"});
    checkMentions(changed([](Json& j) { j["images"][2]["file_name"] = "1.png"; }), {"image '1.png' is named twice"});
    checkMentions(changed([](Json& j) { j["images"][2]["id"] = j["images"][3]["id"]; }), {"images 3: a second image of its 'id'"});
    checkMentions(changed([](Json& j) { j["images"][2]["id"] = 1.5; }), {"images 2: 'id' is 1.5"});
    checkMentions(changed([](Json& j) { j["annotations"][1]["image_id"] = 1000; }), {"annotations 1: 'image_id' is 1000, which no image has"});
    checkMentions(changed([](Json& j) { j["annotations"][1]["category_id"] = 8; }), {"annotations 1: 'category_id' is 8, which no category has"});
    checkMentions(changed([](Json& j) { j["categories"][1]["name"] = "red"; }), {"categories 1: a second category of the name 'red'"});
    checkMentions(changed([](Json& j) { j["categories"][1]["id"] = 7; }), {"categories 1: a second category of its 'id'"});
    checkMentions(changed([](Json& j) { j["categories"].push_back({{"id", 1}, {"name", "green"}}); }), {"class 'green' has no image"});
    writeText(file("photos/bad.json"), "[1, 2]");
    checkMentions(messageOf([&] { list(file("photos/bad.json")); }), {"not a JSON object"});
    writeText(file("photos/bad.json"), std::string(100000, '['));
    checkMentions(messageOf([&] { list(file("photos/bad.json")); }), {"not a JSON object of at most 64 levels"});
}

BOOST_AUTO_TEST_CASE(average_precision_is_that_of_the_order)
{
    eval::Ranking ranking(3);
    // class 0: right at places 1 and 3 of 4; class 1: two of one score, of which one is right; class 2: no image
    const float scores[4][3] = {{0.9f, 0.5f, 0}, {0.8f, 0.5f, 0}, {0.7f, 0.1f, 0}, {0.1f, 0.2f, 0}};
    const std::vector<int> labels[4] = {{0, 1}, {}, {0}, {}};
    for (int i = 0; i < 4; i++)
        ranking.add(scores[i], labels[i]);
    const auto classes = ranking.classes();
    BOOST_TEST(classes[0].images == 2);
    BOOST_TEST(std::abs(classes[0].precision - (1 + 2 / 3.) / 2) < 1e-12);
    BOOST_TEST(std::abs(classes[1].precision - 1 / 2.) < 1e-12);
    BOOST_TEST(classes[2].images == 0);
    BOOST_TEST(std::abs(ranking.meanPrecision() - (5 / 6. + 1 / 2.) / 2) < 1e-12);
    BOOST_TEST(ranking.error() > 0);
    checkMentions(messageOf([&] { ranking.add(scores[0], {3}); }), {"label 3"});
}

BOOST_AUTO_TEST_CASE(it_learns_both_labels)
{
    train::ClassifierTrainParams p = multilabel("run");
    p.epochs = 60;
    p.keepMin = p.keepMax = 0.75;
    p.selectors = {"random"};
    BOOST_TEST(make(p)->run());
    BOOST_TEST(log("run")[0]["options"]["task"] == "multilabel");
    BOOST_TEST(!log("run")[0]["options"].contains("smoothing"));
    const io::Model model = io::loadModel(file("run/final.safetensors"), io::ModelKind::Classifier);
    BOOST_TEST((model.classifier.task == vit::Task::Multilabel));
    const std::string about = io::describeModel(model, false);
    BOOST_TEST(about.find("task        multilabel\nhead        a query for each class") != std::string::npos, about);
    const vit::Classifier net(model.classifier, model.params);
    const train::Dataset data = list(file("photos/coco.json"), {}, model.classes);
    eval::Ranking ranking(2);
    vit::Workspace ws;
    for (size_t i = 0; i < data.paths.size(); i++)
    {
        std::string reason;
        std::vector<float> pixels(3 * 32 * 32), logits(2);
        train::resizeCrop({train::readImage(data.paths[i], reason), cv::Rect2d(0, 0, 1, 1), false}, model.input(), pixels.data());
        net.forward(pixels.data(), 1, nullptr, 16, logits.data(), ws);
        ranking.add(logits.data(), data.labelSets[i]);
    }
    BOOST_TEST(ranking.meanPrecision() > 0.9);

    // A file of this task is checked as the others are.
    BOOST_TEST(model.params.layout.at("head.queries").shape == (std::vector<int>{2, 16}), boost::test_tools::per_element());
    io::Model other = model;
    other.classifier.task = vit::Task::Segment;
    checkMentions(messageOf([&] { io::saveModel(file("other.safetensors"), other); }), {"its geometry needs"});
}

BOOST_AUTO_TEST_CASE(resumed_it_ends_with_the_same_bytes)
{
    train::ClassifierTrainParams p = multilabel("whole");
    p.keepMin = 0.2;
    p.keepMax = 0.9;
    p.selectors = {"random", "centre"};
    p.workers = 0;
    BOOST_TEST(make(p)->run());
    p.out = file("parts");
    p.workers = 2;
    for (const int64_t stop : {1, 5})
    {
        const cv::Ptr<Trainer> part = make(p);
        part->setProgress([stop](const TrainProgress& state) { return state.step < stop; });
        BOOST_TEST(!part->run());
        p.resume = true;
    }
    BOOST_TEST(make(p)->run());
    BOOST_TEST((bytes("parts/final.safetensors") == bytes("whole/final.safetensors")));
    p.task = vit::Task::Classify;
    p.data.assign(1, file("classes.csv"));
    writeText(file("classes.csv"), "photos/0.png,blue\nphotos/1.png,red\n");
    checkMentions(messageOf([&] { make(p)->run(); }), {"task is "});
}

BOOST_AUTO_TEST_SUITE_END()
