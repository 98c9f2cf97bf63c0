// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bench_jobs.hpp"

#include "core/parallel.hpp"
#include "ops/cpu/matmul.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#ifdef HAVE_LTRP_DNNL
#include <oneapi/dnnl/dnnl.hpp>
#include <omp.h>
#endif

namespace cv { namespace ltrp { namespace bench {

namespace {

struct Shape
{
    int m, n, k;
    double flop() const { return 2.0 * m * n * k; }
};

std::vector<Shape> shapesOf(const Json& command)
{
    std::vector<Shape> shapes;
    for (const auto& sizes : value<std::vector<std::vector<int>>>(command, "shapes"))
    {
        LTRP_REQUIRE(sizes.size() == 3, Error::StsBadSize,
                     "a shape has " << sizes.size() << " sizes, expected m, n, k");
        for (const int size : sizes)
            LTRP_REQUIRE(size >= 1 && size <= 1 << 20, Error::StsOutOfRange, "a shape has the size " << size);
        const size_t largest = static_cast<size_t>(1) << 29;
        LTRP_REQUIRE(static_cast<size_t>(sizes[0]) * static_cast<size_t>(std::max(sizes[1], sizes[2])) <= largest &&
                     static_cast<size_t>(sizes[1]) * static_cast<size_t>(sizes[2]) <= largest, Error::StsOutOfRange,
                     "a shape of " << sizes[0] << " x " << sizes[1] << " x " << sizes[2] << " is too large");
        shapes.push_back({sizes[0], sizes[1], sizes[2]});
    }
    LTRP_REQUIRE(!shapes.empty(), Error::StsBadSize, "no shapes given");
    return shapes;
}

typedef std::function<void()> Product;

#ifdef HAVE_LTRP_DNNL

typedef dnnl::memory::data_type DataType;

/// A product as the library likes it best: weights in the order it asks for, packed once, bias added. That is the rate
/// which a network of such products cannot pass.
Product packedProduct(const dnnl::engine& engine, const Shape& shape, DataType source, DataType weights,
                      DataType result)
{
    typedef dnnl::memory::format_tag Order;
    const dnnl::memory::desc a({shape.m, shape.k}, source, Order::ab), c({shape.m, shape.n}, result, Order::ab);
    const dnnl::memory::desc b({shape.k, shape.n}, weights, Order::any), bias({1, shape.n}, DataType::f32, Order::ab);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(engine, a, b, bias, c);
#else
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, bias, c), engine);
#endif
    std::unordered_map<int, dnnl::memory> arguments;
    dnnl::stream stream(engine);
    const dnnl::memory::desc f32A({shape.m, shape.k}, DataType::f32, Order::ab);
    const dnnl::memory::desc f32B({shape.k, shape.n}, DataType::f32, Order::ab);
    const auto filled = [&](const dnnl::memory::desc& from, const dnnl::memory::desc& to, float scale)
    {
        dnnl::memory plain(from, engine), packed(to, engine);
        float* values = static_cast<float*>(plain.get_data_handle());
        for (size_t i = 0; i < from.get_size() / sizeof(float); ++i)
            values[i] = scale * static_cast<float>(i % 7);
        dnnl::reorder(plain, packed).execute(stream, plain, packed);
        stream.wait();
        return packed;
    };
    arguments.emplace(DNNL_ARG_SRC, filled(f32A, a, 1.f));
    arguments.emplace(DNNL_ARG_WEIGHTS, filled(f32B, description.weights_desc(), 1.f));
    arguments.emplace(DNNL_ARG_BIAS, filled(bias, bias, 0.1f));
    arguments.emplace(DNNL_ARG_DST, dnnl::memory(c, engine));
    const dnnl::matmul primitive(description);
    return [primitive, arguments, stream]() mutable
    {
        primitive.execute(stream, arguments);
        stream.wait();
    };
}

Product makeProduct(const Shape& shape, const std::string& precision)
{
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    try
    {
        if (precision == "fp32")
            return packedProduct(engine, shape, DataType::f32, DataType::f32, DataType::f32);
        if (precision == "bf16")
            return packedProduct(engine, shape, DataType::bf16, DataType::bf16, DataType::bf16);
        LTRP_REQUIRE(precision == "int8", Error::StsBadArg, "precision is '" << precision << "'");
        return packedProduct(engine, shape, DataType::u8, DataType::s8, DataType::f32);
    }
    catch (const dnnl::error& e)
    {
        LTRP_ERROR(Error::StsNotImplemented, "oneDNN does not multiply in " << precision << " here: " << e.what());
    }
}

#else

Product makeProduct(const Shape& shape, const std::string& precision)
{
    LTRP_REQUIRE(precision == "fp32", Error::StsNotImplemented,
                 "a build without oneDNN multiplies in fp32 only, not in " << precision);
    const auto size = [](int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); };
    const auto a = std::make_shared<std::vector<float>>(size(shape.m, shape.k), 0.5f);
    const auto b = std::make_shared<std::vector<float>>(size(shape.k, shape.n), 0.01f);
    const auto c = std::make_shared<std::vector<float>>(size(shape.m, shape.n));
    return [shape, a, b, c]()
    {
        ops::matmul(a->data(), false, b->data(), true, nullptr, c->data(), shape.m, shape.n, shape.k, false);
    };
}

#endif

}  // namespace

Json matrixRate(const Json& command)
{
    const std::vector<Shape> shapes = shapesOf(command);
    const std::string precision = value<std::string>(command, "precision");
    const double wanted = value<double>(command, "seconds", 0.5);
#ifdef HAVE_LTRP_DNNL
    omp_set_num_threads(computeThreads());
#endif
    std::vector<Product> products;
    double flop = 0;
    for (const Shape& shape : shapes)
    {
        products.push_back(makeProduct(shape, precision));
        products.back()();   // the first one prepares the library
        flop += shape.flop();
    }
    const auto start = std::chrono::steady_clock::now();
    double seconds = 0, total = 0;
    while (total == 0 || seconds < wanted)
    {
        for (const Product& product : products)
            product();
        total += flop;
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return {{"gflops", total / seconds * 1e-9}, {"library", ops::matmulLibrary()}};
}

}}}  // namespace
