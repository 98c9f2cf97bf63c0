// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../modules/ltrp/src/precomp.hpp"

#include "nccl.hpp"

#ifdef LTRP_MPI_CUDA
#include <cuda_runtime.h>
#endif
#ifdef LTRP_MPI_NCCL
#include <nccl.h>
#endif

#include <exception>
#include <stdexcept>

namespace gpu
{

void take(int index, int count)
{
#ifdef LTRP_MPI_CUDA
    int found = 0;
    if (cudaGetDeviceCount(&found) != cudaSuccess || found == 0)
    {
        cudaGetLastError();
        return;
    }
    if (count > found)
        throw std::runtime_error(std::to_string(count) + " workers on this machine and " + std::to_string(found) +
                                 (found == 1 ? " GPU" : " GPUs") + ", expected one GPU for each worker: start fewer on this machine");
    const cudaError_t status = cudaSetDevice(index);
    if (status != cudaSuccess)
        throw std::runtime_error("GPU " + std::to_string(index) + " cannot be used: " + cudaGetErrorString(status));
#else
    (void)index;
    (void)count;
#endif
}

#ifdef LTRP_MPI_NCCL

namespace
{

void require(ncclResult_t status, ncclComm_t group, const char* what)
{
    if (status != ncclSuccess)
        throw std::runtime_error(std::string("NCCL: ") + what + ": " + ncclGetErrorString(status) + " (" + ncclGetLastError(group) +
                                 "); NCCL_DEBUG=INFO says more, --device cpu needs no NCCL");
}

class NcclSum final : public cv::ltrp::ops::DeviceSum
{
public:
    explicit NcclSum(cv::ltrp::train::Workers& workers)
    {
        ncclUniqueId id = {};
        std::string failure;
        if (workers.first())
        {
            const ncclResult_t status = ncclGetUniqueId(&id);
            if (status != ncclSuccess)
                failure = ncclGetErrorString(status);
        }
        if (!workers.all(failure.empty()))
            throw std::runtime_error("NCCL: making an identifier: " + failure);
        workers.broadcast(&id, sizeof id, 0);
        require(ncclCommInitRank(&group_, workers.count(), id, workers.index()), nullptr, "connecting the workers");
    }
    ~NcclSum() override
    {
        // After a failure the other workers may never arrive, and an orderly shutdown would wait for them.
        if (std::uncaught_exceptions() > 0)
            ncclCommAbort(group_);
        else
            ncclCommDestroy(group_);
    }
    NcclSum(const NcclSum&) = delete;
    NcclSum& operator=(const NcclSum&) = delete;

    void add(float* values, size_t count, void* stream) override { add(values, count, ncclFloat, stream); }
    void add(double* values, size_t count, void* stream) override { add(values, count, ncclDouble, stream); }

private:
    void add(void* values, size_t count, ncclDataType_t type, void* stream)
    {
        ncclResult_t before = ncclSuccess;
        require(ncclCommGetAsyncError(group_, &before), group_, "asking for errors");
        require(before, group_, "adding up gradients");
        require(ncclAllReduce(values, values, count, type, ncclSum, group_, static_cast<cudaStream_t>(stream)), group_,
                "adding up gradients");
    }

    ncclComm_t group_ = nullptr;
};

}  // namespace

std::unique_ptr<cv::ltrp::ops::DeviceSum> makeSum(cv::ltrp::train::Workers& workers)
{
    return std::unique_ptr<cv::ltrp::ops::DeviceSum>(new NcclSum(workers));
}

#else

std::unique_ptr<cv::ltrp::ops::DeviceSum> makeSum(cv::ltrp::train::Workers&) { return nullptr; }

#endif

}  // namespace gpu
