// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "worker_options.hpp"

#include <cstdlib>

namespace tool
{

using namespace cv::ltrp;

namespace
{

train::Workers* launched = nullptr;

}  // namespace

void setWorkers(train::Workers* workers) { launched = workers; }

train::Workers& workers()
{
    static train::Workers alone;
    return launched ? *launched : alone;
}

bool isMpiTool() { return launched != nullptr; }

void addWorkerOptions(po::options_description& options)
{
    if (launched)
        options.add_options()
            ("stall-seconds", po::value(&launched->stallSeconds)->value_name("X")->default_value(launched->stallSeconds,
                plain(launched->stallSeconds)), "seconds after which a worker that does not answer ends the job; 0: no limit");
}

void requireWorkersOfLauncher()
{
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    {
        const char* value = std::getenv(name);
        if (!value)
            continue;
        if (std::atoi(value) > workers().count())
            throw UsageError(std::string("started as one of ") + value + " processes (" + name + "), but " +
                             (launched ? "this program uses another MPI than the launcher"
                                       : "this program runs as a single process; ltrp-mpi runs as several"));
        return;
    }
}

void applyWorkerOptions(const po::variables_map& values)
{
    applyThreads(values);
    if (!workers().alone() && !values.count("threads"))
        cv::setNumThreads(workers().threads());
    if (!(workers().stallSeconds >= 0))
        throw UsageError("--stall-seconds: " + plain(workers().stallSeconds) + " is negative");
}

}  // namespace tool
