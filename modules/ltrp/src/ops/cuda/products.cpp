// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../training.hpp"

#ifdef HAVE_LTRP_CUDA

#include "products.hpp"

namespace cv { namespace ltrp { namespace ops { namespace cuda {

namespace {

void require(cublasStatus_t status, const char* what)
{
    LTRP_REQUIRE(status == CUBLAS_STATUS_SUCCESS, Error::GpuApiCallError,
                 "cuBLASLt: " << what << ": " << LTRP_CUBLASLT(GetStatusString)(status));
}

cudaDataType_t typeOf(DataType element)
{
    return element == DataType::Float32 ? CUDA_R_32F : element == DataType::BFloat16 ? CUDA_R_16BF : CUDA_R_16F;
}

/// The largest power of two up to 256 that divides the address: some algorithms need aligned operands.
uint32_t alignmentOf(const void* address)
{
    const uintptr_t bits = reinterpret_cast<uintptr_t>(address) | 256;
    return static_cast<uint32_t>(bits & (~bits + 1));
}

template <class Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t what, Value value)
{
    require(LTRP_CUBLASLT(MatmulDescSetAttribute)(operation, what, &value, sizeof(value)), "describing a product");
}

}  // namespace

/// The properties that select an algorithm.
struct Products::Shape
{
    int m, n, k;
    bool transposeA, transposeB, bias, gelu, add, tensorFloat, before, geluBackward;
    DataType in, out;
    uint32_t alignA, alignB, alignBias, alignD, alignBefore;

    auto all() const
    {
        return std::make_tuple(m, n, k, transposeA, transposeB, bias, gelu, add, tensorFloat, before, geluBackward, in, out,
                               alignA, alignB, alignBias, alignD, alignBefore);
    }

    cublasLtEpilogue_t epilogue() const
    {
        if (geluBackward)
            return CUBLASLT_EPILOGUE_DGELU;
        if (gelu && before)
            return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
        if (gelu)
            return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
        return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    }
};

/// Descriptors and the algorithm of one shape.
struct Products::Plan
{
    Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan()
    {
        if (operation)
            LTRP_CUBLASLT(MatmulDescDestroy)(operation);
        for (cublasLtMatrixLayout_t layout : {a, b, d})
            if (layout)
                LTRP_CUBLASLT(MatrixLayoutDestroy)(layout);
    }
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
    cublasLtMatmulAlgo_t algorithm;
};

bool Products::Before::operator()(const Shape& a, const Shape& b) const { return a.all() < b.all(); }

Products::Products() { require(LTRP_CUBLASLT(Create)(&library_), "starting the library"); }

Products::~Products()
{
    plans_.clear();
    LTRP_CUBLASLT(Destroy)(library_);
}

std::string Products::version() { return std::to_string(LTRP_CUBLASLT(GetVersion)()); }

void Products::multiply(const Product& p, void* workspace, cudaStream_t stream)
{
    const Shape shape{p.m, p.n, p.k, p.transposeA, p.transposeB, p.bias.data != nullptr, p.gelu, p.add,
                      p.tensorFloat, p.before.data != nullptr, p.geluBackward, p.a.element, p.d.element,
                      alignmentOf(p.a.data), alignmentOf(p.b.data), alignmentOf(p.bias.data), alignmentOf(p.d.data),
                      alignmentOf(p.before.data)};
    const std::lock_guard<std::mutex> lock(mutex_);   // the bias is part of the descriptor
    const Plan& plan = planOf(shape, p.bias.data, p.before.data);
    if (p.bias.data)
        set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.data);
    if (p.before.data)
        set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.before.data);
    const float alpha = 1, beta = p.add ? 1.f : 0.f;
    // The library is column-major: it computes d^T = b^T a^T.
    require(LTRP_CUBLASLT(Matmul)(library_, plan.operation, &alpha, p.b.data, plan.a, p.a.data, plan.b, &beta, p.d.data,
                                  plan.d, p.d.data, plan.d, &plan.algorithm, workspace, workspaceBytes, stream),
            "multiplying");
}

/// bias, before: their alignment is part of the plan.
const Products::Plan& Products::planOf(const Shape& s, const void* bias, void* before)
{
    std::unique_ptr<Plan>& known = plans_[s];
    if (known)
        return *known;
    std::unique_ptr<Plan> plan(new Plan);
    const bool single = s.in == DataType::Float32;
    const cublasComputeType_t compute = single && s.tensorFloat ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    require(LTRP_CUBLASLT(MatmulDescCreate)(&plan->operation, compute, CUDA_R_32F), "describing a product");
    const cublasOperation_t opA = s.transposeB ? CUBLAS_OP_T : CUBLAS_OP_N,
                            opB = s.transposeA ? CUBLAS_OP_T : CUBLAS_OP_N;
    set(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue());
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
    const auto layout = [](cublasLtMatrixLayout_t& to, DataType element, uint64_t rows, uint64_t columns) {
        require(LTRP_CUBLASLT(MatrixLayoutCreate)(&to, typeOf(element), rows, columns, static_cast<int64_t>(rows)),
                "describing a matrix");
    };
    layout(plan->a, s.in, s.transposeB ? k : n, s.transposeB ? n : k);
    layout(plan->b, s.in, s.transposeA ? m : k, s.transposeA ? k : m);
    layout(plan->d, s.out, n, m);

    cublasLtMatmulPreference_t preference = nullptr;
    require(LTRP_CUBLASLT(MatmulPreferenceCreate)(&preference), "describing what is wanted");
    const std::unique_ptr<std::remove_pointer<cublasLtMatmulPreference_t>::type,
                          cublasStatus_t (*)(cublasLtMatmulPreference_t)>
        owner(preference, LTRP_CUBLASLT(MatmulPreferenceDestroy));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value)
    {
        require(LTRP_CUBLASLT(MatmulPreferenceSetAttribute)(preference, what, &value, sizeof(value)),
                "describing what is wanted");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(workspaceBytes));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.alignB);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.alignA);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s.alignD);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.alignD);
    // Partial sums are added in 32 bits: as 16-bit results they would be rounded, and in half precision overflow.
    if (s.out != DataType::Float32)
        prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    const cublasStatus_t status = LTRP_CUBLASLT(MatmulAlgoGetHeuristic)(
        library_, plan->operation, plan->a, plan->b, plan->d, plan->d, preference, 1, &best, &found);
    LTRP_REQUIRE(status == CUBLAS_STATUS_SUCCESS && found == 1 && best.state == CUBLAS_STATUS_SUCCESS,
                 Error::GpuNotSupported,
                 "cuBLASLt has no way to multiply [" << s.m << "," << s.k << "] by [" << s.k << "," << s.n
                 << "] in " << (single ? 32 : 16) << "-bit floats to " << (s.out == DataType::Float32 ? 32 : 16)
                 << "-bit ones (epilogue " << int(s.epilogue()) << (s.add ? ", added to what is there" : "")
                 << "; addresses are multiples of " << s.alignA << ", " << s.alignB << " and " << s.alignD
                 << " bytes): " << LTRP_CUBLASLT(GetStatusString)(status));
    plan->algorithm = best.algo;
    known = std::move(plan);
    return *known;
}

}}}}  // namespace

#endif
