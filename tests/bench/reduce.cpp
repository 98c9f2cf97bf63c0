// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What adding up the gradients of several processes takes: mpirun -n W ltrp_bench_reduce [SECONDS] [BYTES...]
//
// Times train::GradientSum, which trainings on the CPU use, by message size, for SECONDS (0.5) each. Prints a line of
// JSON for each of:
//   allreduce   --deterministic no: the whole sum, once per update
//   exchange    --deterministic yes: pieces of every worker's batch, added in order, once per W batches
//   share       --deterministic yes: handing out the finished pieces, once per update
//   checksum    one worker's checksum of so many bytes (one process only), every --checkpoint-every updates
// seconds: median and least time of the worker that takes longest. processor_seconds: mean, of all workers together and
// of the one that uses most; asking whether the others are ready is part of it. On a machine with fewer cores than
// workers processor_seconds alone says something.

#include "../../samples/mpi/workers.hpp"
#include "io/checksum.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include <time.h>

using namespace cv::ltrp;

namespace
{

double clockSeconds(clockid_t clock)
{
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Of one form: the time of each repetition on the slowest worker, and this worker's processor time of all.
struct Times
{
    std::vector<double> seconds;
    double processor = 0;

    void measure(const std::function<void()>& action)
    {
        MPI_Barrier(MPI_COMM_WORLD);
        const double begin = clockSeconds(CLOCK_MONOTONIC), used = clockSeconds(CLOCK_PROCESS_CPUTIME_ID);
        action();
        processor += clockSeconds(CLOCK_PROCESS_CPUTIME_ID) - used;
        double took = clockSeconds(CLOCK_MONOTONIC) - begin;
        MPI_Allreduce(MPI_IN_PLACE, &took, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        seconds.push_back(took);
    }

    void print(const char* form, size_t bytes, const train::Workers& workers)
    {
        const double count = static_cast<double>(seconds.size());
        double all = processor / count, most = all;
        MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        std::sort(seconds.begin(), seconds.end());
        if (!workers.first())
            return;
        std::printf("{\"measure\": \"reduce\", \"workers\": %d, \"form\": \"%s\", \"bytes\": %zu, \"repeats\": %zu, "
                    "\"seconds\": %.3g, \"least_seconds\": %.3g, \"processor_seconds\": %.3g, "
                    "\"busiest_processor_seconds\": %.3g}\n", workers.count(), form, bytes, seconds.size(),
                    seconds[seconds.size() / 2], seconds[0], all, most);
        std::fflush(stdout);
    }
};

/// Repetitions until `budget` seconds have passed, three at least and two thousand at most; the first is not counted.
/// As many on all workers.
template <typename Action> void repeat(double budget, const Action& action)
{
    action(false);
    const double begin = clockSeconds(CLOCK_MONOTONIC);
    for (int done = 0, more = 1; more; )
    {
        action(true);
        done++;
        more = done < 3 || (done < 2000 && clockSeconds(CLOCK_MONOTONIC) - begin < budget);
        MPI_Bcast(&more, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
}

void require(bool right, const char* form, size_t bytes)
{
    if (right)
        return;
    std::fprintf(stderr, "ltrp_bench_reduce: a wrong sum of %zu bytes by %s\n", bytes, form);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

void measureSums(MpiWorkers& workers, size_t bytes, double budget)
{
    const size_t total = bytes / sizeof(float);
    for (const bool ordered : {false, true})
    {
        workers.ordered = ordered;
        train::GradientSum gradients(workers, total, workers.count());
        Times first, second;
        repeat(budget, [&](bool counted)
        {
            std::fill_n(gradients.batch(), total, 1.f);
            Times none;
            if (ordered)
                (counted ? first : none).measure([&] { gradients.add(workers.count()); });
            else
                gradients.add(workers.count());
            cv::Mat sum;
            (counted ? second : none).measure([&] { sum = gradients.finish(); });
            for (size_t i = 0; i < total; i += std::max<size_t>(1, total / 1000))
                require(sum.at<float>(static_cast<int>(i)) == static_cast<float>(workers.count()),
                        ordered ? "exchange and share" : "allreduce", bytes);
            gradients.clear();
        });
        if (ordered)
            first.print("exchange", bytes, workers);
        second.print(ordered ? "share" : "allreduce", bytes, workers);
    }
}

void measureChecksum(MpiWorkers& workers, size_t bytes, double budget)
{
    const std::vector<char> data(bytes, 'x');
    Times times;
    repeat(budget, [&](bool counted)
    {
        Times none;
        (counted ? times : none).measure([&]
        {
            io::Crc32 sum;
            sum.add(data.data(), data.size());
            require(sum.value() != 0, "checksum", bytes);
        });
    });
    times.print("checksum", bytes, workers);
}

}  // namespace

int main(int argc, char** argv)
{
    MPI_Init(&argc, &argv);
    {
        MpiWorkers workers;
        const double budget = argc > 1 ? std::atof(argv[1]) : 0.5;
        std::vector<size_t> sizes;
        for (int i = 2; i < argc; i++)
            sizes.push_back(static_cast<size_t>(std::max(0LL, std::atoll(argv[i]))));
        for (size_t bytes = 1024; argc <= 2 && bytes <= (size_t(64) << 20); bytes *= 4)
            sizes.push_back(bytes);
        const auto good = [](size_t bytes) { return bytes >= sizeof(float) && bytes <= (size_t(1) << 30); };
        if (!(budget > 0) || !std::all_of(sizes.begin(), sizes.end(), good))
        {
            if (workers.first())
                std::fprintf(stderr, "usage: mpirun -n W ltrp_bench_reduce [SECONDS] [BYTES...]: 4 to 2^30 bytes\n");
            MPI_Finalize();
            return 2;
        }
        for (const size_t bytes : sizes)
            if (workers.alone())
                measureChecksum(workers, bytes, budget);
            else
                measureSums(workers, bytes, budget);
    }
    MPI_Finalize();
    return 0;
}
