// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#define BOOST_TEST_MODULE ltrp_mpi
#include <boost/test/unit_test.hpp>

#include "mpi_tools.hpp"

#include <random>
#include <set>

namespace
{

Words workers(int count, const Words& arguments)
{
    return mpirun(Words{"-n", std::to_string(count), LTRP_MPI_TOOL} + arguments);
}

/// The tool's own output, without mpirun's paragraphs and the progress.
Words said(const std::string& err)
{
    Words lines;
    std::istringstream text(err);
    for (std::string line; std::getline(text, line);)
        if (line.compare(0, 5, "ltrp ") == 0 || line.compare(0, 5, "ltrp:") == 0)
            lines.push_back(line);
    return lines;
}

/// Whether a process has ended, or ends within ten seconds; it may remain as a zombie if no parent waits for it.
bool ended(pid_t process)
{
    for (int i = 0; i < 100; i++)
    {
        std::ifstream file("/proc/" + std::to_string(process) + "/stat");
        std::string text;
        std::getline(file, text);
        const size_t name = text.rfind(") ");
        if (name == std::string::npos || text[name + 2] == 'Z' || text[name + 2] == 'X')
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
}

struct Fixture : JobFixture
{
    /// Two updates of three batches per epoch.
    const Words common = {"--batch", "1", "--accumulate", "3", "--warmup-epochs", "0", "--seed", "4", "--threads", "1",
                          "--log-every", "1", "--checkpoint-every", "4"};
    const Words geometry = {"--size", "32", "--patch", "8", "--embed-dim", "24", "--depth", "1", "--heads", "2",
                            "--decoder-embed-dim", "16", "--decoder-depth", "1", "--decoder-heads", "2"};

    Words pretrain(const std::string& epochs, const std::string& out, const std::string& rate = "0.001") const
    {
        return Words{"pretrain", photos, "--epochs", epochs, "--out", folder.file(out), "--lr", rate} + geometry + common;
    }
    Words train(const std::string& epochs, const std::string& out, const std::string& mae) const
    {
        return Words{"train", photos, "--mae", folder.file(mae + "/final.safetensors"), "--mask-ratio", "0.5", "--embed-dim", "24",
                     "--depth", "1", "--heads", "2", "--list-k", "4", "--epochs", epochs, "--out", folder.file(out),
                     "--lr", "0.001"} + common;
    }
    /// Expects that the job fails, and that the tool prints one line with all parts.
    static void expectOneLine(const Words& command, const Words& parts)
    {
        const Outcome outcome = run(command);
        BOOST_TEST(outcome.status != 0);
        Words complaints;
        for (const std::string& line : said(outcome.err))
            if (line.find(" parameters, ") == std::string::npos && line.find("compute threads each") == std::string::npos)
                complaints.push_back(line);
        BOOST_TEST(complaints.size() == 1u, outcome.err);
        for (const std::string& part : parts)
            BOOST_TEST(outcome.err.find(part) != std::string::npos, "'" << part << "' is not in: " << outcome.err);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(mpi, Fixture)

BOOST_AUTO_TEST_CASE(any_number_of_workers_ends_with_the_same_bytes)
{
    must(Words{LTRP_TOOL} + pretrain("3", "one"));
    for (const int count : {1, 2, 3})   // two workers have three batches: one is idle in the second round
    {
        const std::string out = "mae" + std::to_string(count);
        const std::string err = must(workers(count, pretrain("3", out)));
        BOOST_TEST(result(out) == result("one"), count << " workers: other weights");
        BOOST_TEST(course(out) == course("one"), count << " workers: other losses");
        BOOST_TEST((err.find("worker 1 of 2 (process ") != std::string::npos) == (count == 2));
    }
    BOOST_TEST(course("one").size() == 6u);
#ifdef LTRP_HAVE_SHARDS
    must({LTRP_TOOL, "pack", photos, "--out", folder.file("shards")});
    Words onShards = pretrain("3", "shards-mae");
    onShards[1] = folder.file("shards");
    must(workers(2, onShards));
    BOOST_TEST(result("shards-mae") == result("one"));
#endif
    must(Words{LTRP_TOOL} + train("2", "ranker1", "one"));
    must(workers(2, train("2", "ranker2", "one")));
    BOOST_TEST(result("ranker2") == result("ranker1"));
    // The share of patches is drawn for each batch, whoever computes it.
    std::string labels;
    for (const auto& photo : std::filesystem::directory_iterator(photos))
        if (photo.path().extension() == ".jpg")
            labels += photo.path().string() + (photo.path().filename().string() < "d" ? ",a\n" : ",b\n");
    writeText(folder.file("labels.csv"), labels);
    const auto finetune = [&](const std::string& out)
    {
        return Words{"finetune", folder.file("labels.csv"), "--init", folder.file("one/final.safetensors"), "--epochs", "2", "--keep",
                     "0.2..0.8", "--selector", "random,centre", "--lr", "0.001", "--out", folder.file(out)} + common;
    };
    must(Words{LTRP_TOOL} + finetune("classifier1"));
    must(workers(2, finetune("classifier2")));
    BOOST_TEST(result("classifier2") == result("classifier1"));
    BOOST_TEST(course("classifier2") == course("classifier1"));
}

BOOST_AUTO_TEST_CASE(sums_in_another_order_are_close_and_repeatable)
{
    must(Words{LTRP_TOOL} + pretrain("1", "start"));
    const Words init = {"--init", folder.file("start/final.safetensors")}, fast = {"--deterministic", "no"};
    must(Words{LTRP_TOOL} + pretrain("3", "one") + init);
    must(workers(2, pretrain("3", "a") + init + fast));
    must(workers(2, pretrain("3", "b") + init + fast));
    BOOST_TEST(result("a") == result("b"));
    const std::vector<float> start = values(folder.file("start/final.safetensors")), one = values(folder.file("one/final.safetensors"));
    const double moved = distance(start, one), apart = distance(one, values(folder.file("a/final.safetensors")));
    BOOST_TEST(moved > 0.01);
    // AdamW divides gradients by their size: those of key biases, which are only rounding noise, move as far as all
    // others.
    BOOST_TEST(apart < 1e-3 * moved);
    BOOST_TEST(apart > 0);
}

BOOST_AUTO_TEST_CASE(stopped_it_goes_on_with_as_many_workers_and_with_others)
{
    must(Words{LTRP_TOOL} + pretrain("120", "whole"));
    for (const char* out : {"parts", "other"})
    {
        Process job(workers(2, pretrain("120", out)), ENVIRONMENT);
        BOOST_REQUIRE(processes(out, job).size() == 2u);
        job.signal(SIGUSR1);
        job.signal(SIGUSR1);   // launchers deliver it more than once
        const Outcome outcome = job.wait(60);
#ifdef LTRP_OPEN_MPI   // MPICH 4.0's mpiexec sometimes ends with 0 after SIGUSR1, whatever the workers' status
        BOOST_TEST(outcome.status != 0);
#endif
        BOOST_TEST(outcome.err.find("stopped after update ") != std::string::npos, outcome.err);
        BOOST_REQUIRE(!std::filesystem::exists(folder.file(std::string(out) + "/final.safetensors")));
    }
    const std::string same = must(workers(2, pretrain("120", "parts") + Words{"--resume"}));
    BOOST_TEST(same.find("goes on with") == std::string::npos, same);
    BOOST_TEST(result("parts") == result("whole"));
    const std::string other = must(Words{LTRP_TOOL} + pretrain("120", "other") + Words{"--resume"});
    BOOST_TEST(other.find("begun by 2 workers, goes on with one worker: the same samples, the same result") != std::string::npos, other);
    BOOST_TEST(result("other") == result("whole"));
}

BOOST_AUTO_TEST_CASE(a_killed_worker_ends_all_and_the_last_checkpoint_is_good)
{
    must(Words{LTRP_TOOL} + pretrain("20", "whole"));
    const char* all = std::getenv("LTRP_ALL_FAULTS");
    const int kills = all && *all ? 50 : 4;
    std::mt19937 random(7);
    for (int i = 0; i < kills; i++)
    {
        const std::string out = "killed" + std::to_string(i);
        BOOST_TEST_CONTEXT("kill number " << i << " of " << kills)
        {
            Process job(workers(2, pretrain("20", out)), ENVIRONMENT);
            const std::vector<pid_t> found = processes(out, job);
            BOOST_REQUIRE(found.size() == 2u);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 100000));
            ::kill(found[static_cast<size_t>(i % 2)], SIGKILL);
            const Outcome outcome = job.wait(60);
            const bool finished = std::filesystem::exists(folder.file(out + "/final.safetensors"));   // too late
            BOOST_TEST((outcome.status != 0 || finished), outcome.err);
#ifdef LTRP_OPEN_MPI
            const std::string named = "process rank " + std::to_string(i % 2);
#else
            const std::string named = "PID " + std::to_string(found[static_cast<size_t>(i % 2)]) + " RUNNING AT";
#endif
            BOOST_TEST((finished || (outcome.out + outcome.err).find(named) != std::string::npos), outcome.out << outcome.err);
            for (const pid_t process : found)
                BOOST_TEST(ended(process), "process " << process << " still runs");
            if (!finished)
                must(workers(2, pretrain("20", out) + Words{"--resume"}));
            BOOST_TEST(result(out) == result("whole"));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_worker_that_hangs_is_named)
{
    Process job(workers(3, pretrain("3000", "out") + Words{"--stall-seconds", "10"}), ENVIRONMENT);
    const std::vector<pid_t> found = processes("out", job);
    BOOST_REQUIRE(found.size() == 3u);
    ::kill(found[1], SIGSTOP);
    const Outcome outcome = job.wait(120);
    BOOST_TEST(outcome.status != 0);
    BOOST_REQUIRE(!said(outcome.err).empty());
    const std::string line = said(outcome.err).back();
    BOOST_TEST(line.find("worker 1 of 3 (process " + std::to_string(found[1])) != std::string::npos, outcome.err);
    BOOST_TEST(line.find("does not answer: 10 s have passed") != std::string::npos, outcome.err);
    BOOST_TEST(line.find("worker 0") == std::string::npos, outcome.err);
    BOOST_TEST(line.find("worker 2") == std::string::npos, outcome.err);
}

BOOST_AUTO_TEST_CASE(unequal_workers_are_found_before_the_first_update)
{
    const auto unequal = [&](const std::string& program, const Words& first, const Words& second, const Words& parts)
    {
        expectOneLine(mpirun(Words{"-n", "1", LTRP_MPI_TOOL} + first + Words{":", "-n", "1", program} + second), parts);
        BOOST_TEST(!std::filesystem::exists(folder.file("out/log.jsonl")));
    };
    const Words usual = pretrain("2", "out");
    unequal(LTRP_MPI_TOOL, usual, pretrain("2", "out", "0.002"), {"worker 1 of 2 (process ", "lr is 0.002", "worker 0 lr is 0.001"});
    Words fewer = usual;
    std::filesystem::create_directory(folder.file("photos"));
    std::filesystem::copy_file(photos + "/cat.jpg", folder.file("photos/cat.jpg"));
    std::filesystem::copy_file(photos + "/coffee.jpg", folder.file("photos/coffee.jpg"));
    fewer[1] = folder.file("photos");
    unequal(LTRP_MPI_TOOL, usual, fewer, {"worker 1 of 2 (process ", "data is 2 images"});
    const std::string other = folder.file("ltrp-mpi");
    std::filesystem::copy_file(LTRP_MPI_TOOL, other);
    std::ofstream(other, std::ios::app) << "another build";
    unequal(other, usual, usual, {"worker 1 of 2 (process ", "the program is of checksum "});
    unequal(LTRP_MPI_TOOL, usual, usual + Words{"--deterministic", "no"}, {"deterministic is no", "worker 0 deterministic is yes"});
}

BOOST_AUTO_TEST_CASE(what_goes_wrong_is_said_once)
{
    expectOneLine(workers(3, pretrain("2", "out") + Words{"--bogus"}), {"bogus"});
    expectOneLine(workers(4, pretrain("2", "out")), {"accumulate is 3 for 4 workers"});
    expectOneLine(workers(2, pretrain("9", "nan", "1e30")), {" is ", "nan", "at update "});
    BOOST_TEST(log("nan").back()["event"] == "error");
    // Only worker 1: it has no such folder.
    Words lost = pretrain("2", "lost");
    lost[1] = folder.file("nowhere");
    expectOneLine(mpirun(Words{"-n", "1", LTRP_MPI_TOOL} + pretrain("2", "lost") + Words{":", "-n", "1", LTRP_MPI_TOOL} + lost),
                  {"worker 1 of 2 (process ", "nowhere"});
    expectOneLine(workers(2, {"rank", photos}), {"only pretrain, train, finetune and score --targets", "'rank'"});
    expectOneLine(workers(2, {"score", photos}), {"expected --targets"});
}

BOOST_AUTO_TEST_CASE(score_maps_are_those_of_one_process)
{
    must(Words{LTRP_TOOL} + pretrain("1", "mae"));
    std::filesystem::copy(photos, folder.file("photos"));
    writeText(folder.file("photos/broken.jpg"), "no picture");
    const auto score = [&](const std::string& out)
    {
        return Words{"score", folder.file("photos"), "--mae", folder.file("mae/final.safetensors"), "--mask-ratio", "0.5",
                     "--masks", "2", "--threads", "1", "--targets", folder.file(out)};
    };
    const auto maps = [&](const std::string& out) { return readText(folder.file(out + "/targets-00000.safetensors")); };
    BOOST_TEST(run(Words{LTRP_TOOL} + score("one")).status == 1);   // because of the unreadable photo
    for (const int count : {2, 3})
    {
        const std::string out = "together" + std::to_string(count);
        const Outcome outcome = run(workers(count, score(out)));
        BOOST_TEST(outcome.status != 0);
        BOOST_TEST(outcome.out == folder.file(out) + ": score maps of 7 images\n");
        BOOST_TEST(outcome.err.find("1 images cannot be read and have no target") != std::string::npos, outcome.err);
        BOOST_TEST(maps(out) == maps("one"));
    }
    // Existing files are not computed again, and differences are found before anything is computed.
    const Outcome again = run(workers(2, score("one")));
    BOOST_TEST(again.status == 0);
    BOOST_TEST(again.err.find("1 of 1 files are there already") != std::string::npos, again.err);
    expectOneLine(mpirun(Words{"-n", "1", LTRP_MPI_TOOL} + score("other") + Words{":", "-n", "1", LTRP_MPI_TOOL} + score("other") +
                         Words{"--seed", "5"}), {"worker 1 of 2 (process ", "seed is 5"});
    BOOST_TEST(!std::filesystem::exists(folder.file("other")));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_that_cannot_be_written_ends_all)
{
    Process job(workers(2, pretrain("3000", "out")), ENVIRONMENT);
    BOOST_REQUIRE(processes("out", job).size() == 2u);
    std::filesystem::remove_all(folder.file("out"));
    const Outcome outcome = job.wait(60);
    BOOST_TEST(outcome.status != 0);
    BOOST_REQUIRE(!said(outcome.err).empty());
    const std::string line = said(outcome.err).back();
    BOOST_TEST(line.find("worker 0 of 2 (process ") != std::string::npos, outcome.err);
    BOOST_TEST(line.find(folder.file("out/checkpoint-")) != std::string::npos, outcome.err);
}

BOOST_AUTO_TEST_CASE(the_plain_tool_refuses_to_be_one_of_several)
{
    const Outcome outcome = run(mpirun(Words{"-n", "2", LTRP_TOOL} + pretrain("2", "out")));
    BOOST_TEST(outcome.status != 0);
    BOOST_TEST(outcome.err.find("ltrp-mpi runs as several") != std::string::npos, outcome.err);
    BOOST_TEST(!std::filesystem::exists(folder.file("out")));
}

BOOST_AUTO_TEST_CASE(images_that_cannot_be_read_are_reported_by_worker_0)
{
    std::filesystem::copy(photos, folder.file("photos"));
    for (const char name : std::string("abdefghimn"))
        writeText(folder.file(std::string("photos/") + name + ".jpg"), "no picture");
    const auto arguments = [&](const std::string& out)
    {
        Words words = pretrain("1", out) + Words{"--workers", "0"};   // each worker reads its own images
        words[1] = folder.file("photos");
        return words;
    };
    const auto skipped = [&](const std::string& out)
    {
        std::multiset<std::string> images;
        for (const Json& line : log(out))
            if (line["event"] == "skipped")
                images.insert(line["image"].get<std::string>());
        return images;
    };
    must(Words{LTRP_TOOL} + arguments("one"));
    const std::string err = must(workers(2, arguments("out")));
    BOOST_TEST(result("out") == result("one"));
    const std::multiset<std::string> images = skipped("one");
    BOOST_TEST(images.size() > 4u);
    BOOST_TEST((skipped("out") == images));
    for (const std::string& image : images)
    {
        const size_t first = err.find("skipped " + image + ":");
        BOOST_TEST(first != std::string::npos, err);
        BOOST_TEST(err.find("skipped " + image + ":", first + 1) == std::string::npos, err);
    }
    const std::vector<Json> lines = log("out");
    const auto last = std::find_if(lines.rbegin(), lines.rend(), [](const Json& line) { return line["event"] == "step"; });
    BOOST_REQUIRE((last != lines.rend()));
    BOOST_TEST((*last)["skipped"] == images.size());
}

BOOST_AUTO_TEST_SUITE_END()
