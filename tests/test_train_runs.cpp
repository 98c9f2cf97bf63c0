// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Messages, folder, log and checkpoints of a training, and the errors it reports.

#include "model_fixture.hpp"
#include "train_fixture.hpp"
#include "io/checksum.hpp"
#include "io/tensor_file.hpp"
#include "train/checkpoint.hpp"
#include "train/clock.hpp"
#include "train/run_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

using namespace cv::ltrp;
using namespace cv::ltrp::train;
namespace fs = std::filesystem;

using testing_tools::contains;

BOOST_FIXTURE_TEST_SUITE(train_runs, TrainFixture)

BOOST_AUTO_TEST_CASE(lengths_of_runs_in_words)
{
    BOOST_TEST(lengthText(3599) == "");
    BOOST_TEST(lengthText(3600) == "at this rate the run will take about 1 hour");
    BOOST_TEST(lengthText(24 * 3600) == "at this rate the run will take about 24 hours");
    BOOST_TEST(lengthText(25 * 3600) == "at this rate the run will take about 1 day; fewer epochs, a smaller preset (tiny), a smaller "
                                        "size or a GPU shorten it");
    BOOST_TEST(contains(lengthText(50 * 24 * 3600.), "about 50 days; "));
}

BOOST_AUTO_TEST_CASE(a_run_of_more_than_a_day_is_announced_with_a_remedy_before_its_first_update_ends)
{
    MaePretrainParams params = pretrain("long");
    params.data.assign(2000, file("images/p0.png"));
    params.epochs = 1e6;   // a day if an update takes 0.2 ms
    params.batch = 2;
    params.accumulate = 2;
    std::vector<std::string> warnings;
    cv::Ptr<Trainer> trainer = make(params);
    trainer->setMessage([&](const cv::String& line)
    {
        if (contains(line, "at this rate"))
            warnings.push_back(line);
    });
    trainer->setStop([&] { return !warnings.empty(); });
    BOOST_TEST(!trainer->run());
    BOOST_REQUIRE(warnings.size() == 1u);
    BOOST_TEST(warnings[0].find("warning: at this rate the run will take about ") == 0u, warnings[0]);
    BOOST_TEST(contains(warnings[0], " days; fewer epochs, a smaller preset"), warnings[0]);
    BOOST_TEST(listCheckpoints(file("long")) == std::vector<int64_t>{0}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_long_update_shows_its_batches)
{
    MaePretrainParams params = pretrain("slow");
    params.accumulate = 3;
    bool slept = false;
    std::vector<TrainProgress> states;
    cv::Ptr<Trainer> trainer = make(params);
    trainer->setStop([&]
    {
        if (!slept)
            std::this_thread::sleep_for(std::chrono::milliseconds(2100));
        slept = true;
        return false;
    });
    trainer->setProgress([&](const TrainProgress& state)
    {
        states.push_back(state);
        return false;
    });
    BOOST_TEST(!trainer->run());
    BOOST_REQUIRE(!states.empty());
    BOOST_TEST(states[0].step == 0);
    BOOST_TEST(states[0].batch == 1);
    BOOST_TEST(states[0].batches == 3);
    BOOST_TEST(states[0].imagesPerSecond > 0);
    BOOST_TEST(listCheckpoints(file("slow")) == std::vector<int64_t>{0}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_killed_writers_left_is_removed)
{
    const std::string folder = file("left");
    fs::create_directories(folder);
    int status = 0;
    const pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    BOOST_REQUIRE(waitpid(gone, &status, 0) == gone);
    const std::string own = std::to_string(getpid()), other = std::to_string(getppid()), dead = std::to_string(gone);
    const std::vector<std::string> kept = {".ltrp-" + other + "-0.tmp", ".ltrp-" + dead + "-0.tmp.old", ".ltrp-" + dead + ".tmp", "notes.txt"};
    for (const std::string& name : kept)
        testing_tools::writeText(folder + "/" + name, "");
    for (const std::string& name : {".ltrp-" + own + "-77.tmp", ".ltrp-" + dead + "-0.tmp"})
        testing_tools::writeText(folder + "/" + name, "");
    const RunFolder run(folder, false);
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    BOOST_TEST(std::set<std::string>(names.begin(), names.end()) == std::set<std::string>(kept.begin(), kept.end()),
               boost::test_tools::per_element());
    BOOST_TEST(contains(messageOf([&] { RunFolder(folder, false); }), folder + ": another process trains into this folder"));
}

BOOST_AUTO_TEST_CASE(folders_that_no_run_can_have_are_refused)
{
    BOOST_TEST(contains(messageOf([] { RunFolder("", false); }), "no folder given"));
    testing_tools::writeText(file("a-file"), "");
    BOOST_TEST(contains(messageOf([&] { RunFolder(file("a-file"), false); }), file("a-file") + ": cannot make the folder: "));
    BOOST_TEST(contains(messageOf([&] { RunFolder(file("a-file/x"), false); }), file("a-file/x") + ": cannot make the folder: "));
    fs::create_directories(file("done"));
    testing_tools::writeText(file("done/final.safetensors"), "");
    BOOST_TEST(contains(messageOf([&] { RunFolder(file("done"), false); }), "holds the files of another run"));
    BOOST_TEST(contains(messageOf([&] { RunFolder(file("done"), true); }), "no checkpoint to go on from"));
    testing_tools::writeText(checkpointPath(file("done"), 3), "");
    BOOST_TEST(contains(messageOf([&] { RunFolder(file("done"), false); }), "holds the files of another run"));
    BOOST_TEST(messageOf([&] { RunFolder(file("done"), true); }) == "");
    // Names that only resemble a checkpoint's.
    for (const char* name : {"checkpoint-.safetensors", "checkpoint-7.safetensors", "checkpoint--0000001.safetensors", "checkpoint-00000001.safetensor",
                             "checkpoint-99999999999999999999.safetensors", "a-checkpoint-00000001.safetensors"})
        testing_tools::writeText(file("done") + "/" + name, "");
    BOOST_TEST(listCheckpoints(file("done")) == std::vector<int64_t>{3}, boost::test_tools::per_element());

    const RunFolder run(file("done"), true);
    fs::create_symlink("nowhere", file("done/dangling"));
    fs::create_hard_link(file("a-file"), file("done/linked"));
    BOOST_TEST(contains(messageOf([&] { run.refuseInputs({file("absent"), file("a-file")}); }), file("a-file") + ": lies in "));
    BOOST_TEST(messageOf([&] { run.refuseInputs({file("absent"), "/dev/null"}); }) == "");
    BOOST_TEST(messageOf([&] { RunFolder(file("empty"), false).refuseInputs({file("a-file")}); }) == "");
}

BOOST_AUTO_TEST_CASE(a_log_keeps_the_lines_up_to_a_step)
{
    const std::string path = file("log.jsonl"), first = "{\"step\":1}\n", second = "{\"step\":2,\"event\":\"checkpoint\"}\n";
    fs::create_directories(fs::path(path).parent_path());
    testing_tools::writeText(path, first + "[1]\n{}\n{\"step\":\"1\"}\n{\"step\":1.5}\n{\"step\":18446744073709551615}\nnoise\n" + second +
                                       "{\"step\":3}\n{\"step\":1");
    {
        RunLog log(path, 2);
        log.add("{\"step\":4}");
    }
    BOOST_TEST(testing_tools::readText(path) == first + second + "{\"step\":4}\n");
    {
        RunLog log(path, -1);
    }
    BOOST_TEST(testing_tools::readText(path) == "");
    {
        RunLog log(file("new.jsonl"), 5);
    }
    BOOST_TEST(testing_tools::readText(file("new.jsonl")) == "");
    BOOST_TEST(contains(messageOf([&] { RunLog(file("absent/log.jsonl"), -1); }), file("absent/log.jsonl") + ": cannot be written: "));
    BOOST_TEST(contains(messageOf([&] { RunLog("/dev/full", -1); }), "/dev/full: is not a regular file"));
    const testing_tools::SmallDisk limit(64);
    RunLog full(file("full.jsonl"), -1);
    const std::string message = messageOf([&] { full.add(std::string(1000, ' ')); });
    BOOST_TEST(contains(message, file("full.jsonl") + ": cannot be written: File too large"), message);
}

BOOST_AUTO_TEST_CASE(damaged_checkpoints_are_recognised_and_the_one_before_is_taken)
{
    BOOST_TEST(make(pretrain("whole"))->run());
    for (const std::string damage : {"state", "version", "cut"})
    {
        MaePretrainParams params = pretrain(damage);
        cv::Ptr<Trainer> trainer = make(params);
        trainer->setProgress([](const TrainProgress& state) { return state.step < 8; });
        BOOST_TEST(!trainer->run());
        const std::string newest = checkpointPath(file(damage), 8);
        std::string content = testing_tools::readText(newest);
        // One bit of AdamW's state, or of the word with the version, is changed; or the end is missing.
        const size_t place = damage == "version" ? content.find("version") : content.size() - 100;
        content[place] = static_cast<char>(content[place] ^ 4);
        testing_tools::writeText(newest, damage == "cut" ? content.substr(0, place) : content);
        params.resume = true;
        std::string said;
        trainer = make(params);
        trainer->setMessage([&](const cv::String& line) { said += line + "\n"; });
        BOOST_TEST(trainer->run());
        BOOST_TEST(contains(said, "checkpoint-00000008.safetensors: not usable"), said);
        BOOST_TEST(contains(said, "resumed at update 6"), said);
        BOOST_TEST((bytes(damage + "/final.safetensors") == bytes("whole/final.safetensors")));
        BOOST_TEST(loggedSteps(damage) == countTo(12), boost::test_tools::per_element());
        BOOST_TEST(listCheckpoints(file(damage)) == (std::vector<int64_t>{12, 9}), boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(checkpoints_of_which_none_is_usable_are_never_lost)
{
    MaePretrainParams params = pretrain("lost");
    cv::Ptr<Trainer> trainer = make(params);
    trainer->setProgress([](const TrainProgress& state) { return state.step < 8; });
    BOOST_TEST(!trainer->run());
    params.resume = true;
    const std::string newest = checkpointPath(file("lost"), 8), older = checkpointPath(file("lost"), 6);
    const std::string good = testing_tools::readText(newest), before = testing_tools::readText(older), log = bytes("lost/log.jsonl");
    const auto refused = [&](const std::string& content, const std::vector<std::string>& parts)
    {
        testing_tools::writeText(newest, content);
        const std::string message = messageOf([&] { make(params)->run(); });
        for (const std::string& part : parts)
            BOOST_TEST(contains(message, part), message);
        BOOST_TEST((testing_tools::readText(newest) == content));
        BOOST_TEST((testing_tools::readText(older) == before));
        BOOST_TEST((bytes("lost/log.jsonl") == log));
        BOOST_TEST(listCheckpoints(file("lost")) == (std::vector<int64_t>{8, 6}), boost::test_tools::per_element());
    };
    // Complete but unusable: of a newer version, of another type, with values that no training produces.
    const auto rewritten = [&](const std::string& from, const std::string& to)
    {
        const std::shared_ptr<const io::TensorFile> old = io::TensorFile::open(older);
        std::string state = old->metadata().at("ltrp.checkpoint");
        state.replace(state.find("\"step\":6"), 8, "\"step\":8");
        state.replace(state.find("\"adam_steps\":6"), 14, "\"adam_steps\":8");
        BOOST_REQUIRE(state.find(from) != std::string::npos);
        state.replace(state.find(from), from.size(), to);
        cv::ltrp::io::Crc32 sum;
        sum.add(state);
        std::vector<io::TensorOut> tensors;
        for (const io::TensorView& view : old->tensors())
        {
            tensors.push_back({view.name, view.dtype, view.shape, view.data});
            sum.add(view.data, view.bytes);
        }
        io::writeSafetensors(file("made"), tensors, {{"ltrp.checkpoint", state}, {"ltrp.crc32", sum.text()}});
        return bytes("made");
    };
    refused(rewritten("\"version\":1", "\"version\":2"), {"checkpoint-00000008", "version 2", "reads version 1"});
    refused(rewritten("\"step\":8", "\"step\":\"8\""), {"checkpoint-00000008", "'step' is"});
    refused(rewritten("\"adam_steps\":8", "\"adam_steps\":-1"), {"checkpoint-00000008", "'adam_steps' is -1"});
    refused(rewritten("\"adam_steps\":8", "\"adam_steps\":99999"), {"checkpoint-00000008", "expected a whole number from 0 to 8"});
    refused(rewritten("\"options\":{", "\"options\":7,\"o\":{"), {"checkpoint-00000008", "'options' is not"});
    refused(rewritten("\"version\":1", "\"version\":null"), {"checkpoint-00000008", "no JSON object with a version"});
    refused(rewritten("\"step\":8", "\"step\":7"), {"checkpoint-00000008", "the file's name and the step inside differ"});
    refused(rewritten("\"adam_steps\":8", "\"adam_steps\":8,\"workers\":0"), {"checkpoint-00000008", "'workers' is 0"});
    refused(rewritten("\"adam_steps\":8", "\"adam_steps\":8,\"workers\":2"), {"checkpoint-00000008", "'ordered' is missing"});
    refused(rewritten("\"adam_steps\":8", "\"adam_steps\":8,\"workers\":2,\"ordered\":1"), {"checkpoint-00000008", "expected true or false"});
    refused(rewritten("\"seed\":", "\"more\":\"1\",\"seed\":"), {"checkpoint-00000008", " options, expected "});
    refused(rewritten("\"seed\":\"11\"", "\"seed\":11"), {"checkpoint-00000008", "seed is 11, but the checkpoint was made with not given"});
    // The weights and moments themselves.
    const auto withValue = [&](const char* name, float value)
    {
        std::vector<float> values;
        const auto changed = [&](const io::TensorView& view)
        {
            values.resize(view.count());
            std::memcpy(values.data(), view.data, view.bytes);
            values[5] = value;
            return values.data();
        };
        std::string state;
        std::vector<io::TensorOut> tensors;
        cv::ltrp::io::Crc32 sum;
        testing_tools::writeText(file("sound"), rewritten("\"step\":8", "\"step\":8"));
        const std::shared_ptr<const io::TensorFile> sound = io::TensorFile::open(file("sound"));
        state = sound->metadata().at("ltrp.checkpoint");
        sum.add(state);
        for (const io::TensorView& view : sound->tensors())
        {
            tensors.push_back({view.name, view.dtype, view.shape, view.name == name ? changed(view) : static_cast<const void*>(view.data)});
            sum.add(tensors.back().data, view.bytes);
        }
        io::writeSafetensors(file("made"), tensors, {{"ltrp.checkpoint", state}, {"ltrp.crc32", sum.text()}});
        return bytes("made");
    };
    const float infinite = std::numeric_limits<float>::infinity();
    refused(withValue("params", -infinite), {"checkpoint-00000008", "'params' holds -inf at element 5, expected a finite number"});
    refused(withValue("adam.m", infinite), {"checkpoint-00000008", "'adam.m' holds inf"});
    refused(withValue("adam.v", -1e-3f), {"checkpoint-00000008", "'adam.v' holds -0.001 at element 5, expected a finite number of 0 or more"});
    // Other tensors, and a file that is no checkpoint at all.
    for (const int form : {0, 1, 2})
    {
        std::vector<io::TensorOut> tensors;
        const std::shared_ptr<const io::TensorFile> old = io::TensorFile::open(older);
        cv::ltrp::io::Crc32 sum;
        std::string state = old->metadata().at("ltrp.checkpoint");
        state.replace(state.find("\"step\":6"), 8, "\"step\":8");
        sum.add(state);
        for (const io::TensorView& view : old->tensors())
        {
            std::vector<int64_t> shape = view.shape;
            shape[0] -= form == 0;
            tensors.push_back({view.name, form == 1 ? io::DType::I32 : view.dtype, shape, view.data});
            sum.add(view.data, static_cast<size_t>(shape[0]) * 4);
        }
        std::map<std::string, std::string> metadata{{"ltrp.checkpoint", state}, {"ltrp.crc32", sum.text()}};
        if (form == 2)
            metadata.erase("ltrp.crc32");
        io::writeSafetensors(file("made"), tensors, metadata);
        refused(bytes("made"), {"checkpoint-00000008", form == 0 ? " of type F32, expected " : form == 1 ? " of type I32, expected " : "not a training checkpoint"});
    }
    if (geteuid() != 0)   // root can read everything
    {
        fs::permissions(newest, fs::perms::none);
        BOOST_TEST(contains(messageOf([&] { make(params)->run(); }), "checkpoint-00000008"));
        fs::permissions(newest, fs::perms::owner_all);
    }
    // Both damaged: rejected, and each named.
    testing_tools::writeText(older, before.substr(0, before.size() / 2));
    testing_tools::writeText(newest, good.substr(0, good.size() - 1));
    const std::string message = messageOf([&] { make(params)->run(); });
    for (const char* part : {"none of its checkpoints can be used", "checkpoint-00000008", "checkpoint-00000006"})
        BOOST_TEST(contains(message, part), message);
    BOOST_TEST(listCheckpoints(file("lost")) == (std::vector<int64_t>{8, 6}), boost::test_tools::per_element());
    BOOST_TEST((bytes("lost/log.jsonl") == log));
    testing_tools::writeText(older, before);
    testing_tools::writeText(newest, good);
    BOOST_TEST(make(params)->run());
}

BOOST_AUTO_TEST_CASE(a_run_goes_on_with_other_workers_and_older_names)
{
    vit::ParamLayout layout;
    layout.add("w", {6});
    vit::ParamArena params(layout), read(layout);
    params.data()[0] = 3;
    AdamW optimizer(layout), other(layout);
    optimizer.steps = 2;
    const std::string folder = file("steps");
    fs::create_directories(folder);
    BOOST_TEST(storedOption(folder, "epochs") == "");
    const OptionList options = {{"epochs", "3"}, {"sees", "all"}}, newer = {{"epochs", "4"}, {"ranker-input", "all"}};
    std::vector<int64_t> usable;
    writeCheckpoint(folder, 2, options, WorkerSetup{3, false}, params, optimizer, usable);
    BOOST_TEST(storedOption(folder, "epochs") == "3");
    BOOST_TEST(storedOption(folder, "absent") == "");
    std::string said;
    const auto report = [&](const std::string& line) { said += line + "\n"; };
    BOOST_TEST(readNewestCheckpoint(folder, newer, WorkerSetup{1, true}, read, other, report) == 2);
    BOOST_TEST(read.data()[0] == 3.f);
    BOOST_TEST(other.steps == 2);
    BOOST_TEST(said == "extended from 3 to 4 epochs: the learning rate goes on as in a run of 4\nbegun by 3 workers (not deterministic), goes "
                       "on with one worker: the same samples, sums rounded otherwise\n");
    said.clear();
    writeCheckpoint(folder, 2, options, WorkerSetup{2, true}, params, optimizer, usable);
    BOOST_TEST(usable == std::vector<int64_t>{2}, boost::test_tools::per_element());
    BOOST_TEST(readNewestCheckpoint(folder, options, WorkerSetup{1, true}, read, other, report) == 2);
    BOOST_TEST(said == "begun by 2 workers, goes on with one worker: the same samples, the same result\n");
    said.clear();
    BOOST_TEST(readNewestCheckpoint(folder, options, WorkerSetup{2, false}, read, other, report) == 2);
    BOOST_TEST(contains(said, "goes on with 2 workers (not deterministic): the same samples, sums rounded otherwise"), said);
    BOOST_TEST(contains(messageOf([&] { readNewestCheckpoint(folder, {{"epochs", "3"}, {"lr", "1"}}, WorkerSetup(), read, other, report); }),
                        "lr is 1, but the checkpoint was made with not given"));
    BOOST_TEST(readNewestCheckpoint(file("."), options, WorkerSetup(), read, other, report) == -1);
    // A checkpoint that cannot be read as a file is not treated as damaged.
    fs::create_directory(checkpointPath(folder, 9));
    BOOST_TEST(storedOption(folder, "epochs") == "3");
    BOOST_TEST(contains(messageOf([&] { readNewestCheckpoint(folder, options, WorkerSetup(), read, other, report); }),
                        "checkpoint-00000009.safetensors: is a folder"));
}

BOOST_AUTO_TEST_SUITE_END()
