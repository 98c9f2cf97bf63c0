// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Workers of a training as processes started by mpirun or srun. All MPI calls are in workers.cpp, all NCCL calls in
// nccl.cpp.
#ifndef LTRP_SAMPLES_MPI_WORKERS_HPP
#define LTRP_SAMPLES_MPI_WORKERS_HPP

#include "../../modules/ltrp/src/train/workers.hpp"

#include <mpi.h>

/// To be created and destroyed between MPI_Init_thread() and MPI_Finalize(). Every call that waits for others polls, so
/// that a worker that has stopped is noticed. MPI's own errors end the job, which is MPI's default.
class MpiWorkers final : public cv::ltrp::train::Workers
{
public:
    MpiWorkers();

    int count() const override { return count_; }
    int index() const override { return index_; }
    std::string name(int index) const override;
    int threads() const override { return threads_; }
    /// The executable's checksum, and the versions of the libraries used.
    std::string program() const override;

    void broadcast(void* data, size_t bytes, int from) override;
    void sum(double* values, size_t size) override;
    void sum(float* values, size_t size) override;
    std::vector<std::string> gather(const std::string& text) override;
    void exchangePieces(const float* values, const std::vector<size_t>& bounds, int active, float* received) override;
    void shareOutPieces(float* values, const std::vector<size_t>& bounds) override;
    void takeGpu() override;
    std::unique_ptr<cv::ltrp::ops::DeviceSum> deviceSum() override;
    void end() override;
    bool ended() const { return ended_; }   ///< all workers have reached the end of the training

private:
    template <typename Begin> void inPieces(size_t size, const Begin& begin);
    void wait(MPI_Request& request);
    [[noreturn]] void callRoll();
    void countNeighbours();

    int count_ = 1, index_ = 0, threads_ = 1;
    int onMachine_ = 1, indexOnMachine_ = 0;   ///< workers on this machine
    MPI_Comm rollCall_ = MPI_COMM_NULL;
    std::vector<std::string> places_;
    bool ended_ = false;
};

#endif
