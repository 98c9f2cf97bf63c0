// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Compiled for AVX-512 regardless of compiler options; called only on processors that have it (see kernels_avx2.cpp).
#include "../../precomp.hpp"
#include "kernels.hpp"
#include <cmath>
#include <cstring>
#include <limits>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#define LTRP_TARGET "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
#pragma clang attribute push(__attribute__((target(LTRP_TARGET))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define LTRP_VNNI
#define LTRP_VECTOR 16
#define LTRP_KERNELS kernelsAvx512
#define LTRP_KERNELS_NAME "avx512"
#include "kernels.inl"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
