// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Four neighbouring values at once, of an element type that is known at run time: the speed of kernels that only move
// values depends on the width of their loads.
#ifndef OPENCV_LTRP_OPS_CUDA_VECTORS_CUH
#define OPENCV_LTRP_OPS_CUDA_VECTORS_CUH

#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

inline size_t elementSize(DataType element) { return element == DataType::Float32 ? 4 : 2; }

/// Whether runs of four values from this address can be loaded as one vector; true for null.
inline bool aligned4(const void* data, DataType element)
{
    return reinterpret_cast<uintptr_t>(data) % (4 * elementSize(element)) == 0;
}

/// Number of a row's values in the run of four that begins at a column.
__device__ __forceinline__ int valuesHere(int dim, int column)
{
    return column >= dim ? 0 : dim - column < 4 ? dim - column : 4;
}

__device__ __forceinline__ void unpack(uint32_t bits, bool brain, float& low, float& high)
{
    if (brain)
    {
        low = __uint_as_float(bits << 16);
        high = __uint_as_float(bits & 0xffff0000u);
        return;
    }
#ifdef LTRP_SIMT
    low = toFloat(half16{static_cast<uint16_t>(bits)});
    high = toFloat(half16{static_cast<uint16_t>(bits >> 16)});
#else
    const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&bits));
    low = pair.x;
    high = pair.y;
#endif
}

template <class T>
__device__ __forceinline__ uint32_t pack(float low, float high)
{
    const T a = fromFloat<T>(low), b = fromFloat<T>(high);
#ifdef LTRP_SIMT
    return a.bits | static_cast<uint32_t>(b.bits) << 16;
#else
    return *reinterpret_cast<const uint16_t*>(&a) | static_cast<uint32_t>(*reinterpret_cast<const uint16_t*>(&b)) << 16;
#endif
}

/// v = x[i .. i + 3]; whole: all four exist and are aligned, else only the first n are read.
__device__ __forceinline__ void load4(const AnyInput& x, size_t i, bool whole, int n, float v[4])
{
    if (!whole)
    {
        for (int k = 0; k < 4; ++k)
            v[k] = k < n ? x[i + static_cast<size_t>(k)] : 0.f;
        return;
    }
    if (x.element == DataType::Float32)
    {
        const float4 four = loadAs<float4>(static_cast<const float*>(x.data) + i);
        v[0] = four.x;
        v[1] = four.y;
        v[2] = four.z;
        v[3] = four.w;
        return;
    }
    const uint2 words = loadAs<uint2>(static_cast<const uint16_t*>(x.data) + i);
    const bool brain = x.element == DataType::BFloat16;
    unpack(words.x, brain, v[0], v[1]);
    unpack(words.y, brain, v[2], v[3]);
}

__device__ __forceinline__ void store4(const AnyOutput& y, size_t i, bool whole, int n, const float v[4])
{
    if (!whole)
    {
        for (int k = 0; k < 4; ++k)
            if (k < n)
                y.set(i + static_cast<size_t>(k), v[k]);
        return;
    }
    if (y.element == DataType::Float32)
    {
        storeAs(static_cast<float*>(y.data) + i, float4{v[0], v[1], v[2], v[3]});
        return;
    }
    const uint2 words = y.element == DataType::BFloat16 ? uint2{pack<bf16>(v[0], v[1]), pack<bf16>(v[2], v[3])}
                                                       : uint2{pack<half16>(v[0], v[1]), pack<half16>(v[2], v[3])};
    storeAs(static_cast<uint16_t*>(y.data) + i, words);
}

/// Phi(x) = (1 + erf(x / sqrt 2)) / 2; by erfc, so that the left tail keeps its digits.
__device__ __forceinline__ float normalCdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }

/// GELU to 1.3e-4 with half the instructions, for results that are rounded to 16 bits: the CPU's polynomial up to 4,
/// beyond that the limits (a factor that is only close to 0 would not cancel large x).
__device__ __forceinline__ float roundedGelu(float x)
{
    const float near = fmaxf(fminf(x, 4.f), -4.f), u = near * near * 0.0625f;
    float p = -0.42433061f;
    p = p * u + 2.04194433f;
    p = p * u - 4.30003006f;
    p = p * u + 5.28659067f;
    p = p * u - 4.29343503f;
    p = p * u + 2.47420589f;
    p = p * u - 1.05880591f;
    p = p * u + 0.39884751f;
    return x > 4.f ? x : x < -4.f ? 0.f : x * (near * p + 0.5f);
}

}  // namespace

}}}}  // namespace

#endif
