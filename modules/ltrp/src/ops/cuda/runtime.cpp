// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A Device over CUDA's runtime and cuBLASLt, and why there may be none.
#include "../training.hpp"

#ifdef HAVE_LTRP_CUDA

#include "device.hpp"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstring>
#include <functional>
#include <map>
#include <mutex>

namespace cv { namespace ltrp { namespace ops {

namespace {

using cuda::Element;
using cuda::Product;

void require(cudaError_t status, const char* what)
{
    if (status == cudaSuccess)
        return;
    cudaGetLastError();   // it is reported here, not by this thread's next launch as well
    LTRP_ERROR(Error::GpuApiCallError,
               "CUDA: " << what << ": " << cudaGetErrorString(status) << " (" << cudaGetErrorName(status) << ")");
}

void require(cublasStatus_t status, const char* what)
{
    LTRP_REQUIRE(status == CUBLAS_STATUS_SUCCESS, Error::GpuApiCallError,
                 "cuBLASLt: " << what << ": " << cublasLtGetStatusString(status));
}

std::string version(int number)
{
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

cudaDataType_t typeOf(Element element)
{
    return element == Element::Float32 ? CUDA_R_32F : element == Element::BFloat16 ? CUDA_R_16BF : CUDA_R_16F;
}

/// The largest power of two up to 256 that divides the address: some algorithms need aligned operands.
uint32_t alignmentOf(const void* address)
{
    const uintptr_t bits = reinterpret_cast<uintptr_t>(address) | 256;
    return static_cast<uint32_t>(bits & (~bits + 1));
}

/// What decides which algorithm multiplies.
struct Shape
{
    int m, n, k;
    bool transposeA, transposeB, bias, gelu, add, tensorFloat, before, geluBackward;
    Element in, out;
    uint32_t alignA, alignB, alignBias, alignD, alignBefore;

    bool operator<(const Shape& o) const
    {
        const auto tie = [](const Shape& s)
        {
            return std::make_tuple(s.m, s.n, s.k, s.transposeA, s.transposeB, s.bias, s.gelu, s.add, s.tensorFloat,
                                   s.before, s.geluBackward, s.in, s.out, s.alignA, s.alignB, s.alignBias, s.alignD,
                                   s.alignBefore);
        };
        return tie(*this) < tie(o);
    }
};

cublasLtEpilogue_t epilogueOf(const Shape& s)
{
    if (s.geluBackward)
        return CUBLASLT_EPILOGUE_DGELU;
    if (s.gelu && s.before)
        return s.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    if (s.gelu)
        return s.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    return s.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

/// Descriptors and the algorithm of one shape.
struct Plan
{
    Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan()
    {
        if (operation)
            cublasLtMatmulDescDestroy(operation);
        for (cublasLtMatrixLayout_t layout : {a, b, d})
            if (layout)
                cublasLtMatrixLayoutDestroy(layout);
    }
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
    cublasLtMatmulAlgo_t algorithm;
};

/// This thread's current device is the same afterwards.
class KeepDevice
{
public:
    KeepDevice() : known_(cudaGetDevice(&device_) == cudaSuccess) {}
    ~KeepDevice()
    {
        if (known_)
            cudaSetDevice(device_);
    }
    KeepDevice(const KeepDevice&) = delete;
    KeepDevice& operator=(const KeepDevice&) = delete;

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
            for (cudaEvent_t& event : {std::ref(uploaded_), std::ref(marks_[0]), std::ref(marks_[1])})
                require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
            require(cudaDeviceGetDefaultMemPool(&pool_, id_), "asking for the memory pool");
            uint64_t all = UINT64_MAX;   // memory that was given back stays at hand
            require(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &all),
                    "setting up the memory pool");
            require(cublasLtCreate(&library_), "starting the library");
            workspace_ = allocate(workspaceBytes);
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
        return stream_;
    }

    std::shared_ptr<void> visit() const CV_OVERRIDE { return std::make_shared<KeepDevice>(); }

    std::string name() const CV_OVERRIDE
    {
        cudaDeviceProp properties;
        require(cudaGetDeviceProperties(&properties, id_), "asking for the device's properties");
        return std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
               std::to_string(properties.minor) + ", CUDA " + version(CUDART_VERSION);
    }

    void* allocate(size_t bytes) const CV_OVERRIDE
    {
        use();
        void* memory = nullptr;
        const cudaError_t status = cudaMallocAsync(&memory, std::max<size_t>(bytes, 1), stream_);
        if (status == cudaErrorMemoryAllocation)
        {
            cudaGetLastError();   // it is reported here, not by the next launch
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
        const KeepDevice keep;   // called by destructors, wherever those run
        // In the order of the stream: earlier launches may still use it.
        if (memory && cudaSetDevice(id_) == cudaSuccess && cudaFreeAsync(memory, stream_) != cudaSuccess)
            cudaGetLastError();   // what broke the device is reported by the call that it broke
    }

    void copy(const void* from, void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying on the device");
    }

    void zero(void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemsetAsync(to, 0, bytes, stream_), "filling memory");
    }

    void upload(const void* host, void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
        require(cudaStreamSynchronize(stream_),
                "copying to the device");   // the host's may be pinned memory, and change
    }

    void download(const void* from, void* host, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
        require(cudaStreamSynchronize(stream_), "computing");
    }

    void check(const char* operation) const CV_OVERRIDE { require(cudaGetLastError(), operation); }

    void multiply(const Product& p) const CV_OVERRIDE
    {
        use();
        const Shape shape{p.m, p.n, p.k, p.transposeA, p.transposeB, p.bias.data != nullptr, p.gelu, p.add,
                          p.tensorFloat, p.before.data != nullptr, p.geluBackward, p.a.element, p.d.element,
                          alignmentOf(p.a.data), alignmentOf(p.b.data), alignmentOf(p.bias.data), alignmentOf(p.d.data),
                          alignmentOf(p.before.data)};
        const std::lock_guard<std::mutex> lock(mutex_);   // the bias is part of the descriptor
        const Plan& plan = planOf(shape, p.bias.data, p.before.data);
        if (p.bias.data)
            require(cublasLtMatmulDescSetAttribute(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias.data,
                                                   sizeof(p.bias.data)), "setting the bias");
        if (p.before.data)
            set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.before.data);
        const float alpha = 1, beta = p.add ? 1.f : 0.f;
        // The library counts by columns: what it sees is d^T = b^T a^T.
        require(cublasLtMatmul(library_, plan.operation, &alpha, p.b.data, plan.a, p.a.data, plan.b, &beta, p.d.data,
                               plan.d, p.d.data, plan.d, &plan.algorithm, workspace_, workspaceBytes, stream_),
                "multiplying");
    }

    void* allocateHost(size_t bytes) const CV_OVERRIDE
    {
        use();
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

    void uploadBeside(const void* host, void* to, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, uploads_), "copying to the device");
    }

    void awaitUploads() const CV_OVERRIDE
    {
        use();
        require(cudaEventRecord(uploaded_, uploads_), "marking the end of a copy");
        require(cudaStreamWaitEvent(stream_, uploaded_, 0), "waiting for a copy");
    }

    void downloadLater(const void* from, void* host, size_t bytes) const CV_OVERRIDE
    {
        use();
        require(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
    }

    void mark(int number) const CV_OVERRIDE
    {
        use();
        require(cudaEventRecord(marks_[number], stream_), "marking a step's end");
    }

    void reach(int number) const CV_OVERRIDE
    {
        use();
        require(cudaEventSynchronize(marks_[number]), "computing");
    }

    void finish() const CV_OVERRIDE
    {
        use();
        require(cudaStreamSynchronize(uploads_), "copying to the device");
        require(cudaStreamSynchronize(stream_), "computing");
    }

    std::unique_ptr<cuda::Recording> record(const std::function<void()>& calls) const CV_OVERRIDE
    {
        use();
        cudaGraph_t graph = nullptr;
        // Of this thread alone: another one may allocate meanwhile.
        require(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning to record");
        try
        {
            calls();
        }
        catch (...)
        {
            if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph)
                cudaGraphDestroy(graph);
            cudaGetLastError();
            throw;
        }
        require(cudaStreamEndCapture(stream_, &graph), "recording");
        const std::unique_ptr<std::remove_pointer<cudaGraph_t>::type, cudaError_t (*)(cudaGraph_t)> owner(
            graph, cudaGraphDestroy);
        return std::unique_ptr<cuda::Recording>(new Graph(graph, id_, stream_));
    }

    void waitFor(void* stream) const CV_OVERRIDE { order(static_cast<cudaStream_t>(stream), stream_); }
    void letWait(void* stream) const CV_OVERRIDE { order(stream_, static_cast<cudaStream_t>(stream)); }

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
    /// What `second` is told from now on runs behind what `first` was told so far.
    void order(cudaStream_t first, cudaStream_t second) const
    {
        use();
        cudaEvent_t event = nullptr;
        require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
        const cudaError_t recorded = cudaEventRecord(event, first);
        const cudaError_t waits = recorded == cudaSuccess ? cudaStreamWaitEvent(second, event, 0) : recorded;
        cudaEventDestroy(event);   // it is freed when it has happened
        require(waits, "putting streams in order");
    }

    void use() const { require(cudaSetDevice(id_), "choosing the device"); }

    void close()
    {
        const KeepDevice keep;
        plans_.clear();
        // A static object can outlive CUDA's runtime at the end of a process, which frees everything.
        if (cudaSetDevice(id_) != cudaSuccess)
        {
            cudaGetLastError();
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
            cudaMemPoolTrimTo(pool_, 0);   // for the process's other users of the device
        if (library_)
            cublasLtDestroy(library_);
        for (cudaEvent_t event : {uploaded_, marks_[0], marks_[1]})
            if (event)
                cudaEventDestroy(event);
        for (cudaStream_t stream : {stream_, uploads_})
            if (stream)
                cudaStreamDestroy(stream);
        cudaGetLastError();
    }

    /// bias, before: from their addresses the library knows how they are aligned.
    const Plan& planOf(const Shape& s, const void* bias, void* before) const
    {
        std::unique_ptr<Plan>& known = plans_[s];
        if (known)
            return *known;
        std::unique_ptr<Plan> plan(new Plan);
        const bool single = s.in == Element::Float32;
        const cublasComputeType_t compute = single && s.tensorFloat ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
        require(cublasLtMatmulDescCreate(&plan->operation, compute, CUDA_R_32F), "describing a product");
        const cublasOperation_t opA = s.transposeB ? CUBLAS_OP_T : CUBLAS_OP_N,
                                opB = s.transposeA ? CUBLAS_OP_T : CUBLAS_OP_N;
        set(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogueOf(s));
        set(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, opA);
        set(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, opB);
        if (s.bias)
        {
            set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, typeOf(s.out));
            set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
        }
        if (s.before)
        {
            set(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t(s.n));
            set(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, before);
        }
        const uint64_t m = static_cast<uint64_t>(s.m), n = static_cast<uint64_t>(s.n), k = static_cast<uint64_t>(s.k);
        const auto layout = [](cublasLtMatrixLayout_t& to, Element element, uint64_t rows, uint64_t columns) {
            require(cublasLtMatrixLayoutCreate(&to, typeOf(element), rows, columns, static_cast<int64_t>(rows)),
                    "describing a matrix");
        };
        layout(plan->a, s.in, s.transposeB ? k : n, s.transposeB ? n : k);
        layout(plan->b, s.in, s.transposeA ? m : k, s.transposeA ? k : m);
        layout(plan->d, s.out, n, m);

        cublasLtMatmulPreference_t preference = nullptr;
        require(cublasLtMatmulPreferenceCreate(&preference), "describing what is wanted");
        const std::unique_ptr<std::remove_pointer<cublasLtMatmulPreference_t>::type,
                              cublasStatus_t (*)(cublasLtMatmulPreference_t)>
            owner(preference, cublasLtMatmulPreferenceDestroy);
        const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value)
        {
            require(cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof(value)),
                    "describing what is wanted");
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(workspaceBytes));
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.alignB);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.alignA);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s.alignD);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.alignD);
        // Parts of a long sum are added up in 32 bits, not as 16-bit results, which are rounded and in half precision
        // overflow.
        if (s.out != Element::Float32)
            prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                   uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
        cublasLtMatmulHeuristicResult_t best;
        int found = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(library_, plan->operation, plan->a, plan->b,
                                                                     plan->d, plan->d, preference, 1, &best, &found);
        LTRP_REQUIRE(status == CUBLAS_STATUS_SUCCESS && found == 1 && best.state == CUBLAS_STATUS_SUCCESS,
                     Error::GpuNotSupported,
                     "cuBLASLt has no way to multiply [" << s.m << "," << s.k << "] by [" << s.k << "," << s.n
                     << "] in " << (single ? 32 : 16) << "-bit floats to " << (s.out == Element::Float32 ? 32 : 16)
                     << "-bit ones (epilogue " << int(epilogueOf(s)) << (s.add ? ", added to what is there" : "")
                     << "; addresses are multiples of " << s.alignA << ", " << s.alignB << " and " << s.alignD
                     << " bytes): " << cublasLtGetStatusString(status));
        plan->algorithm = best.algo;
        known = std::move(plan);
        return *known;
    }

    template <class Value>
    static void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t what, Value value)
    {
        require(cublasLtMatmulDescSetAttribute(operation, what, &value, sizeof(value)), "describing a product");
    }

    static const size_t workspaceBytes = size_t(64) << 20;
    int id_ = 0;
    cudaMemPool_t pool_ = nullptr;   ///< the device's own
    cudaStream_t stream_ = nullptr, uploads_ = nullptr;   ///< of all work; of copies that run beside it
    cudaEvent_t uploaded_ = nullptr, marks_[2] = {nullptr, nullptr};
    cublasLtHandle_t library_ = nullptr;
    void* workspace_ = nullptr;
    mutable std::mutex mutex_;
    mutable std::map<Shape, std::unique_ptr<Plan>> plans_;
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
    return pools ? "" : "the CUDA device or its driver has no memory pools";
}

std::shared_ptr<const Backend> cudaBackend(Precision precision, bool frozen, std::string* device)
{
    const std::string lacks = cudaLacks();
    LTRP_REQUIRE(lacks.empty(), Error::GpuNotSupported, precisionName(precision) << " on CUDA: " << lacks);
    const KeepDevice keep;
    std::unique_ptr<CudaDevice> made(new CudaDevice);
    if (device)
        *device = made->name();
    return cuda::makeBackend(std::move(made), precision, frozen);
}

std::string cudaLibrary()
{
    return "cuBLASLt " + std::to_string(cublasLtGetVersion()) + ", CUDA " + version(CUDART_VERSION);
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
