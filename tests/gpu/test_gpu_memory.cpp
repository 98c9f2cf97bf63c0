// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// The GPU's memory over many calls, and the state after a failed allocation.

#include "random_inputs.hpp"

#include "vit/leave_one_out.hpp"
#include "vit/ranker_net.hpp"

#include <boost/test/unit_test.hpp>
#include <cuda_runtime.h>

using namespace cv::ltrp;
using inputs::noise;

namespace
{

void require(cudaError_t status) { BOOST_REQUIRE_EQUAL(cudaGetErrorString(status), cudaGetErrorString(cudaSuccess)); }

/// Bytes currently allocated from the device's pool.
uint64_t lent()
{
    int device = 0;
    cudaMemPool_t pool = nullptr;
    uint64_t bytes = 0;
    require(cudaDeviceSynchronize());
    require(cudaGetDevice(&device));
    require(cudaDeviceGetDefaultMemPool(&pool, device));
    require(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &bytes));
    return bytes;
}

struct Ranking
{
    Ranking() : params(vit::rankerLayout(geometry())), net(geometry(), params)
    {
        vit::initialiseParams(net.config(), 3, params);
    }
    static vit::RankerConfig geometry()
    {
        vit::RankerConfig config;
        config.encoder = {384, 4, 6, 1536};
        return config;
    }
    std::vector<float> operator()(int batch, vit::Workspace& ws) const
    {
        const int patches = net.config().input.numPatches();
        const std::vector<float> pixels = noise(static_cast<size_t>(batch) * 3 * 224 * 224, 1);
        std::vector<float> scores(static_cast<size_t>(batch) * static_cast<size_t>(patches));
        float* const there = ws.result("test.scores", scores.data(), scores.size());
        net.forward(ws.upload("test.pixels", pixels.data(), pixels.size()), batch, nullptr, patches, there, nullptr, ws);
        ws.finish(there, scores.data(), scores.size());
        return scores;
    }

    vit::ParamArena params;
    const vit::RankerNet net;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(gpu_memory)

BOOST_AUTO_TEST_CASE(calls_of_changing_sizes_leave_no_memory_behind)
{
    const Ranking rank;
    vit::Workspace ws(ops::cudaBackend(ops::Precision::BF16, true));
    for (const int batch : {8, 1, 3})
        rank(batch, ws);
    const uint64_t before = lent();
    for (int i = 0; i < 100; ++i)
        rank(1 + i % 8, ws);
    BOOST_TEST(lent() == before);
}

BOOST_AUTO_TEST_CASE(a_refused_allocation_is_an_exception_and_no_more)
{
    const Ranking rank;
    const auto backend = ops::cudaBackend(ops::Precision::BF16, true);
    vit::Workspace ws(backend);
    const std::vector<float> want = rank(2, ws);
    const uint64_t before = lent();
    const size_t tooMuch = size_t(1) << 42;
    try
    {
        void* const memory = backend->allocate(tooMuch);
        backend->release(memory);
        BOOST_ERROR(tooMuch << " bytes were allocated");
    }
    catch (const cv::Exception& error)
    {
        BOOST_TEST(error.code == cv::Error::StsNoMem, error.err);
        BOOST_TEST(error.err.find(std::to_string(tooMuch) + " bytes wanted") != std::string::npos, error.err);
    }
    BOOST_TEST(lent() == before);
    BOOST_TEST(rank(2, ws) == want, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
