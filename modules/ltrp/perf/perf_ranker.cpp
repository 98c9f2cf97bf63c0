// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "perf_precomp.hpp"

namespace opencv_test { namespace {

using namespace perf;

/// The shipped models, with OPENCV_TEST_DATA_PATH naming the folder models/; LTRP_PERF_RANKER and LTRP_PERF_MAE name
/// others.
String modelFile(const char* variable, const char* shipped)
{
    const char* given = std::getenv(variable);
    return given ? String(given) : String(cvtest::findDataFile(shipped));
}

Mat noise(Size size)
{
    Mat image(size, CV_8UC3);
    RNG(1).fill(image, RNG::UNIFORM, 0, 256);
    return image;
}

PERF_TEST(Ltrp_Ranker, rank)
{
    const String model = modelFile("LTRP_PERF_RANKER", "ltrp-rank-tiny.safetensors");
    const Ptr<cv::ltrp::Ranker> ranker = cv::ltrp::Ranker::create(model);
    const Mat image = noise(Size(640, 480));
    TEST_CYCLE() ranker->rank(image);
    SANITY_CHECK_NOTHING();
}

PERF_TEST(Ltrp_Ranker, rankBatch16)
{
    const String model = modelFile("LTRP_PERF_RANKER", "ltrp-rank-tiny.safetensors");
    const Ptr<cv::ltrp::Ranker> ranker = cv::ltrp::Ranker::create(model);
    const std::vector<Mat> images(16, noise(Size(640, 480)));
    TEST_CYCLE() ranker->rankBatch(images);
    SANITY_CHECK_NOTHING();
}

PERF_TEST(Ltrp_Scorer, score)
{
    const String model = modelFile("LTRP_PERF_MAE", "ltrp-mae-small.safetensors");
    const Ptr<cv::ltrp::Scorer> scorer = cv::ltrp::Scorer::create(model);
    const Mat image = noise(Size(640, 480));
    TEST_CYCLE() scorer->score(image);
    SANITY_CHECK_NOTHING();
}

PERF_TEST(Ltrp_Scorer, scoreMap)
{
    const String model = modelFile("LTRP_PERF_MAE", "ltrp-mae-small.safetensors");
    const Ptr<cv::ltrp::Scorer> scorer = cv::ltrp::Scorer::create(model);
    const Mat image = noise(Size(640, 480));
    TEST_CYCLE() scorer->scoreMap(image);
    SANITY_CHECK_NOTHING();
}

}}  // namespace
