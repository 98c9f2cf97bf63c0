// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Compiled for AVX2 and FMA regardless of compiler options; called only on processors that have them. All headers are
// included before the pragma: otherwise their inline functions would be compiled for AVX2 and could replace the
// portable ones at link time.
#include "../../precomp.hpp"
#include "kernels.hpp"
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__x86_64__) && defined(__GNUC__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LTRP_VECTOR 8
#define LTRP_KERNELS kernelsAvx2
#define LTRP_KERNELS_NAME "avx2"
#include "kernels.inl"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
