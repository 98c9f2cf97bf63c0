// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Common code of all kernels: the switch between nvcc and the emulation of tests/simt, element types, reductions.
#ifndef OPENCV_LTRP_OPS_CUDA_DEVICE_CUH
#define OPENCV_LTRP_OPS_CUDA_DEVICE_CUH

#include "../kernels.hpp"

#ifdef LTRP_SIMT
#include "device.hpp"   // of tests/simt
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#include <cfloat>
#include <cmath>
#include <tuple>

// Macros that declare shared memory, so that the emulation can put guards around each array. Arrays are aligned
// explicitly, because vectors and ldmatrix rows need more than the alignment of an element.
#define LTRP_SHARED_ALIGNMENT 16
#ifdef LTRP_SIMT
#define LTRP_SHARED(T, name, count) \
    static const char name##Tag = 0; \
    T* const name = static_cast<T*>(::simt::staticShared(&name##Tag, #name, sizeof(T) * (count), \
                                                             LTRP_SHARED_ALIGNMENT))
#define LTRP_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::simt::dynamicShared())
#else
#define LTRP_SHARED(T, name, count) __shared__ __align__(LTRP_SHARED_ALIGNMENT) T name[count]
#define LTRP_DYNAMIC_SHARED(T, name) \
    extern __shared__ __align__(LTRP_SHARED_ALIGNMENT) unsigned char ltrpDynamicShared[]; \
    T* const name = reinterpret_cast<T*>(ltrpDynamicShared)
#endif

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

typedef __nv_bfloat16 bf16;
typedef __half half16;

const unsigned allLanes = 0xffffffffu;

const size_t mostShared = 99 << 10;    ///< per block on any device with compute capability 8.0 or higher
const size_t usualShared = 90 << 10;   ///< dynamic part that leaves room for arrays of fixed size

/// Launches kernel(arguments...); the emulation reports it by `name`. Errors stay in the runtime.
template <class... P, class... A>
inline void launch(Stream stream, const char* name, void (*kernel)(P...), dim3 grid, dim3 block, size_t dynamicShared,
                   A... arguments)
{
#ifdef LTRP_SIMT
    (void)stream;
    const ::simt::Call<P...> call{kernel, std::tuple<P...>(arguments...)};
    ::simt::run(name, grid, block, dynamicShared, ::simt::Call<P...>::invoke, &call, sizeof(call));
#else
    (void)name;
    // Without this a block has 48 KiB, including its arrays of fixed size. The limit belongs to the kernel, not to the
    // launch: lowering it again would break a recorded launch that needs more.
    const int most = static_cast<int>(dynamicShared <= usualShared ? usualShared : mostShared);
    if (dynamicShared > 0 &&
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most) != cudaSuccess)
        return;   // the runtime keeps the error, as for a failed launch
    kernel<<<grid, block, dynamicShared, stream>>>(static_cast<P>(arguments)...);
#endif
}

inline unsigned blocksFor(size_t count, size_t perBlock)
{
    return static_cast<unsigned>((count + perBlock - 1) / perBlock);
}

/// Vector loads and stores (float4, uint4 ...): the address must be a multiple of the vector's size.
template <class V, class T>
__device__ __forceinline__ V loadAs(const T* from)
{
#ifdef LTRP_SIMT
    ::simt::requireAligned(from, sizeof(V));
#endif
    return *reinterpret_cast<const V*>(from);
}
template <class V, class T>
__device__ __forceinline__ void storeAs(T* to, const V& value)
{
#ifdef LTRP_SIMT
    ::simt::requireAligned(to, sizeof(V));
#endif
    *reinterpret_cast<V*>(to) = value;
}

__device__ __forceinline__ float toFloat(float x) { return x; }
__device__ __forceinline__ float toFloat(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float toFloat(half16 x) { return __half2float(x); }

template <class T>
__device__ __forceinline__ T fromFloat(float x);
template <>
__device__ __forceinline__ float fromFloat<float>(float x) { return x; }
template <>
__device__ __forceinline__ bf16 fromFloat<bf16>(float x) { return __float2bfloat16_rn(x); }
template <>
__device__ __forceinline__ half16 fromFloat<half16>(float x) { return __float2half_rn(x); }

/// An array whose element type is known at run time. In kernels that are bound by memory the type switch costs nothing.
struct AnyInput
{
    const void* data;
    DataType element;
    __device__ __forceinline__ float operator[](size_t i) const
    {
        if (element == DataType::Float32)
            return static_cast<const float*>(data)[i];
        if (element == DataType::BFloat16)
            return toFloat(static_cast<const bf16*>(data)[i]);
        return toFloat(static_cast<const half16*>(data)[i]);
    }
};

struct AnyOutput
{
    void* data;
    DataType element;
    __device__ __forceinline__ void set(size_t i, float value) const
    {
        if (element == DataType::Float32)
            static_cast<float*>(data)[i] = value;
        else if (element == DataType::BFloat16)
            static_cast<bf16*>(data)[i] = fromFloat<bf16>(value);
        else
            static_cast<half16*>(data)[i] = fromFloat<half16>(value);
    }
    __device__ __forceinline__ float get(size_t i) const { return AnyInput{data, element}[i]; }
};

inline AnyInput any(const Input& input) { return AnyInput{input.data, input.element}; }
inline AnyOutput any(const Output& output) { return AnyOutput{output.data, output.element}; }

/// Sum over the 32 lanes, the same in all of them.
template <class T>
__device__ __forceinline__ T warpSum(T value)
{
#pragma unroll
    for (int bits = 16; bits > 0; bits /= 2)
        value += __shfl_xor_sync(allLanes, value, bits);
    return value;
}

__device__ __forceinline__ float warpMaximum(float value)
{
#pragma unroll
    for (int bits = 16; bits > 0; bits /= 2)
        value = fmaxf(value, __shfl_xor_sync(allLanes, value, bits));
    return value;
}

/// Sum over a block of whole warps, the same in all threads, in a fixed order. `parts` [32] is shared memory.
template <class T>
__device__ __forceinline__ T blockSum(T value, T* parts)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warpSum(value);
    __syncthreads();   // the readers of the previous call are done
    if (lane == 0)
        parts[warp] = value;
    __syncthreads();
    T total = parts[0];
    for (unsigned i = 1; i < warps; ++i)
        total += parts[i];
    return total;
}

}  // namespace

}}}}  // namespace

#endif
