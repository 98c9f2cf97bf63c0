// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// 'ltrp finetune', 'predict', 'info' and 'eval downstream' of segmentation and several labels.
#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>

namespace
{

using testing_tools::Outcome;
using testing_tools::readText;
using testing_tools::Words;
using testing_tools::operator+;
using testing_tools::writeText;
namespace fs = std::filesystem;

/// Pictures of which a part is bright, with labels for both tasks.
struct TasksFixture : ToolFixture
{
    TasksFixture()
    {
        Json coco = {{"images", Json::array()}, {"annotations", Json::array()},
                     {"categories", {{{"id", 1}, {"name", "bright"}}, {{"id", 2}, {"name", "dark"}}}}};
        for (int i = 0; i < 12; i++)
        {
            for (const char* name : {"data/images/b", "data/labels/b"})
                fs::create_directories(folder.path() / name);
            const std::string name = (i % 3 ? "b/" : "") + std::to_string(i) + ".png";
            cv::Mat image(40, 40 + i, CV_8UC3, cv::Scalar::all(30)), labels(image.size(), CV_8UC1, cv::Scalar(0));
            const cv::Rect square(i % 4, 2 * (i % 5), 24, 24);
            if (i % 4)
            {
                image(square).setTo(cv::Scalar::all(230));
                labels(square).setTo(1);
            }
            labels.row(39).setTo(255);
            cv::imwrite(folder.file("data/images/" + name), image);
            cv::imwrite(folder.file("data/labels/" + name), labels);
            coco["images"].push_back({{"id", i}, {"file_name", name}});
            coco["annotations"].push_back({{"image_id", i}, {"category_id", i % 4 ? 1 : 2}});
        }
        writeText(folder.file("data/classes.txt"), "ground\nsquare\n");
        writeText(folder.file("coco.json"), coco.dump());
    }

    static Words small()
    {
        return {"--init", "none", "--size", "32", "--patch", "8", "--embed-dim", "24", "--depth", "1", "--heads", "2", "--batch", "4",
                "--accumulate", "1", "--lr", "0.003", "--warmup-epochs", "0", "--threads", "1", "--layer-decay", "1"};
    }
    std::string trained(const std::string& out, const std::string& data, const Words& more) const
    {
        const Outcome outcome = tool(Words{"finetune", folder.file(data), "--out", folder.file(out)} + small() + more);
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
        return folder.file(out + "/final.safetensors");
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_tasks, TasksFixture)

BOOST_AUTO_TEST_CASE(from_index_images_to_masks)
{
    const std::string data = folder.file("data");
    const std::string model = trained("run", "data", {"--task", "segment", "--epochs", "40", "--keep", "0.5..1", "--selector", "random"});
    const std::string about = expectOk({"info", model});
    BOOST_TEST(about.find("task        segment") != std::string::npos, about);
    BOOST_TEST(about.find("classes     2: ground ... square") != std::string::npos, about);

    const std::string masks = folder.file("masks");
    const std::string lines = expectOk({"predict", model, data, "--labels", "--keep", "0.5", "--selector", "random", "--masks", masks, "--report",
                                        folder.file("report.json")});
    BOOST_TEST(lines.find("of the pixels right)") != std::string::npos, lines);
    BOOST_TEST(lines.find("mIoU 0.") != std::string::npos, lines);
    const Json report = Json::parse(readText(folder.file("report.json")));
    BOOST_TEST(report["task"] == "segment");
    BOOST_TEST(report["measures"] == Json::parse(R"(["miou", "pixel_accuracy"])"));
    BOOST_TEST(report["images"] == 12);

    // The measures again, from the masks and labels as they are in the files; labels' last row is void.
    double labelled[2] = {}, answered[2] = {}, right[2] = {};
    for (int i = 0; i < 12; i++)
    {
        const std::string name = (i % 3 ? "b/" : "") + std::to_string(i) + ".png";
        const cv::Mat mask = cv::imread(masks + "/" + name, cv::IMREAD_UNCHANGED), truth = cv::imread(data + "/labels/" + name, cv::IMREAD_UNCHANGED);
        BOOST_REQUIRE(mask.type() == CV_8UC1);
        BOOST_REQUIRE(mask.size() == truth.size());
        for (int c = 0; c < 2; c++)
        {
            labelled[c] += cv::countNonZero(truth == c);
            answered[c] += cv::countNonZero((mask == c) & (truth != 255));
            right[c] += cv::countNonZero((mask == c) & (truth == c));
        }
    }
    const double miou = (right[0] / (labelled[0] + answered[0] - right[0]) + right[1] / (labelled[1] + answered[1] - right[1])) / 2;
    BOOST_TEST(std::abs(report["miou"].get<double>() - miou) < 1e-9);
    BOOST_TEST(std::abs(report["pixel_accuracy"].get<double>() - (right[0] + right[1]) / (labelled[0] + labelled[1])) < 1e-9);
    BOOST_TEST(miou > 0.6);
    BOOST_TEST(report["classes"][1]["right"] == static_cast<int64_t>(right[1]));

    const Json entry = expectJson({"predict", model, data + "/images/b/1.png", "--masks", folder.file("more"), "--json", "-"})[0];
    BOOST_TEST(fs::exists(folder.file("more/1.png")));
    double shares = 0;
    for (const Json& one : entry["classes"])
        shares += one["share"].get<double>();
    BOOST_TEST(std::abs(shares - 1) < 1e-5);
    BOOST_TEST(entry["keep"].size() == 16u);
    BOOST_TEST(!entry.contains("pixel_accuracy"));
    expectError({"predict", model, data + "/images", "--merge", "0.5"}, 2,
                {"--merge: goes with networks of task classify or multilabel"});

    expectError({"predict", model, folder.file("coco.json"), "--labels"}, 1, {"coco.json", "is no data for segmentation", "the network's task is segment"});
    expectError({"predict", model, data + "/images", "--masks", data + "/images"}, 1, {"is an input"});
    cv::imwrite(data + "/images/1.png", cv::imread(data + "/images/b/1.png"));
    expectError({"predict", model, data + "/images/1.png", data + "/images/b/1.png", "--masks", masks}, 1, {"would both be"});
    fs::remove(data + "/images/1.png");
    cv::imwrite(data + "/labels/0.png", cv::Mat(40, 40, CV_8UC1, cv::Scalar(2)));
    expectError({"predict", model, data, "--labels"}, 1, {"labels/0.png: value 2 is none of the 2 classes"});
}

BOOST_AUTO_TEST_CASE(from_coco_annotations_to_labels)
{
    const Words images = {"--images", folder.file("data/images")};
    const std::string model = trained("run", "coco.json", Words{"--task", "multilabel", "--epochs", "40", "--keep", "0.75", "--selector", "random"} + images);
    BOOST_TEST(expectOk({"info", model}).find("task        multilabel") != std::string::npos);
    const std::string lines = expectOk(Words{"predict", model, folder.file("coco.json"), "--labels", "--report", folder.file("report.json")} + images);
    BOOST_TEST(lines.find("mAP 1.0000 +- 0.0000 (12 images, 2 of 2 classes label one)") != std::string::npos, lines);
    const Json report = Json::parse(readText(folder.file("report.json")));
    BOOST_TEST(report["map"] == 1.0);
    BOOST_TEST(report["measures"] == Json::parse(R"(["map"])"));
    BOOST_TEST(report["classes"][1] == Json::parse(R"({"class": "dark", "images": 3, "average_precision": 1.0})"));
    const Json entry = expectJson({"predict", model, folder.file("data/images/0.png"), "--top", "2", "--json", "-"})[0];
    BOOST_TEST(entry["classes"].size() == 2u);
    BOOST_TEST(entry["classes"][0]["class"] == "dark");
    const Json merged = expectJson({"predict", model, folder.file("data/images/0.png"), "--top", "1", "--merge", "0.5",
                                    "--json", "-"})[0];
    BOOST_TEST(merged["classes"].size() == 1u);
    expectError({"predict", model, folder.file("data"), "--labels"}, 1, {"is a folder", "the network's task is multilabel"});
    expectError({"predict", model, folder.file("data/images"), "--masks", "m"}, 2, {"--masks", "task segment, this one's task is multilabel"});
    Json coco = Json::parse(readText(folder.file("coco.json")));
    coco["categories"][0]["name"] = "grey";
    writeText(folder.file("coco.json"), coco.dump());
    expectError(Words{"predict", model, folder.file("coco.json"), "--labels"} + images, 1, {"its label 'grey' is none of the 2 classes"});
}

BOOST_AUTO_TEST_CASE(options_of_other_tasks_are_refused)
{
    const auto finetune = [&](const Words& more) { return Words{"finetune", folder.file("data"), "--out", folder.file("out")} + small() + more; };
    expectError(finetune({"--task", "segment", "--pool", "mean"}), 2, {"--pool: does not go with --task segment"});
    expectError(finetune({"--task", "multilabel", "--smoothing", "0.1"}), 2, {"--smoothing: does not go with --task multilabel"});
    expectError(finetune({"--task", "segment", "--images", folder.file("data")}), 1, {"goes with a JSON file"});
    expectError(finetune({"--task", "classify"}), 1, {"has folders images and labels, as data of task segment have"});
    expectError(finetune({"--task", "multilabel"}), 1, {"is a folder; the labels of task multilabel"});
    BOOST_TEST(!fs::exists(folder.file("out")));
}

BOOST_AUTO_TEST_CASE(a_grid_of_segmentations)
{
    std::string options;
    for (const std::string& word : small())
        options += word + " ";
    const std::string config = folder.file("grid.cfg");
    writeText(config, "train = " + folder.file("data") + "\ntest = " + folder.file("data") + "\nkeep = 0.5\nselector = random,centre\nseed = 0,1\n"
              "out = " + folder.file("grid") + "\nfinetune = --task segment --epochs 5 " + options + "\n");
    const Outcome first = tool({"eval", "downstream", config});
    BOOST_REQUIRE_MESSAGE(first.status == 0, first.err);
    BOOST_TEST(first.out.find("mIoU") != std::string::npos, first.out);
    BOOST_TEST(first.out.find("pixel accuracy") != std::string::npos, first.out);
    const std::string cell = folder.file("grid/cells/random-0.5-1.json");
    const Json made = Json::parse(readText(cell));
    char column[32];
    const double a = Json::parse(readText(folder.file("grid/cells/random-0.5-0.json")))["miou"], b = made["miou"];
    std::snprintf(column, sizeof column, "%.4f +- %.4f", (a + b) / 2, std::abs(a - b) / 2);
    BOOST_TEST(first.out.find(column) != std::string::npos, first.out << column);
    const Outcome second = tool({"eval", "downstream", config});
    BOOST_TEST(second.out == first.out);
    // A cell of another task is none of this grid's.
    Json other = made;
    other.erase("miou");
    other["accuracy"] = other["class_mean"] = 1;
    writeText(cell, other.dump());
    expectError({"eval", "downstream", config}, 1, {"random-0.5-1.json: is no cell of this command ('miou' is missing)"});
}

BOOST_AUTO_TEST_SUITE_END()
