// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../precomp.hpp"
#include "kernels.hpp"
#include <cmath>
#include <cstring>
#include <limits>

#define LTRP_VECTOR 4
#define LTRP_KERNELS kernelsBaseline
#define LTRP_KERNELS_NAME "baseline"
#include "kernels.inl"
