// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include "opencv2/dnn/layer.hpp"

#include <atomic>
#include <thread>

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

TEST(Ltrp_Layers, are_registered_under_both_names)
{
    const Network network(32, 8, {24, 1, 3, 48}, noDecoder, 1e-5, 1);
    const Ptr<Ranker> first = Ranker::create(network.path), second = Ranker::create(network.path);
    const Mat image = photo(Size(32, 32), 1);
    EXPECT_LE(relativeError(first->rank(image).scores, network.rank(image)), 1e-5);
    EXPECT_LE(relativeError(second->rank(image).scores, network.rank(image)), 1e-5);

    for (const char* name : {"LtrpRank", "ltrp.LtrpRank", "LtrpPseudoScore", "ltrp.LtrpPseudoScore"})
    {
        dnn::LayerParams params;
        params.name = "scores";
        params.type = name;
        const Ptr<dnn::Layer> layer = dnn::LayerFactory::createLayerInstance(name, params);
        ASSERT_TRUE(layer) << name;
        EXPECT_EQ(String("scores"), layer->name);
    }
}

TEST(Ltrp_Layers, may_be_registered_again_and_again)
{
    // cv::dnn itself throws for a repeated name.
    std::atomic<int> failures(0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([&]()
        {
            for (int i = 0; i < 100; i++)
            {
                try
                {
                    registerLayers();
                }
                catch (const cv::Exception&)
                {
                    failures++;
                }
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(0, failures);
}

}}  // namespace
