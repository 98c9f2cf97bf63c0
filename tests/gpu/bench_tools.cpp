// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bench_cuda.hpp"

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <iostream>

using namespace cv::ltrp;

namespace bench
{

namespace
{

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

size_t peakMemory()
{
    int device = 0;
    cudaMemPool_t pool = nullptr;
    uint64_t high = 0, reset = 0;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetDefaultMemPool(&pool, device) != cudaSuccess ||
        cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &high) != cudaSuccess ||
        cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &reset) != cudaSuccess)
        CV_Error(cv::Error::GpuApiCallError,
                 std::string("asking for the memory in use: ") + cudaGetErrorString(cudaGetLastError()));
    return static_cast<size_t>(high);
}

double milliseconds(double seconds, const std::function<void()>& work, const std::function<void()>& settle)
{
    for (int i = 0; i < 3; ++i)   // warm-up: chooses algorithms, allocates
        work();
    settle();
    double start = now();
    work();
    settle();
    const int calls = std::max(1, static_cast<int>(seconds / 5 / std::max(now() - start, 1e-6)));
    std::vector<double> parts;
    for (int part = 0; part < 5; ++part)
    {
        start = now();
        for (int i = 0; i < calls; ++i)
            work();
        settle();
        parts.push_back((now() - start) * 1e3 / calls);
    }
    std::sort(parts.begin(), parts.end());
    return parts[2];
}

void report(const std::string& row, const char* precision, int batch, double ms, size_t bytes)
{
    std::cout << "{\"row\": \"" << row << "\", \"precision\": \"" << precision << "\", \"batch\": " << batch
              << ", \"ms\": " << ms << ", \"images_per_second\": " << batch * 1e3 / ms << ", \"peak_bytes\": " << bytes
              << "}" << std::endl;
}

}  // namespace bench
