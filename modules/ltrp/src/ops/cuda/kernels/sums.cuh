// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Sums over many rows: each part of the rows is summed by one block, then the parts in order, so that the result is the
// same in every run and on every device.
#ifndef OPENCV_LTRP_OPS_CUDA_SUMS_CUH
#define OPENCV_LTRP_OPS_CUDA_SUMS_CUH

#include "vectors.cuh"

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

namespace {

/// Number of parts: at least `least` rows each, at most `most` parts.
inline size_t partsOf(size_t rows, size_t least, size_t most)
{
    const size_t parts = (rows + least - 1) / least;
    return parts < most ? parts : most;
}

/// out[c] += the parts' sums in order; column c of [parts, width] goes to first[c] or, from `split` on, to second[c -
/// split].
template <class T>
__global__ void addPartsKernel(const T* partial, size_t parts, size_t width, T* first, T* second, size_t split)
{
    const size_t c = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (c >= width)
        return;
    T total = 0;
#pragma unroll 16   // the loads are independent, although the additions are not
    for (size_t part = 0; part < parts; ++part)
        total += partial[part * width + c];
    T* const to = c < split ? first + c : second + (c - split);
    *to += total;
}

template <class T>
inline void addParts(Stream stream, const T* partial, size_t parts, size_t width, T* first, T* second, size_t split)
{
    launch(stream, "addParts", addPartsKernel<T>, blocksFor(width, 64), 64, 0, partial, parts, width, first, second,
           split);
}

}  // namespace

}}}}  // namespace

#endif
