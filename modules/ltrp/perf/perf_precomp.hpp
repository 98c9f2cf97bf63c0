// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_PERF_LTRP_PRECOMP_HPP
#define OPENCV_PERF_LTRP_PRECOMP_HPP

#include "opencv2/ts.hpp"
#include "opencv2/imgproc.hpp"
#include "opencv2/ltrp.hpp"

#include <cstdlib>
#include <tuple>

namespace opencv_test
{

using namespace perf;
using testing::Combine;
using testing::Values;

/// The shipped model, or the one named by the environment variable.
inline String modelFile(const char* variable, const char* shipped)
{
    const char* given = std::getenv(variable);
    return given ? String(given) : String(LTRP_MODELS_DIR "/") + shipped;
}

inline String rankerFile() { return modelFile("LTRP_PERF_RANKER", "ltrp-rank-tiny.safetensors"); }
inline String maeFile() { return modelFile("LTRP_PERF_MAE", "ltrp-mae-small.safetensors"); }

/// Smooth shapes and some noise: the results of clustering and resizing depend on the content.
inline Mat testImage(Size size)
{
    Mat image(size, CV_8UC3);
    theRNG().fill(image, RNG::UNIFORM, 0, 256);
    GaussianBlur(image, image, Size(0, 0), 8);
    normalize(image, image, 0, 255, NORM_MINMAX);
    return image;
}

}  // namespace

#endif
