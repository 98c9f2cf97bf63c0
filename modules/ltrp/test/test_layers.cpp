// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "test_reference.hpp"

#include "opencv2/dnn/layer.hpp"

namespace opencv_test { namespace {

using namespace cv::ltrp;
using namespace reference;

TEST(Ltrp_Layers, are_registered_under_both_names)
{
    const Network network(32, 8, {24, 1, 3, 48}, {0, 0, 0, 0}, 1e-5, 1);
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

TEST(Ltrp_Layers, say_that_they_need_a_model)
{
    const Network network(32, 8, {24, 1, 3, 48}, {0, 0, 0, 0}, 1e-5, 1);
    Ranker::create(network.path)->rank(photo(Size(32, 32), 1));
    dnn::Net net;
    dnn::LayerParams params;
    net.addLayerToPrev("scores", "LtrpRank", params);
    net.setPreferableBackend(dnn::DNN_BACKEND_OPENCV);
    const std::vector<int> shape = {1, 3, 32, 32};
    net.setInput(Mat(shape, CV_32F, Scalar(0)));
    try
    {
        net.forward();
        ADD_FAILURE() << "a layer without a model ran";
    }
    catch (const cv::Exception& e)
    {
        EXPECT_NE(String::npos, e.err.find("LtrpRank")) << e.err;
        EXPECT_NE(String::npos, e.err.find("model")) << e.err;
    }
}

}}  // namespace
