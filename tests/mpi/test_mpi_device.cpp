// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Trainings with emulated GPUs: tests/mpi/device_training.cpp.

#include "mpi_tools.hpp"

namespace
{

struct DeviceFixture : JobFixture
{
    Words device(int count, const std::string& out, const Words& more = {}) const
    {
        return mpirun(Words{"-n", std::to_string(count), LTRP_MPI_DEVICE, photos, folder.file(out)} + more);
    }

    void expectClose(const std::string& out, const std::string& wanted) const
    {
        const auto found = course(out), expected = course(wanted);
        BOOST_REQUIRE(found.size() == expected.size());
        for (size_t i = 0; i < found.size(); i++)
            for (size_t k = 0; k < found[i].size(); k++)
                BOOST_TEST(found[i][k] == expected[i][k], boost::test_tools::tolerance(1e-5));
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(mpi_device, DeviceFixture)

BOOST_AUTO_TEST_CASE(several_devices_train_as_one_does)
{
    BOOST_TEST(run(device(1, "one")).out == "2\n");   // recorded: a batch, and a step's last batch with the update
    for (const int count : {2, 3})   // two workers have three batches: one is idle in the first round
    {
        const std::string out = "several" + std::to_string(count);
        const Outcome outcome = run(device(count, out));
        BOOST_REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
        BOOST_TEST(outcome.out == "2\n");   // a batch and the update; between them the sums over the workers
        expectClose(out, "one");
        must(device(count, out + "again"));
        BOOST_TEST(result(out) == result(out + "again"));
    }
    BOOST_TEST(course("one").size() == 6u);
    BOOST_TEST(result("one") != result("several2"));
}

BOOST_AUTO_TEST_CASE(sixteen_bits_follow_one_device)
{
    must(device(1, "one", {"3", "0.001", "0", "bf16"}));
    must(device(2, "two", {"3", "0.001", "0", "bf16"}));
    const auto one = course("one"), two = course("two");
    BOOST_REQUIRE(one.size() == two.size());
    for (size_t i = 0; i < one.size(); i++)
        BOOST_TEST(one[i][1] == two[i][1], boost::test_tools::tolerance(0.01));
}

BOOST_AUTO_TEST_CASE(stopped_and_resumed_the_bytes_are_the_same)
{
    must(device(2, "whole"));
    must(device(2, "parts", {"3", "0.001", "3"}));
    BOOST_REQUIRE(!std::filesystem::exists(folder.file("parts/final.safetensors")));
    must(device(2, "parts"));
    BOOST_TEST(result("parts") == result("whole"));
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_ends_all_and_changes_nothing)
{
    const Outcome outcome = run(device(2, "nan", {"9", "1e30"}));
    BOOST_TEST(outcome.status != 0);
    BOOST_TEST(outcome.err.find("loss is ") != std::string::npos, outcome.err);
    BOOST_TEST(outcome.err.find(" at update ") != std::string::npos, outcome.err);
    BOOST_TEST(outcome.err.find("samples/photos/") != std::string::npos, outcome.err);
    BOOST_TEST(log("nan").back()["event"] == "error");
}

BOOST_AUTO_TEST_CASE(a_worker_that_hangs_is_missed)
{
    Process job(device(2, "out", {"3000"}), ENVIRONMENT);
    const std::vector<pid_t> found = processes("out", job);
    BOOST_REQUIRE(found.size() == 2u);
    ::kill(found[1], SIGSTOP);
    const Outcome outcome = job.wait(120);
    BOOST_TEST(outcome.status != 0);
    BOOST_TEST(outcome.err.find("worker 1 of 2 (process " + std::to_string(found[1])) != std::string::npos, outcome.err);
    BOOST_TEST(outcome.err.find("does not answer: 10 s have passed") != std::string::npos, outcome.err);
}

BOOST_AUTO_TEST_SUITE_END()
