// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_DEVICE_HPP
#define LTRP_SIMT_DEVICE_HPP

// The subset of CUDA's language and headers that the project's kernels use, for a C++ compiler. Floating-point atomics
// are omitted deliberately: sums must not depend on the order of threads.

#include "halves.hpp"
#include "simt.hpp"

#include <cmath>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx ::simt::threadIndex()
#define blockIdx ::simt::blockIndex()
#define blockDim ::simt::blockSize()
#define gridDim ::simt::gridSize()

#define SIMT_TEXT2(x) #x
#define SIMT_TEXT(x) SIMT_TEXT2(x)
#define SIMT_SITE(what) what " at " __FILE__ ":" SIMT_TEXT(__LINE__)

#define __syncthreads() ::simt::syncThreads(SIMT_SITE("__syncthreads"))
#define __syncwarp() ::simt::syncWarp(SIMT_SITE("__syncwarp"), 0xffffffffu)
#define __shfl_sync(mask, value, lane) ::simt::shuffle(SIMT_SITE("__shfl_sync"), mask, value, lane)
#define __shfl_xor_sync(mask, value, bits)                                                                             \
    ::simt::shuffle(SIMT_SITE("__shfl_xor_sync"), mask, value,                                                         \
                    static_cast<int>((threadIdx.x % 32) ^ static_cast<unsigned>(bits)))
#define __ballot_sync(mask, predicate) ::simt::ballot(SIMT_SITE("__ballot_sync"), mask, predicate)

struct alignas(8) uint2
{
    unsigned x, y;
};
struct alignas(16) uint4
{
    unsigned x, y, z, w;
};
struct alignas(8) float2
{
    float x, y;
};
struct alignas(16) float4
{
    float x, y, z, w;
};

namespace simt
{

template <class T>
T shuffle(const char* site, unsigned mask, T value, int lane)
{
    static_assert(sizeof(T) <= 8, "shuffles move up to 8 bytes");
    struct Slot
    {
        T value;
        int lane;
    };
    const Slot in{value, lane};
    T out{};
    warpOperation(site, mask, &in, &out, [](const WarpOperation& w) {
        for (unsigned i = 0; i < 32; ++i)
            if (w.mask >> i & 1)
            {
                const int from = static_cast<const Slot*>(w.in[i])->lane;
                if (from < 0 || from > 31 || !(w.mask >> from & 1))
                    fail("a shuffle reads from lane " + std::to_string(from) + ", which is not in the mask");
                *static_cast<T*>(w.out[i]) = static_cast<const Slot*>(w.in[from])->value;
            }
    });
    return out;
}

inline unsigned ballot(const char* site, unsigned mask, bool predicate)
{
    unsigned out = 0;
    warpOperation(site, mask, &predicate, &out, [](const WarpOperation& w) {
        unsigned all = 0;
        for (unsigned i = 0; i < 32; ++i)
            if (w.mask >> i & 1)
                all |= static_cast<unsigned>(*static_cast<const bool*>(w.in[i])) << i;
        for (unsigned i = 0; i < 32; ++i)
            if (w.mask >> i & 1)
                *static_cast<unsigned*>(w.out[i]) = all;
    });
    return out;
}

int atomicOr(int* address, int value);   ///< implements ::atomicOr
/// ldmatrix.x4 of 16-bit values; each lane's row is in shared memory.
void loadMatrices(const char* site, uint32_t r[4], const void* row, bool transposed);
/// mma.m16n8k16 with fp32 sums, c += a b.
void multiplyAdd(const char* site, float c[4], const uint32_t a[4], const uint32_t b[2], bool bf16);

}  // namespace simt

inline int atomicOr(int* address, int value) { return ::simt::atomicOr(address, value); }

struct __nv_bfloat16
{
    uint16_t bits;
};
struct __half
{
    uint16_t bits;
};

inline float __uint_as_float(unsigned bits)
{
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value)
{
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float __bfloat162float(__nv_bfloat16 value) { return ::simt::bf16ToFloat(value.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return {::simt::floatToBf16(value)}; }
inline float __half2float(__half value) { return ::simt::halfToFloat(value.bits); }
inline __half __float2half_rn(float value) { return {::simt::floatToHalf(value)}; }

inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }

#endif
