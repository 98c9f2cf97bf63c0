// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "matmul.hpp"
#include "../../core/parallel.hpp"
#include "signal_scope.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

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
    ProfileScope(int m, int n, int k)
        : on_(profiling.load(std::memory_order_relaxed)), flop_(2LL * m * n * k), threads_(computeThreads())
    {
        if (on_)
            start_ = std::chrono::steady_clock::now();
    }
    ~ProfileScope()
    {
        if (!on_)
            return;
        const auto spent = std::chrono::steady_clock::now() - start_;
        profiledNanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count() * threads_;
        profiledFlop += flop_;
        ++profiledCalls;
    }

private:
    bool on_;
    int64_t flop_;
    int threads_;
    std::chrono::steady_clock::time_point start_;
};

#ifdef HAVE_LTRP_DNNL

typedef dnnl::memory::data_type DataType;
typedef dnnl::memory::format_tag FormatTag;

struct Key
{
    int m, n, k, threads;
    unsigned flags;   ///< what is transposed, added, packed, and the precision
    RowSteps steps;
    bool operator==(const Key& o) const
    {
        return m == o.m && n == o.n && k == o.k && threads == o.threads && flags == o.flags && steps.a == o.steps.a
            && steps.b == o.steps.b && steps.c == o.steps.c;
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

/// A product of one shape, reusable for any data of that shape.
struct Product
{
    dnnl::matmul primitive;
    dnnl::memory::desc b;   ///< weight layout that the library prefers
    std::unordered_map<int, dnnl::memory> arguments;   ///< without data; creating them costs more than a small product
};

Product makeProduct(const dnnl::engine& engine, const dnnl::memory::desc& a, const dnnl::memory::desc& b,
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
    Product product{dnnl::matmul(description), description.weights_desc(), {}};
    const auto declare = [&](int name, const dnnl::memory::desc& layout) {
        product.arguments.emplace(name, dnnl::memory(layout, engine, DNNL_MEMORY_NONE));
    };
    declare(DNNL_ARG_SRC, a);
    declare(DNNL_ARG_WEIGHTS, product.b);
    declare(DNNL_ARG_DST, c);
    if (hasBias)
        declare(DNNL_ARG_BIAS, bias);
    return product;
}

/// One engine, one stream and the primitives of one thread: a primitive's scratch memory belongs to the thread that made it.
struct Dnnl
{
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::unordered_map<Key, Product, KeyHash> products;

    static Dnnl& local()
    {
        thread_local Dnnl instance;
        return instance;
    }

    template <class Make>
    Product& find(const Key& key, const Make& make)
    {
        const auto found = products.find(key);
        if (found != products.end())
            return found->second;
        if (products.size() >= 256)   // there are few shapes in practice; this bounds the memory for callers with many
            products.clear();
        return products.emplace(key, make()).first->second;
    }

    void run(Product& product, const void* a, const void* b, const float* bias, void* c)
    {
        product.arguments.at(DNNL_ARG_SRC).set_data_handle(const_cast<void*>(a));
        product.arguments.at(DNNL_ARG_WEIGHTS).set_data_handle(const_cast<void*>(b));
        product.arguments.at(DNNL_ARG_DST).set_data_handle(c);
        if (bias)
            product.arguments.at(DNNL_ARG_BIAS).set_data_handle(const_cast<float*>(bias));
        requireOwnThreads();
        const SignalScope signals(computeThreads());
        product.primitive.execute(stream, product.arguments);
        stream.wait();
    }
};

dnnl::memory::desc matrix(int rows, int columns, DataType type = DataType::f32, FormatTag order = FormatTag::ab)
{
    return dnnl::memory::desc({rows, columns}, type, order);
}

/// Rows `step` apart (0: dense); turned: stored as [columns, rows].
dnnl::memory::desc matrix(int rows, int columns, DataType type, bool turned, int step)
{
    if (step == 0)
        return matrix(rows, columns, type, turned ? FormatTag::ba : FormatTag::ab);
    return dnnl::memory::desc({rows, columns}, type, turned ? dnnl::memory::dims{1, step} : dnnl::memory::dims{step, 1});
}

void rethrow(const dnnl::error& e, int m, int k, int n)
{
    if (e.status == dnnl_out_of_memory)
        LTRP_ERROR(Error::StsNoMem, "oneDNN has no memory for a " << m << " x " << k << " x " << n << " product");
    LTRP_ERROR(Error::StsError, "oneDNN refused a " << m << " x " << k << " x " << n << " product: " << e.what());
}

/// Sets the library's number of threads to that of cv::setNumThreads; restores the caller's OpenMP setting afterwards.
class ThreadScope
{
public:
    explicit ThreadScope(int wanted)
        : before_(omp_get_max_threads()), dynamic_(omp_get_dynamic()), changed_(before_ != wanted)
    {
        if (dynamic_ != 0)
            omp_set_dynamic(0);   // SignalScope and the product must use the same threads
        if (changed_)
            omp_set_num_threads(wanted);
    }
    ~ThreadScope()
    {
        if (changed_)
            omp_set_num_threads(before_);
        if (dynamic_ != 0)
            omp_set_dynamic(dynamic_);
    }

private:
    int before_, dynamic_;
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

namespace {

/// One matmul(): a and b of type `in`, c of type `out`.
void multiplyPlain(DataType in, DataType out, const void* a, bool transposeA, const void* b, bool transposeB,
                   const float* bias, void* c, int m, int n, int k, bool accumulate, const RowSteps& steps)
{
    if (m <= 0 || n <= 0)
        return;
    try
    {
        const ProfileScope profile(m, n, k);
        const ThreadScope scope(computeThreads());
        Dnnl& dnnl = Dnnl::local();
        const Key key{m, n, k, computeThreads(),
                      (transposeA ? 1u : 0u) | (transposeB ? 2u : 0u) | (bias ? 4u : 0u) | (accumulate ? 8u : 0u)
                          | (in == DataType::bf16 ? 128u : 0u) | (out == DataType::bf16 ? 256u : 0u), steps};
        Product& product = dnnl.find(key, [&]() {
            return makeProduct(dnnl.engine, matrix(m, k, in, transposeA, steps.a), matrix(k, n, in, transposeB, steps.b),
                               matrix(1, n), matrix(m, n, out, false, steps.c), bias != nullptr, accumulate);
        });
        dnnl.run(product, a, b, bias, c);
    }
    catch (const dnnl::error& e)
    {
        rethrow(e, m, k, n);
    }
}

void requireBf16()
{
    const std::string lacks = matmulLacks(Precision::BF16);
    LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, "BF16 matrix products: " << lacks);
}

}  // namespace

void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate, const RowSteps& steps)
{
    multiplyPlain(DataType::f32, DataType::f32, a, transposeA, b, transposeB, bias, c, m, n, k, accumulate, steps);
}

void matmul(const uint16_t* a, bool transposeA, const uint16_t* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate, const RowSteps& steps)
{
    requireBf16();
    multiplyPlain(DataType::bf16, DataType::f32, a, transposeA, b, transposeB, bias, c, m, n, k, accumulate, steps);
}

void matmul(const uint16_t* a, bool transposeA, const uint16_t* b, bool transposeB, const float* bias, uint16_t* c, int m,
            int n, int k, bool accumulate, const RowSteps& steps)
{
    requireBf16();
    multiplyPlain(DataType::bf16, DataType::bf16, a, transposeA, b, transposeB, bias, c, m, n, k, accumulate, steps);
}

std::string matmulLacks(Precision precision)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (precision == Precision::BF16 && !__builtin_cpu_supports("avx512bf16"))
        return "this processor has no AVX512_BF16 instructions";
    if (precision == Precision::INT8 && !__builtin_cpu_supports("avx512vnni"))
        return "this processor has no AVX512_VNNI instructions";
    return std::string();
#else
    return precision == Precision::FP32 ? "" : "16-bit and 8-bit products are made for x86-64 processors only";
#endif
}

struct PackedMatrix::Packed
{
    dnnl::memory::desc layout;
    dnnl::memory memory;
};

PackedMatrix::~PackedMatrix() = default;

/// The weights in the requested layout. The library usually requests the same one for every number of rows, so it is
/// kept.
std::shared_ptr<const PackedMatrix::Packed> PackedMatrix::packed(const void* wantedLayout) const
{
    const dnnl::memory::desc& wanted = *static_cast<const dnnl::memory::desc*>(wantedLayout);
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& one : packed_)
        if (one->layout == wanted)
            return one;
    Dnnl& dnnl = Dnnl::local();
    const dnnl::memory from = precision_ == Precision::INT8
        ? dnnl::memory(matrix(in_, out_, DataType::s8), dnnl.engine, const_cast<signed char*>(quantised_.data()))
        : dnnl::memory(matrix(in_, out_, DataType::f32, FormatTag::ba), dnnl.engine, const_cast<float*>(weights_));
    auto made = std::make_shared<Packed>(Packed{wanted, dnnl::memory(wanted, dnnl.engine)});
    dnnl::reorder(from, made->memory).execute(dnnl.stream, const_cast<dnnl::memory&>(from), made->memory);
    dnnl.stream.wait();
    packed_.push_back(made);
    return made;
}

/// The library sums a single row in another order than several. The row is therefore passed twice, so that an image has
/// the same scores alone and in a batch. (On one thread; on several, and in 16 bits, scores agree to rounding.)
void PackedMatrix::multiplyRow(const float* x, float* y, const float* bias, bool accumulate) const
{
    const size_t from = static_cast<size_t>(in_), to = static_cast<size_t>(out_);
    std::vector<float> twice(2 * from), result(2 * to);
    for (size_t i = 0; i < 2; ++i)
    {
        std::copy(x, x + from, &twice[i * from]);
        std::copy(y, y + (accumulate ? to : 0), &result[i * to]);
    }
    multiply(twice.data(), 2, result.data(), bias, accumulate);
    std::copy(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(to), y);
}

void PackedMatrix::multiply(const void* x, int rows, void* y, const float* bias, bool accumulate) const
{
    if (rows <= 0)
        return;
    if (rows == 1 && precision_ == Precision::FP32)
        return multiplyRow(static_cast<const float*>(x), static_cast<float*>(y), bias, accumulate);
    try
    {
        const ProfileScope profile(rows, out_, in_);
        const ThreadScope scope(computeThreads());
        Dnnl& dnnl = Dnnl::local();
        const Key key{rows, out_, in_, computeThreads(),
                      (bias ? 4u : 0u) | (accumulate ? 8u : 0u) | 16u | static_cast<unsigned>(precision_) << 5, RowSteps()};
        Product& product = dnnl.find(key, [&]() {
            const DataType type = precision_ == Precision::BF16 ? DataType::bf16 : DataType::f32;
            const bool integers = precision_ == Precision::INT8;
            const auto made = [&](const dnnl::memory::desc& order) {
                return makeProduct(dnnl.engine, matrix(rows, in_, integers ? DataType::u8 : type), order, matrix(1, out_),
                                   matrix(rows, out_, integers ? DataType::s32 : DataType::f32), bias != nullptr, accumulate);
            };
            const Product asWanted = made(matrix(in_, out_, integers ? DataType::s8 : type, FormatTag::any));
            if (precision_ != Precision::FP32 || out_ % 256 != 0 || asWanted.b != matrix(in_, out_))
                return asWanted;
            // Rows a multiple of 1 KiB apart map to few cache sets. Padding by a cache line makes products with 256,
            // 768 and 1024 outputs 5 to 17 % faster on a Zen 3 processor.
            return made(matrix(in_, out_, type, false, out_ + 16));
        });
        const std::shared_ptr<const Packed> weights = packed(&product.b);
        dnnl.run(product, x, weights->memory.get_data_handle(), bias, y);
    }
    catch (const dnnl::error& e)
    {
        rethrow(e, rows, in_, out_);
    }
}

#else

std::string matmulLibrary()
{
    return "cv::gemm";
}

void matmul(const float* a, bool transposeA, const float* b, bool transposeB, const float* bias, float* c, int m, int n,
            int k, bool accumulate, const RowSteps& steps)
{
    if (m <= 0 || n <= 0)
        return;
    const ProfileScope profile(m, n, k);
    const auto step = [](int values) { return values == 0 ? size_t(Mat::AUTO_STEP) : values * sizeof(float); };
    const Mat aMat(transposeA ? k : m, transposeA ? m : k, CV_32F, const_cast<float*>(a), step(steps.a));
    const Mat bMat(transposeB ? n : k, transposeB ? k : n, CV_32F, const_cast<float*>(b), step(steps.b));
    Mat cMat(m, n, CV_32F, c, step(steps.c));
    Mat product;   // cv::gemm must not overwrite its third argument
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

std::string matmulLacks(Precision precision)
{
    return precision == Precision::FP32 ? "" : "this build of ltrp has no oneDNN, which multiplies in 16 and 8 bits";
}

void matmul(const uint16_t*, bool, const uint16_t*, bool, const float*, float*, int, int, int, bool, const RowSteps&)
{
    LTRP_ERROR(Error::StsNotImplemented, "BF16 matrix products: " << matmulLacks(Precision::BF16));
}

void matmul(const uint16_t*, bool, const uint16_t*, bool, const float*, uint16_t*, int, int, int, bool, const RowSteps&)
{
    LTRP_ERROR(Error::StsNotImplemented, "BF16 matrix products: " << matmulLacks(Precision::BF16));
}

struct PackedMatrix::Packed {};

PackedMatrix::~PackedMatrix() = default;

void PackedMatrix::multiply(const void* x, int rows, void* y, const float* bias, bool accumulate) const
{
    matmul(static_cast<const float*>(x), false, weights_, true, bias, static_cast<float*>(y), rows, out_, in_, accumulate);
}

#endif

PackedMatrix::PackedMatrix(const float* weights, int out, int in, Precision precision)
    : out_(out), in_(in), precision_(precision), weights_(weights)
{
    const std::string lacks = matmulLacks(precision);
    LTRP_REQUIRE(lacks.empty(), Error::StsNotImplemented, precisionName(precision) << " matrix products: " << lacks);
    if (precision != Precision::INT8)
        return;
    const size_t rows = static_cast<size_t>(out), columns = static_cast<size_t>(in);
    quantised_.resize(rows * columns);
    scales_.resize(rows);
    sums_.resize(rows);
    for (size_t o = 0; o < rows; ++o)   // symmetric per output channel
    {
        const float* row = weights + o * columns;
        float peak = 0;
        for (size_t i = 0; i < columns; ++i)
            peak = std::max(peak, std::fabs(row[i]));
        const float scale = peak > 0 ? peak / 127.f : 1.f;
        int sum = 0;
        for (size_t i = 0; i < columns; ++i)
        {
            const int q = cvRound(row[i] / scale);
            quantised_[i * rows + o] = static_cast<signed char>(q);
            sum += q;
        }
        scales_[o] = scale;
        sums_[o] = static_cast<float>(sum);
    }
}

}}}  // namespace
