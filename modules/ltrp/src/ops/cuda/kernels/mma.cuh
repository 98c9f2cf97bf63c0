// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Tensor cores: mma.m16n8k16 on 16-bit factors with fp32 sums, the only product in these kernels, and the loads of its
// fragments from shared memory. The distribution over lanes is that of the PTX manual ("Matrix Fragments for
// mma.m16n8k16").
#ifndef OPENCV_LTRP_OPS_CUDA_MMA_CUH
#define OPENCV_LTRP_OPS_CUDA_MMA_CUH

#include "device.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

/// Registers of one lane. A: 16 rows x 16; B: 16 x 8 columns; C: 16 rows x 8 columns of fp32.
struct FragmentA { uint32_t r[4]; };
struct FragmentB { uint32_t r[2]; };
struct FragmentC { float v[4]; };

/// Position in the tile of value i of a lane's FragmentC.
__device__ __forceinline__ int rowOfC(unsigned lane, int i) { return static_cast<int>(lane / 4) + i / 2 * 8; }
__device__ __forceinline__ int columnOfC(unsigned lane, int i) { return static_cast<int>(lane % 4) * 2 + i % 2; }

#ifdef LTRP_SIMT

template <class T>
struct IsBf16 { static const bool value = false; };
template <>
struct IsBf16<bf16> { static const bool value = true; };

template <class T>
inline uint32_t packPair(float low, float high)
{
    return fromFloat<T>(low).bits | static_cast<uint32_t>(fromFloat<T>(high).bits) << 16;
}

template <class T>
inline void loadMatrices(uint32_t r[4], const T* row) { ::simt::loadMatrices(SIMT_SITE("ldmatrix"), r, row, false); }
template <class T>
inline void loadMatricesTransposed(uint32_t r[4], const T* row)
{
    ::simt::loadMatrices(SIMT_SITE("ldmatrix"), r, row, true);
}

template <class T>
inline void multiplyAdd(FragmentC& c, const FragmentA& a, const FragmentB& b)
{
    ::simt::multiplyAdd(SIMT_SITE("mma"), c.v, a.r, b.r, IsBf16<T>::value);
}

#else

template <class T>
__device__ __forceinline__ uint32_t packPair(float low, float high);
template <>
__device__ __forceinline__ uint32_t packPair<bf16>(float low, float high)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
}
template <>
__device__ __forceinline__ uint32_t packPair<half16>(float low, float high)
{
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
}

/// Four 8 x 8 matrices of 16-bit values; lane 8 i + j passes row j of matrix i, 16-byte aligned, in shared memory.
template <class T>
__device__ __forceinline__ void loadMatrices(uint32_t r[4], const T* row)
{
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
template <class T>
__device__ __forceinline__ void loadMatricesTransposed(uint32_t r[4], const T* row)
{
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

/// c += a b.
template <class T>
__device__ __forceinline__ void multiplyAdd(FragmentC& c, const FragmentA& a, const FragmentB& b);
template <>
__device__ __forceinline__ void multiplyAdd<bf16>(FragmentC& c, const FragmentA& a, const FragmentB& b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
}
template <>
__device__ __forceinline__ void multiplyAdd<half16>(FragmentC& c, const FragmentA& a, const FragmentB& b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
}

#endif

// Strides are in elements, multiples of 8; 8 more than a multiple of 64, or 40, keep the loads free of bank conflicts.

/// A's tile [16 rows][16] in shared memory.
template <class T>
__device__ __forceinline__ void loadA(FragmentA& a, const T* tile, int stride, unsigned lane)
{
    loadMatrices(a.r, tile + static_cast<int>(lane % 16) * stride + static_cast<int>(lane / 16) * 8);
}

/// A's tile from memory that holds its transpose, [16][16 rows].
template <class T>
__device__ __forceinline__ void loadATransposed(FragmentA& a, const T* tile, int stride, unsigned lane)
{
    loadMatricesTransposed(a.r, tile + static_cast<int>(lane % 8 + lane / 16 * 8) * stride +
                                    static_cast<int>(lane / 8 % 2) * 8);
}

/// Two neighbouring tiles of B from memory [16 columns][16]: columns 0 .. 7 and 8 .. 15.
template <class T>
__device__ __forceinline__ void loadB(FragmentB& low, FragmentB& high, const T* tile, int stride, unsigned lane)
{
    uint32_t r[4];
    loadMatrices(r, tile + static_cast<int>(lane % 8 + lane / 16 * 8) * stride + static_cast<int>(lane / 8 % 2) * 8);
    low.r[0] = r[0];
    low.r[1] = r[1];
    high.r[0] = r[2];
    high.r[1] = r[3];
}

/// The same from memory [16][16 columns].
template <class T>
__device__ __forceinline__ void loadBTransposed(FragmentB& low, FragmentB& high, const T* tile, int stride,
                                                unsigned lane)
{
    uint32_t r[4];
    loadMatricesTransposed(r, tile + static_cast<int>(lane % 16) * stride + static_cast<int>(lane / 16) * 8);
    low.r[0] = r[0];
    low.r[1] = r[1];
    high.r[0] = r[2];
    high.r[1] = r[3];
}

/// Two neighbouring tiles of sums, rounded, as the left factor of the next product.
template <class T>
__device__ __forceinline__ void sumsToA(FragmentA& a, const FragmentC& left, const FragmentC& right)
{
    a.r[0] = packPair<T>(left.v[0], left.v[1]);
    a.r[1] = packPair<T>(left.v[2], left.v[3]);
    a.r[2] = packPair<T>(right.v[0], right.v[1]);
    a.r[3] = packPair<T>(right.v[2], right.v[3]);
}

}  // namespace

}}}}  // namespace

#endif
