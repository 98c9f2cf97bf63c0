// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "faults.hpp"
#include "ops/cuda/kernels/device.cuh"
#include "ops/cuda/kernels/mma.cuh"

namespace faults
{

using namespace cv::ltrp::ops::LTRP_KERNELS_NAMESPACE;

namespace
{

__global__ void blockSumsKernel(Fault fault, const float* x, float* out, size_t count, const float* hostMemory)
{
    LTRP_SHARED(float, values, 96);
    LTRP_SHARED(float, sums, 3);
    const unsigned t = threadIdx.x, lane = t % 32, warp = t / 32;
    const size_t i = static_cast<size_t>(blockIdx.x) * 96 + t;
    if (fault == Fault::EarlyEnd && t == 5)
        return;
    if (fault != Fault::SharedNeverWritten || t != 7)
        values[fault == Fault::SharedBeyond ? t + 1 : t] = i < count || fault == Fault::ReadBeyond ? x[i] : 0.f;
    if (fault == Fault::HostMemory)
        values[t] += hostMemory[0];
    if (fault == Fault::BarrierInBranch)
    {
        if (warp != 1)
            __syncthreads();
    }
    else if (fault == Fault::TwoBarriers)
    {
        if (t % 2)
            __syncthreads();
        else
            __syncthreads();
    }
    else if (fault != Fault::MissingBarrier)
        __syncthreads();
    float sum = values[95 - t];   // a value of another warp
    const unsigned mask = fault == Fault::MaskWithoutCaller && lane == 3 ? allLanes & ~8u : allLanes;
    for (int bits = 16; bits > 0; bits /= 2)
        sum += __shfl_xor_sync(mask, sum, bits);
    if (fault == Fault::ShuffleFromOutside)
        sum = __shfl_sync(allLanes, sum, static_cast<int>(lane) + 1);
    if (lane == 0)
        sums[warp] = sum;
    // From here on everything is within one warp, whose lanes are not synchronised either.
    __syncthreads();
    if (warp == 0)
    {
        if (lane == 0)
            values[0] = sums[0] + sums[1] + sums[2];
        if (fault != Fault::MissingWarpBarrier)
            __syncwarp();
        const float total = values[0];
        for (unsigned k = lane; k < 96; k += 32)
        {
            float* to = out + static_cast<size_t>(fault == Fault::BlocksOverlap ? 0 : blockIdx.x) * 96 + k;
            if (fault == Fault::WriteBefore)
                to -= 1;
            *to = fault == Fault::GlobalNeverWritten ? *to + total : total;
        }
    }
    if (fault == Fault::Misaligned)
    {
        const float2 two = loadAs<float2>(x + 1);
        if (two.x > 1e30f)
            out[0] = two.y;
    }
    if (fault == Fault::SharedTooLarge)
    {
        LTRP_SHARED(float, much, (99 << 10) / sizeof(float) - 90);   // too large only together with 'values' and 'sums'
        much[threadIdx.x] = 0;
    }
    if (fault == Fault::SharedMisaligned)   // aligned only as __shared__ alone would be
    {
        static const char tag = 0;
        float* const few = static_cast<float*>(::simt::staticShared(&tag, "few", 96 * sizeof(float4), alignof(float)));
        storeAs(few + 4 * threadIdx.x, float4{0, 0, 0, 0});
    }
}

__global__ void raiseFlagsKernel(Fault fault, int* flag)
{
    const int bit = 1 << threadIdx.x;
    if (fault == Fault::PlainBesideAtomic && threadIdx.x == 3)
        *flag |= bit;
    else
        atomicOr(flag, bit);
}

template <class T>
__global__ void multiplyTileKernel(const float* a, const float* b, const float* c, float* d)
{
    LTRP_SHARED(T, tileA, 16 * 24);
    LTRP_SHARED(T, tileB, 16 * 24);
    const unsigned lane = threadIdx.x;
    for (unsigned i = lane; i < 256; i += 32)
        tileA[i / 16 * 24 + i % 16] = fromFloat<T>(a[i]);
    for (unsigned i = lane; i < 256; i += 32)   // two tiles of 8 columns of b; the second is zero
        tileB[i / 16 * 24 + i % 16] = fromFloat<T>(i < 128 ? b[i] : 0.f);
    __syncwarp();
    FragmentA fa;
    loadA(fa, tileA, 24, lane);
    FragmentB low, high;
    loadB(low, high, tileB, 24, lane);
    FragmentC sum;
    for (int i = 0; i < 4; ++i)
        sum.v[i] = c[rowOfC(lane, i) * 8 + columnOfC(lane, i)];
    multiplyAdd<T>(sum, fa, low);
    for (int i = 0; i < 4; ++i)
        d[rowOfC(lane, i) * 8 + columnOfC(lane, i)] = sum.v[i];
}

}  // namespace

void blockSums(Fault fault, const float* x, float* out, size_t count, unsigned blocks, const float* hostMemory)
{
    launch(nullptr, "blockSums", blockSumsKernel, blocks, 96, 0, fault, x, out, count, hostMemory);
}

void raiseFlags(Fault fault, int* flag)
{
    launch(nullptr, "raiseFlags", raiseFlagsKernel, 1, 20, 0, fault, flag);
}

void multiplyTile(const float* a, const float* b, const float* c, float* d, bool half)
{
    launch(nullptr, "multiplyTile", half ? multiplyTileKernel<half16> : multiplyTileKernel<bf16>, 1, 32, 0, a, b, c, d);
}

}  // namespace faults
