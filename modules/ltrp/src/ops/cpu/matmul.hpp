// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CPU_MATMUL_HPP
#define OPENCV_LTRP_OPS_CPU_MATMUL_HPP

#include "../ops.hpp"

#include <mutex>

namespace cv { namespace ltrp { namespace ops {

/// Row strides of the stored matrices, in values; 0: contiguous.
struct RowSteps
{
    int a = 0, b = 0, c = 0;
};

/// c [m, n] = op(a) op(b) (+ bias [n]) (+ c when accumulate), all row-major.
/// op(a) is [m, k]: a is stored [m, k], or [k, m] when transposeA; op(b) is [k, n]: stored [k, n], or [n, k] when
/// transposeB. Only this and PackedMatrix call the matrix library: oneDNN 2.6 or 3.x, or cv::gemm.
void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate, const RowSteps& steps = RowSteps());

/// The same for a and b in bfloat16, with fp32 sums; c is fp32, or bfloat16 (rounded once, without accumulation).
/// @throws cv::Exception if matmulLacks(BF16) is not empty
void matmul(const uint16_t* a, bool transposeA, const uint16_t* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate, const RowSteps& steps = RowSteps());
void matmul(const uint16_t* a, bool transposeA, const uint16_t* b, bool transposeB, const float* bias, uint16_t* c, int m,
            int n, int k, bool accumulate, const RowSteps& steps = RowSteps());

/// A weight matrix [out, in] in the precision and memory layout that is fastest for the matrix library. Thread-safe.
class PackedMatrix
{
public:
    /// Copies `weights`, except FP32 without oneDNN: then it keeps the pointer.
    PackedMatrix(const float* weights, int out, int in, Precision precision);
    ~PackedMatrix();
    PackedMatrix(const PackedMatrix&) = delete;
    PackedMatrix& operator=(const PackedMatrix&) = delete;

    /// y [rows, out] = x w^T (+ bias) (+ y when accumulate). FP32: x and y floats. BF16: x bfloat16, y floats.
    /// INT8: x unsigned 8-bit, y 32-bit integers without bias or accumulation. Runs on computeThreads() threads.
    void multiply(const void* x, int rows, void* y, const float* bias, bool accumulate) const;

    /// INT8: weight = scales()[o] * q; sums()[o] is the sum of q over `in`.
    const float* scales() const { return scales_.data(); }
    const float* sums() const { return sums_.data(); }
    int in() const { return in_; }
    int out() const { return out_; }

private:
    struct Packed;
    std::shared_ptr<const Packed> packed(const void* wantedLayout) const;
    void multiplyRow(const float* x, float* y, const float* bias, bool accumulate) const;

    int out_, in_;
    Precision precision_;
    const float* weights_;
    std::vector<signed char> quantised_;   ///< INT8: [in, out]
    std::vector<float> scales_, sums_;
    mutable std::mutex mutex_;
    mutable std::vector<std::shared_ptr<const Packed>> packed_;   ///< one per requested layout, usually one
};

/// Returns what is missing for fast products in that precision, on this processor and in this build; empty: nothing.
std::string matmulLacks(Precision precision);

/// "oneDNN 2.6.3" or "cv::gemm".
std::string matmulLibrary();

}}}  // namespace

#endif
