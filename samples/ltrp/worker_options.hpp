// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Options of commands that several processes can compute together, with ltrp-mpi.
#ifndef LTRP_TOOL_WORKER_OPTIONS_HPP
#define LTRP_TOOL_WORKER_OPTIONS_HPP

#include "common.hpp"

#include "../../modules/ltrp/src/train/workers.hpp"

namespace tool
{

/// Makes commands run as one of several workers, which must outlive the program's run.
void setWorkers(cv::ltrp::train::Workers* workers);
/// The workers of setWorkers(), or a single one.
cv::ltrp::train::Workers& workers();
/// Whether this is ltrp-mpi, with any number of workers.
bool isMpiTool();

/// --stall-seconds, of ltrp-mpi only.
void addWorkerOptions(po::options_description& options);
/// @throws UsageError if a launcher started more processes than workers() counts: they would not know of each other
void requireWorkersOfLauncher();
/// --threads, by default this worker's share of the processors, and --stall-seconds.
void applyWorkerOptions(const po::variables_map& values);

}  // namespace tool

#endif
