// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// Small networks with random weights, written to disk in the module's own format; test_vit.hpp computes their results.

#ifndef OPENCV_TEST_LTRP_REFERENCE_HPP
#define OPENCV_TEST_LTRP_REFERENCE_HPP

#include "test_precomp.hpp"
#include "test_vit.hpp"

namespace opencv_test { namespace reference {

struct Stack
{
    int dim, depth, heads, hidden;
};

const Stack noDecoder = {0, 0, 0, 0};

struct Input
{
    int side, patchSize;
    Size size() const { return Size(side, side); }
    int numPatches() const { return (side / patchSize) * (side / patchSize); }
};

struct Config
{
    Input input;
    Stack encoder, decoder;
    double layerNormEps;
};

/// A network of either kind; with `noDecoder` a ranker.
class Network
{
public:
    Network(int imageSize, int patchSize, const Stack& encoder, const Stack& decoder, double eps, int seed);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    String path;   ///< the file, removed with this object
    Config config;

    /// Scores of all patches of an image of the network's size.
    std::vector<double> rank(const Mat& bgr) const;

    /// Pseudo-scores of the visible patches: L1 (or L2) over the hidden patches, in the decoder's output space.
    std::vector<double> score(const Mat& bgr, const std::vector<int>& visible, bool removeInEncoder,
                              bool squared) const;

private:
    void add(const String& name, const std::vector<int>& shape, double scale, double centre, RNG& rng);
    void addStack(const String& blocks, const String& norm, const Stack& stack, RNG& rng);
    void write() const;

    std::map<String, std::vector<int>> shapes_;
    Params params_;   ///< of the same names
};

/// Input of a network for images of its size: normalised planes [N,3,S,S].
Mat pixels(const std::vector<Mat>& bgr);

/// Largest difference relative to the largest expected value.
double relativeError(const Mat& got, const std::vector<double>& expected);
double relativeError(const Mat& got, const Mat& expected);

/// Skips the test with a reason, unless both OpenCV itself and the module have CUDA and a device.
void needCudaOfOpencv();

/// The error text of a call that is expected to throw cv::Exception, with this code unless it is 0; empty if it does
/// not throw.
template <class Call>
String errorOf(int code, Call call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& e)
    {
        return code == 0 || e.code == code ? e.err : String();
    }
    return String();
}

}}  // namespace

#endif
