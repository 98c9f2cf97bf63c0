// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// What DeviceBackend needs of a device beside the project's kernels. One implementation is CUDA's runtime with cuBLASLt
// (runtime.cpp); the tests have another one over the emulation of tests/simt, so that everything above is run without a
// GPU.
#ifndef OPENCV_LTRP_OPS_CUDA_DEVICE_HPP
#define OPENCV_LTRP_OPS_CUDA_DEVICE_HPP

#include "kernels.hpp"
#include "../ops.hpp"

#include <functional>

namespace cv { namespace ltrp { namespace ops { namespace LTRP_KERNELS_NAMESPACE {

/// Row-major d [m, n] = a b + bias (or += without bias), then GELU. a [m, k], or [k, m] when transposeA; b [k, n], or
/// [n, k] when transposeB; a and b have the same element.
struct Product
{
    Input a;
    bool transposeA;
    Input b;
    bool transposeB;
    Input bias;   ///< [n], its element d's; data null: none
    bool gelu;
    bool add;
    Output d;
    int m, n, k;
    bool tensorFloat = false;   ///< 32-bit a and b may be rounded to TensorFloat-32
    /// [m, n] as d, or null: what GELU is applied to goes there; with geluBackward it comes from there, and the result
    /// is multiplied by GELU's derivative. d is 16-bit then, n a multiple of 8.
    Output before = Output(nullptr, Element::Float32);
    bool geluBackward = false;
};

/// Launches that were recorded, for any number of times.
class Recording
{
public:
    virtual ~Recording() = default;
    virtual void launch() const = 0;
};

/// Everything goes to one stream, so that it runs in the order of the calls.
class Device
{
public:
    virtual ~Device() = default;
    virtual Stream stream() const = 0;
    /// As Backend::visit().
    virtual std::shared_ptr<void> visit() const = 0;
    virtual std::string name() const = 0;   ///< "NVIDIA H100 80GB HBM3, compute capability 9.0, CUDA 13.0"
    virtual void* allocate(size_t bytes) const = 0;   ///< 256-byte aligned
    virtual void release(void* memory) const = 0;     ///< what was launched before may still use it
    virtual void copy(const void* from, void* to, size_t bytes) const = 0;
    virtual void zero(void* to, size_t bytes) const = 0;
    virtual void upload(const void* host, void* to, size_t bytes) const = 0;
    virtual void download(const void* from, void* host, size_t bytes) const = 0;   ///< waits
    virtual void multiply(const Product& product) const = 0;
    /// As Backend::startBehind() and letFollow().
    virtual void waitFor(void* stream) const = 0;
    virtual void letWait(void* stream) const = 0;
    /// Throws unless it is memory of this device that kernels can read; `what` names it.
    virtual void requireHere(const void* memory, const std::string& what) const = 0;
    /// Throws when a launch failed since the last call.
    virtual void check(const char* operation) const = 0;

    /// Host memory that the device reaches by itself, so that the next two need not wait.
    virtual void* allocateHost(size_t bytes) const = 0;
    virtual void releaseHost(void* memory) const = 0;
    /// From allocateHost() memory that stays as it is meanwhile; beside what runs in the stream, which has no business
    /// with `to` until awaitUploads(): what is called from then on finds the values there.
    virtual void uploadBeside(const void* host, void* to, size_t bytes) const = 0;
    virtual void awaitUploads() const = 0;
    /// To allocateHost() memory, in the stream's order; there when a mark() made afterwards has been reached.
    virtual void downloadLater(const void* from, void* host, size_t bytes) const = 0;
    /// One of two places in the stream's order, and waiting until it is reached: at once where it was never set.
    virtual void mark(int number) const = 0;
    virtual void reach(int number) const = 0;
    /// Waits for everything, uploads beside included.
    virtual void finish() const = 0;
    /// Writes down what `calls` launches instead of running it. It allocates nothing, waits for nothing and carries
    /// nothing between host and device.
    virtual std::unique_ptr<Recording> record(const std::function<void()>& calls) const = 0;
};

/// A backend over a device. Precision: FP32, TF32, BF16 or FP16 (fp32 sums; norms, softmax, residual stream fp32 in
/// all). frozen: the parameters never change, else weightsChanged() makes the device's copies follow the host's, and
/// Backend::training() may be asked for.
std::shared_ptr<const Backend> makeBackend(std::unique_ptr<Device> device, Precision precision, bool frozen);

}}}}  // namespace

#endif
