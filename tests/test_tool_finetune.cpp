// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/ltrp/types.hpp>

#include <chrono>
#include <csignal>
#include <thread>

namespace
{

using testing_tools::Outcome;
using testing_tools::Process;
using testing_tools::readText;
using testing_tools::Words;
using testing_tools::operator+;
using testing_tools::writeText;

/// Two classes of small pictures, and networks that learn them in a second.
struct FinetuneFixture : ToolFixture
{
    FinetuneFixture()
    {
        for (int i = 0; i < 12; i++)
        {
            const std::string name = i % 2 ? "data/dark" : "data/light";
            std::filesystem::create_directories(folder.path() / name);
            cv::Mat image(40, 40 + i, CV_8UC3, cv::Scalar::all(i % 2 ? 30 + i : 220 - i));
            image(cv::Rect(4, 4, 9, 9)).setTo(cv::Scalar(0, 128, 255));
            cv::imwrite(folder.file(name + "/" + std::to_string(i) + ".png"), image);
        }
    }

    Words finetune(const std::string& out, const Words& more = {}) const
    {
        return Words{"finetune", folder.file("data"), "--out", folder.file(out), "--init", "none", "--size", "32", "--patch", "8",
                     "--embed-dim", "24", "--depth", "1", "--heads", "2", "--batch", "4", "--accumulate", "1", "--lr", "0.003",
                     "--warmup-epochs", "0", "--threads", "1", "--log-every", "1", "--layer-decay", "1", "--smoothing", "0"} + more;
    }
    /// Of a grid of networks that learn in a second, into the folder "grid".
    std::string gridConfig(const std::string& more, const std::string& test = "data", const std::string& finetune = "--threads 1") const
    {
        return "train = " + folder.file("data") + "\ntest = " + folder.file(test) + "\nout = " + folder.file("grid") +
               (more.find("keep = ") == 0 ? "" : "\nkeep = 0.5") + "\nfinetune = --init none --size 32 --patch 8 --embed-dim 24 --depth 1 --heads 2 --batch 4 --epochs 5 --lr 0.003 " +
               finetune + "\n" + more;
    }
    std::string trained(const Words& more) const
    {
        const Outcome outcome = tool(finetune("run", more));
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
        return folder.file("run/final.safetensors");
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_finetune, FinetuneFixture)

BOOST_AUTO_TEST_CASE(from_labelled_folders_to_classes)
{
    const std::string model = trained({"--epochs", "20", "--keep", "0.3..0.6", "--selector", "random,centre"});
    BOOST_TEST(expectOk({"info", model}).find("classes     2: dark ... light") != std::string::npos);

    const std::string line = expectOk({"predict", model, folder.file("data/dark/1.png"), "--top", "2"});
    BOOST_TEST(line.find("1.png: dark 0.9") != std::string::npos, line);
    BOOST_TEST(line.find(", light 0.0") != std::string::npos, line);
    const Json entry = expectJson({"predict", model, folder.file("data/light/0.png"), "--keep", "0.25", "--selector", "centre", "--json", "-"})[0];
    BOOST_TEST(entry["class"] == "light");
    BOOST_TEST(entry["probability"] == entry["top"][0]["probability"]);
    BOOST_TEST(entry["grid"] == Json::parse("[4, 4]"));
    BOOST_TEST(entry["keep"] == Json::parse("[5, 6, 9, 10]"));
    BOOST_TEST(!entry.contains("label"));

    const std::string lines = expectOk({"predict", model, folder.file("data"), "--labels", "--keep", "0.5", "--selector", "random", "--seed", "3",
                                        "--report", folder.file("report.json")});
    BOOST_TEST(lines.find("accuracy 1.0000 +- 0.0000 (12 of 12 images), mean of classes 1.0000 +- 0.0000") != std::string::npos, lines);
    const Json report = Json::parse(readText(folder.file("report.json")));
    BOOST_TEST(report["accuracy"] == 1.0);
    BOOST_TEST(report["classes"][0] == Json::parse(R"({"class": "dark", "images": 6, "right": 6})"));
}

BOOST_AUTO_TEST_CASE(accuracy_is_that_of_the_labels)
{
    const std::string model = trained({"--epochs", "20"});
    writeText(folder.file("labels.csv"), "data/dark/1.png,dark\ndata/dark/3.png,light\ndata/light/0.png,light\ndata/light/2.png,light\n");
    const Json all = Json::parse(expectOk({"predict", model, folder.file("labels.csv"), "--labels", "--report", "-", "--jsonl", folder.file("all.jsonl")}));
    BOOST_TEST(all["images"] == 4);
    BOOST_TEST(all["accuracy"] == 0.75);
    BOOST_TEST(std::abs(all["class_mean"].get<double>() - (1 + 2 / 3.) / 2) < 1e-12);
    std::istringstream text(readText(folder.file("all.jsonl")));
    std::vector<std::string> labels;
    for (std::string one; std::getline(text, one);)
        labels.push_back(Json::parse(one)["label"]);
    BOOST_TEST(labels == (Words{"dark", "light", "light", "light"}), boost::test_tools::per_element());

    writeText(folder.file("unknown.csv"), "data/dark/1.png,dark\ndata/dark/3.png,grey\n");
    expectError({"predict", model, folder.file("unknown.csv"), "--labels"}, 1, {"3.png", "label 'grey' is none of the 2 classes"});
    expectError({"predict", models().ranker, folder.file("data")}, 1, {"a classifier is needed"});
    expectError({"rank", folder.file("data"), "--model", model}, 1, {"this is a classifier", "a ranker is needed"});
    expectError({"predict", model, folder.file("data"), "--keep", "0"}, 2, {"--keep"});
    expectError({"predict", model, folder.file("data"), "--selector", "best"}, 2, {"--selector", "ranker_sample"});
    expectError({"predict", model, folder.file("data"), "--selector", "all", "--keep", "0.5"}, 2, {"--selector", "--keep 1"});
    expectError({"predict", model, folder.file("data"), "--keep", "0.5", "--selector", "grad_cam"}, 2, {"grad_cam needs --classifier FILE"});
    expectError({"predict", model, folder.file("data"), "--keep", "0.5", "--selector", "centre", "--classifier", model}, 2,
                {"--classifier: no selector"});
    expectError({"predict", model, folder.file("data"), "--keep", "0.5", "--selector", "grad_cam", "--classifier", models().ranker}, 1,
                {"a classifier is needed"});
    expectError({"predict", model, folder.file("data"), "--report", "r.json"}, 2, {"--labels"});
    expectError({"predict", model}, 2, {"MODEL and IMAGES"});

    const std::string photo = folder.file("data/dark/1.png"), before = readText(photo);
    for (const char* option : {"--json", "--jsonl", "--report"})
        expectError({"predict", model, folder.file("data"), "--labels", option, photo}, 1, {"1.png: is an input"});
    BOOST_TEST((readText(photo) == before));
    for (const std::string option : {"--json", "--jsonl"})
        expectError({"predict", model, folder.file("data"), "--labels", "--report", "both.json", option, "both.json"}, 2,
                    {option + ", --report: both name", "both.json"});
}

BOOST_AUTO_TEST_CASE(tokens_are_merged_instead_of_left_out)
{
    // with one block, merging would not reach the class token
    const std::string model = trained({"--epochs", "20", "--pool", "mean"}), photo = folder.file("data/light/0.png");
    const auto answer = [&](const Words& more)
    { return Json(expectJson(Words{"predict", model, photo, "--json", "-"} + more)[0]); };
    const Json plain = answer({}), one = answer({"--merge", "1"}), half = answer({"--merge", "0.5"});
    const auto probability = [](const Json& entry) { return entry["probability"].get<double>(); };
    BOOST_TEST(one["class"] == plain["class"]);
    BOOST_TEST(one["keep"] == plain["keep"]);
    BOOST_TEST(std::abs(probability(one) - probability(plain)) < 1e-5);
    BOOST_TEST(probability(half) != probability(plain));
    const auto report = [&](const Words& more)
    {
        expectOk(Words{"predict", model, folder.file("data"), "--labels", "--report", folder.file("report.json")} + more);
        return Json::parse(readText(folder.file("report.json")));
    };
    BOOST_TEST(report({"--merge", "0.9"})["merge"] == 14 / 16.);   // one block, 16 patches
    BOOST_TEST(report({"--merge", "0.5"})["images"] == 12);
    BOOST_TEST(!report({}).contains("merge"));

    const auto refused = [&](const Words& more, const Words& parts)
    { expectError(Words{"predict", model, photo} + more, 2, parts); };
    refused({"--merge", "0"}, {"--merge: 0 is outside (0, 1]"});
    refused({"--merge", "1.5"}, {"--merge: 1.5 is outside (0, 1]"});
    refused({"--merge", "0.49"}, {"--merge: 0.49 is below 0.5, the smallest share for 16 patches and 1 block"});
    const Words others[] = {{"--keep", "0.5"}, {"--selector", "centre"}, {"--keep", "0.5", "--selector", "random"}};
    for (const Words& other : others)
        refused(Words{"--merge", "0.5"} + other, {"--merge: sees all patches and goes with --keep 1 and --selector all"});
    if (cv::ltrp::missingForTarget(cv::ltrp::TARGET_CPU_BF16).empty())
        refused({"--merge", "0.5", "--precision", "bf16"}, {"--merge: goes with --device cpu --precision fp32"});
}

BOOST_AUTO_TEST_CASE(a_grid_compares_merging_with_selectors)
{
    writeText(folder.file("grid.cfg"), gridConfig("selector = merge,centre\nseed = 0\ntrain-selector = random\n"));
    const Outcome outcome = tool({"eval", "downstream", folder.file("grid.cfg")});
    BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    BOOST_TEST(outcome.out.find("\nmerge ") != std::string::npos, outcome.out);
    const Json merge = Json::parse(readText(folder.file("grid/cells/merge-0.5-0.json"))),
               centre = Json::parse(readText(folder.file("grid/cells/centre-0.5-0.json")));
    BOOST_TEST(merge["commands"][0] == centre["commands"][0]);
    const std::string test = merge["commands"][1].dump();
    BOOST_TEST(test.find("\"--merge\",\"0.5\"") != std::string::npos, test);
    BOOST_TEST(test.find("--keep") == std::string::npos, test);
    BOOST_TEST(test.find("--selector") == std::string::npos, test);
    BOOST_TEST(merge["merge"] == 0.5);
    BOOST_TEST(!centre.contains("merge"));
    writeText(folder.file("grid.cfg"), gridConfig("keep = 0.4,0.5\nselector = centre,merge\nseed = 7\ntrain-selector = random\n"));
    expectError({"eval", "downstream", folder.file("grid.cfg")}, 2, {"selector merge: 0.4 is below 0.5, the smallest share"});
    BOOST_TEST(!std::filesystem::exists(folder.file("grid/cells/centre-0.4-7.json")));
    writeText(folder.file("grid.cfg"), gridConfig("selector = merge,centre\nseed = 0\n"));
    expectError({"eval", "downstream", folder.file("grid.cfg")}, 2, {"--selector: merge", "--train-selector"});
    expectError({"finetune", folder.file("data"), "--out", folder.file("out"), "--selector", "merge"}, 2,
                {"--selector: 'merge' is none of"});
}

BOOST_AUTO_TEST_CASE(ended_by_a_signal_and_resumed_it_has_the_same_bytes)
{
    const Words more = {"--epochs", "200", "--keep", "0.2..0.9", "--selector", "random,gradient"};
    const std::string whole = readText(trained(more));
    const std::string log = folder.file("parts/log.jsonl");
    {
        Process process(Words{LTRP_TOOL} + finetune("parts", more + Words{"--resume"}), {{"OMP_WAIT_POLICY", "passive"}});
        const auto begun = [&]() { return std::filesystem::exists(log) && readText(log).find("\"loss\"") != std::string::npos; };
        while (process.running() && !begun())
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        process.signal(SIGTERM);
        const Outcome ended = process.wait();
        BOOST_TEST(ended.status == 143);
        BOOST_TEST(ended.err.find("to go on: the same command again\n") != std::string::npos, ended.err);
        BOOST_TEST(!std::filesystem::exists(folder.file("parts/final.safetensors")));
    }
    const Outcome rest = tool(finetune("parts", more + Words{"--resume"}));
    BOOST_TEST(rest.status == 0, rest.err);
    int64_t resumed = 0;
    std::istringstream lines(readText(log));
    for (std::string line; std::getline(lines, line);)
    {
        const Json entry = Json::parse(line);
        if (entry["event"] == "resume")
            resumed = entry["step"].get<int64_t>();
    }
    BOOST_TEST(resumed >= 1);
    BOOST_TEST((readText(folder.file("parts/final.safetensors")) == whole));
}

BOOST_AUTO_TEST_CASE(what_cannot_begin_leaves_nothing)
{
    const std::string out = folder.file("out");
    expectError(finetune("out", {"--task", "sort"}), 2, {"--task", "multilabel"});
    expectError(finetune("out", {"--keep", "0.5..0.2"}), 2, {"--keep"});
    expectError(finetune("out", {"--keep", "half"}), 2, {"--keep", "'half'"});
    expectError(finetune("out", {"--keep", "0.5", "--selector", "random,best"}), 2, {"--selector", "best"});
    expectError(finetune("out", {"--keep", "0.5", "--selector", "random", "--mae", models().mae}), 2, {"--mae", "no selector"});
    expectError(finetune("out", {"--pool", "max"}), 2, {"'pool' is 'max'"});
    expectError({"finetune", folder.file("data"), "--out", out, "--init", models().mae, "--depth", "2"}, 2, {"--depth", "--init none"});
    expectError({"finetune", folder.file("data"), "--out", out, "--init", models().ranker}, 1, {"is a ranker, expected an autoencoder"});
    expectError({"finetune", folder.file("data/dark"), "--out", out, "--init", "none"}, 1, {"an image without label"});
    std::filesystem::create_directories(folder.path() / "data/none");
    expectError(finetune("out"), 1, {"class 'none' holds no image"});
    BOOST_TEST(!std::filesystem::exists(out));
}

BOOST_AUTO_TEST_CASE(a_grid_of_cells_goes_on_where_it_ended)
{
    const std::string config = folder.file("grid.cfg");
    const auto write = [&](const std::string& more) { writeText(config, gridConfig(more)); };
    write("selector = centre,random\nseed = 0,1\n");
    const Outcome first = tool({"eval", "downstream", config});
    BOOST_REQUIRE_MESSAGE(first.status == 0, first.err);
    const Json cell = Json::parse(readText(folder.file("grid/cells/centre-0.5-1.json")));
    BOOST_TEST(cell["images"] == 12);
    BOOST_TEST(cell["commands"][0][0] == "finetune");
    BOOST_TEST(readText(folder.file("grid/cells/random-0.5-0.images.jsonl")).find("\"label\"") != std::string::npos);

    // The table: mean and standard error over the seeds, of what the cells say.
    const auto accuracy = [&](const std::string& name)
    { return Json::parse(readText(folder.file("grid/cells/" + name + ".json")))["accuracy"].get<double>(); };
    const double a = accuracy("centre-0.5-0"), b = accuracy("centre-0.5-1");
    char row[64];
    std::snprintf(row, sizeof row, "%.4f +- %.4f", (a + b) / 2, std::abs(a - b) / 2);
    const size_t place = first.out.find("\ncentre");
    BOOST_REQUIRE(place != std::string::npos);
    BOOST_TEST(first.out.substr(place, first.out.find('\n', place + 1) - place).find(row) != std::string::npos, first.out << row);

    // One cell lost, but not its training: it alone is computed again, to the same accuracy.
    std::filesystem::remove(folder.file("grid/cells/random-0.5-1.json"));
    const auto before = std::filesystem::last_write_time(folder.file("grid/cells/centre-0.5-0.json"));
    const Outcome second = tool({"eval", "downstream", config});
    BOOST_TEST(second.status == 0, second.err);
    BOOST_TEST(second.out == first.out);
    BOOST_TEST(cell.contains("train_seconds"));
    BOOST_TEST(!Json::parse(readText(folder.file("grid/cells/random-0.5-1.json"))).contains("train_seconds"));
    BOOST_TEST(second.err.find("cell random-0.5-1") != std::string::npos);
    BOOST_TEST(second.err.find("cell centre") == std::string::npos);
    BOOST_TEST((std::filesystem::last_write_time(folder.file("grid/cells/centre-0.5-0.json")) == before));

    write("selector = centre,random\nseed = 0,1\npredict = --batch 2\n");
    expectError({"eval", "downstream", config}, 1, {"centre-0.5-0.json", "was made by other commands"});
    write("selector = centre\nseed = 0\n");
    const std::string stale = folder.file("grid/cells/centre-0.5-0.json"), kept = readText(stale);
    for (const std::string key : {"train", "init", "train_selector", "test", "selector"})
    {
        Json other = Json::parse(kept);
        BOOST_TEST(other["inputs"][key].get<std::string>() != "");
        other["inputs"][key] = "another";
        writeText(stale, other.dump());
        expectError({"eval", "downstream", config}, 1,
                    {"centre-0.5-0.json: cell centre-0.5-0: '" + key + "' is \"another\", expected \"", "remove "});
    }
    writeText(stale, kept);
    std::filesystem::copy_file(folder.file("data/dark/1.png"), folder.file("data/dark/new.png"));
    expectError({"eval", "downstream", config}, 1, {"'train' is \"12 images, ", "expected \"13 images, ", "runs/centre-0.5-0"});
    std::filesystem::remove(folder.file("data/dark/new.png"));
    write("selector = best\n");
    expectError({"eval", "downstream", config}, 2, {"--selector", "best"});
    write("selector = all\n");
    expectError({"eval", "downstream", config}, 2, {"--selector", "--keep 1"});
    write("selector = random\nseed = 0,../x\n");
    expectError({"eval", "downstream", config}, 2, {"--seed", "../x"});
    write("selector = random\nseed = 99999999999999999999\n");
    expectError({"eval", "downstream", config}, 2, {"--seed: '99999999999999999999' is no whole number up to"});
    write("selector = random,centre\nseed = 3\ntrain-selector = random\n");
    const Outcome shared = tool({"eval", "downstream", config});
    BOOST_TEST(shared.status == 0, shared.err);
    const std::vector<std::string> names = namesIn(folder.file("grid/runs"));
    BOOST_TEST(names.back() == "shared-0.5-3");

    // Further trained for one selector: each seed begins as its own network.
    writeText(config, "train = " + folder.file("data") + "\ntest = " + folder.file("data") + "\nout = " + folder.file("further") +
              "\nselector = random\nkeep = 0.5\nseed = 0,1\nfinetune = --threads 1 --epochs 1 --init " +
              folder.file("grid/runs/random-0.5-{seed}/final.safetensors") + "\n");
    const Outcome further = tool({"eval", "downstream", config});
    BOOST_REQUIRE_MESSAGE(further.status == 0, further.err);
    const auto begin = [&](const std::string& seed) -> std::string
    { return Json::parse(readText(folder.file("further/cells/random-0.5-" + seed + ".json")))["inputs"]["init"]; };
    BOOST_TEST(begin("0") != begin("1"));

    write("keep = 0.25,0.5\nselector = random,centre\nseed = 4\ntrain-selector = random\ntrain-keep = 0.3..0.6\n");
    const Outcome once = tool({"eval", "downstream", config});
    BOOST_REQUIRE_MESSAGE(once.status == 0, once.err);
    BOOST_TEST(namesIn(folder.file("grid/runs")).size() == names.size() + 1);
    const Json narrow = Json::parse(readText(folder.file("grid/cells/centre-0.25-4.json"))),
               wide = Json::parse(readText(folder.file("grid/cells/random-0.5-4.json")));
    BOOST_TEST(narrow["commands"][0] == wide["commands"][0]);
    BOOST_TEST(narrow["commands"][0].dump().find("\"0.3..0.6\"") != std::string::npos);
    BOOST_TEST(narrow["commands"][1].dump().find("\"0.25\"") != std::string::npos);
    write("selector = random\nseed = 4\ntrain-keep = ../x\n");
    expectError({"eval", "downstream", config}, 2, {"--keep: '../x' is neither a share"});
}

BOOST_AUTO_TEST_CASE(processes_share_out_a_grid)
{
    const std::string config = folder.file("grid.cfg");
    const Words command = {LTRP_TOOL, "eval", "downstream", config};
    writeText(config, gridConfig("selector = centre,random\nseed = 0,1,2\ntrain-selector = random\n"));
    std::vector<std::unique_ptr<Process>> both;
    for (int i = 0; i < 2; i++)
        both.emplace_back(new Process(command, {{"OMP_WAIT_POLICY", "passive"}}));
    Outcome outcomes[2];
    for (size_t i = 0; i < 2; i++)
    {
        outcomes[i] = both[i]->wait();
        BOOST_TEST(outcomes[i].status == 0, outcomes[i].err);
    }
    BOOST_TEST(outcomes[0].out == outcomes[1].out);
    for (const std::string name : {"centre-0.5-0", "centre-0.5-1", "centre-0.5-2", "random-0.5-0", "random-0.5-1", "random-0.5-2"})
    {
        size_t computed = 0;
        for (const Outcome& outcome : outcomes)
            computed += outcome.err.find("cell " + name + "\n") != std::string::npos;
        BOOST_TEST(computed == 1u, name << ":\n" << outcomes[0].err << outcomes[1].err);
    }
    // What one process alone computes is the same.
    const Outcome alone = tool({"eval", "downstream", config, "--out", folder.file("alone")});
    BOOST_TEST(alone.status == 0, alone.err);
    BOOST_TEST(alone.out == outcomes[0].out);
}

BOOST_AUTO_TEST_CASE(a_classifier_chooses_patches_for_others)
{
    const std::string model = trained({"--epochs", "5"});
    const Outcome next = tool(finetune("next", {"--epochs", "1", "--keep", "0.25", "--selector", "class_attention,grad_cam",
                                                "--classifier", model}));
    BOOST_REQUIRE_MESSAGE(next.status == 0, next.err);
    const std::string options = readText(folder.file("next/log.jsonl"));
    BOOST_TEST(options.find("\"selector\":\"class_attention ") != std::string::npos, options.substr(0, 2000));
    const Json entry = expectJson({"predict", folder.file("next/final.safetensors"), folder.file("data/light/0.png"), "--keep", "0.25",
                                   "--selector", "attention_rollout", "--classifier", model, "--json", "-"})[0];
    BOOST_TEST(entry["keep"].size() == 4u);

    // Cells of other selectors leave the option out.
    writeText(folder.file("grid.cfg"), gridConfig("selector = centre,class_attention\nseed = 0\npredict = --classifier " + model + "\n",
                                                  "data", "--threads 1 --classifier=" + model));
    const Outcome outcome = tool({"eval", "downstream", folder.file("grid.cfg")});
    BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    const Json centre = Json::parse(readText(folder.file("grid/cells/centre-0.5-0.json"))),
               attention = Json::parse(readText(folder.file("grid/cells/class_attention-0.5-0.json")));
    BOOST_TEST(centre["commands"].dump().find("--classifier") == std::string::npos);
    BOOST_TEST(attention["commands"][0].dump().find("--classifier=") != std::string::npos);
    BOOST_TEST(attention["commands"][1].dump().find("--classifier") != std::string::npos);
    for (const char* key : {"selector", "train_selector"})
        BOOST_TEST(attention["inputs"][key].get<std::string>().size() == std::string("class_attention 01234567").size());
    // The classifier may be a network of the grid itself, trained before.
    const std::string same = folder.file("grid/runs/shared-0.5-7/final.safetensors");
    const auto shared = [&](const std::string& selector)
    {
        writeText(folder.file("grid.cfg"), gridConfig("selector = " + selector + "\nseed = 7\ntrain-selector = random\npredict = --classifier " +
                                                      same + "\n"));
        return tool({"eval", "downstream", folder.file("grid.cfg")});
    };
    BOOST_REQUIRE(shared("centre").status == 0);
    const std::string weights = readText(same);
    const Outcome own = shared("class_attention");
    BOOST_TEST(own.status == 0, own.err);
    BOOST_TEST((readText(same) == weights));

    writeText(folder.file("grid.cfg"), gridConfig("selector = grad_cam\nseed = 0\n"));
    expectError({"eval", "downstream", folder.file("grid.cfg")}, 2, {"grad_cam needs --classifier FILE"});
}

BOOST_AUTO_TEST_CASE(a_cell_remembers_the_images_that_failed)
{
    std::filesystem::copy(folder.file("data"), folder.file("test"), std::filesystem::copy_options::recursive);
    writeText(folder.file("test/dark/99.png"), "no image");
    writeText(folder.file("grid.cfg"), gridConfig("selector = centre\nseed = 0\n", "test"));
    const Words command = {"eval", "downstream", folder.file("grid.cfg")};
    BOOST_TEST(tool(command).status == 1);
    BOOST_TEST(Json::parse(readText(folder.file("grid/cells/centre-0.5-0.json")))["failed"] == 1);
    const Outcome again = tool(command);
    BOOST_TEST(again.status == 1);
    BOOST_TEST(again.err.find("cell centre-0.5-0: failed images: 1") != std::string::npos, again.err);

    // Without an answer there is no accuracy, whatever a stopped test has left.
    std::filesystem::remove(folder.file("grid/cells/centre-0.5-0.json"));
    writeText(folder.file("grid/cells/centre-0.5-0.accuracy.json"),
              "{\"images\": 12, \"failed\": 0, \"accuracy\": 1, \"class_mean\": 1}");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.file("test")))
        if (entry.is_regular_file())
            writeText(entry.path().string(), "no image");
    const Outcome none = tool(command);
    BOOST_TEST(none.status == 1);
    BOOST_TEST(none.err.find("has written no measures") != std::string::npos, none.err);
    BOOST_TEST(!std::filesystem::exists(folder.file("grid/cells/centre-0.5-0.json")));
}

BOOST_AUTO_TEST_CASE(options_of_a_cell_are_not_those_of_the_next)
{
    const std::string threads = std::to_string(cv::getNumThreads() + 1);
    writeText(folder.file("grid.cfg"),
              gridConfig("selector = centre\nseed = 0,1\npredict = --threads " + threads + "\n", "data", ""));
    const Outcome outcome = tool({"eval", "downstream", folder.file("grid.cfg")});
    BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    const auto threadsOf = [&](const std::string& run)
    {
        const std::string log = readText(folder.file("grid/runs/" + run + "/log.jsonl"));
        return Json::parse(log.substr(0, log.find('\n')))["options"]["threads"].get<std::string>();
    };
    BOOST_TEST(threadsOf("centre-0.5-1") == threadsOf("centre-0.5-0"));
}

BOOST_AUTO_TEST_CASE(a_grid_of_names_that_are_no_utf8_goes_on)
{
    const std::string name = "d\xff";
    std::filesystem::copy(folder.file("data"), folder.file(name), std::filesystem::copy_options::recursive);
    writeText(folder.file("grid.cfg"), gridConfig("selector = centre\nseed = 0\n", name));
    for (int i = 0; i < 2; i++)
    {
        const Outcome outcome = tool({"eval", "downstream", folder.file("grid.cfg")});
        BOOST_TEST(outcome.status == 0, outcome.err);
    }
}

BOOST_AUTO_TEST_SUITE_END()
