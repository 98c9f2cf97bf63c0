// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include <boost/test/unit_test.hpp>

#include "model_fixture.hpp"
#include "train_fixture.hpp"
#include "io/tensor_file.hpp"
#include "train/checkpoint.hpp"

#include <clocale>
#include <limits>
#include <locale>
#include <numeric>

using namespace cv::ltrp;
using cv::ltrp::train::checkpointPath;
using cv::ltrp::train::listCheckpoints;
using testing_tools::contains;
namespace fs = std::filesystem;

namespace
{

/// Stops after each of the given numbers of updates and resumes.
template<typename Params> void runWithStops(Params params, const std::vector<int64_t>& stops)
{
    for (const int64_t stop : stops)
    {
        cv::Ptr<Trainer> trainer = TrainFixture::make(params);
        trainer->setProgress([stop](const TrainProgress& state) { return state.step < stop; });
        BOOST_TEST(!trainer->run());
        params.resume = true;
    }
    BOOST_TEST(TrainFixture::make(params)->run());
}

/// A child process trains; it is killed some microseconds after its n-th update. Returns true if it finished first.
template<typename Params> bool runUntilKilled(const Params& params, int updates, unsigned microseconds)
{
    int link[2];
    BOOST_REQUIRE(pipe(link) == 0);
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0)
    {
        int status = 1;
        try
        {
            cv::Ptr<Trainer> trainer = TrainFixture::make(params);
            trainer->setProgress([&](const TrainProgress&) { return write(link[1], "u", 1) == 1; });
            status = trainer->run() ? 0 : 2;
        }
        catch (const std::exception& e)
        {
            std::fprintf(stderr, "%s\n", e.what());
        }
        _exit(status);
    }
    close(link[1]);
    char update;
    while (updates > 0 && read(link[0], &update, 1) == 1)
        updates--;
    usleep(microseconds);
    kill(child, SIGKILL);
    close(link[0]);
    int state = 0;
    waitpid(child, &state, 0);
    BOOST_REQUIRE_MESSAGE(!WIFEXITED(state) || WEXITSTATUS(state) == 0, "the training child failed");
    return WIFEXITED(state);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(train, TrainFixture)

BOOST_AUTO_TEST_CASE(stopped_and_resumed_it_ends_with_the_same_bytes)
{
    BOOST_TEST(make(pretrain("whole"))->run());
    const std::string whole = bytes("whole/final.safetensors");
    runWithStops(pretrain("stops"), {1, 2, 5, 11});
    BOOST_TEST((bytes("stops/final.safetensors") == whole));
    BOOST_TEST(loggedSteps("stops") == countTo(12), boost::test_tools::per_element());

    // Another seed gives another result: the equality above is meaningful.
    MaePretrainParams other = pretrain("other");
    other.seed = 12;
    BOOST_TEST(make(other)->run());
    BOOST_TEST((bytes("other/final.safetensors") != whole));
}

BOOST_AUTO_TEST_CASE(ranker_stopped_and_resumed_ends_with_the_same_bytes)
{
    BOOST_TEST(make(pretrain("mae"))->run());
    for (const char* loss : {"list-mle-k", "rank-net"})
    {
        RankerTrainParams whole = ranker(std::string("whole-") + loss, file("mae/final.safetensors"));
        RankerTrainParams stops = ranker(std::string("stops-") + loss, file("mae/final.safetensors"));
        whole.loss = stops.loss = loss;
        BOOST_TEST(make(whole)->run());
        runWithStops(stops, {4, 7});
        BOOST_TEST((bytes(std::string("whole-") + loss + "/final.safetensors") ==
                    bytes(std::string("stops-") + loss + "/final.safetensors")));
    }
    BOOST_TEST((bytes("whole-list-mle-k/final.safetensors") != bytes("whole-rank-net/final.safetensors")));
}

BOOST_AUTO_TEST_CASE(in_bfloat16_it_is_refused_or_learns_alike_and_resumes_to_the_same_bytes)
{
    MaePretrainParams params = pretrain("half");
    params.target = TARGET_CPU_BF16;
    const std::string missing = missingForTarget(TARGET_CPU_BF16);
    if (!missing.empty())
    {
        BOOST_TEST(contains(messageOf([&] { make(params); }), missing));
        return;
    }
    MaePretrainParams exact = pretrain("exact");
    params.epochs = exact.epochs = 30;
    BOOST_TEST(make(exact)->run());
    BOOST_TEST(make(params)->run());
    BOOST_TEST((bytes("half/final.safetensors") != bytes("exact/final.safetensors")));
    const std::vector<nlohmann::json> a = log("exact"), b = log("half");
    double first = 0, last = 0, difference = 0;
    for (size_t i = 0; i < a.size(); i++)
        if (a[i]["event"] == "step")
        {
            first = first == 0 ? a[i]["loss"].get<double>() : first;
            last = a[i]["loss"].get<double>();
            difference = std::max(difference, std::abs(b.at(i)["loss"].get<double>() - last));
        }
    BOOST_TEST_MESSAGE("loss " << first << " -> " << last << ", bfloat16 within " << difference);
    BOOST_TEST(last < 0.95 * first);
    BOOST_TEST(difference < 0.05 * (first - last));   // the curves are close, compared with how far they fall

    MaePretrainParams stops = params;
    stops.out = file("half-stops");
    runWithStops(stops, {1, 5, 40});
    BOOST_TEST((bytes("half-stops/final.safetensors") == bytes("half/final.safetensors")));

    RankerTrainParams whole = ranker("half-rank", file("half/final.safetensors"));
    whole.target = TARGET_CPU_BF16;
    BOOST_TEST(make(whole)->run());
    RankerTrainParams again = whole;
    again.out = file("half-rank-stops");
    runWithStops(again, {4, 7});
    BOOST_TEST((bytes("half-rank-stops/final.safetensors") == bytes("half-rank/final.safetensors")));
    again.target = TARGET_CPU;
    again.resume = true;
    BOOST_TEST(contains(messageOf([&] { make(again)->run(); }), "cannot resume with other options: precision is "));
    again.target = TARGET_CPU_BF16;
    again.scoreTarget = TARGET_CPU_BF16;
    BOOST_TEST(contains(messageOf([&] { make(again)->run(); }), "cannot resume with other options: score-precision is "));
    again.target = TARGET_CPU_INT8;
    BOOST_TEST(contains(messageOf([&] { make(again); }), "INT8"));
}

BOOST_AUTO_TEST_CASE(killed_at_any_moment_and_resumed_it_ends_with_the_same_bytes)
{
    const int threads = cv::getNumThreads();
    cv::setNumThreads(1);   // a forked child has no thread pool
    MaePretrainParams params = pretrain("killed");
    params.threads = 1;
    params.checkpointEvery = 1;
    params.epochs = 20;
    MaePretrainParams reference = params;
    params.resume = true;
    RandomStream random(99, RandomPurpose::Baseline);
    int kills = 0;
    // From the beginning of a run to some updates into it, and anywhere within an update or a checkpoint.
    while (kills < 1000 && !runUntilKilled(params, random.below(4), static_cast<unsigned>(random.below(8000))))
        kills++;
    BOOST_TEST(kills > 10);
    BOOST_TEST_MESSAGE("killed " << kills << " times");

    reference.out = file("calm");
    reference.checkpointEvery = 1000;
    BOOST_TEST(make(reference)->run());
    cv::setNumThreads(threads);
    BOOST_TEST((bytes("killed/final.safetensors") == bytes("calm/final.safetensors")));
    BOOST_TEST(loggedSteps("killed") == countTo(60), boost::test_tools::per_element());
    for (const auto& entry : fs::directory_iterator(file("killed")))
        BOOST_TEST(entry.path().extension() != ".tmp");
}

BOOST_AUTO_TEST_CASE(workers_cache_and_checkpoints_do_not_change_the_result)
{
    MaePretrainParams params = pretrain("plain");
    params.workers = 0;
    params.cacheMegabytes = 0;
    BOOST_TEST(make(params)->run());
    const std::string plain = bytes("plain/final.safetensors");
    for (const int workers : {1, 3})
    {
        params.workers = workers;
        params.cacheMegabytes = workers == 1 ? 0 : 100;
        params.checkpointEvery = 1 + workers;
        params.out = file("workers" + std::to_string(workers));
        BOOST_TEST(make(params)->run());
        BOOST_TEST((bytes("workers" + std::to_string(workers) + "/final.safetensors") == plain));
    }
}

BOOST_AUTO_TEST_CASE(broken_images_are_named_counted_and_skipped)
{
    testing_tools::writeText(file("images/a.jpg"), "no image at all");
    testing_tools::writeText(file("images/b/empty.png"), "");
    std::vector<uchar> jpeg;
    cv::imencode(".jpg", picture(3), jpeg);
    jpeg.resize(jpeg.size() / 2);
    testing_tools::writeText(file("images/cut.jpg"), std::string(jpeg.begin(), jpeg.end()));
    std::vector<std::string> results;
    for (const int workers : {0, 3})
    {
        MaePretrainParams params = pretrain("broken" + std::to_string(workers));
        params.workers = workers;
        std::string said;
        int skipped = 0;
        cv::Ptr<Trainer> trainer = make(params);
        trainer->setMessage([&](const cv::String& line) { said += line + "\n"; });
        trainer->setProgress([&](const TrainProgress& state) { return skipped = state.skipped, true; });
        BOOST_TEST(trainer->run());
        BOOST_TEST(skipped == 3);
        for (const char* name : {"a.jpg: not an image", "empty.png: the file is empty", "cut.jpg: truncated JPEG"})
            BOOST_TEST(contains(said, name), said);
        std::vector<std::string> logged;
        for (const nlohmann::json& line : log("broken" + std::to_string(workers)))
            if (line["event"] == "skipped")
                logged.push_back(fs::path(line["image"].get<std::string>()).filename().string());
        std::sort(logged.begin(), logged.end());
        const std::vector<std::string> wanted{"a.jpg", "cut.jpg", "empty.png"};
        BOOST_TEST(logged == wanted, boost::test_tools::per_element());
        results.push_back(bytes("broken" + std::to_string(workers) + "/final.safetensors"));
    }
    BOOST_TEST((results[0] == results[1]));
}

BOOST_AUTO_TEST_CASE(data_without_a_usable_image_is_an_error)
{
    fs::create_directories(file("bad"));
    testing_tools::writeText(file("bad/a.png"), "x");
    testing_tools::writeText(file("bad/b.png"), "y");
    for (const int workers : {0, 2})
    {
        MaePretrainParams params = pretrain("none" + std::to_string(workers));
        params.data.assign(1, file("bad"));
        params.workers = workers;
        const std::string message = messageOf([&] { make(params)->run(); });
        BOOST_TEST(contains(message, "none of the 2 images can be read"), message);
    }
}

BOOST_AUTO_TEST_CASE(full_disk_leaves_the_earlier_checkpoint)
{
    MaePretrainParams params = pretrain("full");
    cv::Ptr<Trainer> first = make(params);
    first->setProgress([](const TrainProgress& state) { return state.step < 4; });
    BOOST_TEST(!first->run());
    params.resume = true;
    {
        const testing_tools::SmallDisk limit(fs::file_size(checkpointPath(file("full"), 4)) / 2);
        const std::string message = messageOf([&] { make(params)->run(); });
        BOOST_TEST(contains(message, "checkpoint-00000006"), message);
        BOOST_TEST(contains(message, "File too large"), message);
    }
    BOOST_TEST(!fs::exists(checkpointPath(file("full"), 6)));
    for (const auto& entry : fs::directory_iterator(file("full")))
        BOOST_TEST(entry.path().extension() != ".tmp");
    BOOST_TEST(make(params)->run());
    BOOST_TEST(make(pretrain("whole"))->run());
    BOOST_TEST((bytes("full/final.safetensors") == bytes("whole/final.safetensors")));
}

BOOST_AUTO_TEST_CASE(a_stop_within_an_update_leaves_the_one_before)
{
    MaePretrainParams params = pretrain("stopped");
    params.accumulate = 3;
    BOOST_TEST(make(params)->run());
    const std::string whole = bytes("stopped/final.safetensors");
    const size_t updates = loggedSteps("stopped").size();
    // Stops after more and more calls of the callback: between batches, between blocks of the network, after updates.
    params.out = file("pieces");
    size_t asked = 0, stops = 0;
    for (;; stops++)
    {
        BOOST_REQUIRE(stops < 1000);
        asked = 0;
        cv::Ptr<Trainer> trainer = make(params);
        trainer->setStop([&] { return ++asked > 5 + 7 * stops; });
        if (trainer->run())
            break;
        params.resume = true;
    }
    BOOST_TEST(stops > 3u);
    BOOST_TEST(asked > updates);
    BOOST_TEST((bytes("pieces/final.safetensors") == whole));

    RankerTrainParams second = ranker("ranker-whole", file("stopped/final.safetensors"));
    BOOST_TEST(make(second)->run());
    const std::string ranked = bytes("ranker-whole/final.safetensors");
    second.out = file("ranker-pieces");
    for (stops = 0;; stops++)
    {
        BOOST_REQUIRE(stops < 1000);
        asked = 0;
        cv::Ptr<Trainer> trainer = make(second);
        trainer->setStop([&] { return ++asked > 5 + 7 * stops; });
        if (trainer->run())
            break;
        second.resume = true;
    }
    BOOST_TEST((bytes("ranker-pieces/final.safetensors") == ranked));
}

BOOST_AUTO_TEST_CASE(defaults_follow_data_and_length_and_a_run_can_be_extended)
{
    MaePretrainParams params = pretrain("defaults");
    params.accumulate = 0;
    params.warmupEpochs = -1;
    BOOST_TEST(make(params)->run());
    const nlohmann::json options = log("defaults")[0]["options"];
    BOOST_TEST(options["accumulate"] == "1");
    BOOST_TEST(options["warmup-epochs"] == "0.4");
    params.resume = true;
    params.epochs = 6;
    std::string said;
    cv::Ptr<Trainer> trainer = make(params);
    trainer->setMessage([&](const cv::String& line) { said += line + "\n"; });
    BOOST_TEST(trainer->run());
    BOOST_TEST(contains(said, "extended from 4 to 6 epochs"), said);
    BOOST_TEST(loggedSteps("defaults") == countTo(18), boost::test_tools::per_element());
    params.epochs = 5;
    BOOST_TEST(contains(messageOf([&] { make(params)->run(); }), "epochs is 5, but the checkpoint was made with 6"));

    MaePretrainParams wrong = pretrain("wrong");
    wrong.minLearningRate = 1;
    BOOST_TEST(contains(messageOf([&] { make(wrong); }), "min-lr is 1"));
}

BOOST_AUTO_TEST_CASE(checkpoints_come_by_time_too)
{
    MaePretrainParams params = pretrain("timed");
    params.checkpointEvery = 1000;
    params.checkpointMinutes = 1e-9;
    BOOST_TEST(make(params)->run());
    int written = 0;
    for (const nlohmann::json& line : log("timed"))
        written += line["event"] == "checkpoint";
    BOOST_TEST(written == 12);
}

BOOST_AUTO_TEST_CASE(stored_numbers_are_the_same_in_every_locale)
{
    const auto train = [&](const char* out)
    {
        MaePretrainParams params = pretrain(out);
        params.maskRatio = 0.55;
        params.epochs = 1.5;
        params.warmupEpochs = 0.25;
        BOOST_TEST(make(params)->run());
    };
    train("plain");
    // A host program may set a locale; some systems lack these.
    const std::string before = std::setlocale(LC_ALL, nullptr);
    const char* name = nullptr;
    for (const char* candidate : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_AT.UTF-8"})
        name = name ? name : std::setlocale(LC_ALL, candidate);
    struct Comma : std::numpunct<char>
    {
        char do_decimal_point() const override { return ','; }
        char do_thousands_sep() const override { return '.'; }
        std::string do_grouping() const override { return "\3"; }
    };
    const std::locale whole = std::locale::global(std::locale(std::locale(), new Comma));
    train("comma");
    std::locale::global(whole);
    std::setlocale(LC_ALL, before.c_str());
    if (!name)
        BOOST_TEST_MESSAGE("no locale with a decimal comma is installed: std::locale alone was changed");
    BOOST_TEST((bytes("plain/final.safetensors") == bytes("comma/final.safetensors")));
    BOOST_TEST(log("plain")[0]["options"] == log("comma")[0]["options"]);
    BOOST_TEST((bytes("plain/" + fs::path(checkpointPath("", 5)).filename().string()) ==
                bytes("comma/" + fs::path(checkpointPath("", 5)).filename().string())));
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_is_an_error_that_says_where)
{
    MaePretrainParams params = pretrain("diverges");
    params.learningRate = 1e30;
    params.checkpointEvery = 1;
    const std::string message = messageOf([&] { make(params)->run(); });
    BOOST_TEST(contains(message, "at update"), message);
    BOOST_TEST(contains(message, "epoch 0"), message);
    BOOST_TEST(contains(message, "images/"), message);
    BOOST_TEST(!fs::exists(file("diverges/final.safetensors")));
    const nlohmann::json last = log("diverges").back();
    BOOST_TEST(last["event"] == "error");
    BOOST_TEST(last["images"].size() == 4u);
    // The checkpoint is of the previous update: the resumed run fails at the same place.
    params.resume = true;
    BOOST_TEST(messageOf([&] { make(params)->run(); }) == message);
}

BOOST_AUTO_TEST_CASE(other_options_or_data_refuse_to_resume)
{
    MaePretrainParams params = pretrain("options");
    cv::Ptr<Trainer> trainer = make(params);
    trainer->setProgress([](const TrainProgress& state) { return state.step < 5; });
    BOOST_TEST(!trainer->run());
    BOOST_TEST(contains(messageOf([&] { make(params)->run(); }), "holds the files of another run"));
    params.resume = true;
    const auto refused = [&](const std::string& what, const MaePretrainParams& changed)
    {
        const std::string message = messageOf([&] { make(changed)->run(); });
        BOOST_TEST(contains(message, "cannot resume with other options: " + what + " is "), message);
    };
    MaePretrainParams changed = params;
    changed.batch = 3;
    refused("batch", changed);
    changed = params;
    changed.learningRate = 1e-3;
    refused("lr", changed);
    changed = params;
    changed.seed = 1;
    refused("seed", changed);
    changed = params;
    changed.decoderHeads = 4;
    refused("decoder-heads", changed);
    changed = params;
    changed.data.push_back(file("images/p0.png"));
    refused("data", changed);
    changed = params;
    changed.reduceJpegs = false;
    refused("jpeg", changed);
    changed = params;
    changed.threads = cv::getNumThreads() == 1 ? 2 : 1;
    refused("threads", changed);
    changed = params;
    changed.workers = 1;
    changed.checkpointEvery = 2;
    changed.cacheMegabytes = 0;
    BOOST_TEST(make(changed)->run());
}

BOOST_AUTO_TEST_CASE(losses_go_down)
{
    MaePretrainParams params = pretrain("learns");
    params.epochs = 60;
    BOOST_TEST(make(params)->run());
    RankerTrainParams second = ranker("ranks", file("learns/final.safetensors"));
    second.epochs = 60;
    BOOST_TEST(make(second)->run());
    RankerTrainParams third = ranker("ranks-all", file("learns/final.safetensors"));
    third.epochs = 60;
    third.seesAll = true;
    BOOST_TEST(make(third)->run());
    BOOST_TEST(log("ranks")[1]["loss"].get<double>() != log("ranks-all")[1]["loss"].get<double>());   // other input
    for (const char* out : {"learns", "ranks", "ranks-all"})
    {
        std::vector<double> losses;
        for (const nlohmann::json& line : log(out))
            if (line["event"] == "step")
                losses.push_back(line["loss"].get<double>());
        BOOST_REQUIRE(losses.size() == 180u);
        const double before = std::accumulate(losses.begin(), losses.begin() + 9, 0.0) / 9;
        const double after = std::accumulate(losses.end() - 30, losses.end(), 0.0) / 30;
        BOOST_TEST_MESSAGE(out << ": " << before << " -> " << after);
        BOOST_TEST(after < 0.93 * before);
    }
}

BOOST_AUTO_TEST_CASE(accumulated_batches_equal_one_large_batch)
{
    MaePretrainParams large = pretrain("large"), split = pretrain("split");
    large.epochs = split.epochs = 4;
    split.batch = 2;
    split.accumulate = 2;
    BOOST_TEST(make(large)->run());
    BOOST_TEST(make(split)->run());
    const std::vector<nlohmann::json> a = log("large"), b = log("split");
    BOOST_REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); i++)
        if (a[i]["event"] == "step")
        {
            BOOST_TEST(a[i]["loss"].get<double>() == b[i]["loss"].get<double>(), boost::test_tools::tolerance(1e-4));
            BOOST_TEST(a[i]["lr"].get<double>() == b[i]["lr"].get<double>());
            // AdamW itself does not depend on a common factor of all gradients.
            BOOST_TEST(a[i]["grad_norm"].get<double>() == b[i]["grad_norm"].get<double>(),
                       boost::test_tools::tolerance(1e-3));
        }
}

BOOST_AUTO_TEST_CASE(bad_parameters_are_named)
{
    MaePretrainParams params = pretrain("bad");
    const auto named = [&](const std::string& name)
    {
        const std::string message = messageOf([&] { make(params); });
        BOOST_TEST(contains(message, name), message);
        params = pretrain("bad");
    };
    params.epochs = 0;
    named("epochs is 0");
    params.epochs = std::numeric_limits<double>::quiet_NaN();
    named("epochs is nan");
    params.batch = 0;
    named("batch is 0");
    params.scaleMin = 0.9;
    params.scaleMax = 0.5;
    named("scale-min is 0.9");
    params.maskRatio = 0.99;
    named("mask-ratio 0.99 leaves 0 of 9 patches");
    params.imageSize = 25;
    named("image size 25 is not a multiple");
    params.heads = 3;
    named("heads");
    params.data.clear();
    named("data");
    params.out = "";
    named("out");
    RankerTrainParams second = ranker("bad", file("images/p0.png"));
    BOOST_TEST(contains(messageOf([&] { make(second); }), "p0.png"));
}

BOOST_AUTO_TEST_SUITE_END()
