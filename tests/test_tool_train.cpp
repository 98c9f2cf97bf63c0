// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../modules/ltrp/src/precomp.hpp"

#include "tool_fixture.hpp"

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

/// Trainings of a second or two: 32-pixel images, patches of 8, one block each.
struct TrainingFixture : ToolFixture
{
    const Words common = {"--batch", "2", "--accumulate", "1", "--warmup-epochs", "0", "--lr", "0.001", "--seed", "4",
                          "--threads", "1", "--log-every", "1"};
    const Words geometry = {"--size", "32", "--patch", "8", "--embed-dim", "24", "--depth", "1", "--heads", "2",
                            "--decoder-embed-dim", "16", "--decoder-depth", "1", "--decoder-heads", "2"};
    const Words pretrain = Words{"pretrain", photoFolder()} + geometry + common;

    /// Trains; the content of stderr besides complaints (progress in plain lines) does not matter here.
    static void train(const Words& args)
    {
        const Outcome outcome = tool(args);
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, args[0] << " failed: " << outcome.err);
    }
    std::string mae(const std::string& epochs) const
    {
        train(pretrain + Words{"--epochs", epochs, "--out", folder.file("mae")});
        return folder.file("mae/final.safetensors");
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(tool_train, TrainingFixture)

BOOST_AUTO_TEST_CASE(from_photos_to_ranks_with_models_of_ones_own)
{
    const std::string autoencoder = mae("2");
    train(Words{"train", photoFolder(), "--mae", autoencoder, "--mask-ratio", "0.5", "--embed-dim", "24", "--depth",
                "1", "--heads", "2", "--list-k", "4", "--epochs", "2", "--out", folder.file("ranker")} +
          common);
    const std::string ranker = folder.file("ranker/final.safetensors");
    BOOST_TEST(expectOk({"info", autoencoder}).find("mae") != std::string::npos);
    BOOST_TEST(expectOk({"info", ranker}).find("head        token") != std::string::npos);
    const auto entry = expectJson({"rank", photos()[0], "--model", ranker, "--json", "-"})[0];
    BOOST_TEST(entry["grid"] == Json::parse("[4, 4]"));
    BOOST_TEST(entry["scores"].size() == 16u);
    BOOST_TEST(
        expectJson({"score", photos()[0], "--mae", autoencoder, "--mask-ratio", "0.5", "--json", "-"})[0]["scores"]
            .size() == 16u);
    for (const char* run : {"mae", "ranker"})   // one JSON object per line
    {
        std::istringstream log(readText(folder.file(std::string(run) + "/log.jsonl")));
        size_t steps = 0;
        for (std::string line; std::getline(log, line);)
            steps += Json::parse(line).contains("loss");
        BOOST_TEST(steps == 2 * (photos().size() / 2));
    }
}

BOOST_AUTO_TEST_CASE(interrupted_and_resumed_training_ends_with_the_same_bytes)
{
    const Words run = pretrain + Words{"--epochs", "60"};
    train(run + Words{"--out", folder.file("whole")});

    const std::string log = folder.file("parts/log.jsonl");
    {
        Process process(Words{LTRP_TOOL} + run + Words{"--out", folder.file("parts")},
                        {{"OMP_WAIT_POLICY", "passive"}});
        const auto begun = [&]()
        { return std::filesystem::exists(log) && readText(log).find("\"loss\"") != std::string::npos; };
        while (process.running() && !begun())
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        process.signal(SIGINT);
        const Outcome outcome = process.wait();
        BOOST_TEST(outcome.status == 130);
        BOOST_TEST(outcome.err.find("ltrp pretrain: interrupted") != std::string::npos);
        BOOST_TEST(!std::filesystem::exists(folder.file("parts/final.safetensors")));
    }
    train(run + Words{"--out", folder.file("parts"), "--resume"});
    BOOST_TEST(readText(folder.file("parts/final.safetensors")) == readText(folder.file("whole/final.safetensors")),
               "an interrupted run ends with other weights");
}

BOOST_AUTO_TEST_CASE(options_come_from_a_file_where_the_command_line_is_silent)
{
    writeText(folder.file("mae.cfg"), "# a comment\nepochs = 3\nseed = 9\n");
    const Words run = Words{pretrain.begin(), pretrain.end()};
    train(run + Words{"--config", folder.file("mae.cfg"), "--out", folder.file("a")});   // command line: --seed 4
    train(run + Words{"--epochs", "3", "--out", folder.file("b")});
    BOOST_TEST(readText(folder.file("a/final.safetensors")) == readText(folder.file("b/final.safetensors")),
               "other weights");

    // --sees is the former name of --ranker-input: still accepted, on the command line and in a file.
    writeText(folder.file("old.cfg"), "sees = all\n");
    for (const Words& old : {Words{"--sees", "some"}, Words{"--sees=some"}, Words{"--ranker-input", "some"}})
        expectError(Words{"train", "data", "--mae", "mae.safetensors", "--out", "out"} + old, 2,
                    {"--ranker-input", "some", "visible", "all"});
    expectError(Words{"train", "data", "--out", "out", "--config", folder.file("old.cfg")}, 2, {"--mae, --targets"});

    writeText(folder.file("bad.cfg"), "epochs = 3\nepoch = 4\n");
    expectError(run + Words{"--config", folder.file("bad.cfg"), "--out", folder.file("c")}, 2,
                {folder.file("bad.cfg"), "epoch"});
    expectError(run + Words{"--config", folder.file("none.cfg"), "--out", folder.file("c")}, 2,
                {folder.file("none.cfg")});
    BOOST_TEST(!std::filesystem::exists(folder.file("c")));
}

BOOST_AUTO_TEST_CASE(training_that_cannot_begin_leaves_nothing)
{
    const std::string out = folder.file("out");
    expectError(pretrain + Words{"--epochs", "0", "--out", out}, 2, {"epochs"});
    expectError(pretrain + Words{"--heads", "5", "--out", out}, 2, {"heads"});
    expectError(Words{"pretrain", folder.file("none"), "--out", out}, 1, {folder.file("none")});
    expectError(Words{"train", photoFolder(), "--mae", folder.file("none.safetensors"), "--out", out}, 1,
                {"none.safetensors"});
    expectError(Words{"train", photoFolder(), "--mae", models().ranker, "--out", out}, 1, {models().ranker});
    BOOST_TEST(!std::filesystem::exists(out));
}

BOOST_AUTO_TEST_CASE(golden_says_ok_and_not_ok)
{
    const std::string golden = std::string(LTRP_SOURCE_DIR) + "/tests/data/golden/losses";
    BOOST_TEST(expectOk({"golden", golden}).find("ok") != std::string::npos);
    const Outcome none = tool({"golden", folder.file("none")});
    BOOST_TEST(none.status == 1);
    BOOST_TEST(none.err.find(folder.file("none")) != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
