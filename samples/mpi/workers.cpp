// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "workers.hpp"
#include "nccl.hpp"

#include "../ltrp/common.hpp"

#include "../../modules/ltrp/src/io/checksum.hpp"
#include "../../modules/ltrp/src/ops/cpu/matmul.hpp"
#include "../../modules/ltrp/src/train/clock.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <thread>

#include <sched.h>
#include <unistd.h>

using cv::ltrp::train::now;

namespace
{

void pause(double seconds)
{
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace

MpiWorkers::MpiWorkers()
{
    MPI_Comm_size(MPI_COMM_WORLD, &count_);
    MPI_Comm_rank(MPI_COMM_WORLD, &index_);
    MPI_Comm_dup(MPI_COMM_WORLD, &rollCall_);
    char host[MPI_MAX_PROCESSOR_NAME] = {};
    int length = 0;
    MPI_Get_processor_name(host, &length);
    places_.assign(static_cast<size_t>(count_), "place unknown");   // until gather() is done
    places_ = gather("process " + std::to_string(getpid()) + " on " + host);
    countNeighbours();
}

/// Splits transfers, because MPI counts are int.
template <typename Begin> void MpiWorkers::inPieces(size_t size, const Begin& begin)
{
    const size_t most = 1 << 30;
    for (size_t done = 0; done < size; done += most)
    {
        MPI_Request request = MPI_REQUEST_NULL;
        begin(done, static_cast<int>(std::min(most, size - done)), request);
        wait(request);
    }
}

void MpiWorkers::wait(MPI_Request& request)
{
    // A long gap (a paused process, or a whole job that was stopped and continued) counts as only a tenth of a second,
    // because no worker is at fault.
    double waited = 0, last = now();
    for (int i = 0;; i++)
    {
        int done = 0, called = 0;
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done)
            return;
        MPI_Iprobe(MPI_ANY_SOURCE, 0, rollCall_, &called, MPI_STATUS_IGNORE);
        const double time = now();
        waited += std::min(time - last, 0.1);
        last = time;
        if (called || (stallSeconds > 0 && waited > stallSeconds))
            callRoll();
        if (i < 2000)
            sched_yield();
        else
            pause(100e-6);
    }
}

/// All waiting workers notify all others; after two seconds the first of them reports those that have not answered.
void MpiWorkers::callRoll()
{
    char token = 0;
    std::vector<MPI_Request> sent;
    for (int w = 0; w < count_; w++)
        if (w != index_)
        {
            sent.emplace_back();
            MPI_Isend(&token, 1, MPI_CHAR, w, 0, rollCall_, &sent.back());
        }
    std::vector<bool> here(static_cast<size_t>(count_));
    here[static_cast<size_t>(index_)] = true;
    for (const double end = now() + 2; now() < end; pause(1e-3))
    {
        int called = 0;
        MPI_Status status;
        MPI_Iprobe(MPI_ANY_SOURCE, 0, rollCall_, &called, &status);
        if (!called)
            continue;
        MPI_Recv(&token, 1, MPI_CHAR, status.MPI_SOURCE, 0, rollCall_, MPI_STATUS_IGNORE);
        here[static_cast<size_t>(status.MPI_SOURCE)] = true;
    }
    std::string missing;
    for (int w = 0; w < count_; w++)
        if (!here[static_cast<size_t>(w)])
            missing += (missing.empty() ? "" : ", ") + name(w);
    if (std::find(here.begin(), here.end(), true) - here.begin() == index_)
        tool::complain((missing.empty() ? "communication between workers takes too long" : missing + " does not answer") + ": " +
                       tool::plain(stallSeconds) + " s have passed (--stall-seconds). Files written so far are valid: start the same command again, a training with --resume");
    else
        pause(3);
    std::signal(SIGALRM, SIG_DFL);
    alarm(10);   // if a machine has lost the network, MPI_Abort waits for the launcher
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();
}

/// A worker's share of each processor it may run on is 1 / the number of this machine's workers that may run on it.
void MpiWorkers::countNeighbours()
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    std::vector<int> users(CPU_SETSIZE);
    if (sched_getaffinity(0, sizeof mine, &mine) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            users[static_cast<size_t>(i)] = CPU_ISSET(i, &mine) ? 1 : 0;
    MPI_Comm machine;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, index_, MPI_INFO_NULL, &machine);
    MPI_Allreduce(MPI_IN_PLACE, users.data(), CPU_SETSIZE, MPI_INT, MPI_SUM, machine);
    MPI_Comm_size(machine, &onMachine_);
    MPI_Comm_rank(machine, &indexOnMachine_);
    MPI_Comm_free(&machine);
    double part = 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &mine))
            part += 1.0 / users[static_cast<size_t>(i)];
    threads_ = std::max(1, std::min(cv::getNumThreads(), static_cast<int>(std::floor(part + 1e-6))));
    MPI_Allreduce(MPI_IN_PLACE, &threads_, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
}

std::string MpiWorkers::name(int index) const
{
    return "worker " + std::to_string(index) + " of " + std::to_string(count_) + " (" +
           places_.at(static_cast<size_t>(index)) + ")";
}

std::string MpiWorkers::program() const
{
    cv::ltrp::io::Crc32 sum;
    std::ifstream file("/proc/self/exe", std::ios::binary);
    std::vector<char> block(1 << 20);
    while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
        sum.add(block.data(), static_cast<size_t>(file.gcount()));
    return "of checksum " + std::to_string(sum.value()) + ", OpenCV " + cv::getVersionString() + ", " +
           cv::ltrp::ops::matmulLibrary();
}

void MpiWorkers::broadcast(void* data, size_t bytes, int from)
{
    inPieces(bytes, [&](size_t begin, int size, MPI_Request& request)
    { MPI_Ibcast(static_cast<char*>(data) + begin, size, MPI_CHAR, from, MPI_COMM_WORLD, &request); });
}

void MpiWorkers::sum(double* values, size_t size)
{
    inPieces(size, [&](size_t begin, int part, MPI_Request& request)
    { MPI_Iallreduce(MPI_IN_PLACE, values + begin, part, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &request); });
}

void MpiWorkers::sum(float* values, size_t size)
{
    inPieces(size, [&](size_t begin, int part, MPI_Request& request)
    { MPI_Iallreduce(MPI_IN_PLACE, values + begin, part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request); });
}

std::vector<std::string> MpiWorkers::gather(const std::string& text)
{
    CV_Assert(text.size() < (size_t(1) << 30));
    const int mine = static_cast<int>(text.size());
    std::vector<int> sizes(static_cast<size_t>(count_)), begins(sizes.size());
    inPieces(1, [&](size_t, int, MPI_Request& request)
    { MPI_Iallgather(&mine, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD, &request); });
    int64_t all = 0;
    for (size_t w = 0; w < sizes.size(); all += sizes[w], w++)
        begins[w] = static_cast<int>(std::min<int64_t>(all, INT32_MAX));
    CV_Assert(all <= INT32_MAX);
    std::string joined(static_cast<size_t>(all), '\0');
    inPieces(1, [&](size_t, int, MPI_Request& request)
    {
        MPI_Iallgatherv(text.data(), mine, MPI_CHAR, &joined[0], sizes.data(), begins.data(), MPI_CHAR, MPI_COMM_WORLD, &request);
    });
    std::vector<std::string> texts;
    for (size_t w = 0; w < sizes.size(); w++)
        texts.push_back(joined.substr(static_cast<size_t>(begins[w]), static_cast<size_t>(sizes[w])));
    return texts;
}

void MpiWorkers::exchangePieces(const float* values, const std::vector<size_t>& bounds, int active, float* received)
{
    const std::vector<int> begins(bounds.begin(), bounds.end() - 1);
    std::vector<int> sizes(begins.size()), hisSizes(begins.size()), hisBegins(begins.size());
    const size_t me = static_cast<size_t>(index_);
    const int piece = static_cast<int>(bounds[me + 1] - bounds[me]);
    for (size_t w = 0; w < sizes.size(); w++)
    {
        sizes[w] = index_ < active ? static_cast<int>(bounds[w + 1] - bounds[w]) : 0;
        hisSizes[w] = static_cast<int>(w) < active ? piece : 0;
        hisBegins[w] = static_cast<int>(w) * piece;
    }
    inPieces(1, [&](size_t, int, MPI_Request& request)
    {
        MPI_Ialltoallv(values, sizes.data(), begins.data(), MPI_FLOAT, received, hisSizes.data(), hisBegins.data(), MPI_FLOAT,
                       MPI_COMM_WORLD, &request);
    });
}

void MpiWorkers::shareOutPieces(float* values, const std::vector<size_t>& bounds)
{
    const std::vector<int> begins(bounds.begin(), bounds.end() - 1);
    std::vector<int> sizes(begins.size());
    for (size_t w = 0; w < sizes.size(); w++)
        sizes[w] = static_cast<int>(bounds[w + 1] - bounds[w]);
    inPieces(1, [&](size_t, int, MPI_Request& request)
    {
        MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, sizes.data(), begins.data(), MPI_FLOAT, MPI_COMM_WORLD,
                        &request);
    });
}

void MpiWorkers::takeGpu()
{
    gpu::take(indexOnMachine_, onMachine_);
}

std::unique_ptr<cv::ltrp::ops::DeviceSum> MpiWorkers::deviceSum()
{
    return gpu::makeSum(*this);
}

void MpiWorkers::end()
{
    all(true);
    ended_ = true;
}
