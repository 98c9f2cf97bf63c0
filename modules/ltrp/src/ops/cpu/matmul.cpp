// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "matmul.hpp"

#include <atomic>
#include <chrono>

#ifdef HAVE_LTRP_DNNL
#include <oneapi/dnnl/dnnl.hpp>
#include <omp.h>
#include <unordered_map>
#endif

namespace cv { namespace ltrp { namespace ops {

namespace {

std::atomic<bool> profiling(false);
std::atomic<int64_t> profiledNanoseconds(0), profiledFlop(0);
std::atomic<uint64_t> profiledCalls(0);

/// Counts one product while profiling is on.
class ProfileScope
{
public:
    ProfileScope(int m, int n, int k) : on_(profiling.load(std::memory_order_relaxed)), flop_(2LL * m * n * k)
    {
        if (on_)
            start_ = std::chrono::steady_clock::now();
    }
    ~ProfileScope()
    {
        if (!on_)
            return;
        const auto spent = std::chrono::steady_clock::now() - start_;
        profiledNanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count();
        profiledFlop += flop_;
        ++profiledCalls;
    }

private:
    bool on_;
    int64_t flop_;
    std::chrono::steady_clock::time_point start_;
};

#ifdef HAVE_LTRP_DNNL

struct Key
{
    int m, n, k, threads;
    unsigned flags;
    bool operator==(const Key& o) const
    {
        return m == o.m && n == o.n && k == o.k && threads == o.threads && flags == o.flags;
    }
};

struct KeyHash
{
    size_t operator()(const Key& key) const
    {
        size_t h = static_cast<size_t>(key.m);
        for (size_t v : {static_cast<size_t>(key.n), static_cast<size_t>(key.k), static_cast<size_t>(key.threads),
                         static_cast<size_t>(key.flags)})
            h = h * 1000003u ^ v;
        return h;
    }
};

/// One engine, one stream and the primitives of one thread: a primitive's scratch memory belongs to the thread that made it.
struct Dnnl
{
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::unordered_map<Key, dnnl::matmul, KeyHash> primitives;

    static Dnnl& local()
    {
        thread_local Dnnl instance;
        return instance;
    }
};

dnnl::memory::desc matrix(int rows, int columns, bool transposed)
{
    const dnnl::memory::dims dims = {rows, columns};
    const dnnl::memory::dims strides = transposed ? dnnl::memory::dims{1, rows} : dnnl::memory::dims{columns, 1};
    return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, strides);
}

dnnl::matmul makePrimitive(const dnnl::engine& engine, const dnnl::memory::desc& a, const dnnl::memory::desc& b,
                           const dnnl::memory::desc& bias, const dnnl::memory::desc& c, bool hasBias, bool accumulate)
{
    dnnl::primitive_attr attributes;
    if (accumulate)
    {
        dnnl::post_ops sum;
        sum.append_sum(1.f);
        attributes.set_post_ops(sum);
    }
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description = hasBias
        ? dnnl::matmul::primitive_desc(engine, a, b, bias, c, attributes)
        : dnnl::matmul::primitive_desc(engine, a, b, c, attributes);
#else
    const dnnl::matmul::desc operation = hasBias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
    const dnnl::matmul::primitive_desc description(operation, attributes, engine);
#endif
    return dnnl::matmul(description);
}

/// cv::setNumThreads rules the library's pool as well; the caller's own OpenMP setting comes back afterwards.
class ThreadScope
{
public:
    explicit ThreadScope(int wanted) : before_(omp_get_max_threads()), changed_(before_ != wanted)
    {
        if (changed_)
            omp_set_num_threads(wanted);
    }
    ~ThreadScope()
    {
        if (changed_)
            omp_set_num_threads(before_);
    }

private:
    int before_;
    bool changed_;
};

#endif

}  // namespace

void profileMatmul(bool on)
{
    profiling = on;
}

MatmulProfile matmulProfile(bool reset)
{
    MatmulProfile result;
    result.seconds = static_cast<double>(profiledNanoseconds.load()) * 1e-9;
    result.flop = static_cast<double>(profiledFlop.load());
    result.calls = profiledCalls.load();
    if (reset)
    {
        profiledNanoseconds = 0;
        profiledFlop = 0;
        profiledCalls = 0;
    }
    return result;
}

#ifdef HAVE_LTRP_DNNL

std::string matmulLibrary()
{
    const dnnl_version_t* v = dnnl_version();
    return cv::format("oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate)
{
    if (m <= 0 || n <= 0)
        return;
    try
    {
        const ProfileScope profile(m, n, k);
        const ThreadScope scope(threads());
        Dnnl& dnnl = Dnnl::local();
        const Key key{m, n, k, threads(),
                      (transposeA ? 1u : 0u) | (transposeB ? 2u : 0u) | (bias ? 4u : 0u) | (accumulate ? 8u : 0u)};
        const dnnl::memory::desc aDesc = matrix(m, k, transposeA), bDesc = matrix(k, n, transposeB);
        const dnnl::memory::desc biasDesc = matrix(1, n, false), cDesc = matrix(m, n, false);
        auto found = dnnl.primitives.find(key);
        if (found == dnnl.primitives.end())
        {
            if (dnnl.primitives.size() >= 256)   // shapes are few in practice; a caller with many must not grow us
                dnnl.primitives.clear();
            found = dnnl.primitives.emplace(key, makePrimitive(dnnl.engine, aDesc, bDesc, biasDesc, cDesc,
                                                               bias != nullptr, accumulate)).first;
        }
        std::unordered_map<int, dnnl::memory> arguments;
        arguments.emplace(DNNL_ARG_SRC, dnnl::memory(aDesc, dnnl.engine, const_cast<float*>(a)));
        arguments.emplace(DNNL_ARG_WEIGHTS, dnnl::memory(bDesc, dnnl.engine, const_cast<float*>(b)));
        arguments.emplace(DNNL_ARG_DST, dnnl::memory(cDesc, dnnl.engine, c));
        if (bias)
            arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(biasDesc, dnnl.engine, const_cast<float*>(bias)));
        found->second.execute(dnnl.stream, arguments);
        dnnl.stream.wait();
    }
    catch (const dnnl::error& e)
    {
        if (e.status == dnnl_out_of_memory)
            LTRP_ERROR(Error::StsNoMem, "oneDNN has no memory for a " << m << " x " << k << " x " << n << " product");
        LTRP_ERROR(Error::StsError, "oneDNN refused a " << m << " x " << k << " x " << n << " product: " << e.what());
    }
}

#else

std::string matmulLibrary()
{
    return "cv::gemm";
}

void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate)
{
    if (m <= 0 || n <= 0)
        return;
    const ProfileScope profile(m, n, k);
    const Mat aMat(transposeA ? k : m, transposeA ? m : k, CV_32F, const_cast<float*>(a));
    const Mat bMat(transposeB ? n : k, transposeB ? k : n, CV_32F, const_cast<float*>(b));
    Mat cMat(m, n, CV_32F, c);
    Mat product;   // cv::gemm may not write over its third argument
    cv::gemm(aMat, bMat, 1.0, accumulate ? cMat : Mat(), accumulate ? 1.0 : 0.0, product,
             (transposeA ? GEMM_1_T : 0) | (transposeB ? GEMM_2_T : 0));
    if (bias)
    {
        const Mat biasRow(1, n, CV_32F, const_cast<float*>(bias));
        for (int i = 0; i < m; ++i)
            cv::add(product.row(i), biasRow, cMat.row(i));
    }
    else
    {
        product.copyTo(cMat);
    }
}

#endif

}}}  // namespace
