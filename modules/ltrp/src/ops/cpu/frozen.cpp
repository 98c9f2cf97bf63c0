// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "backend.hpp"
#include "matmul.hpp"

#include <shared_mutex>
#include <unordered_map>

namespace cv { namespace ltrp { namespace ops {

namespace {

/// For constant weights: each matrix is packed once, at its first use.
class FrozenCpuBackend CV_FINAL : public CpuBackend
{
public:
    explicit FrozenCpuBackend(Precision precision) : precision_(precision) {}

    void linear(const float* x, const float* w, const float* b, float* y, int rows, int in, int out,
                Epilogue epilogue) const CV_OVERRIDE
    {
        if (out == 1)
            return CpuBackend::linear(x, w, b, y, rows, in, out, epilogue);
        // Embeddings and heads take little time and affect all later values, so they are fp32 whatever the blocks use.
        find({w, b, in, out}, Precision::FP32).multiply(x, rows, y, b, epilogue == Epilogue::Add);
    }

protected:
    Precision precision() const CV_OVERRIDE { return precision_; }
    const PackedMatrix* packed(const LinearWeights& weights) const CV_OVERRIDE { return &find(weights, precision_); }

private:
    const PackedMatrix& find(const LinearWeights& weights, Precision precision) const
    {
        {
            std::shared_lock<std::shared_timed_mutex> lock(mutex_);
            const auto found = matrices_.find(weights.weight);
            if (found != matrices_.end())
                return *found->second;
        }
        std::unique_lock<std::shared_timed_mutex> lock(mutex_);
        std::unique_ptr<PackedMatrix>& matrix = matrices_[weights.weight];
        if (!matrix)
            matrix.reset(new PackedMatrix(weights.weight, weights.out, weights.in, precision));
        return *matrix;
    }

    const Precision precision_;
    mutable std::shared_timed_mutex mutex_;
    mutable std::unordered_map<const float*, std::unique_ptr<PackedMatrix>> matrices_;
};

}  // namespace

std::string cpuLacks(Precision precision)
{
    if (precision == Precision::TF32 || precision == Precision::FP16)
        return std::string("processors have no products in ") + precisionName(precision);
    return matmulLacks(precision);
}

std::shared_ptr<const Backend> frozenCpu(Precision precision)
{
    const std::string lacks = cpuLacks(precision);
    LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, precisionName(precision) << " on the CPU: " << lacks);
    return std::make_shared<FrozenCpuBackend>(precision);
}

}}}  // namespace
