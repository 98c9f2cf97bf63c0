// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_OPS_CUDA_PRODUCTS_HPP
#define OPENCV_LTRP_OPS_CUDA_PRODUCTS_HPP

#include "cublaslt.hpp"
#include "device.hpp"

#include <map>
#include <mutex>

namespace cv { namespace ltrp { namespace ops { namespace cuda {

/// Matrix products by cuBLASLt on the current device: the algorithm is selected once per shape. Thread-safe.
class Products
{
public:
    Products();
    ~Products();
    Products(const Products&) = delete;
    Products& operator=(const Products&) = delete;

    static const size_t workspaceBytes = size_t(64) << 20;
    static std::string version();

    /// workspace: device memory used only by work in `stream`.
    /// @throws Error::GpuNotSupported naming the sizes if the library has no algorithm
    void multiply(const Product& product, void* workspace, cudaStream_t stream);

private:
    struct Shape;
    struct Plan;
    struct Before
    {
        bool operator()(const Shape& a, const Shape& b) const;
    };
    const Plan& planOf(const Shape& shape, const void* bias, void* before);

    cublasLtHandle_t library_ = nullptr;
    std::mutex mutex_;
    std::map<Shape, std::unique_ptr<Plan>, Before> plans_;
};

}}}}  // namespace

#endif
