// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Interface of a device, used by DeviceBackend together with the project's kernels. It is implemented with the CUDA
// runtime and cuBLASLt (runtime.cpp), and in the tests with the emulator of tests/simt, which needs no GPU.
#ifndef OPENCV_LTRP_OPS_CUDA_DEVICE_HPP
#define OPENCV_LTRP_OPS_CUDA_DEVICE_HPP

#include "kernels.hpp"
#include "../ops.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

/// Row-major d [m, n] = a b + bias (or += without bias), then GELU. a [m, k], or [k, m] when transposeA; b [k, n], or
/// [n, k] when transposeB; a and b have the same element type.
struct Product
{
    Input a;
    bool transposeA;
    Input b;
    bool transposeB;
    Input bias;   ///< [n], element type of d; data null: none
    bool gelu;
    bool add;
    Output d;
    int m, n, k;
    bool tensorFloat = false;   ///< 32-bit a and b may be rounded to TensorFloat-32
    /// [m, n] as d, or null: receives the input of GELU; with geluBackward it provides that input, and the result is
    /// multiplied by the derivative of GELU. d is then 16-bit, n a multiple of 8.
    Output before = Output(nullptr, DataType::Float32);
    bool geluBackward = false;
};

/// Recorded launches that can be repeated.
class Recording
{
public:
    virtual ~Recording() = default;
    virtual void launch() const = 0;
};

/// All calls use one stream and run in order.
class Device
{
public:
    virtual ~Device() = default;
    virtual Stream stream() const = 0;
    /// As Backend::deviceGuard().
    virtual std::shared_ptr<void> deviceGuard() const = 0;
    virtual std::string name() const = 0;   ///< "NVIDIA H100 80GB HBM3, compute capability 9.0, CUDA 13.0"
    virtual void* allocate(size_t bytes) const = 0;   ///< 256-byte aligned
    virtual void release(void* memory) const = 0;     ///< earlier launches may still use it
    virtual void copy(const void* from, void* to, size_t bytes) const = 0;
    virtual void zero(void* to, size_t bytes) const = 0;
    virtual void upload(const void* host, void* to, size_t bytes) const = 0;
    virtual void download(const void* from, void* host, size_t bytes) const = 0;   ///< waits
    virtual void multiply(const Product& product) const = 0;
    /// As Backend::waitForStream() and makeStreamWait().
    virtual void waitForStream(void* stream) const = 0;
    virtual void makeStreamWait(void* stream) const = 0;
    /// Throws unless kernels of this device can access the memory; `what` names it in the message.
    virtual void requireHere(const void* memory, const std::string& what) const = 0;
    /// Throws if a launch failed since the last call.
    virtual void check(const char* operation) const = 0;

    /// Page-locked host memory, for uploadAsync() and downloadLater().
    virtual void* allocateHost(size_t bytes) const = 0;
    virtual void releaseHost(void* memory) const = 0;
    /// Asynchronous upload from allocateHost() memory, which must not change meanwhile, concurrent with the stream.
    /// Calls before waitForUploads() must not use `to`; later ones see the values.
    virtual void uploadAsync(const void* host, void* to, size_t bytes) const = 0;
    virtual void waitForUploads() const = 0;
    /// Asynchronous download to allocateHost() memory, in the stream's order; complete when a later recordEvent() is reached.
    virtual void downloadLater(const void* from, void* host, size_t bytes) const = 0;
    /// Records event `number` (one of two) in the stream; waits for it. waitEvent() returns at once if it was never
    /// recorded.
    virtual void recordEvent(int number) const = 0;
    virtual void waitEvent(int number) const = 0;
    /// Waits for all work, asynchronous uploads included.
    virtual void synchronize() const = 0;
    /// Records the launches of `calls` without running them. `calls` must not allocate, wait, or copy between host and
    /// device.
    virtual std::unique_ptr<Recording> record(const std::function<void()>& calls) const = 0;
};

/// Creates a backend for a device. Precision: FP32, TF32, BF16 or FP16 (sums, norms, softmax and residual stream are
/// fp32). frozen: the parameters never change. Otherwise weightsChanged() updates the device's copies, and
/// Backend::training() is available.
std::shared_ptr<const Backend> makeBackend(std::unique_ptr<Device> device, Precision precision, bool frozen);

}}}}  // namespace

#endif
