// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The tool as one of the processes started by mpirun or srun.

#include "../../modules/ltrp/src/precomp.hpp"

#include "workers.hpp"

#include "../ltrp/commands.hpp"
#include "../ltrp/common.hpp"
#include "../ltrp/worker_options.hpp"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace
{

/// Prints the error of a failing worker. Errors common to all workers are printed by worker 0, which ends the others
/// before their delay is over.
void complain(const MpiWorkers& workers, const std::string& failure)
{
    for (double left = workers.first() ? 0 : 0.5 + 0.1 * std::min(workers.index(), 25); left > 0; left -= 0.01)
    {
        if (tool::interruptSignal())
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    bool named = workers.alone();
    for (int w = 0; w < workers.count(); w++)
        named = named || failure.find(workers.name(w)) != std::string::npos;
    tool::complain(named ? failure : workers.name(workers.index()) + ": " + failure);
}

}  // namespace

int main(int argc, char** argv)
{
    int threading = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &threading);
    int status = 1;
    {
        MpiWorkers workers;
        if (!workers.first() && !std::freopen("/dev/null", "w", stdout))   // help is printed once
            std::fclose(stdout);
        const std::string command = argc > 1 ? argv[1] : "";
        std::string failure;
        if (workers.alone() || command == "pretrain" || command == "train" || command == "finetune" || command == "score")
        {
            tool::setWorkers(&workers);
            status = tool::runProgram(argc, argv, failure);
        }
        else
        {
            status = 2;
            failure = "only pretrain, train, finetune and score --targets work in several processes, found '" + command + "'; start one for anything else";
        }
        if (workers.ended() && !workers.first())
            failure.clear();
        if (!failure.empty())
            complain(workers, failure);
        if (status != 0 && !workers.alone() && !workers.ended())   // otherwise the others would wait for this one
            MPI_Abort(MPI_COMM_WORLD, status);
    }
    MPI_Finalize();
    return status;
}
