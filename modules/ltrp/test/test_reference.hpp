// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// A slow, plain reference: small networks with random weights, written to disk as the module's own format, and their
// forward passes in double precision, one token and one number at a time. Nothing here is taken from the library.

#ifndef OPENCV_TEST_LTRP_REFERENCE_HPP
#define OPENCV_TEST_LTRP_REFERENCE_HPP

#include "test_precomp.hpp"

#include <map>

namespace opencv_test { namespace reference {

typedef std::vector<double> Token;
typedef std::vector<Token> Tokens;

struct Stack
{
    int dim, depth, heads, hidden;
};

struct Tensor
{
    std::vector<int> shape;
    std::vector<float> values;
};

/// A network of either kind; `decoder.dim` is 0 for a ranker.
class Network
{
public:
    Network(int imageSize, int patchSize, const Stack& encoder, const Stack& decoder, double eps, int seed);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    String path;   ///< the file, removed with this object
    int size, patch, grid;

    /// Scores of all patches of an image that already has the network's size.
    std::vector<double> rank(const Mat& bgr) const;

    /// Pseudo-scores of the visible patches: L1 (or L2) over the hidden ones, in the decoder's output space.
    std::vector<double> score(const Mat& bgr, const std::vector<int>& visible, bool removeInEncoder,
                              bool squared) const;

private:
    void add(const String& name, const std::vector<int>& shape, double scale, double centre, RNG& rng);
    void addStack(const String& blocks, const String& norm, const Stack& stack, RNG& rng);
    void write(double eps) const;

    Token linear(const String& name, const Token& x) const;
    Token norm(const String& name, const Token& x) const;
    /// Blocks and the final norm. droppedToken: a token that is neither key nor query; -1 for none.
    Tokens run(const String& blocks, const String& norm, const Stack& stack, Tokens tokens, int droppedToken) const;
    Token embed(const Mat& bgr, int place) const;
    Token at(const String& name, int row) const;
    Tokens encode(const Mat& bgr, const std::vector<int>& visible, int droppedToken) const;
    /// Reconstructed values of the hidden patches; place `removed` (or -1) is left out of the decoder's sequence.
    Token reconstruct(const Tokens& latent, const std::vector<int>& visible, int removed) const;

    Stack encoder_, decoder_;
    double eps_;
    std::vector<String> names_;
    std::map<String, Tensor> tensors_;
};

/// Something with structure, different for every number.
Mat photo(Size size, int number);

/// What a network is fed with for images that have its size: normalised planes [N,3,S,S].
Mat pixels(const std::vector<Mat>& bgr);

/// Largest difference relative to the largest expected value.
double relativeError(const Mat& got, const std::vector<double>& expected);

/// Skips the test, saying why, unless OpenCV itself and the module both have CUDA and a device.
void needCudaOfOpencv();

/// The error text of a call that is expected to throw cv::Exception with this code; empty where it does not.
template <class Call>
String errorOf(int code, Call call)
{
    try
    {
        call();
    }
    catch (const cv::Exception& e)
    {
        return e.code == code ? e.err : String();
    }
    return String();
}

}}  // namespace

#endif
