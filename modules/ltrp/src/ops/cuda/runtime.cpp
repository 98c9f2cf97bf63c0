// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A Device that uses the CUDA runtime, and the reasons why there may be none.
#include "../training.hpp"

#ifdef HAVE_LTRP_CUDA

#include "products.hpp"

#include <cuda_runtime.h>

#include <functional>

namespace cv { namespace ltrp { namespace ops {

namespace {

void require(cudaError_t status, const char* what)
{
    if (status == cudaSuccess)
        return;
    cudaGetLastError();   // clears the error, so that this thread's next launch does not report it again
    LTRP_ERROR(Error::GpuApiCallError,
               "CUDA: " << what << ": " << cudaGetErrorString(status) << " (" << cudaGetErrorName(status) << ")");
}

std::string version(int number)
{
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

/// RAII guard: restores this thread's current device.
class DeviceGuard
{
public:
    DeviceGuard() : known_(cudaGetDevice(&device_) == cudaSuccess) {}
    ~DeviceGuard()
    {
        if (known_)
            cudaSetDevice(device_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

private:
    int device_ = 0;
    const bool known_;
};

/// A CUDA graph, ready to be launched.
class Graph CV_FINAL : public cuda::Recording
{
public:
    Graph(cudaGraph_t calls, int device, cudaStream_t stream) : device_(device), stream_(stream)
    {
        require(cudaGraphInstantiate(&graph_, calls, 0), "making a graph ready");
    }
    ~Graph() CV_OVERRIDE { cudaGraphExecDestroy(graph_); }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;

    void launch() const CV_OVERRIDE
    {
        require(cudaSetDevice(device_), "choosing the device");
        require(cudaGraphLaunch(graph_, stream_), "launching a graph");
    }

private:
    const int device_;
    const cudaStream_t stream_;
    cudaGraphExec_t graph_ = nullptr;
};

/// Stream of this thread's launches while it records: separate, so that other threads' launches are not recorded too.
thread_local cudaStream_t recordingStream = nullptr;

class CudaDevice CV_FINAL : public cuda::Device
{
public:
    CudaDevice()
    {
        require(cudaGetDevice(&id_), "asking for the current device");
        try
        {
            require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
            require(cudaStreamCreateWithFlags(&uploads_, cudaStreamNonBlocking), "making a stream");
            for (cudaEvent_t& event : {std::ref(uploaded_), std::ref(events_[0]), std::ref(events_[1])})
                require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
            require(cudaDeviceGetDefaultMemPool(&pool_, id_), "asking for the memory pool");
            uint64_t all = UINT64_MAX;   // keep freed memory in the pool
            require(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &all),
                    "setting up the memory pool");
            products_.reset(new cuda::Products);
            workspace_ = allocate(cuda::Products::workspaceBytes);
        }
        catch (...)
        {
            close();
            throw;
        }
    }
    ~CudaDevice() CV_OVERRIDE { close(); }

    cuda::Stream stream() const CV_OVERRIDE
    {
        use();
        return launches();
    }

    std::shared_ptr<void> deviceGuard() const CV_OVERRIDE { return std::make_shared<DeviceGuard>(); }

    std::string name() const CV_OVERRIDE
    {
        cudaDeviceProp properties;
        require(cudaGetDeviceProperties(&properties, id_), "asking for the device's properties");
        return std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
               std::to_string(properties.minor) + ", CUDA " + version(CUDART_VERSION);
    }

    void* allocate(size_t bytes) const CV_OVERRIDE
    {
        useNow();
        void* memory = nullptr;
        const cudaError_t status = cudaMallocAsync(&memory, std::max<size_t>(bytes, 1), stream_);
        if (status == cudaErrorMemoryAllocation)
        {
            cudaGetLastError();   // clears the error, so that the next launch does not report it again
            size_t left = 0, total = 0;
            cudaMemGetInfo(&left, &total);
            LTRP_ERROR(Error::StsNoMem, "CUDA: out of memory: " << bytes << " bytes wanted, " << left << " of " << total
                       << " free on the device; use a smaller batch");
        }
        require(status, "allocating memory");
        return memory;
    }

    void release(void* memory) const CV_OVERRIDE
    {
        const DeviceGuard guard;   // destructors call this, on any thread
        // In the order of the stream: earlier launches may still use it.
        if (memory && cudaSetDevice(id_) == cudaSuccess && cudaFreeAsync(memory, stream_) != cudaSuccess)
            cudaGetLastError();   // an error is reported by the call that caused it
    }

    void copy(const void* from, void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, launches()), "copying on the device");
    }

    void zero(void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemsetAsync(to, 0, bytes, launches()), "filling memory");
    }

    void upload(const void* host, void* to, size_t bytes) const CV_OVERRIDE
    {
        useNow();
        require(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
        require(cudaStreamSynchronize(stream_),
                "copying to the device");   // the host memory may be pinned and may change afterwards
    }

    void download(const void* from, void* host, size_t bytes) const CV_OVERRIDE
    {
        useNow();
        require(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
        require(cudaStreamSynchronize(stream_), "computing");
    }

    void check(const char* operation) const CV_OVERRIDE { require(cudaGetLastError(), operation); }

    void multiply(const cuda::Product& p) const CV_OVERRIDE
    {
        use();
        products_->multiply(p, workspace_, launches());
    }

    void* allocateHost(size_t bytes) const CV_OVERRIDE
    {
        useNow();
        void* memory = nullptr;
        const cudaError_t status = cudaHostAlloc(&memory, std::max<size_t>(bytes, 1), cudaHostAllocDefault);
        if (status == cudaErrorMemoryAllocation)
        {
            cudaGetLastError();
            LTRP_ERROR(Error::StsNoMem,
                       "CUDA: out of memory: " << bytes << " bytes of host memory wanted for copies to the device");
        }
        require(status, "allocating host memory");
        return memory;
    }

    void releaseHost(void* memory) const CV_OVERRIDE
    {
        if (memory && cudaFreeHost(memory) != cudaSuccess)
            cudaGetLastError();
    }

    void uploadAsync(const void* host, void* to, size_t bytes) const CV_OVERRIDE
    {
        useNow();
        require(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, uploads_), "copying to the device");
    }

    void waitForUploads() const CV_OVERRIDE
    {
        useNow();
        require(cudaEventRecord(uploaded_, uploads_), "marking the end of a copy");
        require(cudaStreamWaitEvent(stream_, uploaded_, 0), "waiting for a copy");
    }

    void downloadLater(const void* from, void* host, size_t bytes) const CV_OVERRIDE
    {
        useNow();
        require(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
    }

    void recordEvent(int number) const CV_OVERRIDE
    {
        useNow();
        require(cudaEventRecord(events_[number], stream_), "marking a step's end");
    }

    void waitEvent(int number) const CV_OVERRIDE
    {
        useNow();
        require(cudaEventSynchronize(events_[number]), "computing");
    }

    void synchronize() const CV_OVERRIDE
    {
        useNow();
        require(cudaStreamSynchronize(uploads_), "copying to the device");
        require(cudaStreamSynchronize(stream_), "computing");
    }

    std::unique_ptr<cuda::Recording> record(const std::function<void()>& calls) const CV_OVERRIDE
    {
        useNow();
        const RecordingStream recording;
        cudaGraph_t graph = nullptr;
        // This thread only: other threads may allocate and launch meanwhile.
        require(cudaStreamBeginCapture(recordingStream, cudaStreamCaptureModeThreadLocal), "beginning to record");
        try
        {
            calls();
        }
        catch (...)
        {
            if (cudaStreamEndCapture(recordingStream, &graph) == cudaSuccess && graph)
                cudaGraphDestroy(graph);
            cudaGetLastError();
            throw;
        }
        require(cudaStreamEndCapture(recordingStream, &graph), "recording");
        const std::unique_ptr<std::remove_pointer<cudaGraph_t>::type, cudaError_t (*)(cudaGraph_t)> owner(
            graph, cudaGraphDestroy);
        return std::unique_ptr<cuda::Recording>(new Graph(graph, id_, stream_));
    }

    void waitForStream(void* stream) const CV_OVERRIDE { order(static_cast<cudaStream_t>(stream), stream_); }
    void makeStreamWait(void* stream) const CV_OVERRIDE { order(stream_, static_cast<cudaStream_t>(stream)); }

    void requireHere(const void* memory, const std::string& what) const CV_OVERRIDE
    {
        use();
        cudaPointerAttributes found;
        require(cudaPointerGetAttributes(&found, memory), "looking for memory");
        const bool device = found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
        LTRP_REQUIRE(device, Error::StsBadArg,
                     what << " lies in the host's memory, expected that of CUDA device " << id_);
        LTRP_REQUIRE(found.type == cudaMemoryTypeManaged || found.device == id_, Error::StsBadArg,
                     what << " lies on CUDA device " << found.device << ", the network on device " << id_);
    }

private:
    /// Later work in `second` runs after the work queued in `first` so far.
    void order(cudaStream_t first, cudaStream_t second) const
    {
        useNow();
        cudaEvent_t event = nullptr;
        require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
        const cudaError_t recorded = cudaEventRecord(event, first);
        const cudaError_t waits = recorded == cudaSuccess ? cudaStreamWaitEvent(second, event, 0) : recorded;
        cudaEventDestroy(event);   // freed when the event has completed
        require(waits, "putting streams in order");
    }

    struct RecordingStream
    {
        RecordingStream()
        {
            require(cudaStreamCreateWithFlags(&recordingStream, cudaStreamNonBlocking), "making a stream");
        }
        ~RecordingStream()
        {
            cudaStreamDestroy(recordingStream);
            recordingStream = nullptr;
        }
        RecordingStream(const RecordingStream&) = delete;
        RecordingStream& operator=(const RecordingStream&) = delete;
    };

    /// For calls that cannot be recorded: executed now, they would be missing when the recording is launched.
    void useNow() const
    {
        LTRP_REQUIRE(!recordingStream, Error::GpuApiCallError, "CUDA: recording: a call that cannot be recorded");
        use();
    }

    cudaStream_t launches() const { return recordingStream ? recordingStream : stream_; }

    void use() const { require(cudaSetDevice(id_), "choosing the device"); }

    void close()
    {
        const DeviceGuard guard;
        // A static object can outlive the CUDA runtime, which frees everything at the end of the process.
        if (cudaSetDevice(id_) != cudaSuccess)
        {
            cudaGetLastError();
            static_cast<void>(products_.release());   // destroying the library would call that runtime
            return;
        }
        if (stream_)
        {
            release(workspace_);
            cudaStreamSynchronize(stream_);
        }
        if (uploads_)
            cudaStreamSynchronize(uploads_);
        if (pool_)
            cudaMemPoolTrimTo(pool_, 0);   // for other users of the device in this process
        products_.reset();
        for (cudaEvent_t event : {uploaded_, events_[0], events_[1]})
            if (event)
                cudaEventDestroy(event);
        for (cudaStream_t stream : {stream_, uploads_})
            if (stream)
                cudaStreamDestroy(stream);
        cudaGetLastError();
    }

    int id_ = 0;
    cudaMemPool_t pool_ = nullptr;   ///< owned by the device
    cudaStream_t stream_ = nullptr, uploads_ = nullptr;   ///< for all work; for copies concurrent with it
    cudaEvent_t uploaded_ = nullptr, events_[2] = {nullptr, nullptr};
    std::unique_ptr<cuda::Products> products_;
    void* workspace_ = nullptr;
};

}  // namespace

std::string cudaLacks()
{
    int count = 0, driver = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    cudaGetLastError();
    if (status == cudaErrorInsufficientDriver)
    {
        cudaDriverGetVersion(&driver);
        return driver == 0 ? "no NVIDIA driver is installed on this machine"
                           : "the NVIDIA driver is for CUDA " + version(driver) + ", this build needs one for CUDA " +
                             version(CUDART_VERSION);
    }
    if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
        return "no CUDA device is visible on this machine";
    if (status != cudaSuccess)
        return std::string("the CUDA devices cannot be used: ") + cudaGetErrorString(status);
    int device = 0, major = 0, minor = 0, pools = 0;
    if (cudaGetDevice(&device) != cudaSuccess ||
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device) != cudaSuccess)
        return std::string("the CUDA device cannot be used: ") + cudaGetErrorString(cudaGetLastError());
    if (major < 8)
        return "the CUDA device is too old: compute capability " + std::to_string(major) + "." + std::to_string(minor) +
               ", 8.0 or later is needed";
    return pools ? cuda::cublasLtLacks() : "the CUDA device or its driver has no memory pools";
}

std::shared_ptr<const Backend> cudaBackend(Precision precision, bool frozen, std::string* device)
{
    const std::string lacks = cudaLacks();
    LTRP_REQUIRE(lacks.empty(), Error::GpuNotSupported, precisionName(precision) << " on CUDA: " << lacks);
    const DeviceGuard guard;
    std::unique_ptr<CudaDevice> made(new CudaDevice);
    if (device)
        *device = made->name();
    return cuda::makeBackend(std::move(made), precision, frozen);
}

std::string cudaLibrary()
{
    return (cuda::cublasLtLacks().empty() ? "cuBLASLt " + cuda::Products::version() : "no cuBLASLt") + ", CUDA " +
           version(CUDART_VERSION);
}

}}}  // namespace

#else

namespace cv { namespace ltrp { namespace ops {

std::string cudaLacks()
{
    return "this build of ltrp has no CUDA (it was made without -DLTRP_WITH_CUDA=ON)";
}

std::shared_ptr<const Backend> cudaBackend(Precision precision, bool, std::string*)
{
    LTRP_ERROR(Error::GpuNotSupported, precisionName(precision) << " on CUDA: " << cudaLacks());
}

std::string cudaLibrary() { return ""; }

}}}  // namespace

#endif
